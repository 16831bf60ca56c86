#include "node/tree_facts.h"

#include <map>

#include "cache/tree_scope.h"
#include "gmock/gmock.h"
#include "node/run_program.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

// A machine of files, by path; of folders their names.
struct Imagined {
  std::map<std::string, std::string> files;
  std::map<std::string, std::vector<std::string>> folders;
  std::string smi;
  Environment environment;

  Machine machine() const {
    return {.read = [this](const std::string& path) -> absl::StatusOr<std::string> {
              const auto found = files.find(path);
              if (found == files.end()) return absl::NotFoundError(path);
              return found->second;
            },
            .names =
                [this](const std::string& folder) {
                  const auto found = folders.find(folder);
                  return found == folders.end() ? std::vector<std::string>() : found->second;
                },
            .nvidiaSmi = [this]() -> absl::StatusOr<std::string> {
              if (smi.empty()) return absl::NotFoundError("nvidia-smi");
              return smi;
            },
            .environment = environment};
  }
  std::string scope(const std::string& python = "") const {
    return gatheredScope(machine(), python);
  }
};

TEST(GatheredScope, HasWhatACompileCacheDependsOn) {
  const Imagined it{
      .files = {{"/proc/driver/nvidia/version",
                 "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\n"
                 "GCC version: gcc version 12.2.0\n"},
                {"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu avx2\n"}},
      .folders = {{"/venv/lib", {"python3.11"}},
                  {"/venv/lib/python3.11/site-packages",
                   {"torch", "torch-2.6.0+cu124.dist-info", "torchvision-0.21.0.dist-info",
                    "nvidia_cuda_runtime_cu12-12.4.127.dist-info"}}},
      .smi = "9.0, 550.54.15\n9.0, 550.54.15\n"};

  const std::string scope = it.scope("/venv");

  for (const char* word :
       {"driver=550.54.15", "gpu=sm_90 ", "cuda=12.4.127", "torch=2.6.0+cu124"}) {
    EXPECT_THAT(scope, HasSubstr(word));
  }
  EXPECT_TRUE(TreeScope::parse(scope).ok()) << scope;
}

TEST(GatheredScope, WhatCannotBeFoundIsNone) {
  const std::string scope = Imagined{}.scope();

  for (const char* word : {"driver=none", "gpu=none", "cuda=none", "torch=none"}) {
    EXPECT_THAT(scope, HasSubstr(word));
  }
  EXPECT_TRUE(TreeScope::parse(scope).ok()) << scope;
}

TEST(GatheredScope, GpusOfSeveralKindsAreAKindOfTheirOwn) {
  EXPECT_THAT((Imagined{.smi = "9.0, 550.1\n8.0, 550.1\n"}.scope()), HasSubstr("gpu=sm_80+sm_90"));
}

TEST(GatheredScope, WithoutNvidiaSmiTheKernelNamesTheGpu) {
  const Imagined it{
      .files = {{"/proc/driver/nvidia/gpus/0000:01:00.0/information",
                 "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   5\n"},
                {"/proc/driver/nvidia/version",
                 "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release\n"}},
      .folders = {{"/proc/driver/nvidia/gpus", {"0000:01:00.0"}}}};

  EXPECT_THAT(it.scope(), HasSubstr("gpu=NVIDIA-A100-SXM4-80GB"));
  EXPECT_THAT(it.scope(), HasSubstr("driver=535.104.05"));
}

TEST(GatheredScope, OtherInstructionsAreAnotherScope) {
  const Imagined one{.files = {{"/proc/cpuinfo", "flags : fpu avx2\n"}}};
  const Imagined same{.files = {{"/proc/cpuinfo", "flags : avx2 fpu\n"}}};
  const Imagined other{.files = {{"/proc/cpuinfo", "flags : fpu avx2 avx512f\n"}}};

  EXPECT_EQ(one.scope(), same.scope());
  EXPECT_NE(one.scope(), other.scope());
}

TEST(GatheredScope, AToolkitCountsWhereNoWheelHasCuda) {
  Imagined it{.files = {{"/opt/cuda/version.json", R"({"cuda": {"version": "12.6.1"}})"}},
              .environment = {{"CUDA_HOME", "/opt/cuda"}}};
  EXPECT_THAT(it.scope(), HasSubstr("cuda=12.6.1"));

  it.files["/opt/cuda/version.json"] = "{";
  EXPECT_THAT(it.scope(), HasSubstr("cuda=none"));
}

TEST(GatheredScope, OnlyItsOwnWordIsPutInWords) {
  const auto gather = [] { return std::string("gpu=none torch=none"); };
  EXPECT_EQ(withGathered("site=x,gathered", gather), "site=x gpu=none torch=none");
  EXPECT_EQ(withGathered("gpu=sm_90", gather), "gpu=sm_90");
}

// ---- Programs

TEST(RunProgram, GivesWhatItPrints) {
  EXPECT_EQ(*runProgram({"sh", "-c", "echo 9.0; echo no >&2"}, 100, absl::Seconds(30)), "9.0\n");
}

TEST(RunProgram, WhatFailsOrIsNotThereOrDoesNotEndGivesNothing) {
  EXPECT_FALSE(runProgram({"sh", "-c", "echo 9.0; exit 1"}, 100, absl::Seconds(30)).ok());
  EXPECT_FALSE(runProgram({"/no/such/program"}, 100, absl::Seconds(30)).ok());
  EXPECT_FALSE(runProgram({"yes"}, 100, absl::Seconds(30)).ok());
  EXPECT_EQ(runProgram({"sleep", "1000"}, 100, absl::Milliseconds(50)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace roost
