#include "node/endpoint/url_rewriter.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

constexpr char kHub[] = "https://hub.example/hf";
constexpr char kAgent[] = "http://127.0.0.1:8377";

std::string inParts(const std::string& text, size_t size) {
  UrlRewriter rewriter(kHub, kAgent);
  std::string out;
  for (size_t at = 0; at < text.size(); at += size) out += rewriter.next(text.substr(at, size));
  return out + rewriter.rest();
}

struct Case {
  const char* name;
  const char* in;
  const char* out;
};

class Rewriter : public ::testing::TestWithParam<Case> {};

TEST_P(Rewriter, GivesTheSameHoweverTheTextIsCut) {
  const std::string in = GetParam().in;
  for (size_t size = 1; size <= in.size() + 1; ++size) {
    EXPECT_EQ(inParts(in, size), GetParam().out) << "in parts of " << size;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, Rewriter,
    ::testing::Values(
        Case{"AUrlOfTheHub", R"({"commitUrl":"https://hub.example/hf/org/m/commit/1"})",
             R"({"commitUrl":"http://127.0.0.1:8377/org/m/commit/1"})"},
        Case{"TheHubItself", R"(["https://hub.example/hf"])", R"(["http://127.0.0.1:8377"])"},
        Case{"Several", R"({"a":"https://hub.example/hf/a","b":"https://hub.example/hf/b"})",
             R"({"a":"http://127.0.0.1:8377/a","b":"http://127.0.0.1:8377/b"})"},
        Case{"AnotherHostThatBeginsLikeIt", R"(["https://hub.example/hfx/a"])",
             R"(["https://hub.example/hfx/a"])"},
        Case{"AnotherPort", R"(["https://hub.example/hf:81/a"])",
             R"(["https://hub.example/hf:81/a"])"},
        Case{"NotAtTheBeginningOfAString", R"({"text":"see https://hub.example/hf/a"})",
             R"({"text":"see https://hub.example/hf/a"})"},
        Case{"AStore", R"({"href":"https://store.example/x?sig=1"})",
             R"({"href":"https://store.example/x?sig=1"})"},
        Case{"ABeginningAtTheEnd", R"("https://hub.exam)", R"("https://hub.exam)"},
        Case{"OnlyTheBaseAtTheEnd", R"("https://hub.example/hf)", R"("https://hub.example/hf)"},
        Case{"Nothing", "", ""}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace roost
