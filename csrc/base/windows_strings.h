// UTF-8, as everywhere in affectrt, to the UTF-16 of the Windows interface. Windows only.
#pragma once

#include <windows.h>

#include <string>
#include <system_error>

namespace affectrt {

inline std::wstring wide(const std::string& utf8) {
  const auto size = static_cast<int>(utf8.size());
  const int units = ::MultiByteToWideChar(CP_UTF8, 0, utf8.data(), size, nullptr, 0);
  std::wstring text(static_cast<size_t>(units), L'\0');
  ::MultiByteToWideChar(CP_UTF8, 0, utf8.data(), size, text.data(), units);
  return text;
}

// What the system says of its last failure.
inline std::string last_failure() {
  return std::system_category().message(static_cast<int>(::GetLastError()));
}

}  // namespace affectrt
