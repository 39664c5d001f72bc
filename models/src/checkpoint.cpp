#include "flagen/models/checkpoint.h"

#include <torch/torch.h>

#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::models {
namespace {

constexpr char kModelName[] = "model.safetensors";
constexpr char kOptimizerName[] = "optim-00000-of-00001.safetensors";
constexpr char kRngName[] = "rng.safetensors";
constexpr char kStateName[] = "state.json";
constexpr char kRunStateName[] = "run_state.json";
constexpr char kCpuGenerator[] = "cpu";
constexpr char kCudaGenerator[] = "cuda";

FileWriter tensor_writer(const NamedTensors& tensors) {
    return [tensors](const ByteSink& sink) { write_tensors(tensors, {}, sink); };
}

FileWriter text_writer(std::string text) {
    return [text = std::move(text)](const ByteSink& sink) { sink(text.data(), text.size()); };
}

void refuse_non_finite(const NamedTensors& tensors, const std::string& what) {
    const auto names = non_finite_tensors(tensors);
    if (!names.empty()) {
        throw_error("checkpoint not saved: ", what, " holds NaN or infinity in ", names.size(),
                    " tensors, ", names.front(), " among them");
    }
}

bool is_own_file(const std::string& name) {
    return name == kModelName || name == kOptimizerName || name == kRngName || name == kStateName ||
           name == kRunStateName;
}

CheckpointState read_checkpoint(const VerifiedCheckpoint& verified,
                                const CheckpointLoadOptions& options) {
    constexpr auto kFault = UserFault::kInputFile;
    const auto file = [&](const char* name) { return verified.path + "/" + name; };
    for (const char* name : {kModelName, kStateName, kRunStateName}) {
        FLAGEN_USER_CHECK(kFault, verified.files.contains(name), "checkpoint has no ", name, ": ",
                          verified.path);
    }
    CheckpointState state;
    JsonObject json = JsonObject::read_file(file(kStateName), kFault);
    state.model_sha256 = verified.files.at(kModelName).sha256;
    state.step = json.require_int("step", 0);
    state.config_digest = json.require_string("config_digest");
    if (json.has("best_step")) {
        state.best_step = json.require_int("best_step", 0);
    }
    json.finish();
    json.problems().throw_if_any(file(kStateName), kFault);
    FLAGEN_USER_CHECK(kFault, state.step == verified.step, "state is of step ", state.step, ": ",
                      file(kStateName));
    FLAGEN_USER_CHECK(kFault,
                      options.allow_other_config || options.config_digest.empty() ||
                          options.config_digest == state.config_digest,
                      "checkpoint is of another configuration: ", verified.path, " (digest ",
                      state.config_digest, ", this run has ", options.config_digest, ")");

    state.model = load_tensors(file(kModelName));
    if (!options.weights_only) {
        if (verified.files.contains(kOptimizerName)) {
            state.optimizer = load_tensors(file(kOptimizerName));
        }
        if (verified.files.contains(kRngName)) {
            for (const auto& [name, tensor] : load_tensors(file(kRngName))) {
                FLAGEN_USER_CHECK(kFault, name == kCpuGenerator || name == kCudaGenerator,
                                  "unknown generator: ", name, " (", file(kRngName), ")");
                (name == kCpuGenerator ? state.rng_state : state.cuda_rng_state) = tensor;
            }
        }
    }
    state.run_state = read_whole_file(file(kRunStateName), kFault);
    for (const auto& [name, record] : verified.files) {
        if (!is_own_file(name)) {
            state.texts[name] = read_whole_file(verified.path + "/" + name, kFault);
        }
    }
    for (const NamedTensors* tensors : {&state.model, &state.optimizer}) {
        const auto names = non_finite_tensors(*tensors);
        FLAGEN_USER_CHECK(kFault, options.allow_non_finite || names.empty(),
                          "checkpoint holds NaN or infinity: ", verified.path, " (",
                          names.empty() ? "" : names.front(), ")");
    }
    return state;
}

}  // namespace

std::string save_checkpoint(CheckpointFolder& folder, const CheckpointState& state) {
    refuse_non_finite(state.model, "the model");
    refuse_non_finite(state.optimizer, "the optimiser's state");
    try {
        (void)JsonObject::parse(state.run_state, "run state");
    } catch (const UserError& error) {
        throw_error("checkpoint not saved: ", error.what());
    }
    JsonObject json;
    json.set("step", state.step);
    json.set("config_digest", state.config_digest);
    if (state.best_step) {
        json.set("best_step", *state.best_step);
    }
    std::map<std::string, FileWriter> files;
    for (const auto& [name, text] : state.texts) {
        FLAGEN_CHECK(!is_own_file(name), "name is taken: ", name);
        files[name] = text_writer(text);
    }
    files[kModelName] = tensor_writer(state.model);
    if (!state.optimizer.empty()) {
        files[kOptimizerName] = tensor_writer(state.optimizer);
    }
    if (state.rng_state.defined()) {
        NamedTensors generators = {{kCpuGenerator, state.rng_state}};
        if (state.cuda_rng_state.defined()) {
            generators.emplace_back(kCudaGenerator, state.cuda_rng_state);
        }
        files[kRngName] = tensor_writer(generators);
    }
    files[kStateName] = text_writer(json.dump(2) + "\n");
    files[kRunStateName] = text_writer(state.run_state);
    return folder.publish(state.step, files, state.best_step);
}

CheckpointState load_checkpoint(const std::string& path, const CheckpointLoadOptions& options) {
    return read_checkpoint(verify_checkpoint(path), options);
}

std::optional<CheckpointState> resume_checkpoint(CheckpointFolder& folder,
                                                 const CheckpointLoadOptions& options,
                                                 std::vector<std::string>* skipped) {
    const auto newest = folder.newest_valid(skipped);
    if (!newest) {
        return std::nullopt;
    }
    CheckpointState state = read_checkpoint(*newest, options);
    if (folder.is_open_for_writing()) {
        folder.settle(state.step, state.best_step);
    }
    return state;
}

}  // namespace flagen::models
