// The agent's configuration: precedence, every option's grammar, and what is refused.
#include "node/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What loadConfig() is asked with; a test changes what it is about.
struct Asked {
  AgentArguments arguments;
  Environment environment = {{"HOME", "/home/ann"}};
  HostFacts host = {"gpu-01", "/work", false};
  std::map<std::string, std::string> files;

  absl::StatusOr<AgentConfig> load() const {
    return loadConfig(arguments, environment, host,
                      [this](const std::string& path) -> absl::StatusOr<std::string> {
                        const auto file = files.find(path);
                        if (file == files.end()) return absl::NotFoundError("no such file " + path);
                        return file->second;
                      });
  }
  AgentConfig loaded() const {
    auto config = load();
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? *config : AgentConfig();
  }
  std::string refusal() const {
    const auto config = load();
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << config.status();
    return std::string(config.status().message());
  }
};

Asked withFile(const std::string& text) {
  Asked asked;
  asked.files["/home/ann/.config/roost/roost.toml"] = text;
  return asked;
}
Asked withOption(const std::string& name, const std::string& value) {
  Asked asked;
  asked.arguments.options[name] = value;
  return asked;
}

TEST(Config, HasADefaultForEverything) {
  const AgentConfig config = Asked().loaded();
  EXPECT_EQ(config.configFile, "");
  EXPECT_EQ(config.stateDir, "/home/ann/.local/state/roost");
  EXPECT_EQ(config.controlSocket(), "/home/ann/.local/state/roost/agent.sock");
  EXPECT_EQ(config.name, "gpu-01");
  EXPECT_EQ(config.listen.toString(), "127.0.0.1:8376");
  EXPECT_EQ(config.endpoint.toString(), "127.0.0.1:8377");
  EXPECT_EQ(config.hub->url(), "https://huggingface.co");
  EXPECT_FALSE(config.hasClusterKey());
  EXPECT_THAT(config.join, IsEmpty());
  EXPECT_THAT(config.advertise, IsEmpty());
  EXPECT_THAT(config.roots, IsEmpty());
  EXPECT_EQ(config.zone, "");
}

// --- Precedence, for each setting that has all of option, variable and key. ---
struct PrecedenceCase {
  std::string option, variable, key;
  std::string values[3];  // for option, variable, key
  std::string (*read)(const AgentConfig&);
};

class Precedence : public ::testing::TestWithParam<PrecedenceCase> {};

TEST_P(Precedence, OptionThenEnvironmentThenFile) {
  const PrecedenceCase& c = GetParam();
  Asked asked = withFile(absl::StrCat(c.key, " = \"", c.values[2], "\"\n"));
  EXPECT_EQ(c.read(asked.loaded()), c.values[2]);
  asked.environment[c.variable] = c.values[1];
  EXPECT_EQ(c.read(asked.loaded()), c.values[1]);
  asked.arguments.options[c.option] = c.values[0];
  EXPECT_EQ(c.read(asked.loaded()), c.values[0]);
}

TEST(Config, LimitsAreRates) {
  EXPECT_EQ(Asked().loaded().uploadLimit, 0u);
  EXPECT_EQ(withOption("upload-limit", "50MB/s").loaded().uploadLimit, 50'000'000u);
  EXPECT_EQ(withFile("download_limit = \"1GiB\"\n").loaded().downloadLimit, 1u << 30);
  EXPECT_EQ(withOption("download-limit", "none").loaded().downloadLimit, 0u);
  EXPECT_THAT(withOption("upload-limit", "fast").refusal(),
              AllOf(HasSubstr("--upload-limit"), HasSubstr("\"fast\"")));
  EXPECT_THAT(withFile("upload_limit = \"10\"\n").refusal(), HasSubstr("The least is 100kB"));
  EXPECT_THAT(withFile("upload_limits = \"1MB\"\n").refusal(), HasSubstr("upload_limit"));
}

