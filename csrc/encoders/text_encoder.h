// One interface for the encoder families that read tokens.
#pragma once

#include <cstddef>
#include <memory>

#include "base/thread_pool.h"
#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"
#include "encoders/layer_reader.h"
#include "encoders/rows.h"
#include "encoders/table.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// Immutable: concurrent calls are safe, each with workspaces of its own.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  const EncoderConfig& config() const { return config_; }
  // Floats from one hidden row to the next.
  size_t stride() const { return stride_; }

  // Throws Error(kInput) for a row without tokens or with more than the positions allow, and for
  // ids beyond the tables or without a row there.
  void check(const TokenRows& rows) const;
  // Embeddings of tokens; of a pruned vocabulary some are absent.
  const Table& words() const { return words_; }

  // Makes room for a chunk; `whole` also for what the team shares.
  void prepare(const TokenRows& rows, bool whole, Workspace* workspace) const;

  // Runs as many layers as the reader asks for, at most config().depth, and shows it the states
  // behind each; behind the last those of rows.kept(). Every member of the team calls it with the
  // same `rows`, `shared` and `reader` and with its own `own` (rank 0's is `shared`), all of them
  // prepared for these rows. Does not throw. What it computes for a row depends neither on the
  // other rows, nor on how many layers are run or tokens are kept, nor on the team.
  virtual void forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
                       LayerReader* reader) const = 0;

 protected:
  TextEncoder(const EncoderConfig& config, const Kernels& kernels);
  virtual Room room(const TokenRows& rows, bool whole) const = 0;

  EncoderConfig config_;
  const Kernels& kernels_;
  size_t stride_;  // of hidden rows
  Table words_;
};

// The encoder of the config's family. Checks every tensor against the config: Error(kModelFile)
// names the tensor, what is expected and what is there. Tables are read in place: the bytes behind
// `weights` must outlive the encoder. `other_rows`, where given, has rows of the table of tokens
// that `weights` leaves out, see Table.
std::unique_ptr<TextEncoder> make_text_encoder(const EncoderConfig& config,
                                               const SafeTensors& weights, const Kernels& kernels,
                                               const SafeTensors* other_rows = nullptr);

}  // namespace affectrt
