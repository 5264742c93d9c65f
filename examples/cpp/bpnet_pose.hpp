// Groups the peaks and PAFs of a bpnet model into people, the same as `bpnet_cli.decode_peaks`. C++17, no library.
// main.cpp is an example; bpnet_peaks.hpp finds peaks in heatmaps. The reasons for the rules and their numbers are in
// pairs.py, limbs.py, assemble.py and decode.py of bpnet_cli/pose/. x is to the right, y down; maps consist of cells.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <stdexcept>
#include <vector>
namespace bpnet {
// limbs: indices of the keypoints at the start and the end of each limb, in the model's order.
struct Skeleton { int keypoints = 0; std::vector<std::array<int, 2>> limbs; };
// The same fields as `spec.inference.decode` in the metadata (`DecodeOptions` in Python).
struct Options {
  float peak_threshold = 0.05f, limb_threshold = 0.01f, merge_distance = 0.8f, person_threshold = 0.5f;
  int max_peaks = 128, limb_samples = 8, min_keypoints = 1;
};

// Maps as the network gives them: height x width x channels, the channels of a cell side by side.
struct Maps {
  const float* data = nullptr;
  int height = 0, width = 0, channels = 0;
  // The value in a cell; 0 where it is not finite. Cells beyond the right or lower edge have the edge's value.
  float at(int row, int column, int channel) const {
    const auto cell = static_cast<std::size_t>(std::min(row, height - 1)) * width + std::min(column, width - 1);
    const float value = data[cell * channels + channel];
    return std::isfinite(value) ? std::clamp(value, -1000.f, 1000.f) : 0.f;
  }
};

// x, y in pixels of the network's input, pixel centres at integers. All three are NaN where it was not found.
struct Keypoint { float x, y, score; };
struct Person { std::vector<Keypoint> keypoints; double score; };
namespace detail {
using Vec = std::complex<float>;  // x + iy, in cells
struct Peak { int keypoint; Vec at; float score; };
using Peaks = std::vector<Peak>;
struct Pair { int limb, start, end; float weight; };  // start, end: indices of peaks

constexpr float kShortest = 0.125f, kUnmarked = 1, kMark = 0.03f, kShortfall = 5, kEasyLength = 0.5f, kUnseen = 0.05f;
constexpr float kSure = 0.3f, kSizePrior = 1 / 16.f, kScoreHeight = 368, kPointSize = 100, kSlack = 0.05f;
constexpr int kNone = -1, kBarred = -2;
constexpr std::size_t kManyPairs = 2048, kMostPairs = 16384, kMostFragments = 256;
inline float dot(Vec a, Vec b) { return a.real() * b.real() + a.imag() * b.imag(); }
template <class T, class Key>
void sort_by(std::vector<T>& values, Key key) {
  std::stable_sort(values.begin(), values.end(), [&](const T& a, const T& b) { return key(a) < key(b); });
}

// The PAFs, at least 2 x 2 cells large.
struct Field {
  Maps pafs;
  int more = std::min(pafs.height, pafs.width) < 2;
  float height = float(pafs.height + more), width = float(pafs.width + more);
  Vec inside(Vec p) const {
    return {std::clamp(p.real(), 0.f, width - 1.001f), std::clamp(p.imag(), 0.f, height - 1.001f)};
  }
  Vec cell(int limb, int r, int c) const { return {pafs.at(r, c, 2 * limb), pafs.at(r, c, 2 * limb + 1)}; }
  Vec nearest(int limb, Vec p) const { return cell(limb, int(p.imag() + 0.5f), int(p.real() + 0.5f)); }
  Vec bilinear(int limb, Vec p) const {
    const int row = int(p.imag()), column = int(p.real());
    const float x = p.real() - float(column), y = p.imag() - float(row);
    const auto along = [&](int r) { return cell(limb, r, column) * (1 - x) + cell(limb, r, column + 1) * x; };
    return along(row) * (1 - y) + along(row + 1) * y;
  }
  // At a peak: the nearest cell, or the mean of the four cells around where that one has no mark.
  Vec at_peak(int limb, Vec p) const {
    const Vec near = nearest(limb, p);
    return std::abs(near) >= kMark ? near : bilinear(limb, {std::floor(p.real()) + 0.5f, std::floor(p.imag()) + 0.5f});
  }
};

// How far sample i of n is on the way from a limb's start (0) to its end (1).
inline float share(int i, int n) {
  const double even = double(i) / std::max(n - 1, 1);
  return float(even / 2 + (1 - std::cos(std::acos(-1.0) * even)) / 4);
}

// Whether two peaks may be the ends of a limb, judged by the PAFs at both. a, b: see `Field::inside`.
inline bool may_join(const Field& field, int limb, Vec a, Vec b) {
  const Vec u = field.at_peak(limb, a), v = field.at_peak(limb, b);
  const Vec units = u / std::max(std::abs(u), kShortest) + v / std::max(std::abs(v), kShortest);
  const float spared = std::max(std::abs(u), std::abs(v)) < kMark ? kUnmarked : kShortest;
  const float foreseen = 0.5f * dot(units, b - a), longest = std::min(foreseen, kShortfall) + foreseen;
  return longest * std::abs(longest) > std::norm(b - a) - spared * spared;
}

// A cheap test for noisy maps: the pairs that agree with the PAF in one cell; of more than kMostPairs the best.
inline void keep_agreeing(const Field& field, const Peaks& peaks, float share, std::vector<Pair>& pairs) {
  const auto differs = [&](Pair& pair) {
    const Vec start = field.inside(peaks[pair.start].at), vector = field.inside(peaks[pair.end].at) - start;
    const float along = dot(field.nearest(pair.limb, start + vector * share), vector), length = std::abs(vector);
    pair.weight = along / std::max(length, kShortest);
    return along <= 0 && length >= kUnmarked;
  };
  pairs.erase(std::remove_if(pairs.begin(), pairs.end(), differs), pairs.end());
  if (pairs.size() > kMostPairs) sort_by(pairs, [](const Pair& pair) { return -pair.weight; });
  pairs.resize(std::min(pairs.size(), kMostPairs));
}

// The mean of PAF . direction along a pair, less for long limbs; 0 where a point between the ends disagrees.
inline float limb_score(const Field& field, int limb, Vec start, Vec end, int samples) {
  const float length = std::abs(end - start);
  if (length < kShortest) return 1;
  const Vec direction = (end - start) / length, first = field.inside(start), way = field.inside(end) - first;
  float total = 0, least = 1;
  for (int i = 0; i < samples; ++i) {
    const float along = dot(field.bilinear(limb, first + way * share(i, samples)), direction);
    total += along;
    if (i > 0 && i < samples - 1) least = std::min(least, along);
  }
  const float mean = total / float(samples);
  if (length < kUnmarked && std::abs(mean) < kMark) return kUnseen;
  return least <= 0 ? 0 : mean + std::min(kEasyLength * std::min(field.height, field.width) / length - 1, 0.f);
}

// Limbs above the threshold, the best first.
inline std::vector<Pair> find_limbs(const Field& field, const Peaks& peaks, const Skeleton& skeleton,
                                    const Options& options) {
  const int samples = options.limb_samples, count = int(peaks.size());
  std::vector<Pair> pairs, limbs;
  for (int limb = 0; limb < int(skeleton.limbs.size()); ++limb)
    for (int a = 0; a < count; ++a)
      for (int b = 0; b < count && peaks[a].keypoint == skeleton.limbs[limb][0]; ++b)
        if (peaks[b].keypoint == skeleton.limbs[limb][1] &&
            may_join(field, limb, field.inside(peaks[a].at), field.inside(peaks[b].at)))
          pairs.push_back({limb, a, b, 0});
  if (pairs.size() > kManyPairs)
    for (int i : {samples / 4, samples - 1 - samples / 4}) keep_agreeing(field, peaks, share(i, samples), pairs);
  for (Pair pair : pairs) {
    const Peak &a = peaks[pair.start], &b = peaks[pair.end];
    pair.weight = limb_score(field, pair.limb, a.at, b.at, samples) * std::sqrt(a.score * b.score);
    if (pair.weight > options.limb_threshold) limbs.push_back(pair);
  }
  sort_by(limbs, [](const Pair& limb) { return -limb.weight; });
  return limbs;
}

// Sets of peaks that belong together; the first peak of a set is its root. held: at each root, for each keypoint, the
// index of its peak; kNone where there is none; kBarred where sets with such a peak must not be joined with this one.
struct Fragments {
  std::vector<int> parent;
  std::vector<std::vector<int>> held;
  Fragments(const Peaks& peaks, std::size_t keypoints) {
    for (int i = 0; i < int(peaks.size()); ++i)
      parent.push_back(i), held.emplace_back(keypoints, kNone)[peaks[i].keypoint] = i;
  }
  int root(int peak) const { return parent[peak] == peak ? peak : root(parent[peak]); }
  void join(int one, int other) {
    const int first = std::min(root(one), root(other)), second = std::max(root(one), root(other));
    auto &a = held[first], &b = held[second];
    for (std::size_t k = 0; k < a.size(); ++k)
      if ((a[k] >= 0 && b[k] != kNone) || (b[k] >= 0 && a[k] != kNone)) return;
    parent[second] = first;
    for (std::size_t k = 0; k < a.size(); ++k) a[k] = a[k] == kNone ? b[k] : a[k];
  }
};

// left, top, -right, -bottom in cells, and -score of the highest peak. held: see `Fragments`.
using Box = std::array<float, 5>;
inline Box box_of(const std::vector<int>& held, const Peaks& peaks) {
  Box box{1e9f, 1e9f, 1e9f, 1e9f, 1e9f};
  for (int peak : held) {
    if (peak < 0) continue;
    const float x = peaks[peak].at.real(), y = peaks[peak].at.imag();
    const Box one{x, y, -x, -y, -peaks[peak].score};
    for (int i = 0; i < 5; ++i) box[i] = std::min(box[i], one[i]);
  }
  return box;
}
inline float size_of(const Box& box) { return std::hypot(box[0] + box[2], box[1] + box[3]); }

// Joins fragments that lie close together, the closest first; not where the PAFs could have shown a limb and did not.
inline void merge(Fragments& fragments, const Peaks& peaks, const Skeleton& skeleton, float prior, float most) {
  std::vector<std::pair<int, Box>> boxes;
  std::vector<Pair> near;
  for (int i = 0; i < int(peaks.size()); ++i)
    if (const auto& held = fragments.held[i]; fragments.parent[i] == i && std::count(held.begin(), held.end(), kNone))
      boxes.push_back({i, box_of(held, peaks)});
  if (boxes.size() > kMostFragments) sort_by(boxes, [](const auto& one) { return one.second[4]; });
  boxes.resize(std::min(boxes.size(), kMostFragments));
  for (int i = 0; i < int(peaks.size()); ++i)
    for (const auto& limb : skeleton.limbs)
      for (int end : {0, 1}) {
        int& held = fragments.held[fragments.root(i)][limb[1 - end]];
        if (peaks[i].score > kSure && limb[end] == peaks[i].keypoint && held < 0) held = kBarred;
      }
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (std::size_t j = i + 1; j < boxes.size(); ++j) {
      const Box &a = boxes[i].second, &b = boxes[j].second;
      const float x = std::max({a[0] + b[2], b[0] + a[2], 0.f}), y = std::max({a[1] + b[3], b[1] + a[3], 0.f});
      const float distance = std::hypot(x, y) / (std::max(size_of(a), size_of(b)) + prior);
      if (distance < most) near.push_back({0, boxes[i].first, boxes[j].first, distance});
    }
  sort_by(near, [](const Pair& pair) { return pair.weight; });
  for (const Pair& pair : near) fragments.join(pair.start, pair.end);
}

// The people that pass the thresholds, the highest score first.
inline std::vector<Person> group(const Peaks& peaks, const Maps& pafs, const Skeleton& skeleton, int stride,
                                 const Options& options) {
  const float h = float(pafs.height), w = float(pafs.width), p = float(stride), half = (p - 1) / 2, nan = std::nanf("");
  Fragments fragments(peaks, skeleton.keypoints);
  for (const Pair& limb : find_limbs(Field{pafs}, peaks, skeleton, options)) fragments.join(limb.start, limb.end);
  const float diagonal = std::min(std::hypot(h, w), 2 * std::min(h, w));
  if (options.merge_distance > 0) merge(fragments, peaks, skeleton, kSizePrior * diagonal, options.merge_distance);
  std::vector<Person> people;
  for (int i = 0; i < int(peaks.size()); ++i) {
    if (fragments.parent[i] != i) continue;
    Person person{std::vector<Keypoint>(skeleton.keypoints, {nan, nan, nan}), 0};
    float total = 0, count = 0;
    for (int index : fragments.held[i]) {
      if (index < 0) continue;
      const auto& [keypoint, at, score] = peaks[index];
      person.keypoints[keypoint] = {p * at.real() + half, p * at.imag() + half, score};
      total += score, ++count;
    }
    const float cells = size_of(box_of(fragments.held[i], peaks));
    const float size = skeleton.keypoints > 1 ? kScoreHeight / h * cells : kPointSize;
    person.score = total * std::pow(count, -0.75) * std::log1p(size);
    if (total >= options.person_threshold && count >= float(options.min_keypoints)) people.push_back(person);
  }
  sort_by(people, [](const Person& person) { return -person.score; });
  return people;
}
}  // namespace detail

// peaks, pafs: the model's outputs; peaks are keypoints x rows x 3 floats. stride: pixels per cell.
// Throws std::invalid_argument where the sizes don't fit each other, or a peak lies outside of the PAFs' area.
inline std::vector<Person> decode_peaks(const float* peaks, int rows, const Maps& pafs, const Skeleton& skeleton,
                                        int stride, const Options& options = {}) {
  if (pafs.channels != 2 * int(skeleton.limbs.size()) || pafs.height < 1 || pafs.width < 1)
    throw std::invalid_argument("decode_peaks: pafs must have two channels for each limb of the skeleton");
  const float pixels = float(stride), half = (pixels - 1) / 2, slack = 0.5f + detail::kSlack / pixels;
  const float right = float(pafs.width) - 1 + slack, bottom = float(pafs.height) - 1 + slack;
  detail::Peaks found;
  for (int k = 0; k < skeleton.keypoints; ++k)
    for (int i = 0; i < std::min(rows, options.max_peaks); ++i) {
      const float* row = peaks + 3 * (std::size_t(k) * rows + i);
      if (!std::isfinite(row[0] + row[1] + row[2]) || row[2] <= options.peak_threshold) continue;
      const detail::Vec at = detail::Vec(row[0] - half, row[1] - half) / pixels;
      if (std::min(at.real(), at.imag()) < -slack || at.real() > right || at.imag() > bottom)
        throw std::invalid_argument("decode_peaks: a peak lies outside of the pafs; give x, y in pixels of the input");
      found.push_back({k, at, std::min(row[2], 1000.f)});
    }
  return detail::group(found, pafs, skeleton, stride, options);
}
}  // namespace bpnet
