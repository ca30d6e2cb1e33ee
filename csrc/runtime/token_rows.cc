#include "runtime/token_rows.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"

namespace affectrt {
namespace {

// A thread costs some 50 microseconds to start, a text of twenty words about as much to encode.
constexpr size_t kBytesPerThread = size_t{64} << 10U;
constexpr size_t kRowsPerTake = 32;

std::vector<int32_t> narrowed(const std::vector<uint32_t>& values) {
  std::vector<int32_t> result(values.size());
  std::transform(values.begin(), values.end(), result.begin(),
                 [](uint32_t value) { return static_cast<int32_t>(value); });
  return result;
}

// `segment`: which of the two A is.
void read_a(const Encoding& encoding, int32_t segment, TokenRow* row) {
  size_t first = 1;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    if (encoding.sequence_ids[i] != segment) continue;
    if (row->a_offsets.empty() && segment != 0) first = i;
    row->a_offsets.push_back(encoding.offsets[i]);
    if (i + 1 != first + row->a_offsets.size() || encoding.sequence_ids[0] >= 0) {
      throw Error(ErrorKind::kUnsupported,
                  "token " + std::to_string(i) + " is number " +
                      std::to_string(row->a_offsets.size()) +
                      " of the text; heads that read tokens need a tokenizer that puts exactly one "
                      "special token before the first text");
    }
  }
  row->a_first = static_cast<int32_t>(std::max<size_t>(first, 1));
  row->a_tokens = static_cast<int32_t>(row->a_offsets.size());
}

TokenRow tokenize_row(const Tokenizer& tokenizer, const TextInput& input,
                      const TokenRowOptions& wanted) {
  EncodeOptions options;
  options.with_offsets = wanted.with_a;
  const bool swapped = wanted.pair_first && input.pair.has_value();
  const std::string_view first = swapped ? *input.pair : input.text;
  const auto second = swapped ? std::optional<std::string_view>(input.text) : input.pair;
  Encoding encoding = tokenizer.encode(first, second, options);
  TokenRow row;
  if (encoding.ids.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error(ErrorKind::kInput, std::to_string(encoding.ids.size()) + " tokens are too many");
  }
  row.full_count = static_cast<int32_t>(encoding.ids.size());
  // Encoding without truncation first costs nothing but for the few texts that are too long, and
  // tells how many tokens there are.
  if (wanted.max_tokens > 0 && encoding.ids.size() > wanted.max_tokens) {
    options.truncation = Truncation::kLongestFirst;
    options.max_tokens = wanted.max_tokens;
    options.truncate_left = wanted.truncate_left;
    encoding = tokenizer.encode(first, second, options);
  }
  if (encoding.ids.empty()) {
    throw Error(ErrorKind::kInput,
                "the text gives no token at all with this model's tokenizer, which adds no special "
                "tokens; at least one token is needed");
  }
  row.ids = narrowed(encoding.ids);
  row.type_ids = narrowed(encoding.type_ids);
  if (wanted.with_a) read_a(encoding, swapped ? 1 : 0, &row);
  return row;
}

struct Failure {
  size_t row;
  ErrorKind kind;
  std::string message;
};

// What the workers of one call share.
class Work {
 public:
  Work(const Tokenizer& tokenizer, const std::vector<TextInput>& inputs,
       const TokenRowOptions& options)
      : tokenizer_(tokenizer), inputs_(inputs), options_(options), rows_(inputs.size()) {}

  // Returns when no input is left, after a failure, or when `keep_going` says false.
  std::optional<Failure> work(const std::function<bool()>& keep_going) {
    while (!stopped_.load(std::memory_order_relaxed)) {
      if (keep_going && !keep_going()) {
        stopped_.store(true);
        interrupted_.store(true);
        break;
      }
      const size_t begin = next_.fetch_add(kRowsPerTake, std::memory_order_relaxed);
      if (begin >= inputs_.size()) break;
      const size_t end = std::min(begin + kRowsPerTake, inputs_.size());
      for (size_t row = begin; row < end; ++row) {
        try {
          rows_[row] = tokenize_row(tokenizer_, inputs_[row], options_);
        } catch (const Error& error) {
          stopped_.store(true);
          return Failure{row, error.kind(), error.what()};
        } catch (const std::bad_alloc&) {
          throw;
        } catch (const std::exception& error) {
          stopped_.store(true);
          return Failure{row, ErrorKind::kInput, std::string("cannot be encoded: ") + error.what()};
        }
      }
    }
    return std::nullopt;
  }

  void stop() { stopped_.store(true); }
  bool interrupted() const { return interrupted_.load(); }
  std::vector<TokenRow> take_rows() { return std::move(rows_); }

 private:
  const Tokenizer& tokenizer_;
  const std::vector<TextInput>& inputs_;
  const TokenRowOptions options_;
  std::vector<TokenRow> rows_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> interrupted_{false};
};

size_t worthwhile_threads(const std::vector<TextInput>& inputs, int num_threads) {
  size_t bytes = 0;
  for (const TextInput& input : inputs) {
    bytes += input.text.size() + (input.pair ? input.pair->size() : 0);
  }
  const size_t takes = (inputs.size() + kRowsPerTake - 1) / kRowsPerTake;
  const size_t most = static_cast<size_t>(std::max(1, num_threads));
  return std::max<size_t>(1, std::min({most, bytes / kBytesPerThread, takes}));
}

}  // namespace

std::vector<TokenRow> tokenize_rows(const Tokenizer& tokenizer,
                                    const std::vector<TextInput>& inputs,
                                    const TokenRowOptions& options,
                                    const std::function<bool()>& keep_going) {
  Work work(tokenizer, inputs, options);
  // Threads live as long as the call: nothing idles between calls, and fork() finds nothing to
  // break.
  const size_t threads = worthwhile_threads(inputs, options.num_threads);
  std::vector<std::optional<Failure>> failures(threads);
  std::vector<std::exception_ptr> unexpected(threads);
  const auto run = [&](size_t i, const std::function<bool()>& asked) {
    try {
      failures[i] = work.work(asked);
    } catch (...) {
      unexpected[i] = std::current_exception();
      work.stop();
    }
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads);
  for (size_t i = 1; i < threads; ++i) {
    try {
      helpers.emplace_back([&run, i] { run(i, nullptr); });
    } catch (const std::exception&) {
      break;  // no more threads or memory to be had: fewer do the same work
    }
  }
  run(0, keep_going);
  for (std::thread& helper : helpers) helper.join();
  for (const std::exception_ptr& error : unexpected) {
    if (error) std::rethrow_exception(error);
  }

  const Failure* first = nullptr;
  for (const std::optional<Failure>& failure : failures) {
    if (failure && (first == nullptr || failure->row < first->row)) first = &*failure;
  }
  if (first != nullptr) {
    throw Error(first->kind, "text " + std::to_string(first->row) + ": " + first->message);
  }
  if (work.interrupted()) throw Error(ErrorKind::kInput, "interrupted while texts were encoded");
  return work.take_rows();
}

}  // namespace affectrt
