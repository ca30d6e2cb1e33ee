#include "bundle/zip_reader.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "base/checked.h"
#include "base/error.h"
#include "base/little_endian.h"
#include "base/utf8.h"
#include "bundle/entry_names.h"

// The format is PKWARE's APPNOTE.TXT (sections 4.3.7 local header, 4.3.12 central directory, 4.3.16
// end of central directory); FORMAT.md fixes all that the archive leaves open. So there is exactly
// one image for a set of entries, and each header byte either has the one right value or is an
// error. The ambiguities that ZIP attacks live from (two directories that disagree, bytes that one
// reader skips and another does not) have nowhere to hide.
namespace affectrt {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kCentralBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kZip64LocatorBytes = 20;

constexpr uint64_t kAlignment = 64;
constexpr uint16_t kVersion = 10;     // APPNOTE 4.4.3.2: 1.0, stored files
constexpr uint16_t kMadeBy = 0x030A;  // 3: Unix, for the permissions below; the version again
constexpr uint32_t kExternalAttributes = 0100644U << 16U;  // regular file, rw-r--r--
constexpr uint16_t kTime = 0;                              // 00:00:00
constexpr uint16_t kDate = 0x0021;                         // 1980-01-01
// The extra field that pads a local header so that its data is aligned: identifier, size, the
// alignment, zeros (APPNOTE 4.5.2, third-party mapping "Data Stream Alignment").
constexpr uint16_t kPaddingId = 0xA11E;
constexpr size_t kPaddingMinBytes = 6;
// ZIP without its 64-bit extension: sizes below the marker value 0xFFFFFFFF.
constexpr uint64_t kMaxImageBytes = 0xFFFFFFFEU;

struct Reader {
  ByteView image;
  const std::string& origin;

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kModelFile, printable(origin, 1024) + ": " + what);
  }
  [[noreturn]] void fail_entry(std::string_view name, const std::string& what) const {
    fail("entry '" + printable(name) + "': " + what);
  }
};

// The fields that the local header and the central directory share.
struct SharedFields {
  uint16_t version = 0;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint16_t time = 0;
  uint16_t date = 0;
  uint32_t crc = 0;
  uint32_t stored_bytes = 0;
  uint32_t bytes = 0;
  uint16_t name_bytes = 0;
  uint16_t extra_bytes = 0;
};

SharedFields load_shared(const uint8_t* p) {
  SharedFields fields;
  fields.version = load_le16(p);
  fields.flags = load_le16(p + 2);
  fields.method = load_le16(p + 4);
  fields.time = load_le16(p + 6);
  fields.date = load_le16(p + 8);
  fields.crc = load_le32(p + 10);
  fields.stored_bytes = load_le32(p + 14);
  fields.bytes = load_le32(p + 18);
  fields.name_bytes = load_le16(p + 22);
  fields.extra_bytes = load_le16(p + 24);
  return fields;
}

std::string number(uint64_t value) { return std::to_string(value); }

std::string hexadecimal(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", static_cast<unsigned>(value));
  return text;
}

void check_shared(const Reader& in, std::string_view name, const SharedFields& fields,
                  const char* where) {
  const auto fail = [&](const std::string& what) {
    in.fail_entry(name, what + " (in its " + where + ")");
  };
  if ((fields.flags & 0x0001U) != 0) fail("is encrypted; entries must be plain");
  if ((fields.flags & 0x0008U) != 0) {
    fail("keeps its size in a data descriptor; sizes must stand in the headers");
  }
  if (fields.flags != 0) {
    fail("has the flags " + hexadecimal(fields.flags) + "; they must be 0");
  }
  if (fields.method != 0) {
    fail("is compressed (method " + number(fields.method) + "); entries must be stored (method 0)");
  }
  if (fields.bytes == 0xFFFFFFFFU || fields.stored_bytes == 0xFFFFFFFFU) {
    fail("has 64-bit (ZIP64) sizes; entries must be smaller than 4 GiB");
  }
  if (fields.stored_bytes != fields.bytes) {
    fail("has " + number(fields.stored_bytes) + " stored bytes but is " + number(fields.bytes) +
         " bytes long; both must be equal");
  }
  if (fields.version != kVersion) {
    fail("needs ZIP version " + number(fields.version) + "; it must be " + number(kVersion));
  }
  if (fields.time != kTime || fields.date != kDate) {
    fail("has a time stamp; it must be 1980-01-01 00:00:00");
  }
}

struct EndRecord {
  size_t entries = 0;
  size_t directory_begin = 0;
};

[[noreturn]] void fail_without_end_record(const Reader& in) {
  // Only for the message: is there an end record further up?
  const size_t span = std::min<size_t>(in.image.size, kEndBytes + 0xFFFFU + 4096U);
  for (size_t back = kEndBytes; back <= span; ++back) {
    if (load_le32(in.image.data + in.image.size - back) == kEndSignature) {
      in.fail(number(back - kEndBytes) +
              " bytes follow the ZIP end record; nothing may follow it, not even a comment");
    }
  }
  in.fail("the ZIP end record is missing from the last 22 bytes; the file is cut off or damaged");
}

