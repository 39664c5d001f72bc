#include "flagen/json_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/temp_dir.h"

namespace flagen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string parse_error(const std::string& text) {
    try {
        (void)JsonObject::parse(text, "a.json");
    } catch (const UserError& error) {
        return error.what();
    }
    return "accepted";
}

std::string report(JsonObject object) {
    object.finish();
    return object.problems().report("a.json");
}

TEST(JsonObject, ReadsEveryType) {
    auto root = JsonObject::parse(
        R"({"i": -3, "x": 2.5, "b": true, "s": "text", "one": "gene", "many": ["a", "b"],
            "ints": [1, 2.0, 3e0], "numbers": [1, 0.5], "o": {"deep": 1}, "list": [{"k": 1}, {"k": 2}]})",
        "a.json");
    EXPECT_EQ(root.get_int("i", 0), -3);
    EXPECT_DOUBLE_EQ(root.get_number("x", 0), 2.5);
    EXPECT_TRUE(root.get_bool("b", false));
    EXPECT_EQ(root.require_string("s"), "text");
    EXPECT_THAT(root.get_strings("one", {}), ElementsAre("gene"));
    EXPECT_THAT(root.require_strings("many"), ElementsAre("a", "b"));
    EXPECT_THAT(root.get_ints("ints", {}), ElementsAre(1, 2, 3));
    EXPECT_THAT(root.get_numbers("numbers", {}), ElementsAre(1.0, 0.5));
    EXPECT_EQ(root.get_object("o").require_int("deep"), 1);
    auto list = root.get_objects("list");
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[1].require_int("k"), 2);
    EXPECT_EQ(list[1].path(), "list[1]");
    (void)list[0].get_int("k", 0);
    EXPECT_EQ(report(root), "a.json: 0 problems");
}

TEST(JsonObject, AbsentKeysGiveTheFallbackWithoutProblem) {
    auto root = JsonObject::parse("{}", "a.json");
    EXPECT_EQ(root.get_int("i", 7), 7);
    EXPECT_EQ(root.get_choice("c", "b", {"a", "b"}), "b");
    EXPECT_THAT(root.get_strings("s", {"x"}), ElementsAre("x"));
    EXPECT_EQ(root.get_object("o").get_object("p").get_bool("q", true), true);
    EXPECT_TRUE(root.get_objects("l").empty());
    EXPECT_EQ(report(root), "a.json: 0 problems");
}

TEST(JsonObject, ReportsAllProblemsAtOnceWithTheNearestKey) {
    auto root = JsonObject::parse(
        R"({"train": {"learnig_rate": 1, "seed": "one", "steps": 0, "kind": "glaa"},
            "model": {"trunk": [{"name": "conv"}, {"nmae": "gla", "heads": 2.5}]}, "zzz": 1})",
        "params.json");
    auto train = root.get_object("train");
    (void)train.get_number("learning_rate", 1e-3);
    (void)train.get_int("seed", 1);
    (void)train.get_int("steps", 1, 1);
    (void)train.get_choice("kind", "gla", {"gla", "delta"});
    for (auto& block : root.get_object("model").get_objects("trunk")) {
        (void)block.require_string("name");
        (void)block.get_int("heads", 4);
    }
    root.finish();
    root.finish();  // a second call must not repeat anything
    try {
        root.problems().throw_if_any(root.source_name());
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kConfig);
        EXPECT_STREQ(error.what(),
                     "params.json: 8 problems\n"
                     "  train.seed: expected an integer, found a string (\"one\")\n"
                     "  train.steps: 0 is out of range; expected an integer of at least 1\n"
                     "  train.kind: \"glaa\" is not one of gla, delta; did you mean \"gla\"?\n"
                     "  model.trunk[1].name: required key is missing\n"
                     "  model.trunk[1].heads: expected an integer, found the number 2.5\n"
                     "  zzz: unknown key\n"
                     "  train.learnig_rate: unknown key; did you mean \"learning_rate\"?\n"
                     "  model.trunk[1].nmae: unknown key; did you mean \"name\"?");
    }
}

TEST(JsonObject, FinishCoversObjectsNobodyFinished) {
    auto root =
        JsonObject::parse(R"({"a": {"b": {"typo": 1}}, "never_opened": {"x": 1}})", "a.json");
    (void)root.get_object("a").get_object("b").get_int("fine", 0);
    EXPECT_EQ(report(root),
              "a.json: 2 problems\n  never_opened: unknown key\n  a.b.typo: unknown key");
}

TEST(JsonObject, IgnoredKeysAreAccepted) {
    auto root = JsonObject::parse(R"({"verbose": [1, {"x": null}]})", "a.json");
    root.ignore("verbose");
    EXPECT_EQ(report(root), "a.json: 0 problems");
}

