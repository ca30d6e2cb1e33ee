#include "text/post_processor.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

void trim(Draft* draft, bool add_prefix_space) {
  if (draft->has_offsets) trim_offsets(draft->spaces, add_prefix_space, &draft->offsets);
}

void trim_all(std::vector<Draft>* drafts, bool add_prefix_space) {
  for (Draft& draft : *drafts) {
    trim(&draft, add_prefix_space);
    for (Draft& window : draft.overflowing) trim(&window, add_prefix_space);
  }
}

class ByteLevel final : public PostProcessor {
 public:
  ByteLevel(bool trim_offsets, bool add_prefix_space)
      : trim_offsets_(trim_offsets), add_prefix_space_(add_prefix_space) {}

  size_t added_tokens(bool) const override { return 0; }
  bool trims_offsets() const override { return trim_offsets_; }
  void process(std::vector<Draft>* drafts, bool) const override {
    if (trim_offsets_) trim_all(drafts, add_prefix_space_);
    for (size_t i = 0; i < drafts->size(); ++i) {
      (*drafts)[i].set_sequence(static_cast<uint32_t>(i));
    }
  }

 private:
  bool trim_offsets_;
  bool add_prefix_space_;
};

// BertProcessing, and RobertaProcessing where `roberta` holds.
class ClsSep final : public PostProcessor {
 public:
  ClsSep(uint32_t cls, uint32_t sep, bool roberta, bool trim_offsets, bool add_prefix_space)
      : cls_({cls}),
        sep_({sep}),
        roberta_(roberta),
        trim_offsets_(trim_offsets),
        add_prefix_space_(add_prefix_space) {}

  size_t added_tokens(bool is_pair) const override { return is_pair ? (roberta_ ? 4 : 3) : 2; }
  bool trims_offsets() const override { return trim_offsets_; }

  void process(std::vector<Draft>* drafts, bool add_special_tokens) const override {
    if (trim_offsets_) trim_all(drafts, add_prefix_space_);
    if (roberta_) {
      for (Draft& draft : *drafts) draft.set_type(0);
    }
    if (!add_special_tokens) return;
    for (size_t i = 0; i < drafts->size(); ++i) {
      Draft& draft = (*drafts)[i];
      for (Draft& window : draft.overflowing) wrap(&window, i == 0);
      wrap(&draft, i == 0);
    }
  }

 private:
  void wrap(Draft* draft, bool is_first) const {
    const uint32_t type_id = is_first || roberta_ ? 0 : 1;
    Draft out = draft->like();
    if (is_first || roberta_) out.append_special(is_first ? cls_ : sep_, type_id);
    const auto begin = static_cast<uint32_t>(out.size());
    out.append(*draft, 0, draft->size());
    const auto end = static_cast<uint32_t>(out.size());
    std::fill(out.special_tokens_mask.begin() + begin, out.special_tokens_mask.end(), uint8_t{0});
    if (roberta_) out.set_type(0);
    out.append_special(sep_, type_id);
    out.sequence_ranges = {{is_first ? 0u : 1u, begin, end}};
    out.overflowing = std::move(draft->overflowing);
    *draft = std::move(out);
  }

  std::vector<uint32_t> cls_, sep_;
  bool roberta_, trim_offsets_, add_prefix_space_;
};

class Template final : public PostProcessor {
 public:
  Template(std::vector<TemplatePart> single, std::vector<TemplatePart> pair)
      : single_(std::move(single)), pair_(std::move(pair)) {}

  size_t added_tokens(bool is_pair) const override {
    size_t count = 0;
    for (const TemplatePart& part : is_pair ? pair_ : single_) count += part.ids.size();
    return count;
  }

  void process(std::vector<Draft>* drafts, bool add_special_tokens) const override {
    if (drafts->empty() || drafts->size() > 2) {
      throw Error(ErrorKind::kTokenizer,
                  "post_processor: a TemplateProcessing comes after one that made " +
                      std::to_string(drafts->size()) + " parts; it takes one text or two");
    }
    std::vector<Draft> out;
    for (const TemplatePart& part : drafts->size() == 2 ? pair_ : single_) {
      if (part.is_sequence) {
        Draft& draft = (*drafts)[part.sequence];
        draft.set_type(part.type_id);
        draft.set_sequence(part.sequence);
        out.push_back(draft);
      } else if (add_special_tokens) {
        out.push_back(drafts->front().like());
        out.back().append_special(part.ids, part.type_id);
      }
    }
    *drafts = std::move(out);
  }

