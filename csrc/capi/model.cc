// Loading models, and what they say of themselves.
#include "runtime/model.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "base/utf8.h"
#include "bundle/bundle.h"
#include "capi/call.h"
#include "capi/handles.h"
#include "runtime/model_json.h"
#include "tasks/label_map.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = sizeof(affectrt_model_options);
constexpr size_t kFirstInfo = offsetof(affectrt_model_info, sample_rate);
constexpr size_t kFirstHead = offsetof(affectrt_head_info, input);

struct LoadOptions {
  ModelOptions model;
  bool verify = false;
};

std::string string_of(const char* text) { return text == nullptr ? "" : text; }

LoadOptions options_of(const affectrt_model_options* given_options) {
  const affectrt_model_options from = read_struct(given_options, kFirstOptions, "options");
  check_reserved(from.reserved, "options");
  LoadOptions options;
  if (from.backend != nullptr) options.model.backend = from.backend;
  BackendOptions& backend = options.model.backend_options;
  backend.isa = string_of(from.isa);
  backend.onnxruntime_library = string_of(from.onnxruntime_library);
  backend.num_threads = from.num_threads;
  if (from.num_providers > 0) given(from.providers, "options.providers");
  if (from.num_providers > 64) {
    throw Error(ErrorKind::kInput, "options.num_providers is " +
                                       std::to_string(from.num_providers) +
                                       "; at most 64 are possible");
  }
  for (size_t i = 0; i < from.num_providers; ++i) {
    backend.providers.emplace_back(&given(from.providers[i], "an entry of options.providers"));
  }
  options.model.max_batch_tokens = from.max_batch_tokens;
  options.verify = from.verify != 0;
  return options;
}

template <class OpenBundle>
affectrt_model* load(const affectrt_model_options* given_options, const OpenBundle& open) {
  const LoadOptions options = options_of(given_options);
  auto handle = std::make_unique<affectrt_model>();
  const std::shared_ptr<const Bundle> bundle = open(options.verify);
  if (bundle->manifest().audio) {
    handle->speech = SpeechModel::load(bundle, options.model);
    handle->backend = handle->speech->backend().name();
    handle->backend_detail = handle->speech->backend().detail();
  } else {
    handle->text = Model::load(bundle, options.model);
    handle->backend = handle->text->backend().name();
    handle->backend_detail = handle->text->backend().detail();
  }
  handle->json =
      info_json(bundle->manifest(), {bundle->path(), handle->backend, handle->backend_detail});
  for (const Head& head : bundle->manifest().heads) {
    std::vector<const char*>& labels = handle->labels.emplace_back();
    for (const std::string& label : head.labels) labels.push_back(label.c_str());
  }
  return handle.release();
}

int32_t task_number(Task task) {
  switch (task) {
    case Task::kSingleLabel:
      return AFFECTRT_SINGLE_LABEL;
    case Task::kMultiLabel:
      return AFFECTRT_MULTI_LABEL;
    case Task::kRegression:
      return AFFECTRT_REGRESSION;
    case Task::kOrdinal:
      return AFFECTRT_ORDINAL;
    case Task::kSpan:
      return AFFECTRT_SPAN;
    case Task::kTokenLabels:
      return AFFECTRT_TOKEN_LABELS;
    case Task::kTokenFlags:
      break;
  }
  return AFFECTRT_TOKEN_FLAGS;
}

}  // namespace
}  // namespace affectrt

namespace affectrt {

const Manifest& manifest_of(const affectrt_model& model) {
  return model.text != nullptr ? model.text->manifest() : model.speech->manifest();
}

const Manifest& manifest_of(const affectrt_result& result) {
  return result.text != nullptr ? result.text->manifest() : result.speech->manifest();
}

const std::shared_ptr<const Model>& text_model(const affectrt_model* model) {
  if (given(model, "model").text != nullptr) return model->text;
  throw Error(ErrorKind::kInput,
              "the model is one of speech; affectrt_model_analyse_sound() asks "
              "it, and texts are for a text model");
}

const std::shared_ptr<const SpeechModel>& speech_model(const affectrt_model* model) {
  if (given(model, "model").speech != nullptr) return model->speech;
  throw Error(ErrorKind::kInput,
              "the model is one of texts; affectrt_model_analyse() asks it, and "
              "sound is for a speech model");
}

size_t head_named(const Manifest& manifest, const std::string& name) {
  const std::vector<Head>& heads = manifest.heads;
  std::string names;
  for (size_t i = 0; i < heads.size(); ++i) {
    if (heads[i].name == name) return i;
    names += (i == 0 ? "" : ", ") + heads[i].name;
  }
  throw Error(ErrorKind::kInput, "no head '" + printable(name) + "'; the model has " + names);
}

}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_model_load_file(const char* path, const affectrt_model_options* options,
                                         affectrt_model** out) noexcept {
  return guarded([&] {
    affectrt_model*& model = emptied(out);
    const std::string file = &given(path, "path");
    model = load(options, [&](bool verify) { return Bundle::open(file, verify); });
  });
}

