// Predict with ONNX Runtime alone: everything else is in the file's card.
//
//     apt-get install nlohmann-json3-dev   # and a release of ONNX Runtime, unpacked in $ONNXRUNTIME
//     g++ -std=c++17 -O2 predict.cpp -I$ONNXRUNTIME/include -L$ONNXRUNTIME/lib -lonnxruntime -o predict
//     LD_LIBRARY_PATH=$ONNXRUNTIME/lib ./predict convnet.onnx digit.pgm other.pgm
//
// A picture is a binary PGM of the model's size, light on dark, as `convert digit.png digit.pgm` makes it.
// To find a digit on a photograph (the card's fit "digit") is the work of ptx and not repeated here.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

// The names of a signature stand in the order of the network's arguments.
using nlohmann::ordered_json;

ordered_json read_card(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("ptx.card", allocator);
  if (!text) throw std::runtime_error("the file has no card: it was not written by ptx");
  auto card = ordered_json::parse(text.get());
  if (card.at("format") != 1) throw std::runtime_error("this program reads cards of format 1");
  if (card.at("task") != "classification" || card.at("preprocessing").at("kind") != "image")
    throw std::runtime_error("this program classifies pictures, which the model does not");
  return card;
}

// The pixels of a binary PGM: "P5", width, height, 255, one byte for each pixel.
std::vector<std::uint8_t> read_picture(const std::string& path, std::size_t height, std::size_t width) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  std::size_t columns = 0, rows = 0, largest = 0;
  file >> magic >> columns >> rows >> largest;
  file.get();
  std::vector<std::uint8_t> pixels(height * width);
  if (magic == "P5" && columns == width && rows == height && largest == 255)
    file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  else
    file.setstate(std::ios::failbit);
  if (!file)
    throw std::runtime_error(path + ": expected a binary PGM of " + std::to_string(width) + "x" +
                             std::to_string(height) + " pixels");
  return pixels;
}

std::vector<double> softmax(const float* logits, std::size_t count) {
  const float largest = *std::max_element(logits, logits + count);
  std::vector<double> scores(count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += scores[i] = std::exp(double(logits[i]) - largest);
  for (double& score : scores) score /= sum;
  return scores;
}

int run(int count, char** arguments) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "predict");
  Ort::Session session(environment, arguments[1], Ort::SessionOptions());
  const auto card = read_card(session);

  const auto& preprocessing = card.at("preprocessing");
  const std::size_t height = preprocessing.at("size")[0], width = preprocessing.at("size")[1];
  const float mean = preprocessing.value("mean", 0.0f), std = preprocessing.value("std", 1.0f);
  const auto input = card.at("signature").at("inputs").begin();
  const auto output = card.at("signature").at("outputs").begin();
  std::vector<std::int64_t> shape;
  for (const auto& axis : input.value()[1])
    shape.push_back(axis == "batch" ? 1 : axis == "time" ? std::int64_t(height) : axis.get<std::int64_t>());

  const char* input_names[] = {input.key().c_str()};
  const char* output_names[] = {output.key().c_str()};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  for (int i = 2; i < count; ++i) {
    std::vector<float> values;
    for (const std::uint8_t pixel : read_picture(arguments[i], height, width))
      values.push_back((float(pixel) / 255.0f - mean) / std);
    const auto tensor =
        Ort::Value::CreateTensor<float>(memory, values.data(), values.size(), shape.data(), shape.size());
    const auto outputs = session.Run(Ort::RunOptions(), input_names, &tensor, 1, output_names, 1);
    const auto scores = softmax(outputs[0].GetTensorData<float>(), card.at("labels").size());
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    std::printf("%s: %s (%.4f)\n", arguments[i],
                card.at("labels")[best].get<std::string>().c_str(), scores[best]);
  }
  return 0;
}

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: predict MODEL.onnx PICTURE.pgm...\n");
    return 2;
  }
  try {
    return run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "predict: %s\n", error.what());
    return 1;
  }
}
