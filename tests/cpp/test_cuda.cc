// The arithmetic of GPU kernels, on the CPU: any number of threads gives the bits of FrameFeatures.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "cuda/device_frames.h"
#include "kernels/dispatch.h"

using namespace affectrt;

namespace {

// The threads of a block, one after another between barriers.
struct Ranks {
  size_t count;
  size_t threads() const { return count; }
  template <class Work>
  void each(const Work& work) const {
    for (size_t rank = 0; rank < count; ++rank) work(rank);
  }
};

std::vector<float> noise(size_t count) {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal(0.01F, 0.2F);
  std::vector<float> x(count);
  for (float& v : x) v = normal(engine);
  return x;
}

void compare(const FrameSettings& settings, int64_t samples, int64_t total, size_t threads) {
  const std::vector<float> clip = noise(static_cast<size_t>(samples));
  const FrameFeatures features(settings);
  const int64_t frames = features.frame_count(total);
  REQUIRE(frames > 0);
  std::vector<float> expected(static_cast<size_t>(frames) * features.columns());
  const float top = features.compute({clip.data(), 0, samples, total}, 0, frames,
                                     FrameFeatures::Layout::kFrameMajor, expected.data(), nullptr);
  const FrameTables tables(settings);
  REQUIRE(tables.frames().columns() == features.columns());
  // Memory that holds nothing good, so that what is not written shows.
  std::vector<float> memory(tables.frames().memory_floats(), -1e30F);
  float highest = -3.4e38F;
  const std::string isa = select_kernels("").isa;
  const bool same_bits = isa != "scalar" && isa.find("wasm") == std::string::npos;
  for (int64_t frame = 0; frame < frames; ++frame) {
    float of_frame = 0.0F;
    const float* values = frame_features(tables.frames(), {clip.data(), samples, total}, frame,
                                         memory.data(), &of_frame, Ranks{threads});
    highest = std::max(highest, of_frame);
    for (size_t c = 0; c < features.columns(); ++c) {
      const float wanted = expected[static_cast<size_t>(frame) * features.columns() + c];
      if (same_bits) {
        REQUIRE_MESSAGE(values[c] == wanted, "frame " << frame << ", column " << c);
      } else {
        REQUIRE(values[c] == doctest::Approx(wanted).epsilon(1e-3));
      }
    }
  }
  if (same_bits) CHECK(highest == top);
}

}  // namespace

TEST_CASE("log-mels of any number of threads are those of the CPU") {
  for (const size_t threads : {1U, 7U, 64U, 300U}) {
    compare(whisper_settings(80), 5000, 5000, threads);
    compare(whisper_settings(128), 1234, 6000, threads);  // silence behind the clip
  }
  compare(whisper_settings(80), 300, 300, 64);  // shorter than a frame
}

TEST_CASE("fbanks and MFCCs, every radix and kind of frame") {
  for (const size_t threads : {1U, 64U}) {
    KaldiOptions options;
    compare(kaldi_settings(options), 4000, 4000, threads);
    options.snip_edges = false;
    compare(kaldi_settings(options), 3777, 3777, threads);
    options.num_ceps = 13;
    options.num_mels = 23;
    compare(kaldi_settings(options), 2000, 2000, threads);
    options.use_energy = false;
    options.round_to_power_of_two = false;  // 400 = 2^4 5^2
    compare(kaldi_settings(options), 2000, 2000, threads);
    options = KaldiOptions();
    options.round_to_power_of_two = false;
    options.frame_length_ms = 21.0;  // 336 = 2^4 3 7
    options.window = "rectangular";
    options.remove_mean = false;
    options.preemphasis = 0.0;
    compare(kaldi_settings(options), 2000, 2000, threads);
    options = KaldiOptions();
    options.frame_length_ms = 25.1875;  // 403 samples: an odd rest of the mean
    compare(kaldi_settings(options), 2000, 2000, threads);
  }
}

// What only a machine with a GPU runs whole.
TEST_CASE("a GPU's features are the CPU's to the bit, or the reason is told") {
  using Layout = FrameFeatures::Layout;
  const int64_t samples = 16000;
  const std::vector<float> clips = noise(static_cast<size_t>(2 * samples));
  for (const bool log_mel : {true, false}) {
    const FrameFeatures features(log_mel ? whisper_settings(80) : kaldi_settings(KaldiOptions()));
    const int64_t total = log_mel ? 20000 : samples;
    const Layout layout = log_mel ? Layout::kFeatureMajor : Layout::kFrameMajor;
    const int64_t frames = features.frame_count(total);
    const size_t values = static_cast<size_t>(frames) * features.columns();
    std::vector<float> made(2 * values);
    try {
      const CudaFrameFeatures device_features(features, 0);
      const CudaBuffer in(0, clips.size() * sizeof(float));
      const CudaBuffer out(0, made.size() * sizeof(float));
      cuda_copy(in.data(), clips.data(), clips.size() * sizeof(float), 0);
      device_features.compute(static_cast<const float*>(in.data()), 2, samples, total, frames,
                              layout, log_mel, static_cast<float*>(out.data()));
      cuda_copy(made.data(), out.data(), made.size() * sizeof(float), 0);
    } catch (const Error& error) {
      const bool unsupported = error.kind() == ErrorKind::kUnsupported;
      CHECK(unsupported == !CudaFrameFeatures::built());
      CHECK(std::string(error.what()).find(unsupported ? "AFFECTRT_CUDA=ON" : "CUDA: ") !=
            std::string::npos);
      return;
    }
    for (size_t clip = 0; clip < 2; ++clip) {
      std::vector<float> expected(values);
      const float top = features.compute({&clips[clip * samples], 0, samples, total}, 0, frames,
                                         layout, expected.data(), nullptr);
      if (log_mel) normalise_log_mel(expected.data(), values, top);
      for (size_t i = 0; i < values; ++i) REQUIRE(made[clip * values + i] == expected[i]);
    }
  }
}
