// Finds the people of `bpnet infer` in a photo with OpenCV's cv::dnn, prints them as JSON and draws their limbs.
//
//   bpnet export -m model.keras -o model.onnx --metadata-json
//   bpnet_pose model.onnx photo.jpg out.jpg
//
// The second line also reads model.json. OpenCV 4 and 5 read files of --precision fp32 without --with-peaks.
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "bpnet_peaks.hpp"

using nlohmann::json;

// The metadata of a model, from the file that --metadata-json writes beside it.
json read_metadata(const std::string& model) {
  const std::string path = model.substr(0, model.rfind('.')) + ".json";
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": is missing; write it by bpnet export with --metadata-json");
  try {
    return json::parse(file);
  } catch (const json::parse_error& error) {
    throw std::runtime_error(path + ": can't be read: " + error.what());
  }
}

bpnet::Skeleton skeleton_of(const json& about) {
  const auto names = about.at("keypoints").get<std::vector<std::string>>();
  const auto index = [&](const json& name) { return int(std::find(names.begin(), names.end(), name) - names.begin()); };
  bpnet::Skeleton skeleton{int(names.size()), {}};
  for (const json& limb : about.at("limbs")) skeleton.limbs.push_back({index(limb[0]), index(limb[1])});
  return skeleton;
}

bpnet::Options options_of(const json& about) {
  bpnet::Options options;
  options.peak_threshold = about.at("peak_threshold");
  options.limb_threshold = about.at("limb_threshold");
  options.merge_distance = about.at("merge_distance");
  options.person_threshold = about.at("person_threshold");
  options.max_peaks = about.at("max_peaks");
  options.limb_samples = about.at("limb_samples");
  options.min_keypoints = about.at("min_keypoints");
  return options;
}

// The network's input, RGB; how many pixels of the photo one pixel of it is, along x and y; and the photo's size.
struct Input {
  cv::Mat image;
  double x, y;
  cv::Size photo;
};

// Resizes a photo without distortion, and pads it with grey on the right and below; see docs/deploy/photo_to_input.md.
Input input_of(const cv::Mat& photo, const json& size, int multiple) {
  const double rows = photo.rows, columns = photo.cols, high = size.at("input_height");
  const bool free = size.at("input_width").is_null();
  const double ratio = std::min(columns / rows, size.at("max_aspect_ratio").get<double>());
  const double wide = free ? std::ceil(high * ratio) : size.at("input_width").get<double>();
  const auto padded = [&](double side) { return int(std::ceil(side / multiple)) * multiple; };
  const double scale = std::min(high / rows, (free ? padded(wide) : wide) / columns);
  const auto resized = [&](double side) { return std::max(1, int(std::nearbyint(side * scale))); };
  cv::Mat image(padded(high), padded(wide), CV_8UC3, cv::Scalar::all(127));
  cv::Mat content = image(cv::Rect(0, 0, std::min(resized(columns), image.cols), std::min(resized(rows), image.rows)));
  cv::resize(photo, content, content.size(), 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
  const Input input{image, columns / content.cols, rows / content.rows, photo.size()};
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return input;
}

std::vector<bpnet::Person> people_in(cv::dnn::Net& network, const Input& input, const json& about) {
  cv::Mat pixels;
  input.image.convertTo(pixels, CV_32F);
  const int shape[] = {1, pixels.rows, pixels.cols, 3};
  network.setInput(cv::Mat(4, shape, CV_32F, pixels.data), "image");
  std::vector<cv::Mat> outputs;
  network.forward(outputs, std::vector<std::string>{"heatmaps", "pafs"});
  const auto maps = [&](int i) {
    const cv::Mat& out = outputs[i];
    return bpnet::Maps{out.ptr<float>(), out.size[1], out.size[2], out.size[3]};
  };
  const json& settings = about.at("spec").at("inference");
  auto people = bpnet::decode(maps(0), maps(1), skeleton_of(about.at("skeleton")), about.at("stride"),
                              options_of(settings.at("decode")));
  const double least = settings.at("min_person_score");
  const auto weak = [&](const bpnet::Person& person) { return person.score < least; };
  people.erase(std::remove_if(people.begin(), people.end(), weak), people.end());
  for (bpnet::Person& person : people)
    for (bpnet::Keypoint& point : person.keypoints) {
      point.x = float(std::clamp((point.x + 0.5) * input.x - 0.5, 0.0, input.photo.width - 1.0));
      point.y = float(std::clamp((point.y + 0.5) * input.y - 0.5, 0.0, input.photo.height - 1.0));
    }
  return people;
}

json as_json(const std::vector<bpnet::Person>& people) {
  json all = json::array();
  for (const bpnet::Person& person : people) {
    json points = json::array();
    for (const auto& [x, y, score] : person.keypoints)
      points.push_back(std::isnan(score) ? json() : json{{"x", x}, {"y", y}, {"score", score}});
    all.push_back({{"score", person.score}, {"keypoints", points}});
  }
  return all;
}

void draw(cv::Mat& photo, const std::vector<bpnet::Person>& people, const bpnet::Skeleton& skeleton) {
  const int thick = std::max(2, photo.rows / 200);
  for (const bpnet::Person& person : people)
    for (const auto& [start, end] : skeleton.limbs) {
      const bpnet::Keypoint &a = person.keypoints[start], &b = person.keypoints[end];
      if (std::isnan(a.score) || std::isnan(b.score)) continue;
      cv::line(photo, cv::Point2f(a.x, a.y), cv::Point2f(b.x, b.y), {0, 200, 255}, thick, cv::LINE_AA);
    }
}

int main(int count, char** words) try {
  if (count != 4) throw std::runtime_error("usage: bpnet_pose MODEL.onnx PHOTO OUT.jpg");
  const json about = read_metadata(words[1]);
  cv::Mat photo = cv::imread(words[2]);
  if (photo.empty()) throw std::runtime_error(std::string(words[2]) + ": can't be read as a photo");
  cv::dnn::Net network = cv::dnn::readNetFromONNX(words[1]);
  const Input input = input_of(photo, about.at("spec").at("inference"), about.at("input_multiple"));
  const auto people = people_in(network, input, about);
  std::cout << as_json(people).dump(1) << std::endl;
  draw(photo, people, skeleton_of(about.at("skeleton")));
  if (!cv::imwrite(words[3], photo)) throw std::runtime_error(std::string(words[3]) + ": can't be written");
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
