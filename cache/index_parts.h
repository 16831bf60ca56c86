// What the sources of Index share. Part of index.cc and index_representations.cc; nobody else
// includes this.
//
// Threads: one at a time.
#ifndef ROOST_CACHE_INDEX_PARTS_H_
#define ROOST_CACHE_INDEX_PARTS_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/index.h"
#include "cache/sqlite.h"
#include "protocol/errors.h"

namespace roost {

inline absl::Span<const uint8_t> bytesOf(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Index::Parts {
  std::unique_ptr<Database> database;
  bool inTransaction = false;

  Query query(const char* sql) { return database->query(sql); }

  // Calls `use` with the row of this very file, else with that of a file on another device that
  // looks the same (a remount changed the number).
  absl::Status withRow(const FileStamp& stamp, const char* sql,
                       const std::function<absl::Status(const Query&)>& use) {
    Query row = query(sql);
    row.bind(stamp.inode).bind(stamp.size).bind(stamp.mtimeNs).bind(stamp.fsid);
    ROOST_ASSIGN_OR_RETURN(const bool found, row.step());
    return found ? use(row) : absl::OkStatus();
  }
};

}  // namespace roost

#endif  // ROOST_CACHE_INDEX_PARTS_H_
