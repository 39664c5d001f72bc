#include "apps/options/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/program_options/value_semantic.hpp>
#include <string>
#include <vector>

#include "apps/runtime/progress.h"
#include "apps/runtime/run_record.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message_of(const std::vector<std::string>& arguments) {
    CommandLine line("test --out O", "A test.");
    std::string out;
    std::int64_t number = 0;
    line.options().add_options()("out", boost::program_options::value(&out)->required(), "")(
        "number", boost::program_options::value(&number), "");
    try {
        static_cast<void>(line.parse(arguments));
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kConfig);
        return error.what();
    }
    return "accepted";
}

TEST(CommandLine, FaultsNameTheOptionAndTheUsage) {
    EXPECT_EQ(message_of({"--out", "x"}), "accepted");
    EXPECT_THAT(message_of({"--outt", "x"}), HasSubstr("did you mean \"--out\""));
    EXPECT_THAT(message_of({"--number", "3"}), HasSubstr("usage: flagen test --out O"));
    EXPECT_THAT(message_of({"--out", "x", "--number", "three"}), HasSubstr("three"));
}

TEST(CommandLine, AbbreviatedOptionsAreRefused) {
    EXPECT_THAT(message_of({"--out", "x", "--num", "3"}), HasSubstr("--num"));
}

TEST(CommandLine, IntListsAreStrict) {
    EXPECT_THAT(parse_int_list("0,8,-16", "--shifts"), ElementsAre(0, 8, -16));
    EXPECT_THROW(static_cast<void>(parse_int_list("0,x", "--shifts")), UserError);
    EXPECT_THROW(static_cast<void>(parse_int_list("", "--shifts")), UserError);
    EXPECT_THROW(static_cast<void>(parse_int_list("1.5", "--shifts")), UserError);
}

TEST(QuotedCommand, QuotesWhatAShellWouldSplit) {
    EXPECT_EQ(quoted_command("train", {"a.json", "--set", "model.trunk[0].filters=3", "it's"}),
              "flagen train a.json --set 'model.trunk[0].filters=3' 'it'\\''s'");
}

TEST(Progress, FormatsDurations) {
    EXPECT_EQ(format_duration(156.2), "2:36");
    EXPECT_EQ(format_duration(3756), "1:02:36");
}

}  // namespace
}  // namespace flagen::apps
