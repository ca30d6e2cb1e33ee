#include "encoders/config_fields.h"

#include <string>

namespace affectrt {

size_t size_at(const JsonField& root, const char* key, int64_t most,
               std::optional<int64_t> absent) {
  const std::optional<JsonField> field = root.find(key);
  if (!field && absent) return static_cast<size_t>(*absent);
  return static_cast<size_t>(root.at(key).integer(1, most));
}

bool flag_at(const JsonField& root, const char* key, bool absent) {
  const std::optional<JsonField> field = root.find(key);
  return field ? field->boolean() : absent;
}

Activation activation_at(const JsonField& root, const char* key) {
  const std::optional<JsonField> field = root.find(key);
  if (!field) return Activation::kGelu;
  const std::string& name = field->text(1, 64);
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  field->fail_value("'gelu', 'gelu_new', 'gelu_pytorch_tanh' or 'relu' for the native engine",
                    ErrorKind::kUnsupported);
}

void check_heads(const JsonField& root, size_t hidden, size_t heads) {
  if (hidden % heads == 0) return;
  root.fail("a hidden size of " + std::to_string(hidden) + " does not divide into " +
            std::to_string(heads) + " attention heads");
}

}  // namespace affectrt
