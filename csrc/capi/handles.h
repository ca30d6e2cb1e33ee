// What is behind the opaque types. Each shares what it needs of the model, so that handles can be
// destroyed in any order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "capi/affectrt.h"
#include "runtime/conversation.h"
#include "runtime/model.h"

struct affectrt_model {
  std::shared_ptr<const affectrt::Model> model;
  // What affectrt_model_get_info() and _get_head() point to.
  std::string backend;
  std::string backend_detail;
  std::string json;
  std::vector<std::vector<const char*>> labels;  // of each head
};

struct affectrt_result {
  std::shared_ptr<const affectrt::Model> model;
  affectrt::Prediction prediction;
  // Of each answer of `prediction`: [rows * labels], or none where the head reads tokens.
  std::vector<std::vector<affectrt_label_score>> ranked;
  // Of each answer: those of all texts, where the head reads tokens.
  std::vector<std::vector<affectrt_span>> spans;
};

struct affectrt_conversation {
  std::unique_ptr<affectrt::Conversation> conversation;
};

struct affectrt_tokenizer {
  std::shared_ptr<const affectrt::Tokenizer> tokenizer;
};

struct affectrt_encoding {
  struct Window {
    affectrt::Encoding tokens;
    std::vector<affectrt_offset> offsets;
  };
  std::vector<Window> windows;
};

namespace affectrt {

// The index of the head of that name; Error(kInput), which lists the names, where there is none.
size_t head_named(const Model& model, const std::string& name);  // model.cc

// `head` itself; Error(kInput) where the model has no such head.
inline size_t checked_head(const Model& model, uint32_t head) {
  const size_t heads = model.manifest().heads.size();
  if (head < heads) return head;
  throw Error(ErrorKind::kInput,
              "no head " + std::to_string(head) + "; this model has " + std::to_string(heads));
}

}  // namespace affectrt