TEST(JsonObject, DuplicateKeysAreAllNamedWithTheirPaths) {
    EXPECT_EQ(
        parse_error(R"({"a": {"x": 1, "x": 2}, "l": [0, {"y": 1, "y": 1}], "a": 3})"),
        "a.json: 3 problems\n  a.x: duplicate key\n  l[1].y: duplicate key\n  a: duplicate key");
    // The same key spelt with an escape is the same key.
    EXPECT_THAT(parse_error("{\"a\": 1, \"\\u0061\": 2}"), HasSubstr("a: duplicate key"));
    EXPECT_EQ(parse_error(R"({"x": {"k": 1}, "y": {"k": 1}})"), "accepted");
}

TEST(JsonObject, SyntaxErrorsSayLineAndColumn) {
    EXPECT_THAT(parse_error("{\n  \"a\": 1,\n  \"b\" 2\n}"),
                HasSubstr("not valid JSON: a.json:3:7: "));
    EXPECT_THAT(parse_error("{\"a\": 1,}"), HasSubstr("a.json:1:9: "));
}

TEST(JsonObject, RefusesWhatIsNotStrictJson) {
    for (const char* text : {"",
                             " ",
                             "{",
                             "}",
                             "[1]",
                             "1",
                             "null",
                             "\"s\"",
                             "{\"a\":}",
                             "{\"a\":1}x",
                             "{\"a\":1}{}",
                             "{a:1}",
                             "{'a':1}",
                             "{\"a\":01}",
                             "{\"a\":+1}",
                             "{\"a\":.5}",
                             "{\"a\":1.}",
                             "{\"a\":0x1}",
                             "{\"a\":NaN}",
                             "{\"a\":nan}",
                             "{\"a\":Infinity}",
                             "{\"a\":-Infinity}",
                             "{\"a\":1e400}",
                             "{\"a\":-1e400}",
                             "{\"a\":tru}",
                             "{\"a\":\"\x01\"}",
                             "{\"a\":\"\xff\"}",
                             "{\"a\":\"\\x\"}",
                             "{\"a\":\"\\ud800\"}",
                             "{\"a\":1 /* c */}",
                             "// c\n{}",
                             "{\"a\":[1,]}",
                             "{\"a\" 1}",
                             "{,}",
                             "{\"a\":1,,\"b\":2}",
                             "{1:2}"}) {
        EXPECT_NE(parse_error(text), "accepted") << text;
    }
    EXPECT_NE(parse_error(std::string("{\"a\":1}\0", 8)), "accepted");
    EXPECT_EQ(parse_error("\xEF\xBB\xBF{\"a\":1}"), "accepted") << "a byte-order mark is harmless";
}

TEST(JsonObject, NestingIsLimited) {
    const auto nested = [](int depth) {
        std::string text = "{\"a\":";
        for (int i = 1; i < depth; ++i) text += "[";
        text += "1";
        for (int i = 1; i < depth; ++i) text += "]";
        return text + "}";
    };
    EXPECT_EQ(parse_error(nested(JsonObject::kMaxDepth)), "accepted");
    EXPECT_THAT(parse_error(nested(JsonObject::kMaxDepth + 1)), HasSubstr("nested deeper than 64"));
    EXPECT_THAT(parse_error("{\"a\":" + std::string(2'000'000, '[')), HasSubstr("nested deeper"));
}

TEST(JsonObject, IntegersAtTheEdges) {
    auto root = JsonObject::parse(
        R"({"max": 9223372036854775807, "min": -9223372036854775808, "over": 9223372036854775808,
            "under": -9223372036854775809, "huge": 18446744073709551616, "float": 3.0, "e": 1e15,
            "neg": -0.0, "past53": 9007199254740992.0, "half": 0.5, "big": 1e300, "text": "1", "yes": true})",
        "a.json");
    EXPECT_EQ(root.get_int("max", 0), JsonObject::kMaxInt);
    EXPECT_EQ(root.get_int("min", 0), JsonObject::kMinInt);
    EXPECT_EQ(root.get_int("float", 0), 3);
    EXPECT_EQ(root.get_int("e", 0), 1'000'000'000'000'000);
    EXPECT_EQ(root.get_int("neg", 1), 0);
    EXPECT_TRUE(root.problems().empty());
    for (const char* key : {"over", "under", "huge", "past53", "half", "big", "text", "yes"}) {
        const auto before = root.problems().size();
        EXPECT_EQ(root.get_int(key, -7), -7) << key;
        EXPECT_EQ(root.problems().size(), before + 1) << key;
    }
    EXPECT_EQ(root.get_int("max", 1, 0, 10), 1);
    EXPECT_THAT(root.problems().report("a"), HasSubstr("expected an integer from 0 to 10"));
    EXPECT_THAT(
        root.problems().report("a"),
        HasSubstr("over: 9223372036854775808 is out of range; expected an integer of at most "
                  "9223372036854775807"));
}

