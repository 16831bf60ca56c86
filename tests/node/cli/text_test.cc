// Figures, tables and bars.
#include "node/cli/text.h"

#include <gtest/gtest.h>

#include "node/cli/document.h"

namespace roost {
namespace {

TextStyle narrow(int columns) {
  TextStyle style;
  style.columns = columns;
  return style;
}

TEST(Text, BytesHaveThreeFiguresOrSo) {
  const std::vector<std::pair<uint64_t, std::string>> cases = {{0, "0 B"},
                                                               {999, "999 B"},
                                                               {1000, "1.0 kB"},
                                                               {41'200'000'000, "41.2 GB"},
                                                               {139'000'000'000, "139 GB"},
                                                               {1'100'000'000'000, "1.1 TB"},
                                                               {99'949, "99.9 kB"},
                                                               {99'950, "100 kB"},
                                                               {999'499, "999 kB"},
                                                               {999'500, "1.0 MB"},
                                                               {UINT64_MAX, "18.4 EB"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(formatBytes(bytes), text) << bytes;
}

TEST(Text, CountsHaveCommas) {
  EXPECT_EQ(formatCount(0), "0");
  EXPECT_EQ(formatCount(999), "999");
  EXPECT_EQ(formatCount(1204), "1,204");
  EXPECT_EQ(formatCount(1'234'567), "1,234,567");
}

TEST(Text, TimesAreShort) {
  EXPECT_EQ(formatClock(42), "0:42");
  EXPECT_EQ(formatClock(725), "12:05");
  EXPECT_EQ(formatClock(3723), "1:02:03");
  EXPECT_EQ(formatClock(-1), "0:00");
  EXPECT_EQ(formatSpan(0.42), "0.4 s");
  EXPECT_EQ(formatSpan(12.3), "12 s");
  EXPECT_EQ(formatSpan(180), "3 min");
  EXPECT_EQ(formatSpan(7200), "2 h");
  EXPECT_EQ(formatSpan(86400.0 * 5), "5 d");
}

TEST(Text, WidthCountsSignsNotBytesNorColors) {
  EXPECT_EQ(displayWidth("a → ━"), 5u);
  EXPECT_EQ(displayWidth("\x1b[32mready\x1b[0m"), 5u);
}

TEST(Text, FittedCutsWithAnEllipsis) {
  EXPECT_EQ(fitted("abcdef", narrow(6)), "abcdef");
  EXPECT_EQ(fitted("abcdef", narrow(5)), "abcd…");
  EXPECT_EQ(fitted("äöüäöü", narrow(4)), "äöü…");
  EXPECT_EQ(fitted("abcdef", narrow(0)), "abcdef");
}

TEST(Text, FittedEndsTheColorItCutsInto) {
  EXPECT_EQ(fitted("\x1b[32mabcdef\x1b[0m", narrow(4)), "\x1b[32mabc\x1b[0m…");
}

TEST(Text, WrappedBreaksBetweenWords) {
  EXPECT_EQ(wrapped("one two three", 2, narrow(8)), "one two\n  three\n");
  EXPECT_EQ(wrapped("one two three", 2, narrow(0)), "one two three\n");
  EXPECT_EQ(wrapped("unbreakable x", 0, narrow(4)), "unbreakable\nx\n");
}

TEST(Text, BarsShowTheEdgeBetweenDoneAndNot) {
  TextStyle style;
  EXPECT_EQ(bar(0, 4, style), "╺━━━");
  EXPECT_EQ(bar(0.5, 4, style), "━━╺━");
  EXPECT_EQ(bar(0.999, 4, style), "━━━╺");
  EXPECT_EQ(bar(1, 4, style), "━━━━");
  EXPECT_EQ(bar(7, 4, style), "━━━━");
  style.unicode = false;
  EXPECT_EQ(bar(0.5, 4, style), "==>-");
}

TEST(Text, ColorOnlyWhereItIsWanted) {
  TextStyle style;
  EXPECT_EQ(toned("x", Tone::kBad, style), "x");
  style.color = true;
  EXPECT_EQ(toned("x", Tone::kBad, style), "\x1b[31mx\x1b[0m");
}

TEST(Table, DropsTheLeastImportantColumnsFirst) {
  const std::vector<Column> columns = {{"NAME", false, 4, 0}, {"A", true, 4, 1}, {"B", true, 4, 2}};
  const std::vector<std::vector<Cell>> rows = {{{"n"}, {"1"}, {"2"}}};
  EXPECT_EQ(table(columns, rows, narrow(16)), "NAME     A     B\nn        1     2\n");
  EXPECT_EQ(table(columns, rows, narrow(15)), "NAME     A\nn        1\n");
  EXPECT_EQ(table(columns, rows, narrow(9)), "NAME\nn\n");
  EXPECT_EQ(table(columns, rows, narrow(3)), "NA…\nn\n");
}

TEST(Document, TerminalCodesFromOthersAreDefused) {
  EXPECT_EQ(printable("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m");
  EXPECT_EQ(printable("Grüße"), "Grüße");
}

TEST(Document, WhatIsMissingOrOfAnotherTypeIsEmpty) {
  const nlohmann::json document = {{"text", 1}, {"number", "x"}, {"minus", -1}, {"list", "x"}};
  EXPECT_EQ(textAt(document, "text"), "");
  EXPECT_EQ(textAt(document, "none"), "");
  EXPECT_EQ(numberAt(document, "number"), 0u);
  EXPECT_EQ(numberAt(document, "minus"), 0u);
  EXPECT_TRUE(listAt(document, "list").empty());
  EXPECT_TRUE(listAt(nlohmann::json(3), "list").empty());
  EXPECT_FALSE(flagAt(document, "text"));
}

TEST(Document, InvalidUtf8DoesNotThrow) {
  EXPECT_EQ(dumped({{"a", "\xff"}}, false), "{\"a\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace roost
