// The one error type of the core. Bindings translate `kind`; nothing else is thrown on purpose.
#pragma once

#include <stdexcept>
#include <string>

namespace affectrt {

enum class ErrorKind {
  kNotFound,     // a file or name that does not exist
  kModelFile,    // a model file that is damaged, hostile or contradicts itself
  kTokenizer,    // a tokenizer.json that is damaged or asks for something we do not do
  kInput,        // an argument or a text that cannot be used
  kBackend,      // the inference backend is missing or failed
  kUnsupported,  // valid, but not done by this build
};

// The message says what was wrong, where, and what would be right.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace affectrt
