#include "apps/runtime/trainer.h"

#include <spdlog/fmt/ranges.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/runtime/metrics_log.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/run_state.h"
#include "apps/runtime/stop_signal.h"
#include "apps/runtime/trained_model.h"
#include "apps/runtime/training_section.h"
#include "flagen/atomic_file.h"
#include "flagen/data/batch_sampler.h"
#include "flagen/data/prefetch_loader.h"
#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/models/checkpoint.h"
#include "flagen/models/generator_state.h"
#include "flagen/models/optimizer_state.h"
#include "flagen/models/parameter_groups.h"
#include "flagen/problems.h"

namespace flagen::apps {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

double gibibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0 * 1024.0); }

double peak_memory_gib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return gibibytes(usage.ru_maxrss * 1024);  // Linux counts kibibytes
}

class Trainer {
  public:
    Trainer(const RunConfig& config, const TrainOptions& options)
        : config_(config), options_(options), folder_((fs::path(options.out) / "checkpoints").string()) {}

    int run();

  private:
    void prepare_folder();
    void prepare_data();
    void prepare_model();
    void resume();
    void write_run_files();
    void train_step(data::Batch& batch);
    [[nodiscard]] std::optional<double> descend(const at::Tensor& loss);
    void log_step();
    void validate();
    void save();
    void save_or_go_on(bool must_succeed);
    [[nodiscard]] std::string path(const char* name) const { return (fs::path(options_.out) / name).string(); }
    [[nodiscard]] at::Device device() const { return options_.device.device; }
    [[nodiscard]] bool finished() const {
        return step_ >= config_.train.max_steps || state_.stopped_early;
    }

    const RunConfig& config_;
    const TrainOptions& options_;
    models::CheckpointFolder folder_;
    std::shared_ptr<spdlog::logger> log_;

    std::deque<TrainingSection> sections_;  // never moved: they hold references to themselves
    std::vector<InputDigests> inputs_;
    std::optional<data::BatchSampler> sampler_;

    models::ExpressionModel model_{nullptr};
    models::ParameterGroups parameters_;
    std::optional<torch::optim::AdamW> optimizer_;

    std::int64_t step_ = 0;
    std::optional<std::int64_t> best_step_;
    RunState state_;
    std::optional<MetricsLog> metrics_;
    double last_loss_ = 0.0;
    double step_seconds_ = 0.0;  // of this process, without validation and saving
};

void Trainer::prepare_folder() {
    const bool occupied = fs::exists(path("checkpoints"));
    if (occupied && options_.resume == ResumeMode::kNever && !options_.dry_run) {
        throw_user_error(UserFault::kConfig, "the folder already holds a run: ", options_.out,
                         " (add --resume auto to go on with it, or choose another --out)");
    }
    std::vector<spdlog::sink_ptr> sinks{std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
    if (!options_.dry_run) {
        std::error_code error;
        fs::create_directories(options_.out, error);
        if (error) {
            throw_user_error(UserFault::kConfig, "cannot create the run folder: ", options_.out, " (",
                             error.message(), ")");
        }
        sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path("log.txt")));
    }
    log_ = std::make_shared<spdlog::logger>("train", sinks.begin(), sinks.end());
    log_->set_pattern("%Y-%m-%d %H:%M:%S %v");
    log_->flush_on(spdlog::level::info);
}

void Trainer::prepare_data() {
    const auto start = Clock::now();
    std::vector<data::ResumableSampler> samplers;
    for (const DataConfig& config : config_.data) {
        const TrainingSection& section = sections_.emplace_back(config, config_);
        const std::int64_t num_windows = section.windows()->num_examples();
        inputs_.push_back(section.inputs());
        samplers.emplace_back(data::SamplerOptions{num_windows, config.windows.seed, true, -1, 0, 1});
        for (const std::string& warning : section.data().warnings) {
            log_->warn("{}", warning);
        }
        const auto& reference = *section.data().reference;
        log_->info("{}: {} bp in {} contigs; {}; {} training windows of {} bp", section.head(),
                   reference.summary().num_bases, reference.contigs().size(), section.data().description(), num_windows,
                   config.windows.window_bp);
    }
    sampler_.emplace(std::move(samplers), config_.train.batch_size);
    state_.sums.resize(sections_.size());
    log_->info("inputs read in {:.1f} s", seconds_since(start));
    if (!config_.ignored_keys.empty()) {
        log_->info("keys of the configuration that have no effect here: {}", fmt::join(config_.ignored_keys, ", "));
    }
}

