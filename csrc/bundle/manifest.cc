#include "bundle/manifest.h"

#include <algorithm>
#include <unordered_set>

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
constexpr int64_t kMaxFileBytes = 9'007'199'254'740'991;  // 2^53 - 1: exact in every JSON reader

Task read_task(const JsonField& field) {
  const std::string& task = field.line(1, kMaxLineLength);
  if (task == "single_label") return Task::kSingleLabel;
  if (task == "multi_label") return Task::kMultiLabel;
  if (task == "regression") return Task::kRegression;
  field.fail_value("\"single_label\", \"multi_label\" or \"regression\"", ErrorKind::kUnsupported);
}

void check_objects(const JsonField& list) {
  for (const JsonField& item : list.items(0, kMaxListed, "objects")) item.object();
}

void read_labels(const JsonField& field, Head* head) {
  const size_t least = head->task == Task::kSingleLabel ? 2 : 1;
  std::unordered_set<std::string_view> seen;
  for (const JsonField& item : field.items(least, kMaxLabels, "labels")) {
    const std::string& label = item.line(1, kMaxLabelLength);
    if (!seen.insert(label).second) {
      item.fail_value("unlike every label before it, since labels name the answers");
    }
    head->labels.push_back(label);
  }
}

void read_thresholds(const JsonField& field, Head* head) {
  const auto items = field.items(0, kMaxLabels, "numbers");
  if (head->task != Task::kMultiLabel && !items.empty()) {
    field.fail("only a multi_label head has thresholds; leave them out");
  }
  if (head->task == Task::kMultiLabel && items.size() != head->labels.size()) {
    field.fail("there are " + std::to_string(items.size()) + " thresholds for " +
               std::to_string(head->labels.size()) + " labels; give one for each");
  }
  head->thresholds.clear();
  for (const JsonField& item : items) {
    head->thresholds.push_back(static_cast<float>(item.number(0.0, 1.0)));
  }
}

Head read_head(const JsonField& field) {
  Head head;
  head.name = field.at("name").identifier(true);
  head.task = read_task(field.at("task"));
  head.output = field.at("output").line(1, kMaxLineLength);
  read_labels(field.at("labels"), &head);
  if (head.task == Task::kMultiLabel) head.thresholds.assign(head.labels.size(), 0.5F);
  if (const auto thresholds = field.find("thresholds")) read_thresholds(*thresholds, &head);
  const bool regression = head.task == Task::kRegression;
  if (const auto calibration = field.find("calibration")) {
    if (regression) calibration->fail("a regression head has no calibration; leave it out");
    head.temperature = static_cast<float>(
        calibration->object().at("temperature").number(kMinTemperature, kMaxTemperature));
  }
  if (const auto bound = field.find("unsure_below"); bound && !bound->is_null()) {
    if (regression) bound->fail("a regression head has no confidence; leave it out");
    head.unsure_below = static_cast<float>(bound->number(0.0, 1.0));
  }
  if (const auto metrics = field.find("metrics")) check_objects(*metrics);
  if (const auto data = field.find("data")) data->items(0, kMaxListed, "data sets");
  if (const auto licence = field.find("licence")) licence->text(0, kMaxTextLength);
  return head;
}

void read_heads(const JsonField& field, Manifest* manifest) {
  std::unordered_set<std::string_view> seen;
  for (const JsonField& item : field.items(1, kMaxHeads, "heads")) {
    manifest->heads.push_back(read_head(item));
  }
  for (const Head& head : manifest->heads) {
    if (!seen.insert(head.name).second) {
      field.fail("two heads are named '" + head.name + "'; each name must be unique");
    }
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
  const auto check = [&](std::string_view name, bool wanted) {
    const bool listed = std::any_of(manifest->files.begin(), manifest->files.end(),
                                    [&](const ManifestFile& file) { return file.name == name; });
    if (wanted && !listed) field.fail("'" + std::string(name) + "' is not listed but needed");
    if (!wanted && listed) {
      field.fail("'" + std::string(name) + "' is listed, but 'model' does not name it");
    }
  };
  check(kOnnxName, manifest->has_onnx);
  check(kWeightsName, manifest->has_weights);
  check("config.json", true);
  check("tokenizer.json", true);
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
  manifest.modality = root.at("modality").line(1, kMaxLineLength);
  if (manifest.modality != "text") {
    root.at("modality")
        .fail_value("\"text\", the one that this build reads", ErrorKind::kUnsupported);
  }
  read_model(root.at("model"), &manifest);
  manifest.max_tokens =
      static_cast<uint32_t>(root.at("input").at("max_tokens").integer(2, kManifestMaxTokens));
  read_heads(root.at("heads"), &manifest);
  read_files(root.at("files"), &manifest);
  read_provenance(root, &manifest);
  manifest.json = std::string(affectrt_json);
  return manifest;
}

}  // namespace affectrt
