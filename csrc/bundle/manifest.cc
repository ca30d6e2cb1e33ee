#include "bundle/manifest.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/json.h"
#include "bundle/entry_names.h"
#include "bundle/json_fields.h"

// Every bound here stands in FORMAT.md and, where JSON Schema can say it, in affectrt.schema.json;
// a test holds the three together.
namespace affectrt {
namespace {

constexpr size_t kMaxManifestBytes = size_t{4} << 20U;
constexpr size_t kMaxManifestDepth = 32;
constexpr size_t kMaxHeads = 64;
constexpr size_t kMaxLabels = kManifestMaxLabels;
constexpr size_t kMaxLabelLength = 256;
constexpr size_t kMaxLineLength = 256;
constexpr size_t kMaxTextLength = 16'384;
constexpr size_t kMaxListed = 1024;  // data sets, metrics
constexpr double kMinTemperature = 1e-3;
constexpr double kMaxTemperature = 1e3;
// Single-label scores are divided by their thresholds.
constexpr double kLeastDivisor = 1e-9;
constexpr double kMaxValue = 1e9;     // of ranges and margins
constexpr int64_t kLeastRate = 8000;  // Hz
constexpr int64_t kMostRate = 192'000;
constexpr double kLeastSeconds = 0.1;
constexpr double kMostSeconds = 60.0;
constexpr int64_t kMaxMels = 256;
constexpr int64_t kMaxFrames = 60'000;
constexpr double kLeastDeviation = 1e-6;
constexpr int64_t kMaxFileBytes = 9'007'199'254'740'991;  // 2^53 - 1: exact in every JSON reader

constexpr std::pair<const char*, Task> kTasks[] = {
    {"single_label", Task::kSingleLabel},
    {"multi_label", Task::kMultiLabel},
    {"ordinal", Task::kOrdinal},
    {"regression", Task::kRegression},
    {"span", Task::kSpan},
    {"token_labels", Task::kTokenLabels},
    {"token_flags", Task::kTokenFlags},
};
constexpr std::pair<const char*, HeadInput> kInputs[] = {
    {"text", HeadInput::kText},   {"turn", HeadInput::kTurn},         {"cause", HeadInput::kCause},
    {"reply", HeadInput::kReply}, {"question", HeadInput::kQuestion}, {"audio", HeadInput::kAudio},
};
constexpr std::pair<const char*, FeatureKind> kFeatures[] = {
    {"whisper_log_mel", FeatureKind::kWhisperLogMel},
    {"fbank", FeatureKind::kFbank},
    {"waveform", FeatureKind::kWaveform},
};
constexpr std::string_view kWindows[] = {"povey", "hanning", "hamming"};

constexpr std::pair<const char*, Pooling> kPoolings[] = {
    {"mean", Pooling::kMean},
    {"cls", Pooling::kFirstToken},
    {"mean_first", Pooling::kMeanFirst},
    {"attention", Pooling::kAttention},
    {"attention_first", Pooling::kAttentionFirst},
};

// One of a table's names. A name that is none may be of a newer version.
template <class Value, size_t kSize>
Value read_name(const JsonField& field, const std::pair<const char*, Value> (&names)[kSize]) {
  const std::string& given = field.line(1, kMaxLineLength);
  std::string all;
  for (const auto& [name, value] : names) {
    if (given == name) return value;
    all += std::string(all.empty() ? "" : ", ") + "\"" + name + "\"";
  }
  field.fail_value("one of " + all, ErrorKind::kUnsupported);
}

template <class Value, size_t kSize>
const char* name_of(Value value, const std::pair<const char*, Value> (&names)[kSize]) {
  for (const auto& [name, one] : names) {
    if (one == value) return name;
  }
  return "";
}

void check_objects(const JsonField& list) {
  for (const JsonField& item : list.items(0, kMaxListed, "objects")) item.object();
}

// O, then B-kind and I-kind of each kind.
void check_bio(const std::vector<JsonField>& items) {
  if (!items[0].is("O")) items[0].fail_value("\"O\", the label of tokens outside of any span");
  for (size_t i = 1; i < items.size(); ++i) {
    const std::string& label = items[i].line(1, kMaxLabelLength);
    const std::string kind = i % 2 == 1 ? label : items[i - 1].line(1, kMaxLabelLength);
    const char* prefix = i % 2 == 1 ? "B-" : "I-";
    if (kind.size() < 3 || kind.compare(0, 2, "B-") != 0 || label != prefix + kind.substr(2)) {
      items[i].fail_value(i % 2 == 1 ? std::string("\"B-\" and the name of a kind of span")
                                     : "\"I-" + kind.substr(2) + "\", since it follows " + kind);
    }
  }
  if (items.size() % 2 == 0) items.back().fail("is not followed by its I- label");
}

void read_labels(const JsonField& field, Head* head) {
  size_t least = 1;
  size_t most = kMaxLabels;
  if (head->task == Task::kSingleLabel || head->task == Task::kOrdinal) least = 2;
  if (head->task == Task::kSpan) least = most = 2;  // start, end
  if (head->task == Task::kTokenLabels) least = 3;
  std::unordered_set<std::string_view> seen;
  const std::vector<JsonField> items = field.items(least, most, "labels");
  for (const JsonField& item : items) {
    const std::string& label = item.line(1, kMaxLabelLength);
    if (!seen.insert(label).second) {
      item.fail_value("unlike every label before it, since labels name the answers");
    }
    head->labels.push_back(label);
  }
  if (head->task == Task::kTokenLabels) check_bio(items);
}

bool decides_each(Task task) { return task == Task::kMultiLabel || task == Task::kTokenFlags; }
bool decides_best(Task task) { return task == Task::kSingleLabel || task == Task::kOrdinal; }

void read_thresholds(const JsonField& field, Head* head) {
  const auto items = field.items(0, kMaxLabels, "numbers");
  const bool each = decides_each(head->task);
  if (!each && !decides_best(head->task) && !items.empty()) {
    field.fail(std::string("a ") + task_name(head->task) +
               " head has no thresholds; leave them out");
  }
  if ((each || !items.empty()) && items.size() != head->labels.size()) {
    field.fail("there are " + std::to_string(items.size()) + " thresholds for " +
               std::to_string(head->labels.size()) + " labels; give one for each");
  }
  head->thresholds.clear();
  for (const JsonField& item : items) {
    head->thresholds.push_back(static_cast<float>(item.number(each ? 0.0 : kLeastDivisor, 1.0)));
  }
}

void read_ranges(const JsonField& field, Head* head) {
  if (head->task != Task::kRegression)
    field.fail("only a regression head has ranges; leave them out");
  const auto items = field.items(1, kMaxLabels, "ranges");
  if (items.size() != head->labels.size()) {
    field.fail("there are " + std::to_string(items.size()) + " ranges for " +
               std::to_string(head->labels.size()) + " labels; give one for each");
  }
  for (const JsonField& item : items) {
    const auto bounds = item.items(2, 2, "numbers, the lowest and the highest value");
    const double low = bounds[0].number(-kMaxValue, kMaxValue);
    const double high = bounds[1].number(-kMaxValue, kMaxValue);
    if (!(low < high)) item.fail("its lowest value is not below its highest");
    head->ranges.push_back({static_cast<float>(low), static_cast<float>(high)});
  }
}

void check_input(const JsonField& field, bool speech, const Head& head) {
  if (speech != (head.input == HeadInput::kAudio)) {
    field.fail(speech ? "a head of a speech model has the key 'input': \"audio\""
                      : "a head of a text model cannot read \"audio\"");
  }
  if (head.input == HeadInput::kQuestion && !reads_tokens(head.task)) {
    field.fail(std::string("only a head that reads tokens looks for the answer to a question, and "
                           "its task is ") +
               task_name(head.task));
  }
  if (speech && reads_tokens(head.task)) {
    field.fail(std::string("a clip has no tokens, so that no head can have the task ") +
               task_name(head.task));
  }
}

Head read_head(const JsonField& field, bool speech) {
  Head head;
  head.name = field.at("name").identifier(true);
  head.task = read_name(field.at("task"), kTasks);
  if (const auto input = field.find("input")) head.input = read_name(*input, kInputs);
  check_input(field, speech, head);
  head.output = field.at("output").line(1, kMaxLineLength);
  read_labels(field.at("labels"), &head);
  if (decides_each(head.task)) head.thresholds.assign(head.labels.size(), 0.5F);
  if (const auto thresholds = field.find("thresholds")) read_thresholds(*thresholds, &head);
  const bool regression = head.task == Task::kRegression;
  if (const auto calibration = field.find("calibration")) {
    if (regression) calibration->fail("a regression head has no calibration; leave it out");
    head.temperature = static_cast<float>(
        calibration->object().at("temperature").number(kMinTemperature, kMaxTemperature));
  }
  if (const auto bound = field.find("unsure_below"); bound && !bound->is_null()) {
    if (regression || reads_tokens(head.task)) {
      bound->fail(std::string("a ") + task_name(head.task) +
                  " head has no confidence; leave it out");
    }
    head.unsure_below = static_cast<float>(bound->number(0.0, 1.0));
  }
  if (const auto ranges = field.find("ranges")) read_ranges(*ranges, &head);
  if (const auto margin = field.find("margin")) {
    if (head.task != Task::kSpan) margin->fail("only a span head has a margin; leave it out");
    head.margin = static_cast<float>(margin->number(-kMaxValue, kMaxValue));
  }
  for (const char* key : {"layer", "pooling"}) {
    const auto own = field.find(key);
    if (speech && own) own->fail("heads of a speech model have none of their own; leave it out");
  }
  if (const auto layer = field.find("layer")) {
    head.layer = static_cast<int32_t>(layer->integer(0, kManifestMaxLayers));
  }
  if (const auto pooling = field.find("pooling")) {
    if (reads_tokens(head.task)) {
      pooling->fail(std::string("a ") + task_name(head.task) +
                    " head reads every token; leave it out");
    }
    head.pooling = read_name(*pooling, kPoolings);
  }
  if (const auto metrics = field.find("metrics")) check_objects(*metrics);
  if (const auto data = field.find("data")) data->items(0, kMaxListed, "data sets");
  if (const auto licence = field.find("licence")) licence->text(0, kMaxTextLength);
  return head;
}

void read_heads(const JsonField& field, Manifest* manifest) {
  std::unordered_set<std::string_view> seen;
  for (const JsonField& item : field.items(1, kMaxHeads, "heads")) {
    manifest->heads.push_back(read_head(item, manifest->audio.has_value()));
  }
  for (const Head& head : manifest->heads) {
    if (!seen.insert(head.name).second) {
      field.fail("two heads are named '" + head.name + "'; each name must be unique");
    }
    const Head& first = *std::find_if(manifest->heads.begin(), manifest->heads.end(),
                                      [&](const Head& one) { return one.output == head.output; });
    if (first.layer != head.layer || first.pooling != head.pooling) {
      field.fail("heads '" + first.name + "' and '" + head.name +
                 "' have one output, but another layer or pooling; one output reads one thing");
    }
  }
}

void read_fbank(const JsonField& field, AudioInput* audio) {
  if (const auto window = field.find("window")) {
    audio->window = window->line(1, kMaxLineLength);
    if (std::find(std::begin(kWindows), std::end(kWindows), audio->window) == std::end(kWindows)) {
      window->fail_value("one of \"povey\", \"hanning\", \"hamming\"", ErrorKind::kUnsupported);
    }
  }
  if (const auto scale = field.find("scale")) {
    audio->scale = static_cast<float>(scale->number(kLeastDeviation, kMaxValue));
  }
  if (const auto mean = field.find("mean")) {
    audio->mean = static_cast<float>(mean->number(-kMaxValue, kMaxValue));
  }
  if (const auto deviation = field.find("deviation")) {
    audio->deviation = static_cast<float>(deviation->number(kLeastDeviation, kMaxValue));
  }
}

AudioInput read_audio(const JsonField& field) {
  AudioInput audio;
  audio.sample_rate = static_cast<uint32_t>(field.at("sample_rate").integer(kLeastRate, kMostRate));
  audio.max_seconds =
      static_cast<float>(field.at("max_seconds").number(kLeastSeconds, kMostSeconds));
  const JsonField features = field.at("features");
  audio.kind = read_name(features.at("kind"), kFeatures);
  if (audio.kind == FeatureKind::kWaveform) {
    audio.normalise = features.at("normalise").boolean();
    return audio;
  }
  audio.num_mels = static_cast<uint32_t>(features.at("num_mels").integer(1, kMaxMels));
  if (const auto frames = features.find("frames")) {
    audio.frames = static_cast<uint32_t>(frames->integer(1, kMaxFrames));
  }
  if (audio.kind == FeatureKind::kFbank) {
    read_fbank(features, &audio);
    return audio;
  }
  if (audio.sample_rate != 16'000) {
    field.at("sample_rate").fail_value("16000, as of Whisper's features");
  }
  if (const auto normalise = features.find("normalise")) audio.normalise = normalise->boolean();
  if (const auto silence = features.find("silence")) {
    audio.silence_first = silence->is("before");
    if (!audio.silence_first && !silence->is("after")) {
      silence->fail_value("\"before\" or \"after\"", ErrorKind::kUnsupported);
    }
  }
  return audio;
}

void read_modality(const JsonField& root, Manifest* manifest) {
  const JsonField modality = root.at("modality");
  manifest->modality = modality.line(1, kMaxLineLength);
  const JsonField input = root.at("input");
  if (manifest->modality == "speech") {
    manifest->audio = read_audio(input);
  } else if (manifest->modality == "text") {
    manifest->max_tokens =
        static_cast<uint32_t>(input.at("max_tokens").integer(2, kManifestMaxTokens));
  } else {
    modality.fail_value("\"text\" or \"speech\", those that this build reads",
                        ErrorKind::kUnsupported);
  }
}

bool names_entry(const JsonField& model, std::string_view key, std::string_view entry) {
  const auto field = model.find(key);
  if (!field) return false;
  const auto* name = field->value().get_ptr<const std::string*>();
  if (name == nullptr || *name != entry) field->fail_value("\"" + std::string(entry) + "\"");
  return true;
}

void read_model(const JsonField& field, Manifest* manifest) {
  manifest->family = field.at("family").identifier(false);
  manifest->precision = field.at("precision").identifier(false);
  manifest->has_onnx = names_entry(field, "onnx", kOnnxName);
  manifest->has_weights = names_entry(field, "weights", kWeightsName);
  if (const auto embedding = field.find("embedding")) {
    manifest->embedding = embedding->line(1, kMaxLineLength);
  }
  if (!manifest->has_onnx && !manifest->has_weights) {
    field.fail("neither the key 'onnx' nor 'weights' is there; a model has one or both");
  }
}

std::string read_sha256(const JsonField& field) {
  const auto* digits = field.value().get_ptr<const std::string*>();
  if (digits == nullptr || digits->size() != 64 ||
      digits->find_first_not_of("0123456789abcdef") != std::string::npos) {
    field.fail_value("64 lower-case hexadecimal digits");
  }
  return *digits;
}

void read_files(const JsonField& field, Manifest* manifest) {
  if (field.object().value().size() > kMaxEntries - 1) {
    field.fail("lists " + std::to_string(field.value().size()) + " files; at most " +
               std::to_string(kMaxEntries - 1) + " are allowed");
  }
  EntryNameSet names;
  names.add(kManifestName);
  for (const auto& [name, unused] : field.value().items()) {
    const JsonField item = field.at(name);
    std::string problem = entry_name_problem(name);
    if (problem.empty() && name == kManifestName) problem = "affectrt.json does not list itself";
    if (problem.empty()) problem = names.add(name);
    if (!problem.empty()) item.fail(problem);
    manifest->files.push_back(
        {name, static_cast<uint64_t>(item.object().at("bytes").integer(0, kMaxFileBytes)),
         read_sha256(item.at("sha256"))});
  }
  const auto listed = [&](std::string_view name) {
    return std::any_of(manifest->files.begin(), manifest->files.end(),
                       [&](const ManifestFile& file) { return file.name == name; });
  };
  const auto need = [&](std::string_view name) {
    if (!listed(name)) field.fail("'" + std::string(name) + "' is not listed but needed");
  };
  const auto check = [&](std::string_view name, bool wanted) {
    if (wanted) need(name);
    if (!wanted && listed(name)) {
      field.fail("'" + std::string(name) + "' is listed, but 'model' does not name it");
    }
  };
  check(kOnnxName, manifest->has_onnx);
  check(kWeightsName, manifest->has_weights);
  need("config.json");
  if (!manifest->audio) need("tokenizer.json");
}

// What no computation needs, yet people and tools rely on.
void read_provenance(const JsonField& root, Manifest* manifest) {
  if (const auto field = root.find("description")) field->text(0, kMaxTextLength);
  if (const auto field = root.find("version")) field->line(0, kMaxLineLength);
  if (const auto field = root.find("recipe")) field->text(0, kMaxTextLength);
  if (const auto data = root.find("data")) check_objects(*data);
  if (const auto parity = root.find("parity"); parity && !parity->is_null()) parity->object();
  if (const auto licence = root.find("licence")) {
    if (const auto field = licence->find("weights")) {
      manifest->licence = field->text(0, kMaxTextLength);
    }
    if (const auto field = licence->find("notice")) {
      manifest->licence_notice = field->text(0, kMaxTextLength);
    }
    if (const auto field = licence->find("non_commercial")) {
      manifest->non_commercial = field->boolean();
    }
  }
  if (const auto source = root.find("source")) {
    if (const auto field = source->find("checkpoint")) field->text(0, kMaxTextLength);
    if (const auto field = source->find("sha256")) read_sha256(*field);
  }
}

}  // namespace

const char* task_name(Task task) { return name_of(task, kTasks); }
const char* input_name(HeadInput input) { return name_of(input, kInputs); }
const char* feature_name(FeatureKind kind) { return name_of(kind, kFeatures); }
const char* pooling_name(Pooling pooling) { return name_of(pooling, kPoolings); }

std::optional<Pooling> pooling_named(std::string_view name) {
  for (const auto& [known, pooling] : kPoolings) {
    if (name == known) return pooling;
  }
  return std::nullopt;
}

Manifest parse_manifest(std::string_view affectrt_json, const std::string& origin) {
  JsonLimits limits;
  limits.max_bytes = kMaxManifestBytes;
  limits.max_depth = kMaxManifestDepth;
  const JsonDocument document = parse_json(affectrt_json, origin, ErrorKind::kModelFile, limits);
  const JsonField root(document.root(), origin);
  root.object();
  if (const JsonField format = root.at("format"); !format.is("affectrt-model")) {
    format.fail_value("\"affectrt-model\"");
  }
  if (const JsonField version = root.at("format_version"); version.integer(1, INT64_MAX) != 1) {
    version.fail_value("1, the version that this build reads; a newer affectrt may read it",
                       ErrorKind::kUnsupported);
  }
  Manifest manifest;
  manifest.name = root.at("name").line(1, kMaxLineLength);
  read_modality(root, &manifest);
  read_model(root.at("model"), &manifest);
  read_heads(root.at("heads"), &manifest);
  read_files(root.at("files"), &manifest);
  read_provenance(root, &manifest);
  manifest.json = std::string(affectrt_json);
  return manifest;
}

}  // namespace affectrt