void Trainer::prepare_model() {
    torch::manual_seed(config_.train.seed);
    const auto with_genes = config_.genes_section();
    const std::int64_t num_samples = with_genes ? sections_[*with_genes].data().targets.num_samples() : 0;
    model_ = models::ExpressionModel(config_.model, num_samples);
    model_->to(device());
    model_->set_precision(config_.train.precision);
    if (config_.train.precision == models::Precision::kFp16) {
        state_.scaler.emplace();
    }
    for (TrainingSection& section : sections_) {
        section.prepare(model_);
    }
    parameters_ = models::split_parameters(*model_);
    optimizer_.emplace(models::make_adamw(parameters_, config_.train.adamw));
    std::int64_t count = 0;
    for (const auto& [name, tensor] : models::all_parameters(parameters_)) {
        count += tensor.numel();
    }
    log_->info("{} parameters, {} threads, device {}, precision {}", count, at::get_num_threads(),
               options_.device.text(), models::precision_name(config_.train.precision));
}

void Trainer::resume() {
    models::CheckpointLoadOptions load;
    load.config_digest = digest_of_run(config_, inputs_);
    std::vector<std::string> skipped;
    const auto checkpoint = models::resume_checkpoint(folder_, load, &skipped);
    for (const std::string& reason : skipped) {
        log_->warn("passed over a checkpoint: {}", reason);
    }
    if (!checkpoint) {
        return;
    }
    const std::string source = folder_.path_of(checkpoint->step);
    models::copy_tensors(checkpoint->model, models::module_tensors(*model_), source);
    models::restore_adamw_state(*optimizer_, models::all_parameters(parameters_), checkpoint->optimizer, source);
    models::set_generator_state(at::kCPU, checkpoint->rng_state);
    if (device().is_cuda() && checkpoint->cuda_rng_state.defined()) {
        models::set_generator_state(device(), checkpoint->cuda_rng_state);
    }
    state_ = RunState::from_json_text(checkpoint->run_state, sections_.size(), source);
    sampler_->restore(state_.sampler);
    step_ = checkpoint->step;
    best_step_ = checkpoint->best_step;
    folder_.discard_after(step_);
    log_->info("resumed at step {} from {}", step_, source);
}

void Trainer::write_run_files() {
    write_file_atomically(path(kConfigFile), config_.resolved_text());
    if (const auto with_genes = config_.genes_section()) {
        write_file_atomically(path("genes_dropped.tsv"),
                              data::dropped_genes_tsv(sections_[*with_genes].data().targets.dropped));
    }
    if (!fs::exists(path("run.json"))) {
        write_run_record(path("run.json"), options_.command_line, options_.device, config_.train.precision, inputs_);
    }
}

// The norm of the gradients, which the optimiser followed; nothing where they were not finite in fp16, and the
// step was left out.
std::optional<double> Trainer::descend(const at::Tensor& loss) {
    const double factor = state_.scaler ? state_.scaler->factor : 1.0;
    (state_.scaler ? loss * factor : loss).backward();
    last_loss_ = loss.item<double>();
    if (!state_.scaler && !std::isfinite(last_loss_)) {
        throw_error("the loss is not finite at step ", step_ + 1, ": ", last_loss_,
                    " (the last checkpoint is unharmed; try a lower learning rate)");
    }
    const std::vector<at::Tensor> parameters = model_->parameters();
    if (state_.scaler) {
        state_.scaler->unscale(parameters);
    }
    const double limit = config_.train.global_clipnorm;
    const double norm = torch::nn::utils::clip_grad_norm_(
        parameters, limit > 0 ? limit : std::numeric_limits<double>::infinity());
    if (state_.scaler) {
        const bool finite = std::isfinite(norm);
        state_.scaler->update(finite);
        if (!finite) {
            return std::nullopt;
        }
    }
    optimizer_->step();
    return norm;
}