TEST(JsonObject, NumberRangesAreClosedAndIntegersAreNumbers) {
    auto root =
        JsonObject::parse(R"({"a": 1, "b": 0.1, "c": -1e308, "d": "0.1", "e": null})", "a.json");
    EXPECT_DOUBLE_EQ(root.get_number("a", 0, 0, 1), 1.0);
    EXPECT_DOUBLE_EQ(root.get_number("b", 0, 0.1, 0.1), 0.1);
    EXPECT_DOUBLE_EQ(root.get_number("c", 0), -1e308);
    EXPECT_TRUE(root.problems().empty());
    EXPECT_DOUBLE_EQ(root.get_number("a", 0.25, 0, 0.5), 0.25);
    EXPECT_DOUBLE_EQ(root.get_number("d", 0.25), 0.25);
    EXPECT_DOUBLE_EQ(root.get_number("e", 0.25), 0.25);
    EXPECT_EQ(root.problems().report("f"),
              "f: 3 problems\n  a: 1 is out of range; expected a number from 0.0 to 0.5\n"
              "  d: expected a number, found a string (\"0.1\")\n"
              "  e: expected a number, found null");
}

TEST(JsonObject, ListsReportEachWrongElement) {
    auto root = JsonObject::parse(R"({"l": [1, "x", 2, 99], "s": ["a", 1], "o": [{}, 3], "n": 5})",
                                  "a.json");
    EXPECT_THAT(root.get_ints("l", {4}, 0, 10), ElementsAre(4));
    EXPECT_THAT(root.get_strings("s", {}), ElementsAre());
    EXPECT_EQ(root.get_objects("o").size(), 1U);
    EXPECT_THAT(root.get_numbers("n", {}), ElementsAre());
    EXPECT_TRUE(root.get_objects("n").empty());
    EXPECT_EQ(report(root),
              "a.json: 6 problems\n"
              "  l[1]: expected an integer, found a string (\"x\")\n"
              "  l[3]: 99 is out of range; expected an integer from 0 to 10\n"
              "  s[1]: expected a string, found the number 1\n"
              "  o[1]: expected an object, found the number 3\n"
              "  n: expected a list of numbers, found the number 5\n"
              "  n: expected a list of objects, found the number 5");
}

TEST(JsonObject, AnObjectStandsForAListOfOne) {
    auto root = JsonObject::parse(R"({"one": {"k": 3}, "two": [{"k": 4}, {"k": "x"}]})", "a.json");
    auto one = root.get_objects("one");
    ASSERT_EQ(one.size(), 1U);
    EXPECT_EQ(one[0].path(), "one");
    EXPECT_EQ(one[0].require_int("k"), 3);
    for (auto& entry : root.get_objects("two")) {
        (void)entry.require_int("k");
    }
    EXPECT_EQ(report(root),
              "a.json: 1 problem\n  two[1].k: expected an integer, found a string (\"x\")");
}

TEST(JsonObject, KeysWithoutEffectAreNamedOnce) {
    auto root = JsonObject::parse(R"({"a": {"verbose": 1, "l2": 2}, "b": {"l2": 3}})", "a.json");
    for (const char* object : {"a", "b"}) {
        for (const char* key : {"verbose", "l2", "absent"}) {
            root.get_object(object).ignore(key);
        }
    }
    EXPECT_THAT(root.ignored_keys(), ElementsAre("l2", "verbose"));
    EXPECT_EQ(report(root), "a.json: 0 problems");
}

TEST(JsonObject, AWrongTypedObjectIsOneProblem) {
    auto root = JsonObject::parse(R"({"model": 3})", "a.json");
    auto model = root.get_object("model");
    (void)model.require_string("name");
    (void)model.get_objects("trunk");
    EXPECT_EQ(report(root), "a.json: 1 problem\n  model: expected an object, found the number 3");
}

TEST(JsonObject, OverridesByPath) {
    auto root = JsonObject::parse(R"({"train": {"lr": 1}, "trunk": [{"heads": 2}, {"heads": 4}]})",
                                  "a.json");
    root.set_path("train.lr", "3e-4");
    root.set_path("train.name", "plain text");
    root.set_path("train.flag", "true");
    root.set_path("trunk[1].heads", "8");
    root.set_path("trunk.0.heads", "6");
    root.set_path("new.deep.list", "[1, 2]");
    root.set_path("quoted", "\"7\"");
    EXPECT_TRUE(root.problems().empty()) << root.problems().report("a");
    EXPECT_EQ(root.dump(),
              R"({"new":{"deep":{"list":[1,2]}},"quoted":"7","train":{"flag":true,"lr":0.0003,)"
              R"("name":"plain text"},"trunk":[{"heads":6},{"heads":8}]})");
}

