// A static trie over byte strings: one array access a byte, 8 bytes a node.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace affectrt {

// A double array (Aoe 1989) whose transitions are `base XOR byte`, so that all children of a node
// lie in one block of 256 units and no index can leave the array. Immutable after construction.
class DoubleArray {
 public:
  static constexpr uint32_t kNoValue = (1u << 23) - 1;
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kDead = UINT32_MAX;

  DoubleArray() : DoubleArray(std::vector<std::string_view>{}) {}
  // `keys` are sorted by bytes and unique; the value of a key is its index. Throws
  // Error(kTokenizer) for more than kNoValue keys.
  explicit DoubleArray(const std::vector<std::string_view>& keys);

  // The node after `byte`, or kDead.
  uint32_t child(uint32_t node, uint8_t byte) const {
    const uint32_t next = units_[node].base ^ byte;
    return (units_[next].label_and_value & kLabelMask) == byte ? next : kDead;
  }
  // The index of the key that ends at this node, or kNoValue.
  uint32_t value(uint32_t node) const { return units_[node].label_and_value >> kLabelBits; }

  // The node reached from `node` by all of `bytes`, or kDead.
  uint32_t walk(uint32_t node, std::string_view bytes) const;

 private:
  static constexpr uint32_t kLabelBits = 9;  // 256: no byte leads here
  static constexpr uint32_t kLabelMask = (1u << kLabelBits) - 1;
  static constexpr uint32_t kNoLabel = 256;

  struct Unit {
    uint32_t base = 0;  // 0: no children; no node with children has this base
    uint32_t label_and_value = kNoLabel | (kNoValue << kLabelBits);
  };
  class Builder;

  std::vector<Unit> units_;
};

}  // namespace affectrt
