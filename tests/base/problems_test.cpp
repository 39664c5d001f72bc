#include "flagen/problems.h"

#include <gtest/gtest.h>

namespace flagen {
namespace {

TEST(Problems, NearestNameStaysWithinTheAllowedDistance) {
    const std::vector<std::string> names = {"heads", "repeat", "learning_rate", "key"};
    EXPECT_EQ(nearest_name("haeds", names), "heads");  // distance 2
    EXPECT_EQ(nearest_name("learnig_rate", names), "learning_rate");
    EXPECT_EQ(nearest_name("lerning_rat3", names), "learning_rate");
    EXPECT_EQ(nearest_name("learningXXXXrate", names), "learning_rate");  // 4 <= 16 / 3
    EXPECT_EQ(nearest_name("kez", names), "key");
    EXPECT_EQ(nearest_name("qqq", names), std::nullopt);
    EXPECT_EQ(nearest_name("value", names), std::nullopt);
    EXPECT_EQ(nearest_name("x", {}), std::nullopt);
    EXPECT_EQ(nearest_name("ab", {"abc", "abd"}), "abc") << "the earliest on a tie";
    EXPECT_EQ(did_you_mean("kez", names), "; did you mean \"key\"?");
    EXPECT_EQ(did_you_mean("qqq", names), "");
}

TEST(Problems, ThrowsOnlyWhenThereIsOne) {
    Problems problems;
    EXPECT_NO_THROW(problems.throw_if_any("x"));
    problems.add("", "empty document");
    try {
        problems.throw_if_any("x.json", UserFault::kInputFile);
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        EXPECT_STREQ(error.what(), "x.json: 1 problem\n  empty document");
    }
}

}  // namespace
}  // namespace flagen
