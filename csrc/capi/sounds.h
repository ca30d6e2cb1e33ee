// Sound as callers give it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "capi/affectrt.h"
#include "runtime/speech_model.h"

namespace affectrt {

// Clips of one channel: the caller's samples, or the mean over their channels.
class Sounds {
 public:
  Sounds() = default;
  Sounds(const Sounds&) = delete;
  Sounds& operator=(const Sounds&) = delete;

  // `name` is that of the argument.
  void add(const affectrt_sound& sound, const std::string& name);
  const std::vector<SoundView>& views() const { return views_; }

 private:
  std::vector<std::vector<float>> mixed_;
  std::vector<SoundView> views_;
};

}  // namespace affectrt
