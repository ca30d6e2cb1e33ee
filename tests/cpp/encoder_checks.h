// What the tests of the encoders share.
#pragma once

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"

namespace affectrt {

inline std::vector<float> normals(std::mt19937* random, size_t count, float scale,
                                  float mean = 0.0F) {
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(*random);
  return values;
}

// The message of the error that `call` ends with; "" where it ends without one.
template <class Call>
std::string refusal(ErrorKind kind, Call call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "";
}

inline bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace affectrt
