// docs/reference is written by hand: these tests keep it complete.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "node/cli/command_line.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

std::string page(const std::string& name) {
  const std::ifstream file(absl::StrCat(ROOST_SOURCE_DIR, "/docs/reference/", name));
  EXPECT_TRUE(file) << name;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

TEST(Reference, HasASectionForEachCommandAndItsOptions) {
  const std::string cli = page("cli.md");
  const std::string configuration = page("configuration.md");
  for (const CommandShape& command : commandShapes()) {
    EXPECT_THAT(cli, HasSubstr(absl::StrCat("## roost ", command.name, "\n")));
    for (const OptionShape& option : command.options) {
      for (const std::string& name : option.names) {
        EXPECT_THAT(command.name == "agent" && name.size() > 2 ? configuration + cli : cli,
                    HasSubstr("`" + name))
            << command.name;
      }
    }
  }
}

TEST(Reference, HasEachSettingOfTheAgentWithVariableAndKey) {
  const std::string configuration = page("configuration.md");
  for (const AgentOption& option : agentOptions()) {
    EXPECT_THAT(configuration, HasSubstr("`--" + option.option));
    if (!option.supported) continue;
    if (!option.variable.empty()) {
      EXPECT_THAT(configuration, HasSubstr("`" + option.variable + "`"));
    }
    if (option.hasKey) {
      const std::string key = absl::StrReplaceAll(option.option, {{"-", "_"}});
      EXPECT_THAT(configuration, HasSubstr("| `" + key + "` |"));
    }
  }
}

}  // namespace
}  // namespace roost