affectrt_status affectrt_model_load_memory(const void* data, size_t size,
                                           affectrt_release_fn release, void* user,
                                           const affectrt_model_options* options,
                                           affectrt_model** out) noexcept {
  return guarded([&] {
    std::shared_ptr<const void> owner;
    if (release != nullptr) {
      owner = std::shared_ptr<const void>(
          data, [release, user, size](const void* bytes) { release(user, bytes, size); });
    }
    affectrt_model*& model = emptied(out);
    const ByteView image = {&given(static_cast<const uint8_t*>(data), "data"), size};
    model = load(options,
                 [&](bool verify) { return Bundle::from_memory(image, verify, std::move(owner)); });
  });
}

affectrt_status affectrt_model_load_fd(int fd, uint64_t offset, uint64_t size,
                                       const affectrt_model_options* options,
                                       affectrt_model** out) noexcept {
  return guarded([&] {
    affectrt_model*& model = emptied(out);
    model = load(options,
                 [&](bool verify) { return Bundle::from_descriptor(fd, offset, size, verify); });
  });
}

void affectrt_model_destroy(affectrt_model* model) noexcept { delete model; }

affectrt_status affectrt_model_get_info(const affectrt_model* model,
                                        affectrt_model_info* info) noexcept {
  return guarded([&] {
    const Manifest& manifest = manifest_of(given(model, "model"));
    const Bundle& bundle = model->text != nullptr ? model->text->bundle() : model->speech->bundle();
    affectrt_model_info filled = {};
    filled.name = manifest.name.c_str();
    filled.family = manifest.family.c_str();
    filled.precision = manifest.precision.c_str();
    filled.path = bundle.path().c_str();
    filled.licence = manifest.licence.c_str();
    filled.notice = manifest.licence_notice.c_str();
    filled.backend = model->backend.c_str();
    filled.backend_detail = model->backend_detail.c_str();
    filled.json = model->json.c_str();
    filled.num_heads = static_cast<uint32_t>(manifest.heads.size());
    filled.max_tokens = manifest.max_tokens;
    filled.non_commercial = manifest.non_commercial ? 1 : 0;
    if (manifest.audio) {
      filled.sample_rate = static_cast<int32_t>(manifest.audio->sample_rate);
      filled.max_seconds = manifest.audio->max_seconds;
    }
    write_struct(info, filled, kFirstInfo, "info");
  });
}

affectrt_status affectrt_model_get_head(const affectrt_model* model, uint32_t head,
                                        affectrt_head_info* info) noexcept {
  return guarded([&] {
    const Manifest& manifest = manifest_of(given(model, "model"));
    const Head& from = manifest.heads[checked_head(manifest, head)];
    affectrt_head_info filled = {};
    filled.name = from.name.c_str();
    filled.labels = model->labels[head].data();
    filled.thresholds = from.thresholds.empty() ? nullptr : from.thresholds.data();
    filled.num_labels = static_cast<uint32_t>(from.labels.size());
    filled.task = task_number(from.task);
    filled.temperature = from.temperature;
    filled.unsure_below = from.unsure_below.value_or(-1.0F);
    filled.input = input_name(from.input);
    write_struct(info, filled, kFirstHead, "info");
  });
}

affectrt_status affectrt_map_label(const char* map, const char* label,
                                   const char** mapped) noexcept {
  return guarded([&] {
    const char*& found = given(mapped, "mapped");
    found = nullptr;
    const LabelMap& known = known_label_map(&given(map, "map"));
    const auto place = known.find(&given(label, "label"));
    if (place) found = known.labels()[*place].c_str();
  });
}

affectrt_status affectrt_model_find_head(const affectrt_model* model, const char* name,
                                         uint32_t* head) noexcept {
  return guarded([&] {
    const Manifest& manifest = manifest_of(given(model, "model"));
    const char* wanted = &given(name, "name");
    given(head, "head") = static_cast<uint32_t>(head_named(manifest, wanted));
  });
}

}  // extern "C"
