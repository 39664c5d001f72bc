#include "flagen/models/checkpoint.h"
#include "flagen/models/generator_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <thread>

#include "flagen/atomic_file.h"
#include "flagen/json_object.h"
#include "flagen/models/optimizer_state.h"
#include "flagen/models/parameter_groups.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

namespace fs = std::filesystem;
using flagen::testing::TempDir;
using ::testing::HasSubstr;

std::string contents(const fs::path& path) {
    return read_whole_file(path.string(), UserFault::kInputFile);
}

CheckpointState small_state(std::int64_t step) {
    CheckpointState state;
    state.step = step;
    state.best_step = step;
    state.config_digest = "abc";
    state.model = {{"w", torch::arange(6, at::kFloat).view({2, 3}) + static_cast<double>(step)},
                   {"b", torch::ones({2}, at::kBFloat16)},
                   {"num_batches", torch::scalar_tensor(step, at::kLong)}};
    state.optimizer = {{"w.exp_avg", torch::zeros({2, 3})}};
    state.rng_state = generator_state(at::kCPU);
    state.run_state = "{\"patience\":  3, \"best\": 0.1}\n";  // odd spacing, to be kept
    state.texts = {{"config.json", "{\"seed\": 1}\n"}};
    return state;
}

CheckpointFolder open_folder(const fs::path& path) {
    CheckpointFolder folder(path.string());
    folder.open_for_writing();
    return folder;
}

std::string load_error(const std::string& path, const CheckpointLoadOptions& options = {}) {
    try {
        (void)load_checkpoint(path, options);
        return "accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kInputFile);
        return error.what();
    }
}

TEST(Checkpoint, ComesBackBitForBit) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path());
    const CheckpointState saved = small_state(7);
    const std::string path = save_checkpoint(folder, saved);
    EXPECT_EQ(folder.hinted("best"), path);
    const CheckpointState loaded = load_checkpoint(path, {.config_digest = "abc"});
    EXPECT_EQ(loaded.step, 7);
    EXPECT_EQ(loaded.best_step, 7);
    EXPECT_EQ(loaded.run_state, saved.run_state);
    EXPECT_EQ(loaded.texts, saved.texts);
    EXPECT_TRUE(at::equal(loaded.rng_state, saved.rng_state));
    EXPECT_NO_THROW(check_same_tensors(loaded.model, saved.model, "model"));
    EXPECT_NO_THROW(check_same_tensors(loaded.optimizer, saved.optimizer, "optimizer"));
    for (const auto& [name, tensor] : loaded.model) {
        const auto same = std::find_if(saved.model.begin(), saved.model.end(),
                                       [&, n = name](const auto& item) { return item.first == n; });
        EXPECT_TRUE(at::equal(tensor, same->second)) << name;
    }
    const CheckpointState weights = load_checkpoint(path, {.weights_only = true});
    EXPECT_TRUE(weights.optimizer.empty());
    EXPECT_FALSE(weights.rng_state.defined());
    EXPECT_EQ(weights.model.size(), 3U);
}

