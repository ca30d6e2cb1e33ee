// One bind_* function a subject; module.cc calls them.
#pragma once

#include <pybind11/pybind11.h>

#include "tasks/decode.h"

namespace affectrt {

class OnnxRuntimeSession;
struct Prediction;
struct SegmentOptions;

pybind11::object head_scores_object(HeadScores scores);     // model.cc: _core.HeadScores
pybind11::object prediction_object(Prediction prediction);  // model.cc: _core.Prediction

// graph_arrays.cc: {output: _core.DeviceArray} of a session for {input: DLPack capsule}, which
// `model` keeps alive; null where the model has none.
pybind11::dict run_graph(const OnnxRuntimeSession* session,
                         const std::shared_ptr<const void>& model, const pybind11::dict& inputs);

// vad.cc: changes what `given` has by the names of SegmentOptions.
void read_segment_options(const pybind11::dict& given, SegmentOptions* options);

void bind_errors(pybind11::module_& m);  // model.cc: Error(kind) -> affectrt.errors classes
void bind_dlpack(pybind11::module_& m);  // dlpack.cc: _core.DeviceArray
// tokenizer.cc; registers affectrt::Tokenizer with std::shared_ptr<Tokenizer> as its holder, since
// Model.tokenizer shares the model's own.
void bind_tokenizer(pybind11::module_& m);
void bind_model(pybind11::module_& m);         // model.cc
void bind_conversation(pybind11::module_& m);  // conversation.cc; after the two above
void bind_label_maps(pybind11::module_& m);    // label_maps.cc
void bind_speech(pybind11::module_& m);        // speech.cc
void bind_features(pybind11::module_& m);      // features.cc
void bind_device_features(
    pybind11::module_& m);               // device_features.cc; after bind_features, bind_dlpack
void bind_fusion(pybind11::module_& m);  // fusion.cc
void bind_vad(pybind11::module_& m);     // vad.cc
void bind_speech_stream(pybind11::module_& m);  // speech_stream.cc; after bind_speech

}  // namespace affectrt