INSTANTIATE_TEST_SUITE_P(
    Settings, Precedence,
    ::testing::Values(
        PrecedenceCase{"upload-limit",
                       "ROOST_UPLOAD_LIMIT",
                       "upload_limit",
                       {"1000000", "2000000", "3000000"},
                       [](const AgentConfig& c) { return absl::StrCat(c.uploadLimit); }},
        PrecedenceCase{"state-dir",
                       "ROOST_STATE_DIR",
                       "state_dir",
                       {"/a", "/b", "/c"},
                       [](const AgentConfig& c) { return c.stateDir; }},
        PrecedenceCase{"name",
                       "ROOST_NAME",
                       "name",
                       {"a", "b", "c"},
                       [](const AgentConfig& c) { return c.name; }},
        PrecedenceCase{"listen",
                       "ROOST_LISTEN",
                       "listen",
                       {"127.0.0.1:1", "127.0.0.1:2", "[::1]:3"},
                       [](const AgentConfig& c) { return c.listen.toString(); }},
        PrecedenceCase{"endpoint",
                       "ROOST_ENDPOINT",
                       "endpoint",
                       {"127.0.0.1:1", "localhost:2", "[::1]:3"},
                       [](const AgentConfig& c) { return c.endpoint.toString(); }},
        PrecedenceCase{"advertise",
                       "ROOST_ADVERTISE",
                       "advertise",
                       {"eth0", "eth1", "eth2"},
                       [](const AgentConfig& c) {
                         return std::get<AdvertiseInterface>(c.advertise.at(0)).name;
                       }},
        PrecedenceCase{"join",
                       "ROOST_JOIN",
                       "join",
                       {"a:1", "b:2", "c:3"},
                       [](const AgentConfig& c) {
                         return std::get<JoinAddress>(c.join.at(0)).address.toString();
                       }},
        PrecedenceCase{"cluster-key-file",
                       "ROOST_CLUSTER_KEY_FILE",
                       "cluster_key_file",
                       {"/a", "/b", "/c"},
                       [](const AgentConfig& c) { return *c.clusterKeyFile; }},
        PrecedenceCase{"hub",
                       "ROOST_HUB",
                       "hub",
                       {"http://a", "http://b", "http://c"},
                       [](const AgentConfig& c) { return c.hub->url(); }},
        PrecedenceCase{"hub-token-file",
                       "ROOST_HUB_TOKEN_FILE",
                       "hub_token_file",
                       {"/a", "/b", "/c"},
                       [](const AgentConfig& c) { return *c.hubTokenFile; }},
        PrecedenceCase{"zone",
                       "ROOST_ZONE",
                       "zone",
                       {"a", "b", "c"},
                       [](const AgentConfig& c) { return c.zone; }}),
    [](const auto& setting) { return setting.param.key; });

TEST(Config, TheCaFileIsReadAtOnce) {
  Asked asked;
  asked.environment["ROOST_CA_FILE"] = "ca.pem";
  EXPECT_THAT(asked.refusal(), AllOf(HasSubstr("ROOST_CA_FILE"), HasSubstr("/work/ca.pem")));
  asked.files["/work/ca.pem"] = "nonsense";
  EXPECT_THAT(asked.refusal(), HasSubstr("no certificate"));
  asked.files["/work/ca.pem"] = "-----BEGIN CERTIFICATE-----\n";
  EXPECT_EQ(asked.loaded().caFile, "/work/ca.pem");
}

TEST(Config, AnEmptyVariableIsNotSet) {
  Asked asked;
  asked.environment["ROOST_NAME"] = "";
  EXPECT_EQ(asked.loaded().name, "gpu-01");
}

// --- Which file. ---
TEST(Config, ReadsTheUsersFileBeforeTheMachines) {
  Asked asked;
  asked.files["/etc/roost/roost.toml"] = "name = \"machine\"";
  EXPECT_EQ(asked.loaded().name, "machine");
  asked.files["/home/ann/.config/roost/roost.toml"] = "name = \"user\"";
  EXPECT_EQ(asked.loaded().name, "user");
  EXPECT_EQ(asked.loaded().configFile, "/home/ann/.config/roost/roost.toml");
}

TEST(Config, ReadsTheNamedFileInsteadOfBoth) {
  Asked asked = withFile("name = \"user\"");
  asked.files["/work/mine.toml"] = "name = \"mine\"";
  asked.files["/env.toml"] = "name = \"env\"";
  asked.environment["ROOST_CONFIG"] = "/env.toml";
  EXPECT_EQ(asked.loaded().name, "env");
  asked.arguments.options["config"] = "mine.toml";
  EXPECT_EQ(asked.loaded().name, "mine");
}