TEST(Checkpoint, EveryDtypeLayoutAndValueSurvives) {
    const TempDir dir;
    NamedTensors tensors = {
        {"bool", torch::tensor({true, false})},
        {"u8", torch::arange(3, at::kByte)},
        {"i8", torch::arange(-1, 2, at::kChar)},
        {"i16", torch::arange(3, at::kShort)},
        {"i32", torch::arange(3, at::kInt)},
        {"i64", torch::arange(3, at::kLong)},
        {"f16", torch::randn({3}, at::kHalf)},
        {"bf16", torch::randn({3}, at::kBFloat16)},
        {"f64", torch::randn({3}, at::kDouble)},
        {"transposed", torch::randn({3, 4}).t()},
        {"slice", torch::randn({8, 4}).slice(0, 1, 8, 3)},
        {"scalar", torch::scalar_tensor(2.5)},
        {"empty", torch::zeros({0, 7})},
        {"parameter", torch::randn({2}).requires_grad_(true)},
        {"special", torch::tensor({std::numeric_limits<float>::quiet_NaN(), -0.0F, 1e-45F,
                                   std::numeric_limits<float>::infinity()})},
        {"expanded", torch::randn({1, 3}).expand({4, 3})}};
    const std::string path = (dir.path() / "t.safetensors").string();
    save_tensors(path, tensors, {{"k", "v"}});
    NamedTensors loaded = load_tensors(path);
    ASSERT_NO_THROW(check_same_tensors(loaded, tensors, path));
    const std::map<std::string, at::Tensor> by_name(loaded.begin(), loaded.end());
    for (const auto& [name, tensor] : tensors) {
        const auto bytes = [](const at::Tensor& t) {
            return t.detach().contiguous().flatten().view(at::kByte);
        };
        if (tensor.numel() > 0 && tensor.dim() > 0) {
            EXPECT_TRUE(at::equal(bytes(by_name.at(name)), bytes(tensor))) << name;
        }
    }
    EXPECT_EQ(by_name.at("scalar").item<float>(), 2.5F);
    EXPECT_THAT(non_finite_tensors(loaded), ::testing::ElementsAre("special"));
    EXPECT_THROW(save_tensors(path, {{"c", torch::zeros({1}, at::kComplexFloat)}}), Error);
    // A bool that is neither 0 nor 1 would be undefined behaviour.
    std::string bytes = contents(path);
    const SafetensorsReader reader(path);
    for (const TensorEntry& entry : reader.tensors()) {
        if (entry.name == "bool") {
            const std::size_t data = bytes.size() - reader.tensors().back().end_bytes;
            bytes[data + entry.begin_bytes] = 2;
        }
    }
    EXPECT_THROW((void)load_tensors(dir.write("bad", bytes)), UserError);
}

TEST(Checkpoint, TorchInPythonReadsTheWeights) {
    if (!flagen::testing::python_has("torch")) {
        GTEST_SKIP() << "torch is absent from " << FLAGEN_VENV_PYTHON;
    }
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path());
    const std::string path = save_checkpoint(folder, small_state(1));
    // No package for the format is needed: a dozen lines read it.
    const std::string output = flagen::testing::run_python(R"(
import json, struct, sys, torch
raw = bytearray(open(sys.argv[1], 'rb').read())
(n,) = struct.unpack('<Q', raw[:8]); header = json.loads(raw[8:8 + n])
kinds = {'F32': torch.float32, 'BF16': torch.bfloat16, 'I64': torch.int64}
for name in sorted(header):
    e = header[name]; begin, end = e['data_offsets']
    print(name, torch.frombuffer(raw[8 + n + begin:8 + n + end], dtype=kinds[e['dtype']]).reshape(e['shape']).tolist())
)",
                                                           {path + "/model.safetensors"});
    EXPECT_EQ(output, "b [1.0, 1.0]\nnum_batches 1\nw [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]\n");
}

TEST(Checkpoint, RefusesAnotherConfigurationUnlessAsked) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path());
    const std::string path = save_checkpoint(folder, small_state(1));
    EXPECT_THAT(load_error(path, {.config_digest = "xyz"}),
                HasSubstr("checkpoint is of another configuration"));
    EXPECT_EQ(load_error(path, {.config_digest = "xyz", .allow_other_config = true}), "accepted");
    // Resuming does not step back to an older one of the right configuration.
    CheckpointState other = small_state(2);
    other.config_digest = "xyz";
    save_checkpoint(folder, other);
    EXPECT_THROW((void)resume_checkpoint(folder, {.config_digest = "abc"}, nullptr), UserError);
    EXPECT_EQ(resume_checkpoint(folder, {.config_digest = "xyz"}, nullptr)->step, 2);
}

