#include "cache/sqlite.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

absl::Status sqliteStatus(sqlite3* connection, int code) {
  const std::string text = sentence("index", sqlite3_errmsg(connection), "");
  switch (code & 0xff) {  // without the extended part
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
      return absl::OkStatus();
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(text);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::AbortedError(text);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(text);
    default:
      return absl::InternalError(text);
  }
}

}  // namespace

Query::Query(sqlite3* connection, absl::StatusOr<sqlite3_stmt*> statement)
    : connection_(connection), status_(statement.status()) {
  if (statement.ok()) statement_ = *statement;
}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(int64_t value) {
  if (status_.ok()) {
    status_ = sqliteStatus(connection_, sqlite3_bind_int64(statement_, next_++, value));
  }
  return *this;
}

Query& Query::bind(absl::string_view text) {
  if (status_.ok()) {
    status_ = sqliteStatus(connection_,
                           sqlite3_bind_text64(statement_, next_++, text.empty() ? "" : text.data(),
                                               text.size(), SQLITE_STATIC, SQLITE_UTF8));
  }
  return *this;
}

Query& Query::bind(absl::Span<const uint8_t> blob) {
  if (status_.ok()) {
    // A null pointer would be NULL, not an empty blob.
    status_ = sqliteStatus(
        connection_, sqlite3_bind_blob64(statement_, next_++,
                                         blob.empty() ? static_cast<const void*>("") : blob.data(),
                                         blob.size(), SQLITE_STATIC));
  }
  return *this;
}

absl::StatusOr<bool> Query::step() {
  ROOST_RETURN_IF_ERROR(status_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  ROOST_RETURN_IF_ERROR(sqliteStatus(connection_, code));
  return false;
}

absl::Status Query::run() {
  return step().status();
}

int64_t Query::number(int column) const {
  return sqlite3_column_int64(statement_, column);
}

absl::Span<const uint8_t> Query::blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  return {static_cast<const uint8_t*>(bytes),
          static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string Query::text(int column) const {
  const absl::Span<const uint8_t> bytes = blob(column);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

absl::StatusOr<std::unique_ptr<Database>> Database::open(const std::string& path) {
  sqlite3* connection = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &connection,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> database(new Database(connection));
  ROOST_RETURN_IF_ERROR(sqliteStatus(connection, code));
  ROOST_RETURN_IF_ERROR(database->execute(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"));
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::Status Database::execute(const std::string& sql) {
  return sqliteStatus(connection_,
                      sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr));
}

Query Database::query(const char* sql) {
  const auto it = statements_.find(sql);
  if (it != statements_.end()) return Query(connection_, it->second);
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Query(connection_, sqliteStatus(connection_, code));
  statements_.emplace(sql, statement);
  return Query(connection_, statement);
}

absl::StatusOr<std::string> Database::pragma(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr);
  ROOST_RETURN_IF_ERROR(sqliteStatus(connection_, code));
  std::string text;
  absl::Status status;
  {
    Query query(connection_, statement);
    const absl::StatusOr<bool> row = query.step();
    status = row.status();
    if (row.ok() && *row) text = query.text(0);
  }
  sqlite3_finalize(statement);
  ROOST_RETURN_IF_ERROR(status);
  return text;
}

}  // namespace roost
