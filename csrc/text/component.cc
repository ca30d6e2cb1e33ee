#include "text/component.h"

#include "base/error.h"
#include "base/utf8.h"

namespace affectrt {

void Component::fail(const std::string& what) const {
  throw Error(ErrorKind::kTokenizer, *origin_ + ": " + (path_.empty() ? "" : path_ + ": ") + what);
}

std::string Component::type() const {
  if (!value_->is_object()) fail("must be an object with a \"type\"");
  return text("type");
}

bool Component::has(const char* key) const {
  if (!value_->is_object()) fail("must be an object");
  const auto it = value_->find(key);
  return it != value_->end() && !it->is_null();
}

Component Component::at(const char* key) const {
  if (!has(key)) fail(std::string("has no \"") + key + "\"");
  return {*value_->find(key), *origin_, path_.empty() ? key : path_ + "." + key};
}

bool Component::boolean(const char* key, std::optional<bool> otherwise) const {
  if (otherwise && !has(key)) return *otherwise;
  const Component field = at(key);
  if (!field.value().is_boolean()) field.fail("must be true or false");
  return field.value().get<bool>();
}

std::string Component::text(const char* key, std::optional<std::string> otherwise) const {
  if (otherwise && !has(key)) return *otherwise;
  return at(key).as_text();
}

uint32_t Component::integer(const char* key, std::optional<uint32_t> otherwise) const {
  if (otherwise && !has(key)) return *otherwise;
  return at(key).as_integer();
}

std::vector<Component> Component::items(const char* key) const { return at(key).as_items(); }

const std::string& Component::as_text() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->get_ref<const std::string&>();
}

uint32_t Component::as_integer() const {
  if (!value_->is_number_unsigned() || value_->get<uint64_t>() > INT32_MAX) {
    fail("must be an integer from 0 to 2147483647");
  }
  return value_->get<uint32_t>();
}

std::vector<Component> Component::as_items() const {
  if (!value_->is_array()) fail("must be an array");
  std::vector<Component> out;
  out.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    out.push_back({(*value_)[i], *origin_, path_ + "[" + std::to_string(i) + "]"});
  }
  return out;
}

}  // namespace affectrt