TEST(Checkpoint, NonFiniteTensorsAreNeitherSavedNorLoaded) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path());
    save_checkpoint(folder, small_state(1));
    for (const double value :
         {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
        CheckpointState state = small_state(2);
        state.model[0].second[1][2] = value;
        EXPECT_THROW(save_checkpoint(folder, state), Error);
        state = small_state(2);
        state.optimizer[0].second[0][0] = value;
        EXPECT_THROW(save_checkpoint(folder, state), Error);
    }
    EXPECT_EQ(folder.steps().size(), 1U);
    // One that another writer published with a valid manifest.
    const float nan = std::numeric_limits<float>::quiet_NaN();
    auto files = std::map<std::string, FileWriter>{};
    for (const char* name : {"state.json", "run_state.json"}) {
        std::string text = contents(fs::path(folder.path_of(1)) / name);
        const auto at = text.find("\"step\": 1");
        if (at != std::string::npos) {
            text.replace(at, 9, "\"step\": 3");
        }
        files[name] = [text](const ByteSink& sink) { sink(text.data(), text.size()); };
    }
    files["model.safetensors"] = [&](const ByteSink& sink) {
        write_tensors({{"w", torch::tensor({nan})}}, {}, sink);
    };
    const std::string path = folder.publish(3, files);
    EXPECT_THAT(load_error(path), HasSubstr("checkpoint holds NaN or infinity"));
    EXPECT_EQ(load_error(path, {.allow_non_finite = true}), "accepted");
    EXPECT_THROW((void)resume_checkpoint(folder, {}, nullptr), UserError);
}

TEST(Checkpoint, RefusesRunStatesThatAreNoJsonAndMissingFiles) {
    const TempDir dir;
    CheckpointFolder folder = open_folder(dir.path());
    for (const char* text : {"", "[1]", "{\"a\": NaN}", "{\"a\": 1, \"a\": 2}"}) {
        CheckpointState state = small_state(1);
        state.run_state = text;
        EXPECT_THROW(save_checkpoint(folder, state), Error) << text;
    }
    CheckpointState taken = small_state(1);
    taken.texts["state.json"] = "{}";
    EXPECT_THROW(save_checkpoint(folder, taken), Error);
    const std::string path =
        folder.publish(5, {{"state.json", [](const ByteSink& sink) { sink("{}", 2); }}});
    EXPECT_THAT(load_error(path), HasSubstr("checkpoint has no model.safetensors"));
}

TEST(CopyTensors, ComparesEverythingBeforeItCopiesAnything) {
    const NamedTensors found = {
        {"a", torch::ones({2, 3})}, {"b", torch::ones({2})}, {"x", torch::ones({1})}};
    const NamedTensors targets = {{"a", torch::zeros({2, 3})},
                                  {"b", torch::zeros({2}, at::kHalf)},
                                  {"c", torch::zeros({4})},
                                  {"d", torch::zeros({})}};
    try {
        copy_tensors(found, targets, "model.safetensors");
        FAIL() << "accepted";
    } catch (const UserError& error) {
        EXPECT_STREQ(error.what(),
                     "model.safetensors: 4 problems\n"
                     "  b: expected F16 [2], found F32 [2]\n"
                     "  c: tensor is missing; expected F32 [4]\n"
                     "  d: tensor is missing; expected F32 []\n"
                     "  x: unexpected tensor F32 [1]");
    }
    EXPECT_TRUE(targets[0].second.eq(0).all().item<bool>()) << "nothing may be copied";
    EXPECT_THROW(copy_tensors({{"a", torch::ones({3, 2})}}, {{"a", torch::zeros({2, 3})}}, "m"),
                 UserError)
        << "the same number of elements is not the same shape";
    const at::Tensor parameter = torch::zeros({2}).requires_grad_(true);
    const void* memory = parameter.data_ptr();
    copy_tensors({{"a", torch::ones({2})}}, {{"a", parameter}}, "m");
    EXPECT_EQ(parameter.data_ptr(), memory);
    EXPECT_TRUE(parameter.eq(1).all().item<bool>());
}

TEST(RngState, TheStreamGoesOnAsBefore) {
    torch::manual_seed(3);
    (void)torch::randn({7});  // an odd count leaves a cached normal deviate in the state
    const at::Tensor state = generator_state(at::kCPU);
    EXPECT_EQ(state.numel(), 5056);
    const at::Tensor expected = torch::randn({5});
    (void)torch::rand({100});
    set_generator_state(at::kCPU, state);
    EXPECT_TRUE(at::equal(torch::randn({5}), expected));
    EXPECT_THROW(set_generator_state(at::kCPU, torch::zeros({10}, at::kByte)), UserError);
    EXPECT_THROW(set_generator_state(at::kCPU, torch::zeros({5056})), UserError);
}

constexpr std::int64_t kTotalSteps = 24;

