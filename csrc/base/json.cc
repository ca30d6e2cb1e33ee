#include "base/json.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace affectrt {
namespace {

using nlohmann::json;

// Reads through a shared cursor, so that the handler below knows where the lexer stands.
class CursorIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  explicit CursorIterator(const char** cursor) : cursor_(cursor) {}
  reference operator*() const { return **cursor_; }
  CursorIterator& operator++() {
    ++*cursor_;
    return *this;
  }
  void operator++(int) { ++*cursor_; }
  bool operator==(const CursorIterator& other) const { return *cursor_ == *other.cursor_; }
  bool operator!=(const CursorIterator& other) const { return !(*this == other); }

 private:
  const char** cursor_;
};

// Builds the document on a stack of its own; no recursion, so depth costs heap and is bounded.
class DocumentBuilder : public nlohmann::json_sax<json> {
 public:
  DocumentBuilder(const char* begin, const char* const* cursor, const std::string& origin,
                  ErrorKind kind, const JsonLimits& limits)
      : begin_(begin), cursor_(cursor), origin_(origin), kind_(kind), limits_(limits) {}

  bool null() override { return add(json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return add(json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return add(json(value)) != nullptr;
  }
  bool string(string_t& value) override { return add(json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return false; }  // JSON text has none
  bool start_object(size_t) override { return enter(json::object()); }
  bool start_array(size_t) override { return enter(json::array()); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    auto& members = *open_.back()->get_ptr<json::object_t*>();
    const auto [slot, inserted] = members.emplace(std::move(name), nullptr);
    if (!inserted) {
      fail("the key '" + printable(slot->first) + "' stands twice in one object; keep one");
    }
    slot_ = &slot->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: what ..."
    std::string_view what = error.what();
    if (const size_t end = what.find("] "); end != std::string_view::npos) {
      what.remove_prefix(end + 2);
    }
    throw Error(kind_, printable(origin_) + ", byte " + std::to_string(position) +
                           ": not valid JSON: " + printable(what, 300));
  }

  json take() { return std::move(root_); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kind_,
                printable(origin_) + ", byte " + std::to_string(*cursor_ - begin_) + ": " + what);
  }

  json* add(json value) {
    if (++values_ > limits_.max_values) {
      fail("more than " + std::to_string(limits_.max_values) + " values");
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_object()) {
      *slot_ = std::move(value);
      return slot_;
    }
    auto& items = *parent.get_ptr<json::array_t*>();
    items.push_back(std::move(value));
    return &items.back();
  }

  bool enter(json value) {
    if (open_.size() >= limits_.max_depth) {
      fail("nested more than " + std::to_string(limits_.max_depth) + " levels deep");
    }
    // The address stays good while the container is open: its parent gains no item meanwhile.
    open_.push_back(add(std::move(value)));
    return true;
  }

  bool leave() {
    open_.pop_back();
    return true;
  }

  const char* begin_;
  const char* const* cursor_;
  const std::string& origin_;
  ErrorKind kind_;
  const JsonLimits& limits_;
  json root_;
  std::vector<json*> open_;
  json* slot_ = nullptr;
  size_t values_ = 0;
};

}  // namespace

json parse_json(std::string_view text, const std::string& origin, ErrorKind kind,
                const JsonLimits& limits) {
  const auto fail = [&](size_t byte, const std::string& what) {
    throw Error(kind, printable(origin) + ", byte " + std::to_string(byte) + ": " + what);
  };
  if (text.size() > limits.max_bytes) {
    throw Error(kind, printable(origin) + ": " + std::to_string(text.size()) +
                          " bytes of JSON; at most " + std::to_string(limits.max_bytes) +
                          " are read");
  }
  if (const auto bad = find_invalid_utf8(text)) {
    fail(*bad, "not valid UTF-8; JSON must be UTF-8");
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    fail(0, "begins with a byte-order mark; save it as UTF-8 without one");
  }
  // A lexer that takes NUL for the end would leave what follows it unread.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(nul, "not valid JSON: a NUL character");
  }
  const char* const begin = text.data();
  const char* cursor = begin;
  const char* end = begin + text.size();
  DocumentBuilder builder(begin, &cursor, origin, kind, limits);
  try {
    json::sax_parse(CursorIterator(&cursor), CursorIterator(&end), &builder);
  } catch (const json::exception& error) {
    fail(static_cast<size_t>(cursor - begin),
         std::string("not valid JSON: ") + printable(error.what(), 300));
  }
  return builder.take();
}

}  // namespace affectrt
