// A pattern and, behind a byte 0xFF, the text that it is looked for in.
#include "text/regex.h"

#include "base/utf8.h"
#include "fuzz.h"

using namespace affectrt;
using namespace affectrt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::string_view pattern = input.until('\xff');
  const std::string_view text = input.rest();
  if (find_invalid_utf8(pattern) || find_invalid_utf8(text)) return 0;
  refusing([&] {
    const Regex regex(pattern);
    RegexMatches matches(regex, text);
    size_t end = 0;
    while (const auto match = matches.next()) {
      AFFECTRT_PROMISED(end <= match->first && match->first <= match->second);
      end = match->second;
      AFFECTRT_PROMISED(end <= text.size());
    }
  });
  return 0;
}