/// Trains a small network with dropout, saving after every step, and resumes where it left off.
void train_with_checkpoints(const fs::path& path) {
    at::set_num_threads(1);
    torch::manual_seed(42);
    torch::nn::Sequential net(torch::nn::Linear(8, 16), torch::nn::Dropout(0.3),
                              torch::nn::BatchNorm1d(16), torch::nn::Linear(16, 2));
    const ParameterGroups groups = split_parameters(*net);
    torch::optim::AdamW optimizer = make_adamw(groups, {});
    double best = 1e30;
    CheckpointState state;
    CheckpointFolder folder = open_folder(path);
    std::vector<std::string> skipped;
    if (auto resumed = resume_checkpoint(folder, {.config_digest = "c"}, &skipped)) {
        state = std::move(*resumed);
        copy_tensors(state.model, module_tensors(*net), "model");
        restore_adamw_state(optimizer, all_parameters(groups), state.optimizer, "optimizer");
        set_generator_state(at::kCPU, state.rng_state);
        best = JsonObject::parse(state.run_state, "run state").require_number("best");
    }
    ASSERT_TRUE(skipped.empty()) << skipped.front();
    state.config_digest = "c";
    write_file_atomically((path / "started").string(), "");
    while (state.step < kTotalSteps) {
        optimizer.zero_grad();
        const at::Tensor loss = net->forward(torch::randn({6, 8})).square().mean();
        loss.backward();
        optimizer.step();
        ++state.step;
        if (loss.item<double>() < best) {
            best = loss.item<double>();
            state.best_step = state.step;
        }
        state.model = module_tensors(*net);
        state.optimizer = adamw_state(optimizer, all_parameters(groups));
        state.rng_state = generator_state(at::kCPU);
        JsonObject run_state;
        run_state.set("best", best);
        state.run_state = run_state.dump();
        save_checkpoint(folder, state);
    }
}

/// The body of the process that SurvivesSigkillBitForBit kills; disabled as a test of its own.
TEST(CheckpointWorker, DISABLED_Trains) {
    const char* path = std::getenv("FLAGEN_CHECKPOINT_WORKER_DIR");
    ASSERT_NE(path, nullptr);
    train_with_checkpoints(path);
}

pid_t start_worker(const fs::path& path) {
    fs::create_directories(path);
    fs::remove(path / "started");
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("FLAGEN_CHECKPOINT_WORKER_DIR", path.c_str(), 1);
        ::execl("/proc/self/exe", "worker", "--gtest_filter=CheckpointWorker.*",
                "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
        ::_exit(127);
    }
    return child;
}

bool ended_well(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Checkpoint, SurvivesSigkillBitForBit) {
    const TempDir dir;
    ASSERT_TRUE(ended_well(start_worker(dir.path() / "straight")));
    std::mt19937 random(std::random_device{}());
    const fs::path killed = dir.path() / "killed";
    const fs::path last = killed / "step-00000024";
    const auto newest_step = [&] {
        const auto steps = CheckpointFolder(killed.string()).steps();
        return steps.empty() ? 0 : steps.back();
    };
    int kills = 0;
    while (!fs::exists(last)) {
        const std::int64_t goal = newest_step() + static_cast<std::int64_t>(random() % 5);
        const pid_t child = start_worker(killed);
        // Some steps, and then a moment anywhere in a step or a save.
        int status = 0;
        bool has_ended = false;
        while (!has_ended && (!fs::exists(killed / "started") || newest_step() < goal)) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            has_ended = ::waitpid(child, &status, WNOHANG) == child;
        }
        if (!has_ended) {
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
            ::kill(child, SIGKILL);
            ::waitpid(child, &status, 0);
        }
        kills += WIFSIGNALED(status) ? 1 : 0;
        ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "a worker failed";
    }
    ASSERT_TRUE(ended_well(start_worker(killed)));
    EXPECT_GE(kills, 3);
    int compared = 0;
    for (const auto& entry : fs::directory_iterator(dir.path() / "straight" / "step-00000024")) {
        EXPECT_EQ(contents(entry.path()), contents(last / entry.path().filename())) << entry.path();
        ++compared;
    }
    EXPECT_EQ(compared, 6);
    EXPECT_EQ(contents(killed / "best"), contents(dir.path() / "straight" / "best"));
    EXPECT_EQ(contents(killed / "latest"), contents(dir.path() / "straight" / "latest"));
}

}  // namespace
}  // namespace flagen::models
