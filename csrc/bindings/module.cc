// The pybind11 module `affectrt._core`: converts, drops the GIL, calls, converts back.
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = AFFECTRT_VERSION;
  affectrt::bind_errors(m);
  affectrt::bind_dlpack(m);
  affectrt::bind_tokenizer(m);
  affectrt::bind_model(m);
  affectrt::bind_conversation(m);
  affectrt::bind_label_maps(m);
  affectrt::bind_speech(m);
  affectrt::bind_features(m);
  affectrt::bind_device_features(m);
  affectrt::bind_fusion(m);
  affectrt::bind_vad(m);
  affectrt::bind_speech_stream(m);
}
