// What the tests of the encoders share.
#pragma once

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "encoders/classifier_heads.h"
#include "encoders/layer_reader.h"

namespace affectrt {

inline std::vector<float> normals(std::mt19937* random, size_t count, float scale,
                                  float mean = 0.0F) {
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(*random);
  return values;
}

// What one reading of a model's heads is made of, as the native backend takes it.
class OneReading final : public LayerReader {
 public:
  OneReading(const Kernels& kernels, const ClassifierHeads::Reading& reading, const TokenRows& rows,
             size_t stride)
      : pooled(rows.rows * stride),
        kernels_(kernels),
        reading_(reading),
        rows_(rows),
        stride_(stride),
        scratch_(reading.pooler->scratch(rows, stride)) {
    reading.pooler->check(rows);
  }
  size_t depth() const override { return reading_.layer; }
  void read(size_t layer, const float* x, const RowSpans& spans) override {
    if (layer != reading_.layer) return;
    reading_.pooler->run(kernels_, rows_, spans, x, stride_, scratch_.data(), pooled.data());
  }

  std::vector<float> pooled;  // [rows, stride]

 private:
  const Kernels& kernels_;
  const ClassifierHeads::Reading& reading_;
  const TokenRows& rows_;
  size_t stride_;
  std::vector<float> scratch_;
};

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