void Trainer::train_step(data::Batch& batch) {
    model_->train();
    models::set_learning_rate(*optimizer_, config_.train.learning_rate.at(step_));
    optimizer_->zero_grad();
    last_loss_ = 0.0;
    std::optional<double> norm = 0.0;
    const at::Tensor loss = sections_[batch.section].loss(model_, batch);
    if (loss.defined()) {
        norm = descend(loss);
    }
    ++step_;
    state_.sampler = batch.sampler_state;
    StepSums& sums = state_.sums[batch.section];
    if (!norm) {
        ++sums.num_skipped;
        return;
    }
    sums.loss += last_loss_;
    sums.gradient_norm += *norm;
    ++sums.num_steps;
}

// A line for each section that had a step since the last one.
void Trainer::log_step() {
    std::string losses;
    for (std::size_t i = 0; i < sections_.size(); ++i) {
        const auto num_steps = static_cast<double>(state_.sums[i].num_steps);
        if (num_steps == 0) {
            continue;
        }
        const data::SamplerState& sampler = state_.sampler.sections[i];
        const double loss = state_.sums[i].loss / num_steps;
        JsonObject line;
        line.set("step", step_);
        line.set("head", sections_[i].head());
        line.set("epoch", static_cast<double>(sampler.num_consumed) / static_cast<double>(sampler.num_examples));
        line.set("loss", loss);
        line.set("gradient_norm", state_.sums[i].gradient_norm / num_steps);
        line.set("learning_rate", config_.train.learning_rate.at(step_ - 1));
        if (state_.scaler) {
            line.set("loss_scale", state_.scaler->factor);
            line.set("skipped_steps", state_.sums[i].num_skipped);
        }
        metrics_->append(line.dump());
        losses += fmt::format("  {}loss {:.4f}", sections_.size() == 1 ? "" : sections_[i].head() + " ", loss);
        state_.sums[i] = {};
    }
    log_->info("step {}/{}{}", step_, config_.train.max_steps, losses);
}

void Trainer::validate() {
    const auto start = Clock::now();
    std::vector<Validation> validations;
    for (const TrainingSection& section : sections_) {
        validations.push_back(section.validate(model_));
        const Validation& validation = validations.back();
        if (!validation.score) {
            if (step_ == config_.train.valid_every_steps) {
                log_->warn("the validation split of {} holds neither genes nor windows", section.head());
            }
            continue;
        }
        JsonObject line;
        line.set("step", step_);
        line.set("head", section.head());
        for (const auto& [name, value] : validation.metrics) {
            line.set(name, value);
        }
        metrics_->append(line.dump());
        for (const std::string& text : validation.lines) {
            log_->info("{}{}", sections_.size() == 1 ? "" : section.head() + ": ", text);
        }
    }
    const auto score = mean_score(validations);
    if (!score) {
        if (step_ == config_.train.valid_every_steps) {
            log_->warn("without a validation no step is the best, and none stops early");
        }
        return;
    }
    const bool best = *score > state_.best_score;
    if (best) {
        state_.best_score = *score;
        best_step_ = step_;
        state_.validations_without_best = 0;
    } else {
        ++state_.validations_without_best;
        const auto patience = config_.train.patience;
        state_.stopped_early = patience > 0 && state_.validations_without_best >= patience;
    }
    JsonObject line;
    line.set("step", step_);
    line.set("valid_score", *score);
    metrics_->append(line.dump());
    log_->info("validated in {:.1f} s, score {:.4f}{}", seconds_since(start), *score, best ? "; best so far" : "");
}

