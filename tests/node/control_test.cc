#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "cluster/lane_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/await_callback.h"
#include "node/control_connection.h"
#include "node/control_server.h"
#include "protocol/errors.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using nlohmann::json;
using ::testing::HasSubstr;

// An agent that answers "echo" with its arguments, "fail" with the status named, "never" not at
// all, as long as it lives.
class ControlTest : public ::testing::Test {
 protected:
  ControlTest() : lane_("agent"), path_(folder_ / "agent.sock") {
    lane_.run([this] {
      auto listening = ControlServer::listen(
          lane_.io(), path_, [this](std::string method, std::string arguments) {
            return answer(std::move(method), std::move(arguments));
          });
      ASSERT_TRUE(listening.ok()) << listening.status();
      server_ = *std::move(listening);
    });
  }
  ~ControlTest() override { endAgent(); }

  void endAgent() {
    lane_.run([this] {
      never_ = nullptr;
      if (server_) server_->stop();
      server_.reset();
    });
  }

  asio::awaitable<absl::StatusOr<std::string>> answer(std::string method, std::string arguments) {
    if (method == "echo") co_return arguments;
    if (method == "fail") {
      const auto code = static_cast<absl::StatusCode>(json::parse(arguments)["code"].get<int>());
      co_return absl::Status(code, "what failed: why. What to do.");
    }
    if (method == "never") {
      using Answer = absl::StatusOr<std::string>;
      const std::function<void(std::function<void(Answer)>)> start =
          [this](std::function<void(Answer)> done) {
            never_ = std::move(done);
            called_.set_value();
          };
      const Answer dropped = absl::CancelledError("stopping");
      Answer got = co_await awaitCallback<Answer>(start, dropped);
      co_return got;
    }
    throw std::runtime_error("a bug");
  }

  std::unique_ptr<ControlClient> connect() {
    auto client = connectControl(path_);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  TempFolder folder_;
  LaneThread lane_;
  const std::string path_;
  std::unique_ptr<ControlServer> server_;
  std::function<void(absl::StatusOr<std::string>)> never_;
  std::promise<void> called_;
};

TEST_F(ControlTest, ADocumentGoesThereAndBack) {
  const auto client = connect();
  const json document = {{"text", std::string(100'000, 'x')}, {"list", {1, 2, 3}}};
  for (int i = 0; i < 3; ++i) {
    const auto got = client->call("echo", document);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, document);
  }
}

TEST_F(ControlTest, SeveralCommandsAtOnceAreServed) {
  const auto first = connect();
  const auto second = std::async(std::launch::async, [this] {
    return connect()->call("echo", {{"n", 2}});
  });
  EXPECT_TRUE(first->call("echo", {{"n", 1}}).ok());
}

TEST_F(ControlTest, EveryErrorKeepsItsCodeAndItsWords) {
  const auto client = connect();
  for (int code = 1; code <= 16; ++code) {
    const auto got = client->call("fail", {{"code", code}});
    EXPECT_EQ(static_cast<int>(got.status().code()), code);
    EXPECT_EQ(std::string(got.status().message()), "what failed: why. What to do.");
  }
}

TEST_F(ControlTest, ABugInACommandDoesNotEndTheAgent) {
  EXPECT_FALSE(connect()->call("bug", json::object()).ok());
  EXPECT_TRUE(connect()->call("echo", json::object()).ok());
}

TEST_F(ControlTest, WithoutAnAgentTheCommandSaysSo) {
  const auto none = connectControl(folder_ / "nobody.sock");
  EXPECT_EQ(exitCodeOf(none.status()), ExitCode::kNoAgent);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("roost agent"));
  const auto tooLong = connectControl("/" + std::string(200, 'x'));
  EXPECT_EQ(exitCodeOf(tooLong.status()), ExitCode::kNoAgent);
}

TEST_F(ControlTest, ASocketThatAnAgentLeftBehindIsNoAgent) {
  endAgent();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_EQ(exitCodeOf(connectControl(path_).status()), ExitCode::kNoAgent);
}

TEST_F(ControlTest, AnAgentThatEndsInTheMiddleOfACallIsToldAsGone) {
  // A connection belongs to the thread that made it.
  auto answers = std::async(std::launch::async, [&] {
    const auto client = connect();
    const absl::Status first = client->call("never", json::object()).status();
    return std::pair(first, client->call("echo", json::object()).status());
  });
  called_.get_future().wait();
  endAgent();
  const auto [first, later] = answers.get();
  EXPECT_EQ(exitCodeOf(first), ExitCode::kNoAgent);
  EXPECT_FALSE(later.ok());
}

TEST_F(ControlTest, TheSocketIsForItsOwnerAlone) {
  struct stat st;
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(ControlTest, WhoMayNotUseTheSocketIsToldThatNotThatThereIsNoAgent) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ::chmod(folder_.path().c_str(), 0755);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(99);
    ::_exit(static_cast<int>(exitCodeOf(connectControl(path_).status())));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::kNotAllowed));
}

TEST_F(ControlTest, APathTooLongForASocketIsAnErrorOfTheStart) {
  lane_.run([this] {
    const auto listening = ControlServer::listen(lane_.io(), "/tmp/" + std::string(200, 'x'), {});
    EXPECT_TRUE(absl::IsInvalidArgument(listening.status()));
    EXPECT_THAT(std::string(listening.status().message()), HasSubstr("--state-dir"));
  });
}

}  // namespace
}  // namespace roost
