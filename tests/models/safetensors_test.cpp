#include "flagen/models/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>

#include "flagen/error.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

using flagen::testing::TempDir;
using ::testing::HasSubstr;

std::string file_bytes(const std::string& header, const std::string& data) {
    std::uint64_t length = header.size();
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes + header + data;
}

/// The error for a file of these bytes, or "accepted".
std::string refusal(const std::string& bytes) {
    static const TempDir dir;
    try {
        const SafetensorsReader reader(dir.write("t.safetensors", bytes));
        return "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        EXPECT_THAT(error.what(), HasSubstr("t.safetensors"));
        return error.what();
    }
}

std::string refusal_of_header(const std::string& header, std::size_t data_bytes) {
    return refusal(file_bytes(header, std::string(data_bytes, '\0')));
}

std::string written(std::vector<TensorSource> tensors,
                    const std::map<std::string, std::string>& metadata = {}) {
    std::string bytes;
    write_safetensors(std::move(tensors), metadata, [&](const void* data, std::size_t num_bytes) {
        bytes.append(static_cast<const char*>(data), num_bytes);
    });
    return bytes;
}

std::string sample_file() {
    static const float weight[6] = {1.5F, -2.0F, 3.25F, 0.0F, -0.0F, 1e-30F};
    static const std::int64_t step = 1234567890123;
    static const std::uint8_t flags[3] = {1, 0, 255};
    return written({{"flags", TensorDtype::kUint8, {3}, flags},
                    {"step", TensorDtype::kInt64, {}, &step},
                    {"a.weight", TensorDtype::kFloat32, {2, 3}, weight},
                    {"empty", TensorDtype::kFloat64, {0, 4}, nullptr}},
                   {{"format", "pt"}, {"note", "caf\xC3\xA9 \"quoted\""}});
}

TEST(Safetensors, ReadsBackWhatItWrote) {
    const TempDir dir;
    const SafetensorsReader reader(dir.write("s", sample_file()));
    EXPECT_EQ(reader.metadata().at("note"), "caf\xC3\xA9 \"quoted\"");
    ASSERT_EQ(reader.tensors().size(), 4U);
    for (const TensorEntry& entry : reader.tensors()) {
        EXPECT_EQ(entry.begin_bytes % dtype_bytes(entry.dtype), 0U) << entry.name;
        if (entry.name == "a.weight") {
            float values[6];
            reader.read(entry, values);
            EXPECT_EQ(entry.shape, (std::vector<std::int64_t>{2, 3}));
            EXPECT_EQ(values[2], 3.25F);
            EXPECT_TRUE(std::signbit(values[4]));
        } else if (entry.name == "step") {
            std::int64_t value = 0;
            reader.read(entry, &value);
            EXPECT_TRUE(entry.shape.empty());
            EXPECT_EQ(value, 1234567890123);
        }
    }
}

TEST(Safetensors, TheOrderGivenDoesNotMatter) {
    const float a[1] = {1.0F};
    const float b[2] = {2.0F, 3.0F};
    const std::string bytes =
        written({{"a", TensorDtype::kFloat32, {1}, a}, {"b", TensorDtype::kFloat32, {2}, b}});
    EXPECT_EQ(bytes, written({{"b", TensorDtype::kFloat32, {2}, b},
                              {"a", TensorDtype::kFloat32, {1}, a}}));
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    EXPECT_EQ(header % 8, 0U) << "data must start aligned";
}

