// The encoder of Whisper (Radford et al. 2022): two convolutions over log-mel frames, the second of
// which halves their number, a position table, and layers that normalise first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/thread_pool.h"
#include "bundle/safetensors.h"
#include "encoders/linear.h"
#include "encoders/pre_ln_layers.h"
#include "encoders/rows.h"
#include "encoders/table.h"
#include "encoders/whisper_config.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// Clips of any length, each with its own frames and nothing between them.
struct ClipRows {
  const float* const* features = nullptr;  // [clips] -> [frames[clip], mels]
  const int32_t* frames = nullptr;         // [clips]
  // [clips + 1], ascending by WhisperEncoder::tokens(frames); the first need not be 0.
  const int32_t* token_begin = nullptr;
  size_t clips = 0;

  RowSpans spans() const { return {token_begin, clips}; }
};

// Immutable: concurrent calls are safe, each with workspaces of its own.
class WhisperEncoder {
 public:
  // As make_text_encoder(). Tensors are named as in transformers' WhisperEncoder; where there is no
  // embed_positions.weight, positions are the sinusoids that Whisper was trained with.
  WhisperEncoder(const WhisperConfig& config, const SafeTensors& weights, const Kernels& kernels);

  const WhisperConfig& config() const { return config_; }
  // Floats from one hidden row to the next.
  size_t stride() const { return stride_; }
  static int32_t tokens(int32_t frames) { return frames / 2 + frames % 2; }

  // Throws Error(kInput) for a clip without frames or with more than the positions allow.
  void check(const ClipRows& clips) const;
  // Makes room for a chunk; `whole` also for what the team shares.
  void prepare(const ClipRows& clips, bool whole, Workspace* workspace) const;

  // The last hidden states [tokens, stride()] of all clips, in `shared`. Every member of the team
  // calls it with the same `clips` and `shared` and with its own `own` (rank 0's is `shared`), all
  // of them prepared for these clips; the result is there for all on return. Does not throw.
  // What it computes for a clip depends neither on the other clips nor on the team.
  const float* forward(const ClipRows& clips, Team& team, Workspace* shared, Workspace* own) const;

 private:
  PreLnLayer load_layer(const SafeTensors& weights, size_t index, const HeadLayout& heads) const;
  void add_position(size_t position, float* x) const;
  void embed(const ClipRows& clips, Team& team, Workspace* shared, Workspace* own, float* x) const;

  WhisperConfig config_;
  const Kernels& kernels_;
  size_t stride_;      // of hidden rows
  size_t mel_stride_;  // of frames
  Linear first_;       // reads three frames, one behind the other
  Linear second_;      // reads three of the first's rows
  Table positions_;
  std::vector<float> sinusoids_;  // [positions, hidden] where weights have no table
  PreLnLayers layers_;
};

}  // namespace affectrt
