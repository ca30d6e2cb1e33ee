#include "audio/wav.h"

#include <cctype>
#include <string_view>

#include "base/error.h"
#include "base/little_endian.h"

namespace affectrt {
namespace {

constexpr uint32_t kUnknownSize = 0xFFFFFFFFU;
constexpr uint16_t kPcm = 1;
constexpr uint16_t kFloat = 3;
constexpr uint16_t kExtensible = 0xFFFE;
// The rest of a sub-format GUID behind the two bytes of the tag: RFC 2361, of which PCM and float
// are the first three.
constexpr uint8_t kGuidTail[14] = {0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113};

struct Chunk {
  std::string_view id;
  uint64_t begin;  // of its content
  uint64_t size;   // as the header says; may reach past the end
};

[[noreturn]] void refuse(const std::string& origin, const std::string& what,
                         ErrorKind kind = ErrorKind::kInput) {
  throw Error(kind, origin + ": " + what);
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    shown += std::isprint(static_cast<unsigned char>(c)) != 0 && c != '\'' ? c : '?';
  }
  return "'" + shown + "'";
}

SampleFormat format_of(uint16_t tag, unsigned bits, const std::string& origin) {
  if (tag == kPcm) {
    if (bits == 8) return SampleFormat::kU8;
    if (bits == 16) return SampleFormat::kS16;
    if (bits == 24) return SampleFormat::kS24;
    if (bits == 32) return SampleFormat::kS32;
  } else if (tag == kFloat) {
    if (bits == 32) return SampleFormat::kF32;
    if (bits == 64) return SampleFormat::kF64;
  }
  refuse(origin,
         "WAV encoding " + std::to_string(tag) + " with " + std::to_string(bits) +
             " bits is not read; PCM of 8, 16, 24, 32 bits and float of 32, 64 bits are",
         ErrorKind::kUnsupported);
}

void read_format(const uint8_t* p, uint64_t size, const std::string& origin, WavView* wav) {
  if (size < 16)
    refuse(origin,
           "the WAV 'fmt ' chunk has " + std::to_string(size) + " bytes; at least 16 are needed");
  uint16_t tag = load_le16(p);
  const unsigned bits = load_le16(p + 14);
  if (tag == kExtensible) {
    if (size < 40)
      refuse(origin, "the extensible WAV 'fmt ' chunk has " + std::to_string(size) +
                         " bytes; 40 are needed");
    for (size_t i = 0; i < sizeof kGuidTail; ++i) {
      if (p[26 + i] != kGuidTail[i]) {
        refuse(origin, "the WAV file has an unknown sub-format", ErrorKind::kUnsupported);
      }
    }
    tag = load_le16(p + 24);
  }
  wav->channels = load_le16(p + 2);
  wav->sample_rate = load_le32(p + 4);
  wav->format = format_of(tag, bits, origin);
  if (wav->channels == 0) refuse(origin, "the WAV header says 0 channels; at least 1 is needed");
  if (wav->sample_rate == 0) refuse(origin, "the WAV header says 0 samples a second");
  const size_t frame_bytes = bytes_per_sample(wav->format) * wav->channels;
  if (load_le16(p + 12) != frame_bytes) {
    refuse(origin, "the WAV header contradicts itself: frames of " +
                       std::to_string(load_le16(p + 12)) + " bytes, but " +
                       std::to_string(wav->channels) + " channels of " + std::to_string(bits) +
                       " bits need " + std::to_string(frame_bytes));
  }
}

}  // namespace

WavView parse_wav(ByteView bytes, const std::string& origin) {
  const std::string_view text = bytes.text();
  if (bytes.size == 0) refuse(origin, "the file is empty; a WAV file is needed");
  const std::string_view magic = text.substr(0, 4);
  if (magic == "RIFX" || magic == "FFIR") {
    refuse(origin, "big-endian WAV files are not read", ErrorKind::kUnsupported);
  }
  if ((magic != "RIFF" && magic != "RF64" && magic != "BW64") || bytes.size < 12 ||
      text.substr(8, 4) != "WAVE") {
    refuse(origin, "this is no WAV file: it begins with " + printable(text.substr(0, 12)) +
                       ", not with 'RIFF....WAVE'");
  }
  WavView wav;
  uint64_t long_size = 0;  // of the data chunk, as ds64 says
  bool has_long_size = false;
  for (uint64_t at = 12; bytes.size - at >= 8;) {
    Chunk chunk{text.substr(at, 4), at + 8, load_le32(bytes.data + at + 4)};
    const uint64_t left = bytes.size - chunk.begin;
    if (chunk.id == "data") {
      if (wav.channels == 0) refuse(origin, "the WAV file has no 'fmt ' chunk before its data");
      const uint64_t frame_bytes = bytes_per_sample(wav.format) * wav.channels;
      if (chunk.size == kUnknownSize && has_long_size) {
        chunk.size = long_size;
      } else if (chunk.size == kUnknownSize ||
                 (chunk.size == 0 && left >= frame_bytes && load_le32(bytes.data + 4) == 0)) {
        chunk.size = left - left % frame_bytes;
      }
      if (chunk.size > left) {
        refuse(origin, "the WAV file is cut short: its header says " + std::to_string(chunk.size) +
                           " bytes of samples, and " + std::to_string(left) + " are there");
      }
      if (chunk.size % frame_bytes != 0) {
        refuse(origin, "the WAV header says " + std::to_string(chunk.size) +
                           " bytes of samples, which is no multiple of a frame's " +
                           std::to_string(frame_bytes));
      }
      wav.frames = chunk.size / frame_bytes;
      wav.samples = bytes.data + chunk.begin;
      return wav;
    }
    if (chunk.size > left) {
      refuse(origin, "the WAV file is cut short in its chunk " + printable(chunk.id));
    }
    if (chunk.id == "fmt ") {
      read_format(bytes.data + chunk.begin, chunk.size, origin, &wav);
    } else if (chunk.id == "ds64" && chunk.size >= 16) {
      long_size = load_le64(bytes.data + chunk.begin + 8);
      has_long_size = true;
    }
    at = chunk.begin + chunk.size;
    if (chunk.size % 2 != 0 && at < bytes.size) ++at;  // chunks begin at even offsets
  }
  refuse(origin, "the WAV file has no 'data' chunk");
}

}  // namespace affectrt