/// A parser of its own, after the format's description; json and struct only.
TEST(Safetensors, AnIndependentParserAgrees) {
    const TempDir dir;
    const std::string path = dir.write("s.safetensors", sample_file());
    const std::string output = flagen::testing::run_python(R"(
import json, struct, sys
raw = open(sys.argv[1], 'rb').read()
(n,) = struct.unpack('<Q', raw[:8])
header = json.loads(raw[8:8 + n]); data = raw[8 + n:]
print(header.pop('__metadata__')['note'])
kinds = {'F32': 'f', 'F64': 'd', 'I64': 'q', 'U8': 'B'}; covered = 0
for name in sorted(header):
    e = header[name]; b, t = e['data_offsets']; kind = kinds[e['dtype']]; covered += t - b
    print(name, e['shape'], struct.unpack('<%d%s' % ((t - b) // struct.calcsize(kind), kind), data[b:t]))
print(covered == len(data), n % 8)
)",
                                                           {path});
    EXPECT_EQ(output,
              "caf\xC3\xA9 \"quoted\"\n"
              "a.weight [2, 3] (1.5, -2.0, 3.25, 0.0, -0.0, 1.0000000031710769e-30)\n"
              "empty [0, 4] ()\n"
              "flags [3] (1, 0, 255)\n"
              "step [] (1234567890123,)\n"
              "True 0\n");
}

TEST(Safetensors, AcceptsScalarsEmptyTensorsAndEmptyFiles) {
    EXPECT_EQ(refusal_of_header("{}", 0), "accepted");
    EXPECT_EQ(refusal_of_header("{}      ", 0), "accepted");
    EXPECT_EQ(refusal_of_header(R"({"__metadata__":{}})", 0), "accepted");
    EXPECT_EQ(refusal_of_header(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4),
              "accepted");
    EXPECT_EQ(refusal_of_header(R"({"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0),
              "accepted");
    // An empty tensor may lie between two others.
    EXPECT_EQ(refusal_of_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                R"("e":{"dtype":"U8","shape":[0,9],"data_offsets":[2,2]},)"
                                R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                3),
              "accepted");
}

TEST(Safetensors, RefusesEveryMalformedHeader) {
    const auto one = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
        return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
               offsets + "}}";
    };
    ASSERT_EQ(refusal_of_header(one("F32", "[1]", "[0,4]"), 4), "accepted");
    const std::vector<std::pair<std::string, const char*>> cases = {
        {one("F33", "[1]", "[0,4]"), "unknown element type: \"F33\""},
        {one("F4", "[8]", "[0,4]"), "unknown element type"},
        {one("F32", "[1]", "[0,3]"), "differs from shape"},
        {one("F32", "[2]", "[0,4]"), "differs from shape"},
        {one("F32", "[-1]", "[0,4]"), "-1 is out of range"},
        {one("F32", "[-1,-1]", "[0,4]"), "out of range"},
        {one("F32", "[1099511627776,1099511627776]", "[0,4]"), "differs from shape"},
        {one("F32", "[4611686018427387905]", "[0,4]"), "differs from shape"},  // x 4 wraps to 4
        {one("F32", "[0,1099511627776,1099511627776]", "[0,0]"), "differs from shape"},
        {one("F32", "[9223372036854775808]", "[0,4]"), "out of range"},
        {one("F32", "[1.5]", "[0,4]"), "expected an integer"},
        {one("F32", "[\"1\"]", "[0,4]"), "expected an integer"},
        {one("F32", "1", "[0,4]"), "expected a list of integers"},
        {one("F32", "[1]", "[4,0]"), "data_offsets [begin, end]"},
        {one("F32", "[1]", "[0]"), "data_offsets [begin, end]"},
        {one("F32", "[1]", "[0,2,4]"), "data_offsets [begin, end]"},
        {one("F32", "[1]", "[-4,0]"), "out of range"},
        {one("F32", "[1]", "[1,5]"), "begin at byte 1"},
        {R"({"x":{"dtype":"F32","shape":[1]}})", "data_offsets: required key is missing"},
        {R"({"x":{"shape":[1],"data_offsets":[0,4]}})", "dtype: required key is missing"},
        {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1}})", "unknown key"},
        {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"F32"}})",
         "duplicate key"},
        {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
         "x: duplicate key"},
        {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
         "begin at byte 0, but the tensor before ends at 4"},
        {R"({"x":7})", "expected an object"},
        {R"({"x":null})", "expected an object"},
        {R"({"__metadata__":{"a":1},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
         "expected a string"},
        {R"({"__metadata__":"a","x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
         "expected an object"},
        {"[]", "does not start with {"},
        {" {}", "does not start with {"},
        {"\xEF\xBB\xBF{}", "does not start with {"},
        {"", "does not start with {"},
        {"{", "not valid JSON"},
        {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x)", "not valid JSON"},
        {"{\"x\":" + std::string(5'000'000, '['), "nested deeper than 64"},
    };
    for (const auto& [header, expected] : cases) {
        EXPECT_THAT(refusal_of_header(header, 4), HasSubstr(expected)) << header.substr(0, 200);
    }
    // Data that end before or after the file.
    EXPECT_THAT(refusal_of_header(one("F32", "[1]", "[0,4]"), 5),
                HasSubstr("need 4 bytes of data, the file holds 5"));
    EXPECT_THAT(refusal_of_header(one("F32", "[1]", "[0,4]"), 3),
                HasSubstr("need 4 bytes of data, the file holds 3"));
    EXPECT_THAT(refusal_of_header("{}", 1), HasSubstr("need 0 bytes"));
}