TEST(Config, ANamedFileMustExist) {
  EXPECT_THAT(withOption("config", "/none.toml").refusal(), HasSubstr("/none.toml"));
}

// --- What is wrong in a file. ---
TEST(Config, AnUnknownKeyNamesTheNearest) {
  EXPECT_THAT(withFile("\nlitsen = \"y\"").refusal(),
              AllOf(HasSubstr("roost.toml:"), HasSubstr("Did you mean listen?")));
  EXPECT_THAT(withFile("# a\n# b\nstatedir = \"x\"").refusal(),
              AllOf(HasSubstr("roost.toml:3"), HasSubstr("\"statedir\""),
                    HasSubstr("Did you mean state_dir?")));
}

TEST(Config, AnUnknownKeyLikeNoOtherListsThemToo) {
  EXPECT_THAT(withFile("listen_address = \"x\"").refusal(),
              AllOf(HasSubstr("The nearest is listen"), HasSubstr("known are state_dir, name")));
}

TEST(Config, AnUnknownKeyOfARootNamesTheNearest) {
  EXPECT_THAT(withFile("[[root]]\npath = \"/d\"\nlayuot = \"hub\"").refusal(),
              HasSubstr("Did you mean layout?"));
}

TEST(Config, BrokenTomlNamesFileAndLine) {
  EXPECT_THAT(withFile("name = \"a\"\nlisten = \n").refusal(), HasSubstr("roost.toml:2"));
}

TEST(Config, AValueOfAnotherTypeIsRefused) {
  EXPECT_THAT(withFile("name = 12").refusal(), HasSubstr("expected a string"));
  EXPECT_THAT(withFile("join = [\"a:1\", 2]").refusal(), HasSubstr("expected strings"));
  EXPECT_THAT(withFile("root = \"/data\"").refusal(), HasSubstr("[[root]]"));
  EXPECT_THAT(withFile("[[root]]\npath=\"/d\"\nlayout=\"hub\"\nwrite=\"no\"").refusal(),
              HasSubstr("true or false"));
}

// --- Doors. ---
TEST(Config, AnOpenListenNeedsAKeyAndSaysHowToMakeOne) {
  for (const char* address : {"0.0.0.0:8376", "10.1.2.3:8376", "[::]:8376", "gpu-01:8376"}) {
    EXPECT_THAT(withOption("listen", address).refusal(),
                AllOf(HasSubstr("--listen"), HasSubstr("roost key > FILE"),
                      HasSubstr("--cluster-key-file")))
        << address;
    Asked keyed = withOption("listen", address);
    keyed.arguments.options["cluster-key-file"] = "key";
    EXPECT_EQ(keyed.loaded().clusterKeyFile, "/work/key");
  }
}

