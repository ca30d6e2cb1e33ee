#include "bundle/entry_names.h"

#include <algorithm>

#include "base/utf8.h"

namespace affectrt {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string entry_name_problem(std::string_view name) {
  if (name.empty()) return "the name is empty";
  if (name.size() > kMaxNameBytes) {
    return "the name has " + std::to_string(name.size()) + " bytes; at most " +
           std::to_string(kMaxNameBytes) + " are allowed";
  }
  for (const char c : name) {
    if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-' && c != '/') {
      return "the name holds '" + printable({&c, 1}) +
             "'; only ASCII letters, digits, '.', '_', '-' and '/' are allowed";
    }
  }
  if (name.front() == '/') return "the name is an absolute path; it must be relative";
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view component = name.substr(begin, end - begin);
    if (component.empty()) return "the name has an empty component; use single '/' inside it only";
    if (component == "." || component == "..") {
      return "the name has the component '" + std::string(component) +
             "'; it must not lead out of its folder";
    }
    if (component.front() == '.' || component.front() == '-' || component.back() == '.') {
      return "the component '" + std::string(component) +
             "' begins with '.' or '-' or ends with '.'; it must not";
    }
    begin = end + 1;
  }
  return "";
}

std::string EntryNameSet::add(std::string_view name) {
  std::string folded(name);
  std::transform(folded.begin(), folded.end(), folded.begin(), to_lower);
  if (files_.count(folded) != 0) {
    return "the name stands twice (upper and lower case count as the same); each must be unique";
  }
  if (folders_.count(folded) != 0) return "the name is also a folder of another entry";
  for (size_t slash = folded.find('/'); slash != std::string::npos;
       slash = folded.find('/', slash + 1)) {
    const std::string folder = folded.substr(0, slash);
    if (files_.count(folder) != 0) return "its folder '" + folder + "' is also an entry";
    folders_.insert(folder);
  }
  files_.insert(std::move(folded));
  return "";
}

}  // namespace affectrt