TEST(JsonObject, RefusedOverridesChangeNothing) {
    auto root = JsonObject::parse(R"({"a": 1, "l": [{"k": 1}]})", "a.json");
    const std::string before = root.dump();
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"a.b", "1"},     {"l[1].k", "1"},
        {"l.x", "1"},     {"l[-1]", "1"},
        {"", "1"},        {"a..b", "1"},
        {".a", "1"},      {"new[0]", "1"},
        {"l[0]k", "1"},   {"b", "{\"x\":1,\"x\":2}"},
        {"s", "\xff"},    {"l[99999999999999999999].k", "1"},
        {"new.x[0]", "1"}};
    for (const auto& [path, text] : refused) {
        const auto count = root.problems().size();
        root.set_path(path, text);
        EXPECT_EQ(root.problems().size(), count + 1) << path;
        EXPECT_EQ(root.dump(), before) << path;
    }
    EXPECT_THAT(root.problems().report("a"), HasSubstr("a.b: cannot be set: a is the number 1"));
    EXPECT_THAT(root.problems().report("a"), HasSubstr("l is a list of 1, without element [1]"));
}

TEST(JsonObject, BuildsAndReadsBackExactly) {
    JsonObject root;
    root.set("i", JsonObject::kMinInt);
    root.set("x", 0.1);
    root.set("tiny", 5e-324);
    root.set("flag", false);
    root.set("s", "tab\t\"quote\" \xC3\xA9");
    root.set("ints", std::vector<std::int64_t>{1, -2});
    root.set_object("o").set("k", 1);
    root.append_object("list").set("k", 1);
    root.append_object("list").set("k", 2);
    const auto copy = JsonObject::parse(root.dump(2), "copy");
    EXPECT_EQ(copy.dump(), root.dump());
    JsonObject back = copy;
    EXPECT_EQ(back.get_int("i", 0), JsonObject::kMinInt);
    EXPECT_EQ(back.get_number("tiny", 0), 5e-324);
    EXPECT_EQ(back.get_objects("list")[1].get_int("k", 0), 2);
    EXPECT_THROW(root.set("x", std::numeric_limits<double>::quiet_NaN()), Error);
    EXPECT_THROW(root.set("x", std::numeric_limits<double>::infinity()), Error);
    EXPECT_THROW(root.set("s", std::string("\xff")), Error);
}

TEST(JsonObject, ReadFileNamesTheFile) {
    const flagen::testing::TempDir dir;
    const std::string path = dir.write("c.json", "{\"a\": }");
    try {
        (void)JsonObject::read_file(path, UserFault::kInputFile);
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        EXPECT_THAT(error.what(), HasSubstr(path + ":1:7"));
    }
    EXPECT_THROW((void)JsonObject::read_file((dir.path() / "none.json").string()), UserError);
    EXPECT_THROW((void)JsonObject::read_file(dir.path().string()), UserError);
}

/// Replays thousands of damaged texts: each must be read or refused with a UserError, and whatever
/// is accepted must survive its own round trip.
TEST(JsonObject, DamagedTextsNeverCrash) {
    const std::string seed =
        R"({"data": {"fasta": ["g.fa.gz"], "seq_length": 524288, "circular": []},
            "model": {"trunk": [{"name": "conv", "repeat": 4}, {"x": -1.5e-3}]}, "t": "\u00e9\n", "n": null})";
    std::mt19937 random(7);
    int accepted = 0;
    int refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string text = seed;
        const int edits = 1 + static_cast<int>(random() % 3);
        for (int e = 0; e < edits && !text.empty(); ++e) {
            const std::size_t at = random() % text.size();
            switch (random() % 4) {
                case 0:
                    text[at] = static_cast<char>(random() % 256);
                    break;
                case 1:
                    text.erase(at, 1 + random() % 8);
                    break;
                case 2:
                    text.insert(at, 1, "{}[],:\"\\0e-."[random() % 12]);
                    break;
                default:
                    text.resize(at);
                    break;
            }
        }
        try {
            const auto object = JsonObject::parse(text, "fuzz");
            EXPECT_EQ(JsonObject::parse(object.dump(), "again").dump(), object.dump());
            ++accepted;
        } catch (const UserError&) {
            ++refused;
        }
    }
    EXPECT_GT(accepted, 1'000);
    EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace flagen