void Trainer::save() {
    const auto start = Clock::now();
    models::CheckpointState checkpoint;
    checkpoint.step = step_;
    checkpoint.best_step = best_step_;
    checkpoint.config_digest = digest_of_run(config_, inputs_);
    checkpoint.model = models::module_tensors(*model_);
    checkpoint.optimizer = models::adamw_state(*optimizer_, models::all_parameters(parameters_));
    checkpoint.rng_state = models::generator_state(at::kCPU);
    if (device().is_cuda()) {
        checkpoint.cuda_rng_state = models::generator_state(device());
    }
    checkpoint.run_state = state_.to_json_text();
    checkpoint.texts = {{kConfigFile, config_.resolved_text()}};
    for (const TrainingSection& section : sections_) {
        section.add_texts(checkpoint.texts);
    }
    models::save_checkpoint(folder_, checkpoint);
    log_->info("saved step {} in {:.2f} s", step_, seconds_since(start));
}

// A full disk must not end a run of days: older checkpoints stand, and space may come back.
void Trainer::save_or_go_on(bool must_succeed) {
    try {
        save();
    } catch (const models::FencedError&) {
        throw;
    } catch (const Error& error) {
        if (must_succeed) {
            throw;
        }
        log_->error("could not save step {}: {}; training goes on", step_, error.what());
    }
}

int Trainer::run() {
    prepare_folder();
    prepare_data();
    prepare_model();
    if (options_.dry_run) {
        log_->info("dry run: everything reads and fits; nothing was written");
        return kExitOk;
    }
    folder_.open_for_writing({config_.train.keep_checkpoints, 0});
    state_.sampler = sampler_->state();
    resume();
    write_run_files();
    metrics_.emplace(path("metrics.jsonl"), step_);
    if (finished()) {
        log_->info("the run is complete already ({} steps)", step_);
        return kExitOk;
    }

    const StopSignal stop;
    std::vector<data::LoaderSection> sources;
    for (const TrainingSection& section : sections_) {
        sources.push_back({section.windows(), section.table()});
    }
    data::PrefetchLoader loader(std::move(sources), *sampler_, {1, 4, device().is_cuda()});
    Progress progress("train", "steps", config_.train.max_steps, step_);
    const auto start = Clock::now();
    const std::int64_t first_step = step_;
    const TrainConfig& train = config_.train;
    while (!finished()) {
        const auto step_start = Clock::now();
        auto batch = loader.next();
        train_step(*batch);
        step_seconds_ += seconds_since(step_start);
        progress.update(step_, "loss " + std::to_string(last_loss_));
        const bool last = step_ >= train.max_steps;
        if (step_ % train.log_every_steps == 0 || last) {
            progress.clear();
            log_step();
        }
        if (step_ % train.valid_every_steps == 0 || last) {
            progress.clear();
            validate();
        }
        const bool stopping = stop.received() != 0 && !finished();
        if (step_ % train.checkpoint_every_steps == 0 || finished() || stopping) {
            progress.clear();
            save_or_go_on(finished() || stopping);
        }
        if (stopping) {
            log_->info("signal {}: saved at step {}; run the same command with --resume auto to go on",
                       stop.received(), step_);
            return kExitRequeue;
        }
    }
    progress.clear();
    const double seconds = seconds_since(start);
    log_->info("done: {} steps in {}, {:.3g} s a step, {:.3g} s with validation, peak memory {:.2f} GiB{}{}",
               step_ - first_step, format_duration(seconds), step_seconds_ / static_cast<double>(step_ - first_step),
               seconds / static_cast<double>(step_ - first_step), peak_memory_gib(),
               device().is_cuda() ? fmt::format(", {:.2f} GiB on the GPU", gibibytes(options_.device.peak_bytes())) : "",
               best_step_ ? ", best at step " + std::to_string(*best_step_) : std::string{});
    return kExitOk;
}

}  // namespace

int train(const RunConfig& config, const TrainOptions& options) { return Trainer(config, options).run(); }

}  // namespace flagen::apps
