// Encoders whose layers normalise after each residual sum: BERT, ELECTRA, RoBERTa, XLM-R,
// DistilBERT (Vaswani et al. 2017, Devlin et al. 2019) and MPNet, which adds a relative position
// bias to the attention scores (Song et al. 2020).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"
#include "encoders/linear.h"
#include "kernels/kernels.h"

namespace affectrt {

// Rows of tokens one behind the other, without padding.
struct TokenRows {
  const int32_t* ids = nullptr;        // [row_begin[rows]]
  const int32_t* type_ids = nullptr;   // the same shape
  const int32_t* row_begin = nullptr;  // [rows + 1], ascending; the first need not be 0
  size_t rows = 0;

  size_t tokens() const { return static_cast<size_t>(row_begin[rows] - row_begin[0]); }
  size_t length(size_t row) const {
    return static_cast<size_t>(row_begin[row + 1] - row_begin[row]);
  }
};

class PostLnEncoder {
 public:
  // Rows of tokens that are worked on together in the row-wise part of a layer: enough that weights
  // are read rarely, few enough that their activations stay in a core's own cache.
  static constexpr size_t kBlockRows = 96;

  // Scratch of one thread. Grows as needed; belongs to one call at a time.
  class Workspace;

  // Checks every tensor against the config: Error(kModelFile) names the tensor, what is expected
  // and what is there. Tables are read in place: the bytes behind `weights` must outlive the
  // encoder. `pooling` says which rows forward() computes to the end.
  PostLnEncoder(const EncoderConfig& config, const SafeTensors& weights, Pooling pooling,
                const Kernels& kernels);

  const EncoderConfig& config() const { return config_; }
  // Floats from one pooled row to the next.
  size_t stride() const { return stride_; }

  // Throws Error(kInput) for a row without tokens or with more than the positions allow, and for
  // ids beyond the tables.
  void check(const TokenRows& rows) const;

  // pooled [rows, stride()] = the first token's last hidden state, or the mean over the row's
  // tokens. Every member of the team calls it with the same `rows`, `pooled` and `shared` and with
  // its own `own` (rank 0's is `shared`), all of them prepared for these rows. Does not throw.
  // What it computes for a row depends neither on the other rows nor on the team.
  void forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
               float* pooled) const;

 private:
  struct Norm {
    std::vector<float> gamma;
    std::vector<float> beta;
  };
  struct Layer {
    Linear qkv;  // [3 * attention_width]: queries, keys, values, each head padded to 16 columns
    Linear out;
    Norm out_norm;
    Linear up;
    Linear down;
    Norm down_norm;
  };
  struct Rows;  // rows of a chunk that go through the row-wise part of a layer

  void load_embeddings(const SafeTensors& weights, const std::string& prefix);
  Layer load_layer(const SafeTensors& weights, const std::string& prefix, size_t index) const;
  void load_relative_bias(const SafeTensors& weights, const std::string& prefix);
  Norm load_norm(const SafeTensors& weights, const std::string& name, size_t width) const;

  void embed(const TokenRows& rows, Team& team, Workspace* own, float* x) const;
  void attend(const TokenRows& rows, bool first_only, Team& team, Workspace* shared,
              Workspace* own) const;
  template <class Body>
  void for_blocks(size_t rows, Team& team, Workspace* shared, Workspace* own, Body body) const;
  void project(const Linear& linear, size_t panel_begin, size_t panel_end, const float* x,
               size_t rows, float* c, size_t c_stride, Team& team, Workspace* block) const;
  void finish_layer(const Layer& layer, float* x, const float* context, size_t rows, Team& team,
                    Workspace* block) const;
  void normalise(const Norm& norm, float* x, size_t begin, size_t end) const;

  EncoderConfig config_;
  Pooling pooling_;
  const Kernels& kernels_;
  size_t stride_ = 0;            // of hidden rows
  size_t embedding_stride_ = 0;  // of rows before ELECTRA's projection
  size_t head_stride_ = 0;       // head_width() rounded up to 16
  size_t attention_width_ = 0;   // heads * head_stride_
  size_t intermediate_stride_ = 0;

  Table words_;
  Table positions_;
  Table types_;
  Norm embedding_norm_;
  Linear embedding_projection_;  // panels() == 0: there is none
  std::vector<Layer> layers_;
  // [heads][2 * max_tokens - 1 + 16]: the bias of key j for query i at j - i + max_tokens - 1
  std::vector<float> relative_bias_;
  size_t relative_bias_stride_ = 0;
};

class PostLnEncoder::Workspace {
 public:
  // Makes room for a chunk; `whole` also for what the team shares.
  void prepare(const PostLnEncoder& encoder, const TokenRows& rows, bool whole);

 private:
  friend class PostLnEncoder;
  template <class T>
  static T* grow(AlignedBuffer<T>* buffer, size_t count);

  // Of the chunk.
  AlignedBuffer<float> hidden_;         // [tokens, stride]
  AlignedBuffer<float> qkv_;            // [tokens, 3 * attention_width]
  AlignedBuffer<float> context_;        // [tokens, attention_width]
  AlignedBuffer<float> first_hidden_;   // [rows, stride]
  AlignedBuffer<float> first_queries_;  // [rows, attention_width]
  // Of a block.
  AlignedBuffer<float> wide_;     // [kBlockRows, widest inner row]
  AlignedBuffer<uint8_t> codes_;  // [kBlockRows, widest row of codes]
  AlignedBuffer<RowQuant> quant_;
  // Of one head.
  AlignedBuffer<float> keys_;    // [longest row, head_stride] in panels
  AlignedBuffer<float> scores_;  // [query rows, longest row]
};

}  // namespace affectrt