 private:
  std::vector<TemplatePart> single_, pair_;
};

class Sequence final : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PostProcessor>> steps)
      : steps_(std::move(steps)) {}

  size_t added_tokens(bool is_pair) const override {
    size_t count = 0;
    for (const auto& step : steps_) count += step->added_tokens(is_pair);
    return count;
  }
  bool trims_offsets() const override {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const auto& step) { return step->trims_offsets(); });
  }
  void process(std::vector<Draft>* drafts, bool add_special_tokens) const override {
    for (const auto& step : steps_) step->process(drafts, add_special_tokens);
  }

 private:
  std::vector<std::unique_ptr<const PostProcessor>> steps_;
};

// ["[SEP]", 102]
uint32_t marker_id(const Component& json, const char* key) {
  const std::vector<Component> items = json.items(key);
  if (items.size() != 2) json.at(key).fail("must be [token, id]");
  items[0].as_text();
  return items[1].as_integer();
}

std::vector<TemplatePart> read_template(const Component& json, const char* key) {
  std::vector<TemplatePart> parts;
  for (const Component& item : json.items(key)) {
    TemplatePart part{};
    if (item.has("Sequence")) {
      const Component sequence = item.at("Sequence");
      const std::string id = sequence.text("id");
      if (id != "A" && id != "B") sequence.fail("\"id\" is \"" + id + "\"; it must be A or B");
      part.is_sequence = true;
      part.sequence = id == "A" ? 0 : 1;
      part.type_id = sequence.integer("type_id");
      if (part.sequence == 1 && std::string(key) == "single") {
        sequence.fail("is the second text, which a single text does not have");
      }
    } else if (item.has("SpecialToken")) {
      const Component token = item.at("SpecialToken");
      const std::string id = token.text("id");
      part.type_id = token.integer("type_id");
      const Component known = json.at("special_tokens");
      if (!known.has(id.c_str())) token.fail("\"" + id + "\" is not among the special_tokens");
      for (const Component& i : known.at(id.c_str()).items("ids")) {
        part.ids.push_back(i.as_integer());
      }
    } else {
      item.fail("must be a Sequence or a SpecialToken");
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

std::unique_ptr<const PostProcessor> make_post_processor(const Component& json) {
  const std::string type = json.type();
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(json.boolean("trim_offsets"),
                                       json.boolean("add_prefix_space"));
  }
  if (type == "BertProcessing") {
    return std::make_unique<ClsSep>(marker_id(json, "cls"), marker_id(json, "sep"), false, false,
                                    false);
  }
  if (type == "RobertaProcessing") {
    return std::make_unique<ClsSep>(marker_id(json, "cls"), marker_id(json, "sep"), true,
                                    json.boolean("trim_offsets"), json.boolean("add_prefix_space"));
  }
  if (type == "TemplateProcessing") {
    return std::make_unique<Template>(read_template(json, "single"), read_template(json, "pair"));
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<const PostProcessor>> steps;
    for (const Component& step : json.items("processors")) {
      steps.push_back(make_post_processor(step));
    }
    return std::make_unique<Sequence>(std::move(steps));
  }
  json.fail("the post-processor \"" + type + "\" is not one that affectrt knows");
}

void trim_offsets(const std::vector<TokenSpace>& spaces, bool add_prefix_space,
                  std::vector<Offset>* offsets) {
  for (size_t i = 0; i < offsets->size(); ++i) {
    auto [leading, trailing] = spaces[i];
    Offset& offset = (*offsets)[i];
    if (leading > 0) {
      const bool is_first = i == 0 || offset.begin == 0;
      if (is_first && add_prefix_space && leading == 1) leading = 0;
      offset.begin = std::min(offset.begin + leading, offset.end);
    }
    if (trailing > 0 && offset.end >= trailing) {
      offset.end = std::max(offset.end - trailing, offset.begin);
    }
  }
}

std::optional<PostPlan> make_post_plan(const std::optional<Component>& json) {
  const TemplatePart first = {true, 0, {}, 0};
  const TemplatePart second = {true, 1, {}, 1};
  PostPlan plan = {{first}, {first, second}};
  if (!json) return plan;
  const std::string type = json->type();
  if (type == "Sequence") {
    const std::vector<Component> steps = json->items("processors");
    // Trimming comes before special tokens, as in Llama 3.
    if (steps.size() != 2 || steps[0].type() != "ByteLevel") return std::nullopt;
    const auto trim = make_post_plan(steps[0]);
    auto rest = make_post_plan(steps[1]);
    if (!rest || rest->trims_offsets) return std::nullopt;
    rest->trims_offsets = trim->trims_offsets;
    rest->add_prefix_space = trim->add_prefix_space;
    return rest;
  }
  if (type == "ByteLevel" || type == "RobertaProcessing") {
    plan.trims_offsets = json->boolean("trim_offsets");
    plan.add_prefix_space = json->boolean("add_prefix_space");
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    const bool roberta = type == "RobertaProcessing";
    const uint32_t type_id = roberta ? 0 : 1;
    const std::vector<uint32_t> cls = {marker_id(*json, "cls")}, sep = {marker_id(*json, "sep")};
    plan.single = {{false, 0, cls, 0}, first, {false, 0, sep, 0}};
    plan.pair = plan.single;
    if (roberta) plan.pair.push_back({false, 0, sep, type_id});
    plan.pair.push_back({true, 1, {}, type_id});
    plan.pair.push_back({false, 0, sep, type_id});
  } else if (type == "TemplateProcessing") {
    plan.single = read_template(*json, "single");
    plan.pair = read_template(*json, "pair");
    const auto has_once = [](const std::vector<TemplatePart>& parts, uint32_t sequence) {
      return std::count_if(parts.begin(), parts.end(), [&](const TemplatePart& part) {
               return part.is_sequence && part.sequence == sequence;
             }) == 1;
    };
    if (!has_once(plan.single, 0) || !has_once(plan.pair, 0) || !has_once(plan.pair, 1)) {
      return std::nullopt;
    }
  } else if (type != "ByteLevel") {
    return std::nullopt;
  }
  return plan;
}

Encoding assemble(const PostPlan& plan, const TokenRun& first, const TokenRun* second,
                  const EncodeOptions& options) {
  const std::vector<TemplatePart>& parts = plan.parts(second != nullptr);
  size_t total = 0;
  for (const TemplatePart& part : parts) {
    if (part.is_sequence) {
      total += (part.sequence == 0 ? first : *second).ids.size();
    } else if (options.add_special_tokens) {
      total += part.ids.size();
    }
  }
  Encoding out;
  out.ids.reserve(total);
  out.type_ids.reserve(total);
  out.special_tokens_mask.reserve(total);
  out.sequence_ids.reserve(total);
  if (options.with_offsets) out.offsets.reserve(total);
  for (const TemplatePart& part : parts) {
    if (!part.is_sequence && !options.add_special_tokens) continue;
    const TokenRun& run = part.is_sequence && part.sequence == 1 ? *second : first;
    const std::vector<uint32_t>& ids = part.is_sequence ? run.ids : part.ids;
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.type_ids.insert(out.type_ids.end(), ids.size(), part.type_id);
    out.special_tokens_mask.insert(out.special_tokens_mask.end(), ids.size(), !part.is_sequence);
    out.sequence_ids.insert(out.sequence_ids.end(), ids.size(),
                            part.is_sequence ? static_cast<int32_t>(part.sequence) : -1);
    if (!options.with_offsets) continue;
    if (part.is_sequence) {
      out.offsets.insert(out.offsets.end(), run.offsets.begin(), run.offsets.end());
    } else {
      out.offsets.insert(out.offsets.end(), ids.size(), Offset{0, 0});
    }
  }
  return out;
}

}  // namespace affectrt
