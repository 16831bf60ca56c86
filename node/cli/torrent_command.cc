#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/text.h"

namespace roost {
namespace {

namespace fs = std::filesystem;

// Writes DIR/PATH.torrent and says where it is.
absl::StatusOr<std::string> writeTorrent(const std::string& folder, const std::string& path,
                                         const std::string& bytes) {
  ROOST_ASSIGN_OR_RETURN(const RelativePath checked, RelativePath::parse(path));
  const fs::path file = fs::path(folder) / (checked.text() + ".torrent");
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) return errnoStatus(error.value(), "cannot make", file.parent_path().string());
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << bytes;
  out.close();
  if (!out) return errnoStatus(errno, "cannot write", file.string());
  return file.string();
}

}  // namespace

absl::StatusOr<ExitCode> run(const CliContext& context, const TorrentCommand& command) {
  ROOST_ASSIGN_OR_RETURN(auto agent, connectAgent(context, command.output.agent));
  nlohmann::json arguments = {{"repo", command.repo.repo.toString()}};
  if (command.repo.revision) arguments["revision"] = revisionText(*command.repo.revision);
  ROOST_ASSIGN_OR_RETURN(nlohmann::json document, agent->call("torrent", arguments));
  std::string lines;
  for (auto& file : document["files"]) {
    std::string bytes;
    if (!absl::Base64Unescape(textAt(file, "torrent"), &bytes)) {
      return absl::InternalError("the agent's answer has a torrent that is no base64");
    }
    ROOST_ASSIGN_OR_RETURN(const std::string written,
                           writeTorrent(command.folder, textAt(file, "path"), bytes));
    file["torrent"] = written;
    absl::StrAppend(&lines, command.output.quiet ? "" : written + "\n", textAt(file, "magnet"),
                    "\n");
  }
  context.print(command.output.json ? dumped(document) + "\n" : lines);
  bool missing = false;
  for (const auto& file : listAt(document, "skipped")) {
    const bool empty = textAt(file, "why") == "it is empty";
    missing = missing || !empty;
    context.message(absl::StrCat("left out ", textAt(file, "path"), ": ", textAt(file, "why")));
  }
  return missing ? ExitCode::kPartial : ExitCode::kOk;
}

}  // namespace roost
