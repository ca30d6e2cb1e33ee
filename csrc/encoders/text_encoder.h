// One interface for the encoder families that read tokens.
#pragma once

#include <cstddef>
#include <memory>

#include "base/thread_pool.h"
#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// Immutable: concurrent calls are safe, each with workspaces of its own.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  const EncoderConfig& config() const { return config_; }
  // Floats from one pooled row to the next.
  size_t stride() const { return stride_; }

  // Throws Error(kInput) for a row without tokens or with more than the positions allow, and for
  // ids beyond the tables.
  void check(const TokenRows& rows) const;

  // Makes room for a chunk; `whole` also for what the team shares.
  void prepare(const TokenRows& rows, bool whole, Workspace* workspace) const;

  // How many of a row's first tokens its pooled vector is made of.
  size_t pooled_tokens(const TokenRows& rows, size_t row) const;

  // pooled [rows, stride()], where it is not null: what config().pooling makes of the last hidden
  // states, which rows.kept() must cover. Every member of the team calls it with the same `rows`,
  // `pooled` and `shared` and with its own `own` (rank 0's is `shared`), all of them prepared for
  // these rows. Does not throw. What it computes for a row depends neither on the other rows, nor
  // on how many tokens are kept, nor on the team.
  virtual void forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
                       float* pooled) const = 0;

  // The last hidden states that forward() left in `shared`: [rows.kept().tokens(), stride()].
  static const float* hidden(const TokenRows& rows, const Workspace& shared) {
    return rows.keeps_all() ? shared.hidden.data() : shared.kept_hidden.data();
  }

 protected:
  TextEncoder(const EncoderConfig& config, Pooling pooling, const Kernels& kernels);
  virtual Room room(const TokenRows& rows, bool whole) const = 0;

  // From x [rows.kept().tokens(), stride()].
  void pool(const TokenRows& rows, const float* x, float* pooled) const;

  EncoderConfig config_;
  Pooling pooling_;
  const Kernels& kernels_;
  size_t stride_;  // of hidden rows
};

// The encoder of the config's family. Checks every tensor against the config: Error(kModelFile)
// names the tensor, what is expected and what is there. Tables are read in place: the bytes behind
// `weights` must outlive the encoder. `pooling` says which rows are computed to the end.
std::unique_ptr<TextEncoder> make_text_encoder(const EncoderConfig& config,
                                               const SafeTensors& weights, Pooling pooling,
                                               const Kernels& kernels);

}  // namespace affectrt
