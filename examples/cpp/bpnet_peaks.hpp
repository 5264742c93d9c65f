// Finds peaks in heatmaps, for models without the output `peaks`: the same as `find_peaks` in bpnet_cli/pose/peaks.py,
// where the reasons are. C++17, without any library.
#pragma once
#include "bpnet_pose.hpp"

namespace bpnet {
namespace detail {

// The top of the Gaussian along one axis, relative to its highest cell, by the parabola through three logarithms.
// position: of the cell, of `size`. value(i): the heatmap i cells further.
template <class Value>
float top_of(int position, int size, Value value) {
  if (size < 3) return 0;
  const int inward = std::clamp(position, 1, size - 2) - position;
  const auto height = [&](int i) { return std::log(std::max(value(inward + i), 1e-3f)); };
  const float before = height(-1), after = height(1), curvature = std::min(before - 2 * height(0) + after, -1e-6f);
  return std::clamp(float(inward) + 0.5f * (before - after) / curvature, -0.5f, 0.5f);
}

// Cells (row * width + column) of one heatmap that are above the threshold and have no higher neighbour. Of cells of
// equal height side by side, only the first one counts, and none where they touch a higher cell.
inline std::vector<int> peak_cells(const Maps& maps, int channel, float threshold) {
  const int size = maps.height * maps.width;
  const auto value = [&](int cell) { return maps.at(cell / maps.width, cell % maps.width, channel); };
  const auto any_neighbour = [&](int cell, auto test) {
    for (int i = 0; i < 9; ++i) {
      const int row = cell / maps.width + i / 3 - 1, column = cell % maps.width + i % 3 - 1;
      const bool on_map = row >= 0 && row < maps.height && column >= 0 && column < maps.width;
      if (i != 4 && on_map && test(row * maps.width + column)) return true;
    }
    return false;
  };
  std::vector<char> top(size);
  std::vector<int> cells;
  for (int cell = 0; cell < size; ++cell) {
    const float height = value(cell);
    top[cell] = height > threshold && !any_neighbour(cell, [&](int other) { return value(other) > height; });
    if (top[cell]) cells.push_back(cell);
  }
  for (int step = 0; step < 2; ++step) {
    std::vector<int> leaning;
    for (int cell : cells)
      if (any_neighbour(cell, [&](int other) { return value(other) == value(cell) && !top[other]; }))
        leaning.push_back(cell);
    for (int cell : leaning) top[cell] = false;
  }
  const auto is_none = [&](int cell) {
    return !top[cell] || any_neighbour(cell, [&](int other) { return other < cell && value(other) == value(cell); });
  };
  cells.erase(std::remove_if(cells.begin(), cells.end(), is_none), cells.end());
  return cells;
}
}  // namespace detail

// The same as `bpnet_cli.decode`. heatmaps, pafs: the model's outputs; the last heatmap is the background.
// Throws std::invalid_argument where the maps don't fit the skeleton or each other.
inline std::vector<Person> decode(const Maps& heatmaps, const Maps& pafs, const Skeleton& skeleton, int stride,
                                  const Options& options = {}) {
  if (heatmaps.channels != skeleton.keypoints + 1 || pafs.channels != 2 * int(skeleton.limbs.size()) ||
      heatmaps.height != pafs.height || heatmaps.width != pafs.width || pafs.height < 1 || pafs.width < 1)
    throw std::invalid_argument("decode: the maps don't fit the skeleton or each other");
  detail::Peaks peaks;
  for (int k = 0; k < skeleton.keypoints; ++k) {
    std::vector<int> cells = detail::peak_cells(heatmaps, k, options.peak_threshold);
    const auto value = [&](int row, int column) { return heatmaps.at(row, column, k); };
    detail::sort_by(cells, [&](int cell) { return -value(cell / heatmaps.width, cell % heatmaps.width); });
    cells.resize(std::min(cells.size(), std::size_t(options.max_peaks)));
    for (int cell : cells) {
      const int row = cell / heatmaps.width, column = cell % heatmaps.width;
      const float x = detail::top_of(column, heatmaps.width, [&](int i) { return value(row, column + i); });
      const float y = detail::top_of(row, heatmaps.height, [&](int i) { return value(row + i, column); });
      peaks.push_back({k, {float(column) + x, float(row) + y}, value(row, column)});
    }
  }
  return detail::group(peaks, pafs, skeleton, stride, options);
}
}  // namespace bpnet