EndRecord read_end_record(const Reader& in) {
  const uint8_t* end = in.image.data + in.image.size - kEndBytes;
  if (load_le32(end) != kEndSignature) fail_without_end_record(in);
  const uint16_t disk = load_le16(end + 4);
  const uint16_t directory_disk = load_le16(end + 6);
  const uint16_t disk_entries = load_le16(end + 8);
  const uint16_t entries = load_le16(end + 10);
  const uint32_t directory_bytes = load_le32(end + 12);
  const uint32_t directory_begin = load_le32(end + 16);
  const uint16_t comment_bytes = load_le16(end + 20);
  if (disk == 0xFFFFU || directory_disk == 0xFFFFU || entries == 0xFFFFU ||
      disk_entries == 0xFFFFU || directory_bytes == 0xFFFFFFFFU || directory_begin == 0xFFFFFFFFU ||
      (in.image.size >= kEndBytes + kZip64LocatorBytes &&
       load_le32(end - kZip64LocatorBytes) == kZip64LocatorSignature)) {
    in.fail("is a ZIP64 archive; a model file must be smaller than 4 GiB and plain ZIP");
  }
  if (disk != 0 || directory_disk != 0 || disk_entries != entries) {
    in.fail("is one part of a ZIP archive in several parts; it must be one file");
  }
  if (comment_bytes != 0) {
    in.fail("the ZIP end record announces a comment of " + number(comment_bytes) +
            " bytes; there must be none");
  }
  if (entries == 0) in.fail("holds no entries; affectrt.json and the model's files are needed");
  if (entries > kMaxEntries) {
    in.fail("holds " + number(entries) + " entries; at most " + number(kMaxEntries) +
            " are allowed");
  }
  const uint64_t end_begin = in.image.size - kEndBytes;
  if (!range_fits(directory_begin, directory_bytes, end_begin) ||
      uint64_t{directory_begin} + directory_bytes != end_begin) {
    in.fail("the ZIP directory spans bytes " + number(directory_begin) + " to " +
            number(uint64_t{directory_begin} + directory_bytes) +
            "; it must end where the end record begins, at " + number(end_begin));
  }
  return {entries, directory_begin};
}

// Checks the extra field at `extra`, which brings the data to the next multiple of 64.
void check_padding(const Reader& in, std::string_view name, uint64_t extra_begin,
                   size_t extra_bytes) {
  const uint64_t data_begin = extra_begin + extra_bytes;
  const auto least = checked_align_up(extra_begin + kPaddingMinBytes, kAlignment);
  if (data_begin % kAlignment != 0 || least != data_begin) {
    in.fail_entry(name, "its data begins at byte " + number(data_begin) + "; it must begin at " +
                            number(least.value_or(0)) + ", the next multiple of " +
                            number(kAlignment));
  }
  const uint8_t* p = in.image.data + extra_begin;
  if (load_le16(p) != kPaddingId || load_le16(p + 2) != extra_bytes - 4 ||
      load_le16(p + 4) != kAlignment) {
    in.fail_entry(name, "its extra field is not the one alignment field (0xa11e) that it must be");
  }
  const uint8_t* end = p + extra_bytes;
  if (std::any_of(p + kPaddingMinBytes, end, [](uint8_t byte) { return byte != 0; })) {
    in.fail_entry(name, "its alignment padding is not all zeros, as it must be");
  }
}

// The local header at `begin` must say the same as the directory; returns the data's begin.
size_t check_local_header(const Reader& in, std::string_view name, const SharedFields& central,
                          uint64_t begin, uint64_t limit) {
  if (!range_fits(begin, kLocalBytes + name.size(), limit)) {
    in.fail_entry(name, "its local header at byte " + number(begin) +
                            " runs into the ZIP directory at byte " + number(limit));
  }
  const uint8_t* p = in.image.data + begin;
  if (load_le32(p) != kLocalSignature) {
    in.fail_entry(name, "there is no local header at byte " + number(begin));
  }
  const SharedFields local = load_shared(p + 4);
  check_shared(in, name, local, "local header");
  if (local.crc != central.crc || local.bytes != central.bytes) {
    in.fail_entry(name, "the local header (" + number(local.bytes) + " bytes, CRC-32 " +
                            hexadecimal(local.crc) + ") and the ZIP directory (" +
                            number(central.bytes) + " bytes, CRC-32 " + hexadecimal(central.crc) +
                            ") disagree");
  }
  const std::string_view text = in.image.text().substr(static_cast<size_t>(begin) + kLocalBytes);
  if (local.name_bytes != name.size() || text.substr(0, name.size()) != name) {
    in.fail_entry(name, "its local header names it '" +
                            printable(text.substr(0, std::min<size_t>(local.name_bytes, 255))) +
                            "'; both names must be equal");
  }
  const uint64_t extra_begin = begin + kLocalBytes + name.size();
  if (local.extra_bytes < kPaddingMinBytes || !range_fits(extra_begin, local.extra_bytes, limit)) {
    in.fail_entry(name, "its extra field has " + number(local.extra_bytes) +
                            " bytes; it must be the alignment field of " +
                            number(kPaddingMinBytes) + " bytes or more");
  }
  check_padding(in, name, extra_begin, local.extra_bytes);
  const uint64_t data_begin = extra_begin + local.extra_bytes;
  if (!range_fits(data_begin, local.bytes, limit)) {
    in.fail_entry(name, "its " + number(local.bytes) + " bytes from byte " + number(data_begin) +
                            " run into the ZIP directory at byte " + number(limit));
  }
  return static_cast<size_t>(data_begin);
}

