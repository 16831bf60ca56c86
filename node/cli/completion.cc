#include "node/cli/completion.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace roost {
namespace {

std::string commandNames(const std::vector<CommandShape>& commands) {
  return absl::StrJoin(commands, " ", [](std::string* out, const CommandShape& command) {
    absl::StrAppend(out, command.name);
  });
}

std::string optionNames(const CommandShape& command) {
  std::vector<std::string> names;
  for (const OptionShape& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return absl::StrJoin(names, " ");
}

// Patterns of "command option" for a case statement: "warm --type"|"get --type".
std::string bashPatterns(const std::string& command, const OptionShape& option) {
  return absl::StrJoin(option.names, "|", [&](std::string* out, const std::string& name) {
    absl::StrAppend(out, "\"", command, " ", name, "\"");
  });
}

std::string bashScript(const std::vector<CommandShape>& commands) {
  std::string values, arguments;
  for (const CommandShape& command : commands) {
    for (const OptionShape& option : command.options) {
      if (!option.takesValue) continue;
      const std::string reply =
          !option.choices.empty()
              ? absl::StrCat("COMPREPLY=($(compgen -W \"", absl::StrJoin(option.choices, " "),
                             "\" -- \"$cur\")); ")
          : option.isPath ? "COMPREPLY=($(compgen -f -- \"$cur\")); "
                          : "";
      absl::StrAppend(&values, "    ", bashPatterns(command.name, option), ") ", reply,
                      "return ;;\n");
    }
    std::string words = absl::StrJoin(command.choices, " ");
    if (command.takesRepo) words = "$(roost ls -q 2>/dev/null)";
    absl::StrAppend(&arguments, "    ", command.name, ") options=\"", optionNames(command),
                    "\"; words='", words, "' ;;\n");
  }
  return absl::StrCat(
      "# bash completion of roost. Load it with: eval \"$(roost completion bash)\"\n"
      "_roost() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local command=${COMP_WORDS[1]} options= words=\n"
      "  COMPREPLY=()\n"
      "  if (( COMP_CWORD == 1 )); then\n"
      "    COMPREPLY=($(compgen -W \"",
      commandNames(commands),
      " --help --version\" -- \"$cur\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"$command $prev\" in\n",
      values,
      "  esac\n"
      "  case \"$command\" in\n",
      arguments,
      "  esac\n"
      "  if [[ $cur == -* ]]; then words=$options; fi\n"
      "  # compgen expands $(…) itself, so the agent is asked only when words are wanted.\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}\n"
      "complete -F _roost roost\n");
}

// Text inside '…[…]' of _arguments.
std::string zshText(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}, {"\\", "\\\\"}});
}

std::string zshOption(const OptionShape& option) {
  std::string value;
  if (option.takesValue) {
    value = !option.choices.empty()
                ? absl::StrCat(":value:(", absl::StrJoin(option.choices, " "), ")")
            : option.isPath ? ":file:_files"
                            : ":value: ";
  }
  std::string text;
  for (const std::string& name : option.names) {
    // '*': may be repeated, which the parser decides.
    absl::StrAppend(&text, " \\\n        '*", name, "[", zshText(option.text), "]", value, "'");
  }
  return text;
}

std::string zshScript(const std::vector<CommandShape>& commands) {
  std::string descriptions, cases;
  for (const CommandShape& command : commands) {
    absl::StrAppend(&descriptions, "      '", command.name, ":", zshText(command.text), "'\n");
    absl::StrAppend(&cases, "    ", command.name, ")\n      _arguments");
    for (const OptionShape& option : command.options) absl::StrAppend(&cases, zshOption(option));
    if (command.takesRepo) absl::StrAppend(&cases, " \\\n        '1:repo:_roost_repos'");
    if (!command.choices.empty()) {
      absl::StrAppend(&cases, " \\\n        '1:choice:(", absl::StrJoin(command.choices, " "),
                      ")'");
    }
    absl::StrAppend(&cases, " ;;\n");
  }
  return absl::StrCat(
      "#compdef roost\n"
      "# zsh completion of roost. Load it with: source <(roost completion zsh)\n"
      "_roost_repos() {\n"
      "  local -a repos\n"
      "  repos=(${(f)\"$(roost ls -q 2>/dev/null)\"})\n"
      "  compadd -a repos\n"
      "}\n"
      "_roost() {\n"
      "  if (( CURRENT == 2 )); then\n"
      "    local -a commands\n"
      "    commands=(\n",
      descriptions,
      "    )\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n",
      cases,
      "  esac\n"
      "}\n"
      "if [[ $funcstack[1] == _roost ]]; then _roost \"$@\"; else compdef _roost roost; fi\n");
}

std::string fishText(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}});
}

std::string fishOption(const std::string& command, const OptionShape& option) {
  std::string text =
      absl::StrCat("complete -c roost -n '__fish_seen_subcommand_from ", command, "'");
  for (const std::string& name : option.names) {
    const bool isLong = absl::StartsWith(name, "--");
    absl::StrAppend(&text, isLong ? " -l " : " -s ", name.substr(isLong ? 2 : 1));
  }
  if (option.takesValue) {
    absl::StrAppend(&text, option.isPath ? " -r -F" : " -x");
    if (!option.choices.empty()) {
      absl::StrAppend(&text, " -a '", absl::StrJoin(option.choices, " "), "'");
    }
  }
  return absl::StrCat(text, " -d '", fishText(option.text), "'\n");
}

std::string fishScript(const std::vector<CommandShape>& commands) {
  std::string text =
      "# fish completion of roost. Load it with: roost completion fish | source\n"
      "complete -c roost -f\n";
  for (const CommandShape& command : commands) {
    absl::StrAppend(&text, "complete -c roost -n __fish_use_subcommand -a ", command.name, " -d '",
                    fishText(command.text), "'\n");
    for (const OptionShape& option : command.options) {
      absl::StrAppend(&text, fishOption(command.name, option));
    }
    const std::string arguments =
        command.takesRepo ? "(roost ls -q 2>/dev/null)" : absl::StrJoin(command.choices, " ");
    if (!arguments.empty()) {
      absl::StrAppend(&text, "complete -c roost -n '__fish_seen_subcommand_from ", command.name,
                      "' -a '", arguments, "'\n");
    }
  }
  return text;
}

}  // namespace

std::string completionScript(Shell shell, const std::vector<CommandShape>& commands) {
  switch (shell) {
    case Shell::kBash:
      return bashScript(commands);
    case Shell::kZsh:
      return zshScript(commands);
    case Shell::kFish:
      return fishScript(commands);
  }
  return "";
}

}  // namespace roost
