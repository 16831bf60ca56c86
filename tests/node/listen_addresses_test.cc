#include "node/listen_addresses.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const Address kListen{"0.0.0.0", 8376};

std::vector<Address> advertised(const std::string& text) {
  const auto entries = parseAdvertise(text);
  EXPECT_TRUE(entries.ok()) << entries.status();
  const auto addresses = advertisedAddresses(*entries, kListen);
  EXPECT_TRUE(addresses.ok()) << addresses.status();
  return addresses.value_or(std::vector<Address>());
}

absl::Status refused(const std::string& text) {
  return advertisedAddresses(*parseAdvertise(text), kListen).status();
}

TEST(ListenAddressesTest, WithoutAWishItIsTheListenAddress) {
  const auto addresses = advertisedAddresses({}, kListen);
  ASSERT_TRUE(addresses.ok());
  EXPECT_THAT(*addresses, ElementsAre(kListen));
}

TEST(ListenAddressesTest, AnAddressHasTheListenPortUnlessItNamesOne) {
  EXPECT_THAT(advertised("10.1.2.3,10.1.2.4:99"),
              ElementsAre(Address{"10.1.2.3", 8376}, Address{"10.1.2.4", 99}));
}

TEST(ListenAddressesTest, AnInterfaceStandsForItsAddresses) {
  EXPECT_THAT(advertised("lo"), Contains(Address{"127.0.0.1", 8376}));
}

TEST(ListenAddressesTest, ANetworkStandsForTheOwnAddressesInIt) {
  EXPECT_THAT(advertised("127.0.0.0/8"), ElementsAre(Address{"127.0.0.1", 8376}));
  EXPECT_THAT(advertised("127.0.0.1/32"), SizeIs(1));
}

TEST(ListenAddressesTest, WhatThisMachineDoesNotHaveIsAnErrorThatNamesIt) {
  EXPECT_THAT(std::string(refused("nosuch0").message()), HasSubstr("nosuch0"));
  EXPECT_THAT(std::string(refused("203.0.113.0/24").message()), HasSubstr("203.0.113.0/24"));
  EXPECT_TRUE(absl::IsInvalidArgument(refused("nosuch0")));
}

TEST(ListenAddressesTest, MoreEntriesThanAMemberMayHaveAddressesAreRefused) {
  std::string text;
  for (int i = 1; i <= 40; ++i) text += (i == 1 ? "10.0.0." : ",10.0.0.") + std::to_string(i);
  EXPECT_TRUE(absl::IsInvalidArgument(parseAdvertise(text).status()));
}

}  // namespace
}  // namespace roost
