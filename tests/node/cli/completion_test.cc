// Completions know what the parser knows, and what shells are installed can read them.
#include "node/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

TEST(Completion, KnowsEveryCommandOptionAndChoice) {
  for (Shell shell : {Shell::kBash, Shell::kZsh, Shell::kFish}) {
    const std::string script = completionScript(shell, commandShapes());
    for (const CommandShape& command : commandShapes()) {
      EXPECT_THAT(script, HasSubstr(command.name));
      for (const OptionShape& option : command.options) {
        for (const std::string& name : option.names) {
          const std::string bare = name.substr(name.find_first_not_of('-'));
          EXPECT_THAT(script, HasSubstr(shell == Shell::kFish
                                            ? absl::StrCat(name.size() > 2 ? " -l " : " -s ", bare)
                                            : name));
        }
      }
    }
    EXPECT_THAT(script, HasSubstr("model dataset space dataset-cache tree"));
    EXPECT_THAT(script, HasSubstr("roost ls -q 2>/dev/null"));
  }
}

// What bash offers for `line` with the cursor at its end, and a roost whose `ls -q` knows two
// repos.
std::string offeredByBash(const std::string& line) {
  std::string pattern = ::testing::TempDir() + "/completionXXXXXX";
  const int file = mkstemp(pattern.data());
  close(file);
  std::ofstream script(pattern);
  script << "roost() { echo org/model; echo datasets/org/data; }\n"
         << completionScript(Shell::kBash, commandShapes()) << "COMP_LINE='" << line << "'\n"
         << "read -ra COMP_WORDS <<<\"$COMP_LINE\"\n"
         << "[[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')\n"
         << "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
         << "_roost\necho \"${COMPREPLY[*]}\"\n";
  script.close();
  std::string output;
  FILE* bash = popen(absl::StrCat("bash ", pattern, " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  while (const size_t count = fread(buffer.data(), 1, buffer.size(), bash)) {
    output.append(buffer.data(), count);
  }
  EXPECT_EQ(pclose(bash), 0);
  unlink(pattern.c_str());
  return output;
}

TEST(Completion, BashOffersCommandsOptionsChoicesAndRepos) {
  EXPECT_EQ(offeredByBash("roost st"), "status\n");
  EXPECT_EQ(offeredByBash("roost warm --dr"), "--dry-run\n");
  EXPECT_EQ(offeredByBash("roost warm --type "), "model dataset space dataset-cache tree pip\n");
  EXPECT_EQ(offeredByBash("roost warm "), "org/model datasets/org/data\n");
  EXPECT_EQ(offeredByBash("roost where datasets/"), "datasets/org/data\n");
  EXPECT_EQ(offeredByBash("roost completion z"), "zsh\n");
  EXPECT_EQ(offeredByBash("roost warm --revision "), "\n");
}

class ShellSyntax : public ::testing::TestWithParam<std::pair<const char*, Shell>> {};

TEST_P(ShellSyntax, IsRead) {
  const auto& [name, shell] = GetParam();
  if (std::system(absl::StrCat("command -v ", name, " >/dev/null").c_str()) != 0) {
    GTEST_SKIP() << name << " is not installed";
  }
  FILE* reader = popen(absl::StrCat(name, " -n").c_str(), "w");
  const std::string script = completionScript(shell, commandShapes());
  fwrite(script.data(), 1, script.size(), reader);
  EXPECT_EQ(pclose(reader), 0);
}

INSTANTIATE_TEST_SUITE_P(Shells, ShellSyntax,
                         ::testing::Values(std::pair("bash", Shell::kBash),
                                           std::pair("zsh", Shell::kZsh),
                                           std::pair("fish", Shell::kFish)));

}  // namespace
}  // namespace roost
