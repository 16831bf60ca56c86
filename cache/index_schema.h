// The tables of the index, in groups with a version each, and how the file is opened, moved aside
// and carried over. Part of index.cc; nobody else includes this.
//
// The trust group has one promise more than the others: columns are only ever added to it, each
// with a default. So every version of roost can read the trust of every other.
//
// Threads: one at a time; blocking.
#ifndef ROOST_CACHE_INDEX_SCHEMA_H_
#define ROOST_CACHE_INDEX_SCHEMA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cache/sqlite.h"

namespace roost {

struct OpenedDatabase {
  std::unique_ptr<Database> database;
  std::string movedAside;  // what happened to an older file; empty: nothing
};

absl::StatusOr<OpenedDatabase> openIndexDatabase(const std::string& path);

}  // namespace roost

#endif  // ROOST_CACHE_INDEX_SCHEMA_H_
