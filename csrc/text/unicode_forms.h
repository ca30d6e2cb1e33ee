// NFC, NFD, NFKC and NFKD as changes to a text, with the alignment rules of the
// unicode-normalization-alignments crate.
#pragma once

#include <string_view>
#include <vector>

#include "text/normalized.h"

namespace affectrt {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// Replaces `*changes` by what turns `text` (valid UTF-8) into `form`.
void unicode_form_changes(std::string_view text, UnicodeForm form, std::vector<Change>* changes);

// Whether `text` is ASCII, which every form leaves alone.
bool is_ascii(std::string_view text);

}  // namespace affectrt
