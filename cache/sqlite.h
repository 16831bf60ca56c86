// SQLite, as much of it as the index needs: a connection, prepared statements, and its error codes
// as Status. Part of index.cc; nobody else includes this.
//
// Threads: one at a time. Errors: kDataLoss corrupt or not a database; kResourceExhausted disk
// full; kAborted locked by another process; kPermissionDenied cannot be written; kInternal.
#ifndef ROOST_CACHE_SQLITE_H_
#define ROOST_CACHE_SQLITE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace roost {

// One use of a prepared statement: bind, then run or step. Resets it at the end. Values are copied
// by SQLite only where they must outlive the call; here they are bound for the time of the use.
class Query {
 public:
  Query(sqlite3* connection, absl::StatusOr<sqlite3_stmt*> statement);
  ~Query();
  Query(Query&&) = delete;

  Query& bind(int64_t value);
  Query& bind(uint64_t value) { return bind(static_cast<int64_t>(value)); }  // bit pattern
  Query& bind(absl::string_view text);
  Query& bind(absl::Span<const uint8_t> blob);

  // For statements without rows.
  absl::Status run();
  // To the next row; false at the end.
  absl::StatusOr<bool> step();

  // Of the current row.
  int64_t number(int column) const;
  uint64_t bits(int column) const { return static_cast<uint64_t>(number(column)); }
  absl::Span<const uint8_t> blob(int column) const;  // until the next step
  std::string text(int column) const;

 private:
  sqlite3* connection_;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
  int next_ = 1;  // parameter
};

class Database {
 public:
  // Makes the file if absent. No second process can open it meanwhile (this also lets WAL work on
  // network file systems).
  static absl::StatusOr<std::unique_ptr<Database>> open(const std::string& path);
  ~Database();

  // One or more statements without parameters and rows.
  absl::Status execute(const std::string& sql);
  // `sql` must live as long as the database (a literal): statements are prepared once.
  Query query(const char* sql);
  // The text of the one row and column that a pragma answers.
  absl::StatusOr<std::string> pragma(const std::string& sql);

 private:
  explicit Database(sqlite3* connection) : connection_(connection) {}
  sqlite3* connection_;
  absl::flat_hash_map<absl::string_view, sqlite3_stmt*> statements_;
};

}  // namespace roost

#endif  // ROOST_CACHE_SQLITE_H_
