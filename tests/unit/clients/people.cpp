// Reads the cases of test_clients.py from stdin; for each, prints the people of `decode_peaks` and of `decode`, a line each.
#include <cstdint>
#include <iostream>

#include "bpnet_peaks.hpp"

template <class T>
std::vector<T> read(std::size_t count) {
  std::vector<T> values(count);
  std::cin.read(reinterpret_cast<char*>(values.data()), std::streamsize(count * sizeof(T)));
  return values;
}

void print(const std::vector<bpnet::Person>& people) {
  std::cout << "[";
  for (std::size_t i = 0; i < people.size(); ++i) {
    std::cout << (i ? "," : "") << "[" << people[i].score;
    for (const auto& [x, y, score] : people[i].keypoints)
      if (score == score)
        std::cout << ",[" << x << "," << y << "," << score << "]";
      else
        std::cout << ",[null,null,null]";
    std::cout << "]";
  }
  std::cout << "]\n";
}

int main() {
  std::cout.precision(9);
  while (std::cin.peek() != EOF) {
    const auto number = read<std::int32_t>(9);
    const int keypoints = number[0], limbs = number[1], stride = number[2], rows = number[3], h = number[4], w = number[5];
    bpnet::Skeleton skeleton{keypoints, {}};
    for (int i = 0; i < limbs; ++i) {
      const auto ends = read<std::int32_t>(2);
      skeleton.limbs.push_back({ends[0], ends[1]});
    }
    const auto bound = read<float>(4);
    const bpnet::Options options{bound[0], bound[1], bound[2], bound[3], number[6], number[7], number[8]};
    const auto peaks = read<float>(std::size_t(keypoints) * rows * 3), pafs = read<float>(std::size_t(h) * w * 2 * limbs);
    const auto heatmaps = read<float>(std::size_t(h) * w * (keypoints + 1));
    const bpnet::Maps fields{pafs.data(), h, w, 2 * limbs};
    print(bpnet::decode_peaks(peaks.data(), rows, fields, skeleton, stride, options));
    print(bpnet::decode({heatmaps.data(), h, w, keypoints + 1}, fields, skeleton, stride, options));
  }
}