TEST(Config, LoopbackNeedsNoKey) {
  for (const char* address : {"127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(withOption("listen", address).load().ok()) << address;
  }
}

TEST(Config, TheKeyMayStandInTheEnvironment) {
  Asked asked = withOption("listen", "0.0.0.0:8376");
  asked.environment["ROOST_CLUSTER_KEY"] = "secret";
  EXPECT_EQ(asked.loaded().clusterKeyText, "secret");
  asked.arguments.options["cluster-key-file"] = "/key";
  EXPECT_EQ(asked.loaded().clusterKeyFile, "/key");
  EXPECT_EQ(asked.loaded().clusterKeyText, std::nullopt);
}

TEST(Config, TheKeyInTheEnvironmentWinsOverTheFile) {
  Asked asked = withFile("cluster_key_file = \"/key\"");
  EXPECT_EQ(asked.loaded().clusterKeyFile, "/key");
  asked.environment["ROOST_CLUSTER_KEY"] = "secret";
  EXPECT_EQ(asked.loaded().clusterKeyText, "secret");
  EXPECT_EQ(asked.loaded().clusterKeyFile, std::nullopt);
}

TEST(Config, TwoKeysInTheEnvironmentAreRefusedWithoutPrintingOne) {
  Asked asked;
  asked.environment["ROOST_CLUSTER_KEY"] = "secret";
  asked.environment["ROOST_CLUSTER_KEY_FILE"] = "/key";
  EXPECT_THAT(asked.refusal(), AllOf(HasSubstr("Unset one"), Not(HasSubstr("secret"))));
}

TEST(Config, TheEndpointServesThisNodeOnly) {
  EXPECT_THAT(withOption("endpoint", "0.0.0.0:8377").refusal(), HasSubstr("--endpoint"));
}

// --- Places. ---
TEST(Config, WhetherTheEndpointPublishesMayBeSaidInEachWay) {
  EXPECT_TRUE(Asked().loaded().endpointPublish);
  EXPECT_FALSE(withOption("endpoint-publish", "false").loaded().endpointPublish);
  EXPECT_FALSE(withFile("endpoint_publish = false").loaded().endpointPublish);
  EXPECT_FALSE(withFile("endpoint.publish = false").loaded().endpointPublish);
  const AgentConfig table =
      withFile("[endpoint]\naddress = \"127.0.0.1:9000\"\npublish = false").loaded();
  EXPECT_FALSE(table.endpointPublish);
  EXPECT_EQ(table.endpoint.toString(), "127.0.0.1:9000");
  EXPECT_THAT(withFile("endpoint.publish = \"no\"").refusal(), HasSubstr("true or false"));
  EXPECT_THAT(withFile("endpoint.publsh = true").refusal(), HasSubstr("Did you mean publish"));
  EXPECT_THAT(withOption("endpoint-publish", "no").refusal(), HasSubstr("neither true nor false"));
}

TEST(Config, TheStateFolderFollowsXdgAndTheKindOfService) {
  Asked asked;
  asked.environment["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(asked.loaded().stateDir, "/state/roost");
  asked.environment["XDG_STATE_HOME"] = "relative";
  EXPECT_EQ(asked.loaded().stateDir, "/home/ann/.local/state/roost");
  asked.environment["INVOCATION_ID"] = "1";
  EXPECT_EQ(asked.loaded().stateDir, "/home/ann/.local/state/roost");
  asked.host.isRoot = true;
  EXPECT_EQ(asked.loaded().stateDir, "/var/lib/roost");
}

TEST(Config, WithoutAHomeAStateFolderMustBeNamed) {
  Asked asked;
  asked.environment.clear();
  EXPECT_THAT(asked.refusal(), HasSubstr("--state-dir"));
}

TEST(Config, RelativePathsStartWhereTheyWereSaid) {
  Asked asked = withFile("state_dir = \"state\"");
  EXPECT_EQ(asked.loaded().stateDir, "/home/ann/.config/roost/state");
  asked.arguments.options["state-dir"] = "state";
  EXPECT_EQ(asked.loaded().stateDir, "/work/state");
  asked.arguments.options["state-dir"] = "~/state";
  EXPECT_EQ(asked.loaded().stateDir, "/home/ann/state");
  asked.arguments.options["state-dir"] = "";
  EXPECT_THAT(asked.refusal(), HasSubstr("--state-dir"));
}

TEST(Config, CacheOverridesAreAbsolute) {
  Asked asked = withOption("hub-cache", "hub");
  asked.arguments.options["transformers-cache"] = "/t";
  EXPECT_EQ(asked.loaded().hubCache, "/work/hub");
  EXPECT_EQ(asked.loaded().transformersCache, "/t");
}

TEST(Config, CacheOverridesMayStandInTheFile) {
  Asked asked = withFile("transformers_cache = \"old\"\nhub_cache = \"/c\"");
  EXPECT_EQ(asked.loaded().transformersCache, "/home/ann/.config/roost/old");
  EXPECT_EQ(asked.loaded().hubCache, "/c");
}

// --- Roots. ---
TEST(Config, RootsComeFromOptionsAndTables) {
  Asked asked = withFile(
      "[[root]]\npath = \"/data/hub\"\nlayout = \"hub\"\nvisibility = \"public\"\n"
      "share = \"cluster\"\nwrite = false\nstore = \"nfs1\"\n");
  asked.arguments.roots = {"/a:b:hub"};
  const AgentConfig config = asked.loaded();
  ASSERT_EQ(config.roots.size(), 2u);
  EXPECT_EQ(config.roots[0].path, "/a:b");
  EXPECT_EQ(config.roots[0].layout, Layout::kHub);
  EXPECT_TRUE(config.roots[0].write);
  EXPECT_EQ(config.roots[0].visibility, RootVisibility::kAsk);
  const RootConfig& table = config.roots[1];
  EXPECT_EQ(table.path, "/data/hub");
  EXPECT_EQ(table.layout, Layout::kHub);
  EXPECT_EQ(table.visibility, RootVisibility::kPublic);
  EXPECT_EQ(table.share, Share::kCluster);
  EXPECT_FALSE(table.write);
  EXPECT_EQ(table.store->text(), "nfs1");
}

TEST(Config, AnOptionAboutTheSameFolderWins) {
  Asked asked = withFile("[[root]]\npath = \"/d\"\nlayout = \"hub\"\n");
  asked.arguments.roots = {"/d:hub"};
  ASSERT_EQ(asked.loaded().roots.size(), 1u);
  EXPECT_EQ(asked.loaded().roots[0].layout, Layout::kHub);
}

TEST(Config, OneFolderMayHaveTwoLayouts) {
  Asked asked = withFile("[[root]]\npath = \"/d\"\nlayout = \"hub\"\nshow = \"copy\"\n");
  asked.arguments.roots = {"/d:flat"};
  ASSERT_EQ(asked.loaded().roots.size(), 2u);
  EXPECT_EQ(asked.loaded().roots[0].layout, Layout::kFlat);
  EXPECT_EQ(asked.loaded().roots[0].show, std::nullopt);
  EXPECT_EQ(asked.loaded().roots[1].show, ShowHere::kCopy);
}

TEST(Config, BadRootsAreRefusedByWhatIsWrong) {
  const auto option = [](const std::string& text) {
    Asked asked;
    asked.arguments.roots = {text};
    return asked.refusal();
  };
  EXPECT_THAT(option("/data"), HasSubstr("PATH:LAYOUT"));
  EXPECT_THAT(option("/data:huub"), HasSubstr("unknown layout"));
  EXPECT_THAT(option("/data:pip"), HasSubstr("not in this version"));
  EXPECT_THAT(option(":hub"), HasSubstr("expected a path"));
  EXPECT_THAT(withFile("[[root]]\npath = \"/d\"").refusal(), HasSubstr("required"));
  const std::string table = "[[root]]\npath = \"/d\"\nlayout = \"hub\"\n";
  EXPECT_THAT(withFile(table + "visibility = \"open\"").refusal(), HasSubstr("ask, public"));
  EXPECT_THAT(withFile(table + "share = \"all\"").refusal(), HasSubstr("cluster or none"));
  EXPECT_THAT(withFile(table + "show = \"yes\"").refusal(), HasSubstr("no, link or copy"));
  EXPECT_THAT(withFile("[[root]]\npath = \"/d\"\nlayout = \"flat\"\nshow = \"link\"").refusal(),
              HasSubstr("only for layout hub"));
  EXPECT_THAT(withFile(table + "store = \"a b\"").refusal(), HasSubstr("store"));
  EXPECT_THAT(withFile(table + "scope = \"sm_90\"").refusal(), HasSubstr("only for layout tree"));
  EXPECT_THAT(withFile(table + "pull = true").refusal(), HasSubstr("only for layout tree"));
}

// --- Trees. ---
TEST(Config, ATreeHasANameAndAScope) {
  const std::string table = "[[root]]\npath = \"/c/.triton/cache\"\nlayout = \"tree\"\n";
  const RootConfig all =
      withFile(table + "name = \"t\"\nscope = \"a=1\"\npython = \"/venv\"\npull = true")
          .loaded()
          .roots[0];
  EXPECT_EQ(all.layout, Layout::kTree);
  EXPECT_EQ(std::tie(all.tree, all.scope, all.python), std::make_tuple("t", "a=1", "/venv"));
  EXPECT_TRUE(all.pull);
  EXPECT_EQ(all.visibility, RootVisibility::kPrivate) << "nobody gets it through the endpoint";
  EXPECT_EQ(all.share, Share::kCluster);

  const RootConfig least = withFile(table).loaded().roots[0];
  EXPECT_EQ(std::tie(least.tree, least.scope), std::make_tuple("cache", "gathered"));
  EXPECT_FALSE(least.pull);
}

TEST(Config, ATreesOptionNamesPathScopeAndName) {
  const auto tree = [](const std::string& text) {
    Asked asked;
    asked.arguments.roots = {text};
    const RootConfig root = asked.loaded().roots.at(0);
    EXPECT_EQ(root.layout, Layout::kTree);
    return absl::StrCat(root.path, " ", root.tree, " ", root.scope);
  };
  EXPECT_EQ(tree("/c/.triton:tree"), "/c/.triton triton gathered");
  EXPECT_EQ(tree("/c:d/x:tree:gpu=sm_90,torch=2"), "/c:d/x x gpu=sm_90,torch=2");
  EXPECT_EQ(tree("/c:tree:a=1:t"), "/c t a=1");
  EXPECT_EQ(tree("/c:tree::t"), "/c t gathered");
}

TEST(Config, BadTreesAreRefusedByWhatIsWrong) {
  const auto option = [](const std::string& text) {
    Asked asked;
    asked.environment["HOME"] = "/home/ann";
    asked.arguments.roots = {text};
    return asked.refusal();
  };
  EXPECT_THAT(option("/c:tree:a=1 a=2"), HasSubstr("said twice"));
  EXPECT_THAT(option("/c:tree:a=1:x/y"), HasSubstr("not a name of a tree"));
  EXPECT_THAT(option("/c:tree:a:b:c"), HasSubstr("PATH:tree:SCOPE:NAME"));
  EXPECT_THAT(option("/home/ann:tree"), HasSubstr("lies in it"));
  EXPECT_THAT(option("/home/:tree"), HasSubstr("lies in it"));
  const std::string table = "[[root]]\npath = \"/c\"\nlayout = \"tree\"\n";
  EXPECT_THAT(withFile(table + "visibility = \"public\"").refusal(), HasSubstr("a tree is for"));
  EXPECT_THAT(withFile(table + "share = \"none\"").refusal(), HasSubstr("a tree is for"));
}

// --- Join and advertise. ---
TEST(Config, JoinHasFourKindsOfEntry) {
  Asked asked = withOption("join", "gpu-01:1, [fd00::1]:2,dns:roost.svc:3,file:hosts,slurm");
  asked.arguments.options["listen"] = "127.0.0.1:9";
  asked.environment["SLURM_JOB_NODELIST"] = "n[01-02]";
  EXPECT_THAT(
      asked.loaded().join,
      ElementsAre(JoinEntry(JoinAddress{{"gpu-01", 1}}), JoinEntry(JoinAddress{{"fd00::1", 2}}),
                  JoinEntry(JoinDns{{"roost.svc", 3}}), JoinEntry(JoinFile{"/work/hosts"}),
                  JoinEntry(JoinSlurm{{{"n01", 9}, {"n02", 9}}})));
}

TEST(Config, JoinMayBeAnArrayInTheFile) {
  EXPECT_THAT(withFile("join = [\"a:1\", \"b:2\"]").loaded().join,
              ElementsAre(JoinEntry(JoinAddress{{"a", 1}}), JoinEntry(JoinAddress{{"b", 2}})));
}

TEST(Config, BadJoinEntriesAreRefusedByWhatIsWrong) {
  EXPECT_THAT(withOption("join", "gpu-01").refusal(), HasSubstr("--join"));
  EXPECT_THAT(withOption("join", "dns:name").refusal(), HasSubstr("HOST:PORT"));
  EXPECT_THAT(withOption("join", "file:").refusal(), HasSubstr("without a path"));
  EXPECT_THAT(withOption("join", "etcd:http://x/y").refusal(), HasSubstr("not in this version"));
  EXPECT_THAT(withOption("join", "slurm").refusal(), HasSubstr("SLURM_JOB_NODELIST"));
}

TEST(Config, AdvertiseTellsAddressesInterfacesAndNetworksApart) {
  EXPECT_THAT(withOption("advertise",
                         "10.0.0.1,10.0.0.2:5,fd00::1,[fd00::2]:6,host.example,eth0,"
                         "10.0.0.0/8,fd00::/64")
                  .loaded()
                  .advertise,
              ElementsAre(AdvertiseEntry(AdvertiseAddress{"10.0.0.1", std::nullopt}),
                          AdvertiseEntry(AdvertiseAddress{"10.0.0.2", 5}),
                          AdvertiseEntry(AdvertiseAddress{"fd00::1", std::nullopt}),
                          AdvertiseEntry(AdvertiseAddress{"fd00::2", 6}),
                          AdvertiseEntry(AdvertiseAddress{"host.example", std::nullopt}),
                          AdvertiseEntry(AdvertiseInterface{"eth0"}),
                          AdvertiseEntry(AdvertiseNetwork{"10.0.0.0", 8}),
                          AdvertiseEntry(AdvertiseNetwork{"fd00::", 64})));
  EXPECT_THAT(withOption("advertise", "10.0.0.0/33").refusal(), HasSubstr("--advertise"));
  EXPECT_THAT(withOption("advertise", "a b").refusal(), HasSubstr("--advertise"));
}

TEST(HostFile, ReadsHostsRangesPortsAndComments) {
  const auto hosts = parseHostFile(
      "# cluster\n\ngpu-[1-2]  # two\nlogin:99\nrack[7]:5\n10.0.0.1\nfd00::1\n[fd00::2]\n"
      "[fd00::3]:7\r\n",
      8376);
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  std::vector<std::string> texts;
  for (const Address& host : *hosts) texts.push_back(host.toString());
  EXPECT_THAT(texts, ElementsAre("gpu-1:8376", "gpu-2:8376", "login:99", "rack7:5", "10.0.0.1:8376",
                                 "[fd00::1]:8376", "[fd00::2]:8376", "[fd00::3]:7"));
}

TEST(HostFile, NamesTheWrongLine) {
  EXPECT_THAT(std::string(parseHostFile("ok\nbad host\n", 1).status().message()),
              HasSubstr("line 2"));
  EXPECT_THAT(std::string(parseHostFile("gpu-[1\n", 1).status().message()), HasSubstr("line 1"));
}

// --- Others. ---
TEST(Config, HubMayBeNone) {
  EXPECT_EQ(withOption("hub", "none").loaded().hub, std::nullopt);
  EXPECT_EQ(withOption("hub", "http://mirror:9000/hf/").loaded().hub->url(),
            "http://mirror:9000/hf");
  EXPECT_THAT(withOption("hub", "huggingface.co").refusal(), HasSubstr("--hub"));
}

TEST(Config, TheSwarmIsOffUnlessItHasAnAddress) {
  EXPECT_EQ(Asked().loaded().swarm, std::nullopt);
  const AgentConfig config = withOption("swarm", "0.0.0.0:8378").loaded();
  EXPECT_EQ(config.swarm->toString(), "0.0.0.0:8378");
  EXPECT_FALSE(config.swarmOutside);
  EXPECT_EQ(config.swarmNodes, 9u);
  EXPECT_THAT(withOption("swarm", "8378").refusal(), HasSubstr("--swarm"));
  EXPECT_EQ(withOption("swarm-nodes", "2").loaded().swarmNodes, 2u);
  EXPECT_THAT(withOption("swarm-nodes", "0").refusal(), HasSubstr("--swarm-nodes"));
  EXPECT_THAT(withOption("swarm-nodes", "few").refusal(), HasSubstr("--swarm-nodes"));
}

TEST(Config, OutsideClientsNeedASwarmToComeTo) {
  EXPECT_THAT(withOption("swarm-outside", "true").refusal(), HasSubstr("--swarm ADDR:PORT"));
  EXPECT_THAT(withOption("swarm-outside", "yes").refusal(), HasSubstr("neither true nor false"));
  Asked both = withOption("swarm-outside", "true");
  both.arguments.options["swarm"] = "127.0.0.1:8378";
  EXPECT_TRUE(both.loaded().swarmOutside);
}

TEST(Config, OnlyTheMeshCatalogIsInThisVersion) {
  EXPECT_TRUE(withOption("catalog", "mesh").load().ok());
  EXPECT_THAT(withOption("catalog", "dht").refusal(), HasSubstr("not in this version"));
  EXPECT_THAT(withOption("catalog", "x").refusal(), HasSubstr("unknown catalog"));
}

TEST(Config, SettingsOfLaterVersionsAreNamedAsSuchEverywhere) {
  for (const AgentOption& option : agentOptions()) {
    if (option.supported) continue;
    EXPECT_THAT(withOption(option.option, "x").refusal(), HasSubstr("not in this version"));
    if (option.variable.empty()) continue;
    Asked asked;
    asked.environment[option.variable] = "x";
    EXPECT_THAT(asked.refusal(), AllOf(HasSubstr(option.variable), HasSubstr("not in this")));
  }
  EXPECT_THAT(withFile("endpoint_allow = \"10.0.0.0/8\"").refusal(),
              AllOf(HasSubstr("roost.toml: endpoint_allow"), HasSubstr("not in this version")));
}

TEST(Config, ThePipIndexIsThatOfPipsOwnSettingsUnlessItIsNamed) {
  Asked asked;
  asked.environment["PIP_INDEX_URL"] = "https://me:secret@index.example/simple/";
  EXPECT_EQ(asked.loaded().pipIndex->origin.url(), "https://index.example/simple");
  asked.arguments.options["pip-index"] = "https://other.example/simple";
  EXPECT_EQ(asked.loaded().pipIndex->origin.url(), "https://other.example/simple");
  asked.arguments.options["pip-index"] = "none";
  EXPECT_FALSE(asked.loaded().pipIndex);
}

TEST(Config, TheAgentsOwnPipIndexIsNotTheOneBehindIt) {
  Asked asked;
  asked.environment["PIP_INDEX_URL"] = "http://127.0.0.1:8377/pip/simple/";
  EXPECT_FALSE(asked.loaded().pipIndex);
  asked.arguments.options["pip-index"] = "http://localhost:8377/pip/simple";
  EXPECT_THAT(asked.refusal(), HasSubstr("this agent's own index"));
}

TEST(Config, PipsCacheIsNotSharedWherePipHasAnotherIndexUnlessThatIsSaid) {
  Asked asked;
  asked.environment["HOME"] = "/home/me";
  asked.environment["PIP_INDEX_URL"] = "https://index.example/simple";
  EXPECT_TRUE(asked.loaded().pipCacheShared);
  asked.environment["PIP_EXTRA_INDEX_URL"] =
      "https://index.example/simple/ https://me:secret@other.example/simple";
  const AgentConfig config = asked.loaded();
  EXPECT_FALSE(config.pipCacheShared);
  EXPECT_THAT(config.notes,
              Contains(AllOf(HasSubstr("PIP_EXTRA_INDEX_URL"), Not(HasSubstr("secret")))));
  asked.arguments.options["pip-share"] = "cluster";
  EXPECT_TRUE(asked.loaded().pipCacheShared);
  asked.arguments.options.erase("pip-share");
  asked.arguments.options["pip-cache"] = "/cache";
  EXPECT_TRUE(asked.loaded().pipCacheShared);
}

TEST(Config, TheAgentsOwnIndexAsPipsIsNoOther) {
  Asked asked;
  asked.arguments.options["pip-index"] = "https://index.example/simple";
  asked.environment["PIP_INDEX_URL"] = "http://127.0.0.1:8377/pip/simple/";
  EXPECT_TRUE(asked.loaded().pipCacheShared);
}

TEST(Config, WithoutAHubOnlyAPipIndexThatIsNamedIsAsked) {
  Asked asked;
  asked.arguments.options["hub"] = "none";
  asked.environment["PIP_INDEX_URL"] = "https://index.example/simple";
  EXPECT_FALSE(asked.loaded().pipIndex);
  asked.environment["ROOST_PIP_INDEX"] = "https://index.example/simple";
  EXPECT_TRUE(asked.loaded().pipIndex);
}

TEST(Config, NoPasswordOfAPipIndexIsRepeated) {
  EXPECT_THAT(withOption("pip-index", "ftp://me:secret@index.example").refusal(),
              AllOf(HasSubstr("--pip-index"), Not(HasSubstr("secret"))));
}

TEST(Config, AHostNameThatIsNoNodeNameAsksForOne) {
  Asked asked;
  asked.host.hostName = "my host";
  EXPECT_THAT(asked.refusal(), HasSubstr("--name"));
}

}  // namespace
}  // namespace roost
