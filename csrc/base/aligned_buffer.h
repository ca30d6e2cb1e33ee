// Memory that begins at a cache line, for weights and scratch.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace affectrt {

// Owns `count` values of a trivial type, uninitialised. Throws std::bad_alloc.
template <class T>
class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t count)
      : data_(count == 0 ? nullptr
                         : static_cast<T*>(
                               ::operator new(checked_bytes(count), std::align_val_t{kAlignment}))),
        size_(count) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static size_t checked_bytes(size_t count) {
    if (count > static_cast<size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    return count * sizeof(T);
  }

  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace affectrt