void check_order(const Reader& in, const std::vector<ZipEntry>& before, std::string_view name) {
  if (before.empty()) {
    if (name != kManifestName) in.fail_entry(name, "is the first; affectrt.json must be");
  } else if (before.size() > 1 && name < before.back().name) {
    in.fail_entry(name, "stands behind '" + before.back().name +
                            "'; entries must be in ascending order of their names");
  }
}

}  // namespace

std::vector<ZipEntry> read_stored_zip(ByteView image, const std::string& origin) {
  const Reader in{image, origin};
  if (image.size > kMaxImageBytes) {
    in.fail("is " + number(image.size) + " bytes long; a model file must be smaller than 4 GiB");
  }
  if (image.size < 4 || load_le32(image.data) != kLocalSignature) {
    in.fail(image.size == 0 ? "is empty; a .affect file is needed"
                            : "is not a .affect file: it does not begin with a ZIP local header");
  }
  if (image.size < kEndBytes) fail_without_end_record(in);
  const EndRecord end = read_end_record(in);
  const uint64_t directory_end = image.size - kEndBytes;

  std::vector<ZipEntry> entries;
  EntryNameSet names;
  uint64_t at = end.directory_begin;
  uint64_t local_begin = 0;
  for (size_t i = 0; i < end.entries; ++i) {
    if (!range_fits(at, kCentralBytes, directory_end)) {
      in.fail("the ZIP directory ends after " + number(i) + " of its " + number(end.entries) +
              " entries");
    }
    const uint8_t* p = image.data + at;
    if (load_le32(p) != kCentralSignature) {
      in.fail("there is no ZIP directory record at byte " + number(at));
    }
    const SharedFields fields = load_shared(p + 6);
    if (!range_fits(at + kCentralBytes, fields.name_bytes, directory_end)) {
      in.fail("the name of directory record " + number(i) + " runs out of the ZIP directory");
    }
    const std::string_view name =
        image.text().substr(static_cast<size_t>(at) + kCentralBytes, fields.name_bytes);
    if (const std::string problem = entry_name_problem(name); !problem.empty()) {
      in.fail_entry(name, problem);
    }
    check_shared(in, name, fields, "ZIP directory record");
    if (const std::string problem = names.add(name); !problem.empty()) {
      in.fail_entry(name, problem);
    }
    check_order(in, entries, name);
    if (fields.extra_bytes != 0 || load_le16(p + 32) != 0) {
      in.fail_entry(name,
                    "its ZIP directory record has an extra field or a comment; it must have "
                    "neither");
    }
    if (load_le16(p + 34) != 0) in.fail_entry(name, "begins on another disk; it must be one file");
    if (load_le16(p + 4) != kMadeBy || load_le16(p + 36) != 0 ||
        load_le32(p + 38) != kExternalAttributes) {
      in.fail_entry(name, "has other attributes than those of a regular Unix file with mode 0644");
    }
    if (const uint32_t offset = load_le32(p + 42); offset != local_begin) {
      in.fail_entry(name, "its local header is said to be at byte " + number(offset) +
                              "; it must follow the entry before at byte " + number(local_begin));
    }
    const size_t data_begin =
        check_local_header(in, name, fields, local_begin, end.directory_begin);
    entries.push_back({std::string(name), {image.data + data_begin, fields.bytes}, fields.crc});
    local_begin = data_begin + uint64_t{fields.bytes};
    at += kCentralBytes + fields.name_bytes;
  }
  if (at != directory_end) {
    in.fail("the ZIP directory holds " + number(directory_end - at) +
            " bytes behind its last entry");
  }
  if (local_begin != end.directory_begin) {
    in.fail("the data of the last entry ends at byte " + number(local_begin) +
            "; the ZIP directory must begin there, not at " + number(end.directory_begin));
  }
  return entries;
}

}  // namespace affectrt
