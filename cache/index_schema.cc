#include "cache/index_schema.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {
namespace {

struct Table {
  const char* name;
  const char* definition;
};
struct Group {
  const char* name;
  int64_t version;
  std::vector<Table> tables;
};

constexpr char kTrustGroup[] = "trust";
constexpr char kTrustTable[] = "trust";
// pieces comes last: rows are read without it at start, and it may be long.
constexpr char kTrustColumns[] =
    "inode, fsid, size, mtime_ns, ctime_ns, algorithm, digest, sha256, wrong, verified_at, pieces";

const std::vector<Group>& groups() {
  static const std::vector<Group> kGroups = {
      {kTrustGroup,
       1,
       {{kTrustTable,
         "(inode INTEGER NOT NULL, fsid INTEGER NOT NULL, size INTEGER NOT NULL, "
         "mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, algorithm INTEGER NOT NULL, "
         "digest BLOB NOT NULL, sha256 BLOB NOT NULL, wrong INTEGER NOT NULL, "
         "verified_at INTEGER NOT NULL, pieces BLOB NOT NULL, PRIMARY KEY (inode, fsid))"}}},
      {"catalog",
       1,
       {{"catalog_peers",
         "(node BLOB PRIMARY KEY, log_id INTEGER NOT NULL, sequence INTEGER NOT NULL) "
         "WITHOUT ROWID"},
        {"catalog_adverts",
         "(node BLOB NOT NULL, key BLOB NOT NULL, advert BLOB NOT NULL, PRIMARY KEY (node, key)) "
         "WITHOUT ROWID"}}},
      {"jobs", 1, {{"jobs", "(id INTEGER PRIMARY KEY, job BLOB NOT NULL)"}}},
      {"representations",
       1,
       {{"representation",
         "(key BLOB NOT NULL, path BLOB NOT NULL, sha256 BLOB NOT NULL, size INTEGER NOT NULL, "
         "created_ms INTEGER NOT NULL, producer BLOB NOT NULL, fsid INTEGER NOT NULL, "
         "inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, "
         "checked_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, kind TEXT NOT NULL, "
         "model TEXT NOT NULL, space TEXT NOT NULL, provenance TEXT NOT NULL, "
         "PRIMARY KEY (key, path)) WITHOUT ROWID"}}},
      {"values",
       1,
       {{"value", "(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"},
        {"counter", "(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID"}}}};
  return kGroups;
}

enum class Verdict { kUsable, kEmpty, kLacksGroups, kCorrupt, kOtherVersion };

struct Examined {
  Verdict verdict = Verdict::kUsable;
  std::string why;
};

absl::StatusOr<std::set<std::string>> columnsOf(Database& database, const std::string& schema,
                                                const std::string& table) {
  std::set<std::string> names;
  ROOST_ASSIGN_OR_RETURN(
      const std::string joined,
      database.pragma(absl::StrCat("SELECT coalesce(group_concat(name, ','), '') FROM "
                                   "pragma_table_info('",
                                   table, "', '", schema, "')")));
  for (size_t at = 0; at < joined.size();) {
    const size_t end = std::min(joined.find(',', at), joined.size());
    names.insert(joined.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

absl::StatusOr<int64_t> versionOf(Database& database, const std::string& schema,
                                  const std::string& group) {
  ROOST_ASSIGN_OR_RETURN(const std::string text, database.pragma(absl::StrCat(
                                                     "SELECT version FROM ", schema,
                                                     ".schema_groups WHERE name = '", group, "'")));
  return text.empty() ? 0 : std::atoll(text.c_str());
}

absl::StatusOr<Examined> examine(Database& database) {
  const absl::StatusOr<std::string> check = database.pragma("PRAGMA quick_check(1)");
  ROOST_RETURN_IF_ERROR(check.status());
  if (*check != "ok") return Examined{Verdict::kCorrupt, *check};
  ROOST_ASSIGN_OR_RETURN(const std::string tables,
                         database.pragma("SELECT count(*) FROM sqlite_schema"));
  if (absl::string_view(tables) == "0") return Examined{Verdict::kEmpty, ""};
  ROOST_ASSIGN_OR_RETURN(const auto columns, columnsOf(database, "main", "schema_groups"));
  if (columns.empty()) return Examined{Verdict::kCorrupt, "it is not an index of roost"};
  Examined examined;
  for (const Group& group : groups()) {
    ROOST_ASSIGN_OR_RETURN(const int64_t version, versionOf(database, "main", group.name));
    if (version == 0) {  // an older roost had no such tables
      examined.verdict = Verdict::kLacksGroups;
    } else if (version != group.version) {
      return Examined{Verdict::kOtherVersion,
                      absl::StrCat("its tables of ", group.name, " have version ", version,
                                   ", this roost has ", group.version)};
    }
  }
  return examined;
}

// Those groups that are not there.
absl::Status create(Database& database, bool isEmpty) {
  std::string sql = "BEGIN IMMEDIATE;";
  if (isEmpty) {
    sql += "CREATE TABLE schema_groups (name TEXT PRIMARY KEY, version INTEGER NOT NULL);";
  }
  for (const Group& group : groups()) {
    if (!isEmpty) {
      ROOST_ASSIGN_OR_RETURN(const int64_t version, versionOf(database, "main", group.name));
      if (version != 0) continue;
    }
    for (const Table& table : group.tables) {
      absl::StrAppend(&sql, "CREATE TABLE ", table.name, " ", table.definition, ";");
    }
    absl::StrAppend(&sql, "INSERT INTO schema_groups VALUES ('", group.name, "', ", group.version,
                    ");");
  }
  return database.execute(sql + "COMMIT");
}

// Takes over from the attached file "aside" what this version understands.
absl::Status carryOver(Database& database) {
  std::string sql = "BEGIN IMMEDIATE;";
  for (const Group& group : groups()) {
    if (group.name == absl::string_view(kTrustGroup)) continue;
    ROOST_ASSIGN_OR_RETURN(const int64_t version, versionOf(database, "aside", group.name));
    if (version != group.version) continue;
    for (const Table& table : group.tables) {
      absl::StrAppend(&sql, "INSERT INTO main.", table.name, " SELECT * FROM aside.", table.name,
                      ";");
    }
  }
  ROOST_ASSIGN_OR_RETURN(const auto ours, columnsOf(database, "main", kTrustTable));
  ROOST_ASSIGN_OR_RETURN(const auto theirs, columnsOf(database, "aside", kTrustTable));
  if (std::includes(theirs.begin(), theirs.end(), ours.begin(), ours.end())) {
    absl::StrAppend(&sql, "INSERT INTO main.trust (", kTrustColumns, ") SELECT ", kTrustColumns,
                    " FROM aside.trust;");
  }
  absl::Status status = database.execute(sql + "COMMIT");
  if (!status.ok()) (void)database.execute("ROLLBACK");
  return status;
}

// Renames the file with what belongs to it; an older one of that name is replaced, so that at most
// one of each kind takes up space.
absl::Status moveAside(const std::string& path, const std::string& to) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string from = path + suffix;
    if (::rename(from.c_str(), (to + suffix).c_str()) == 0) continue;
    if (errno != ENOENT) return errnoStatus(errno, "cannot move aside", from);
    if (::remove((to + suffix).c_str()) != 0 && errno != ENOENT) {
      return errnoStatus(errno, "cannot remove", to + suffix);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> openNew(const std::string& path) {
  ROOST_ASSIGN_OR_RETURN(auto database, Database::open(path));
  ROOST_RETURN_IF_ERROR(create(*database, true));
  return database;
}

absl::StatusOr<OpenedDatabase> rebuild(const std::string& path, const std::string& why) {
  const std::string aside = path + ".corrupt";
  ROOST_RETURN_IF_ERROR(moveAside(path, aside));
  ROOST_ASSIGN_OR_RETURN(auto database, openNew(path));
  return OpenedDatabase{std::move(database),
                        sentence("the index was damaged", why,
                                 absl::StrCat("It was moved to ", aside,
                                              "; files are hashed again in the background"))};
}

absl::StatusOr<OpenedDatabase> replaceOtherVersion(const std::string& path,
                                                   const std::string& why) {
  const std::string aside = path + ".other-version";
  ROOST_RETURN_IF_ERROR(moveAside(path, aside));
  ROOST_ASSIGN_OR_RETURN(auto database, openNew(path));
  {
    Query attach = database->query("ATTACH ? AS aside");
    ROOST_RETURN_IF_ERROR(attach.bind(absl::string_view(aside)).run());
  }
  ROOST_RETURN_IF_ERROR(carryOver(*database));
  ROOST_RETURN_IF_ERROR(database->execute("DETACH aside"));
  return OpenedDatabase{
      std::move(database),
      sentence("the index was written by another version of roost", why,
               absl::StrCat("It was moved to ", aside, "; what was known of files was kept"))};
}

}  // namespace

absl::StatusOr<OpenedDatabase> openIndexDatabase(const std::string& path) {
  Examined examined;
  {
    absl::StatusOr<std::unique_ptr<Database>> database = Database::open(path);
    absl::StatusOr<Examined> result =
        database.ok() ? examine(**database) : absl::StatusOr<Examined>(database.status());
    if (absl::IsDataLoss(result.status())) {
      result = Examined{Verdict::kCorrupt, std::string(result.status().message())};
    }
    ROOST_RETURN_IF_ERROR(result.status());
    examined = *std::move(result);
    const bool isEmpty = examined.verdict == Verdict::kEmpty;
    if (isEmpty || examined.verdict == Verdict::kLacksGroups) {
      ROOST_RETURN_IF_ERROR(create(**database, isEmpty));
    }
    if (examined.verdict <= Verdict::kLacksGroups) return OpenedDatabase{*std::move(database), ""};
    // Closed here, which takes the write-ahead log into the file.
  }
  return examined.verdict == Verdict::kCorrupt ? rebuild(path, examined.why)
                                               : replaceOtherVersion(path, examined.why);
}

}  // namespace roost