TEST(Safetensors, RefusesHeadersThatDoNotFit) {
    for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{100'000'001},
                                       std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        std::string bytes = file_bytes("{}", "");
        std::memcpy(bytes.data(), &length, sizeof(length));
        EXPECT_THAT(refusal(bytes), HasSubstr("does not fit")) << length;
    }
    EXPECT_THAT(refusal(""), HasSubstr("shorter than the 8 bytes"));
    EXPECT_THAT(refusal("\x02"), HasSubstr("shorter than the 8 bytes"));
    const TempDir dir;
    EXPECT_THROW(SafetensorsReader(dir.path().string()), UserError);
    EXPECT_THROW(SafetensorsReader((dir.path() / "none").string()), UserError);
}

TEST(Safetensors, NamesAllFaultsOfAHeaderAtOnce) {
    const std::string error = refusal_of_header(
        R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offset":[0,4]}})",
        4);
    EXPECT_THAT(error, HasSubstr("a.dtype: unknown element type"));
    EXPECT_THAT(error, HasSubstr("b.data_offset: unknown key; did you mean \"data_offsets\"?"));
}

TEST(Safetensors, EveryTruncationIsRefused) {
    const std::string bytes = sample_file();
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        EXPECT_NE(refusal(bytes.substr(0, length)), "accepted") << length;
    }
}

TEST(Safetensors, DamagedFilesNeverCrash) {
    const std::string seed = sample_file();
    std::mt19937 random(3);
    int accepted = 0;
    for (int round = 0; round < 3'000; ++round) {
        std::string bytes = seed;
        for (std::size_t e = 0; e <= random() % 3; ++e) {
            const std::size_t at = random() % bytes.size();
            if (random() % 3 == 0) {
                bytes.erase(at, 1 + random() % 9);
            } else {
                bytes[at] = static_cast<char>(random() % 256);
            }
        }
        accepted += refusal(bytes) == "accepted" ? 1 : 0;
    }
    EXPECT_GT(accepted, 0) << "the data part has no checksum, so some must pass";
    EXPECT_LT(accepted, 1'500);
}

TEST(Safetensors, AFileThatShrinksWhileOpenIsAnError) {
    const TempDir dir;
    const std::string path = dir.write("s", sample_file());
    const SafetensorsReader reader(path);
    std::filesystem::resize_file(path, 60);
    std::vector<char> buffer(64);
    EXPECT_THROW(
        {
            for (const TensorEntry& entry : reader.tensors()) {
                reader.read(entry, buffer.data());
            }
        },
        UserError);
}

TEST(Safetensors, TheWriterRefusesWhatItCouldNotReadBack) {
    const float x[1] = {1.0F};
    EXPECT_THROW(
        written({{"a", TensorDtype::kFloat32, {1}, x}, {"a", TensorDtype::kFloat32, {1}, x}}),
        Error);
    EXPECT_THROW(written({{"__metadata__", TensorDtype::kFloat32, {1}, x}}), Error);
    EXPECT_THROW(written({{"\xff", TensorDtype::kFloat32, {1}, x}}), Error);
    EXPECT_THROW(written({}, {{"k", "\xff"}}), Error);
    EXPECT_THROW(written({{"a", TensorDtype::kFloat32, {-1}, x}}), Error);
    EXPECT_THROW(written({{"a", TensorDtype::kFloat32, {1}, nullptr}}), Error);
    EXPECT_NO_THROW(written({{"", TensorDtype::kFloat32, {1}, x}}));
}

}  // namespace
}  // namespace flagen::models
