#include "base/json.h"

#include <cstring>
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

// A packed object while it is read: each member as its value, the size of its name and the name.
class PackedObject {
 public:
  bool is_open() const { return is_open_; }
  void open() {
    is_open_ = true;
    slots_.assign(1024, 0);
  }
  void close() { *this = PackedObject(); }

  // False: the name is there already.
  bool add_name(std::string_view name) {
    if (2 * ++count_ > slots_.size()) grow();
    const size_t slot = slot_of(name);
    if (slots_[slot] != 0) return false;
    at_ = bytes_.size();
    slots_[slot] = at_ + 1;
    const auto size = static_cast<uint32_t>(name.size());
    bytes_.resize(at_ + kHeadBytes + size);
    std::memcpy(bytes_.data() + at_ + 4, &size, 4);
    std::memcpy(bytes_.data() + at_ + kHeadBytes, name.data(), size);
    return true;
  }
  void set_value(uint32_t value) { std::memcpy(bytes_.data() + at_, &value, 4); }
  // Takes the last name back, whose value is not for this form.
  std::string drop_name() {
    std::string name(name_at(bytes_, at_));
    bytes_.resize(at_);
    return name;
  }

  std::vector<uint8_t>& bytes() { return bytes_; }

  static std::string_view name_at(const std::vector<uint8_t>& bytes, size_t at) {
    uint32_t size;
    std::memcpy(&size, bytes.data() + at + 4, 4);
    return {reinterpret_cast<const char*>(bytes.data()) + at + kHeadBytes, size};
  }
  template <class Each>
  static void for_each(const std::vector<uint8_t>& bytes, Each each) {
    for (size_t at = 0; at < bytes.size();) {
      uint32_t value;
      std::memcpy(&value, bytes.data() + at, 4);
      const std::string_view name = name_at(bytes, at);
      each(name, value);
      at += kHeadBytes + name.size();
    }
  }

 private:
  static constexpr size_t kHeadBytes = 8;

  size_t slot_of(std::string_view name) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = std::hash<std::string_view>()(name) & mask;
    while (slots_[slot] != 0 && name_at(bytes_, slots_[slot] - 1) != name) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    std::vector<size_t> old(slots_.size() * 2, 0);
    old.swap(slots_);
    for (const size_t entry : old) {
      if (entry != 0) slots_[slot_of(name_at(bytes_, entry - 1))] = entry;
    }
  }

  bool is_open_ = false;
  size_t count_ = 0;
  size_t at_ = 0;              // of the last member
  std::vector<size_t> slots_;  // open addressing; place of a member + 1, 0 is empty
  std::vector<uint8_t> bytes_;
};

// Leaves an empty value, from the leaves up: no destructor then finds anything to flatten. As deep
// as the document, which JsonLimits bounds.
void empty(json* value) noexcept {
  if (auto* items = value->get_ptr<json::array_t*>()) {
    for (json& item : *items) empty(&item);
    items->clear();
  } else if (auto* members = value->get_ptr<json::object_t*>()) {
    for (auto& [name, member] : *members) empty(&member);
    members->clear();
  }
}

// Builds the document on a stack of its own; no recursion, so depth costs heap and is bounded.
class DocumentBuilder : public nlohmann::json_sax<json> {
 public:
  ~DocumentBuilder() override { empty(&root_); }
  DocumentBuilder(const char* begin, const char* const* cursor, const std::string& origin,
                  ErrorKind kind, const JsonLimits& limits, const char* const packed[2])
      : begin_(begin),
        cursor_(cursor),
        origin_(origin),
        kind_(kind),
        limits_(limits),
        packed_path_(packed) {}

  bool null() override { return add(json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return add(json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override {
    if (!packed_.is_open() || value > UINT32_MAX) return add(json(value)) != nullptr;
    count_value();
    packed_.set_value(static_cast<uint32_t>(value));
    return true;
  }
  bool number_float(number_float_t value, const string_t&) override {
    return add(json(value)) != nullptr;
  }
  bool string(string_t& value) override { return add(json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return false; }  // JSON text has none
  bool start_object(size_t) override {
    const bool packs = at_packed_ && open_.size() == 2;
    enter(json::object());
    if (packs) packed_.open();
    return true;
  }
  bool start_array(size_t) override { return enter(json::array()); }
  bool end_object() override {
    if (packed_.is_open()) {
      // Not json::binary(): where memory fails, it destroys a value that has its type only.
      *open_.back() = json(json::binary_t(std::move(packed_.bytes())));
      packed_.close();
    }
    return leave();
  }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    if (packed_.is_open()) {
      if (!packed_.add_name(name)) fail_twice(name);
      return true;
    }
    if (open_.size() <= 2 && packed_path_[0] != nullptr) {
      at_packed_ = open_.size() == 2 && in_packed_parent_ && name == packed_path_[1];
      if (open_.size() == 1) in_packed_parent_ = name == packed_path_[0];
    }
    auto& members = *open_.back()->get_ptr<json::object_t*>();
    const auto [slot, inserted] = members.emplace(std::move(name), nullptr);
    if (!inserted) fail_twice(slot->first);
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

  JsonDocument take() { return JsonDocument(std::move(root_)); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kind_,
                printable(origin_) + ", byte " + std::to_string(*cursor_ - begin_) + ": " + what);
  }

  [[noreturn]] void fail_twice(const std::string& name) const {
    fail("the key '" + printable(name) + "' stands twice in one object; keep one");
  }

  void count_value() {
    if (++values_ > limits_.max_values) {
      fail("more than " + std::to_string(limits_.max_values) + " values");
    }
  }

  // Into the ordinary form, for a value that the packed one cannot hold.
  void unpack() {
    const std::string name = packed_.drop_name();
    auto& members = *open_.back()->get_ptr<json::object_t*>();
    PackedObject::for_each(packed_.bytes(), [&](std::string_view key, uint32_t value) {
      members.emplace(key, value);
    });
    packed_.close();
    slot_ = &members.emplace(name, nullptr).first->second;
  }

  json* add(json value) {
    count_value();
    if (packed_.is_open()) unpack();
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
  const char* const* packed_path_;
  bool in_packed_parent_ = false;  // the root's last key was packed_path_[0]
  bool at_packed_ = false;         // and its object's last key packed_path_[1]
  PackedObject packed_;
  json root_;
  std::vector<json*> open_;
  json* slot_ = nullptr;
  size_t values_ = 0;
};

}  // namespace

void for_each_packed(const json& packed,
                     const std::function<void(std::string_view, uint32_t)>& each) {
  PackedObject::for_each(packed.get_binary(), each);
}

JsonDocument::JsonDocument(json&& root) : root_(std::make_unique<json>(std::move(root))) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() {
  if (root_ != nullptr) empty(root_.get());
}

JsonDocument parse_json(std::string_view text, const std::string& origin, ErrorKind kind,
                        const JsonLimits& limits, const char* const packed[2]) {
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
  DocumentBuilder builder(begin, &cursor, origin, kind, limits, packed);
  try {
    json::sax_parse(CursorIterator(&cursor), CursorIterator(&end), &builder);
  } catch (const json::exception& error) {
    fail(static_cast<size_t>(cursor - begin),
         std::string("not valid JSON: ") + printable(error.what(), 300));
  }
  return builder.take();
}

}  // namespace affectrt
