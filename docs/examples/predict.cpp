// Predict with ONNX Runtime alone: `ptx export convnet --embed-preprocessing` puts the rest into the graph.
//
//     apt-get install nlohmann-json3-dev   # and a release of ONNX Runtime, unpacked in $ONNXRUNTIME
//     g++ -std=c++17 -O2 predict.cpp -I$ONNXRUNTIME/include -L$ONNXRUNTIME/lib -lonnxruntime -o predict
//     LD_LIBRARY_PATH=$ONNXRUNTIME/lib ./predict convnet.pixels.onnx digit.pgm other.pgm
//
// An image is a binary PGM of the model's size, light on dark, as `convert digit.png digit.pgm` makes it.
// Finding a digit in a photograph (resize mode "mnist" in the manifest) is not part of this program.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

// The names of a signature are in the order of the network's arguments.
using nlohmann::ordered_json;

ordered_json read_manifest(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("ptx.manifest", allocator);
  if (!text) throw std::runtime_error("the file has no manifest: it was not written by ptx");
  auto manifest = ordered_json::parse(text.get());
  if (manifest.at("format") != 1) throw std::runtime_error("this program reads manifests of format 1");
  const auto& signature = manifest.at("signature");
  if (!signature.at("inputs").contains("pixels") || !signature.at("outputs").contains("label"))
    throw std::runtime_error("expected a classifier that was exported with --embed-preprocessing");
  return manifest;
}

// The pixels of a binary PGM: "P5", width, height, 255, one byte for each pixel.
std::vector<std::uint8_t> read_image(const std::string& path, std::size_t height, std::size_t width) {
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

int run(int count, char** arguments) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "predict");
  Ort::Session session(environment, arguments[1], Ort::SessionOptions());
  const auto manifest = read_manifest(session);

  const auto& axes = manifest.at("signature").at("inputs").at("pixels")[1];
  const std::int64_t shape[] = {1, axes[1], axes[2]};
  const char* input_names[] = {"pixels"};
  const char* output_names[] = {"label", "probabilities"};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  for (int i = 2; i < count; ++i) {
    auto pixels = read_image(arguments[i], axes[1], axes[2]);
    const auto tensor = Ort::Value::CreateTensor<std::uint8_t>(memory, pixels.data(), pixels.size(), shape, 3);
    const auto outputs = session.Run(Ort::RunOptions(), input_names, &tensor, 1, output_names, 2);
    const auto best = *outputs[0].GetTensorData<std::int64_t>();
    std::printf("%s: %s (%.4f)\n", arguments[i], manifest.at("labels")[best].get<std::string>().c_str(),
                outputs[1].GetTensorData<float>()[best]);
  }
  return 0;
}

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: predict MODEL.onnx IMAGE.pgm...\n");
    return 2;
  }
  try {
    return run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "predict: %s\n", error.what());
    return 1;
  }
}
