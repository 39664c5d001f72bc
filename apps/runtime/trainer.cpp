#include "apps/runtime/trainer.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/runtime/run_data.h"
#include "apps/runtime/metrics_log.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/run_record.h"
#include "apps/runtime/stop_signal.h"
#include "apps/runtime/trained_model.h"
#include "apps/runtime/validator.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prefetch_loader.h"
#include "flagen/data/target_transform.h"
#include "flagen/data/window_dataset.h"
#include "flagen/error.h"
#include "flagen/json_object.h"
#include "flagen/models/checkpoint.h"
#include "flagen/models/expression_loss.h"
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

double peak_memory_gib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / (1024.0 * 1024.0);  // Linux counts kibibytes
}

// What a checkpoint must hold beside tensors for the run to go on as if nothing had happened.
struct RunState {
    data::SamplerState sampler;
    double best_score = -std::numeric_limits<double>::infinity();
    std::int64_t validations_without_best = 0;
    double loss_sum = 0.0;         // since the last line of metrics.jsonl
    double norm_sum = 0.0;
    std::int64_t loss_count = 0;
    bool stopped_early = false;

    [[nodiscard]] std::string to_json() const {
        JsonObject root;
        root.set("sampler", data::to_json_text(sampler));
        if (std::isfinite(best_score)) {
            root.set("best_score", best_score);
        }
        root.set("validations_without_best", validations_without_best);
        root.set("loss_sum", loss_sum);
        root.set("norm_sum", norm_sum);
        root.set("loss_count", loss_count);
        root.set("stopped_early", stopped_early);
        return root.dump();
    }

    [[nodiscard]] static RunState from_json(const std::string& text, const std::string& source) {
        JsonObject root = JsonObject::parse(text, source, UserFault::kInputFile);
        RunState state;
        state.sampler = data::sampler_state_from_json(root.require_string("sampler"), source);
        state.best_score = root.get_number("best_score", state.best_score);
        state.validations_without_best = root.require_int("validations_without_best", 0);
        state.loss_sum = root.require_number("loss_sum");
        state.norm_sum = root.require_number("norm_sum");
        state.loss_count = root.require_int("loss_count", 0);
        state.stopped_early = root.require_bool("stopped_early");
        root.finish();
        root.problems().throw_if_any(source, UserFault::kInputFile);
        return state;
    }
};

// Listed windows of a cache, or the training segments tiled.
std::shared_ptr<const data::WindowDataset> training_windows(data::WindowDatasetConfig config, const RunData& data) {
    const auto tracks = data.tracks ? data.tracks->windows : nullptr;
    if (!data.tracks || data.tracks->listed.windows.empty()) {
        return std::make_shared<const data::WindowDataset>(data.reference, data.targets.spans, data.plan, config, tracks);
    }
    config.max_shift_bp = data.tracks->window_shift_bp;
    return std::make_shared<const data::WindowDataset>(data.reference, data.targets.spans, data.plan, config, tracks,
                                                       data.listed_windows(genomics::Split::kTrain));
}

models::ExpressionLoss make_loss(const TrainConfig& config, const models::TargetScale& scale) {
    models::ExpressionLoss loss;
    loss.kind = config.loss == "huber" ? models::ExpressionLoss::Kind::kHuber : models::ExpressionLoss::Kind::kMse;
    loss.huber_delta = config.huber_delta;
    loss.mean_scale = scale.mean_scale;
    loss.deviation_scale = scale.deviation_scale;
    loss.deviation_weight = config.deviation_weight;
    return loss;
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
    void log_step();
    void validate();
    [[nodiscard]] at::Tensor loss_of(const data::Batch& batch);
    void save();
    void save_or_go_on(bool must_succeed);
    [[nodiscard]] std::string path(const char* name) const { return (fs::path(options_.out) / name).string(); }
    [[nodiscard]] bool finished() const {
        return step_ >= config_.train.max_steps || state_.stopped_early;
    }

    const RunConfig& config_;
    const TrainOptions& options_;
    models::CheckpointFolder folder_;
    std::shared_ptr<spdlog::logger> log_;

    std::optional<RunData> data_;
    InputDigests inputs_;
    data::TargetTransform transform_;
    std::shared_ptr<const data::TargetTable> table_;  // null without genes
    std::shared_ptr<const data::WindowDataset> dataset_;
    std::optional<Validator> validator_;
    std::optional<data::ResumableSampler> sampler_;

    models::ExpressionModel model_{nullptr};
    models::ParameterGroups parameters_;
    std::optional<torch::optim::AdamW> optimizer_;
    models::ExpressionLoss loss_;

    std::int64_t step_ = 0;
    std::optional<std::int64_t> best_step_;
    RunState state_;
    std::optional<MetricsLog> metrics_;
    double last_loss_ = 0.0;
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
    data_ = RunData::load(config_);
    inputs_ = InputDigests::of(config_.data, *data_);
    if (config_.data.genes) {
        transform_ = data::TargetTransform::fit(config_.data.genes->transform, data_->targets.values,
                                                data_->rows(genomics::Split::kTrain), data_->targets.samples);
        table_ = std::make_shared<const data::TargetTable>(data::TargetTable::make(data_->targets, transform_));
    }
    validator_.emplace(config_, *data_, transform_);
    dataset_ = training_windows(config_.data.windows, *data_);
    sampler_.emplace(data::SamplerOptions{dataset_->num_examples(), config_.train.seed, true, -1, 0, 1});
    for (const std::string& warning : data_->warnings) {
        log_->warn("{}", warning);
    }
    log_->info("{} bp in {} contigs; {}", data_->reference->summary().num_bases,
               data_->reference->contigs().size(), data_->description());
    log_->info("{} training windows of {} bp an epoch; inputs read in {:.1f} s", dataset_->num_examples(),
               config_.data.windows.window_bp, seconds_since(start));
}

void Trainer::prepare_model() {
    torch::manual_seed(config_.train.seed);
    model_ = models::ExpressionModel(config_.model, data_->targets.num_samples());
    if (table_) {
        const at::Tensor rows = at::tensor(data_->rows(genomics::Split::kTrain), at::kLong);
        const auto scale =
            models::TargetScale::fit(table_->values.index_select(0, rows), table_->mask.index_select(0, rows));
        model_->genes().set_target_scale(scale.sample_mean, scale.mean_scale, scale.deviation_scale);
        loss_ = make_loss(config_.train, scale);
    }
    if (data_->tracks) {
        const std::int64_t units = config_.model.find_track_head(config_.data.tracks->head)->units;
        FLAGEN_USER_CHECK(UserFault::kConfig, units == data_->tracks->table.num_tracks(), "model.head_",
                          config_.data.tracks->head, " has ", units, " units, but ", config_.data.tracks->table, " has ",
                          data_->tracks->table.num_tracks(), " tracks");
    }
    parameters_ = models::split_parameters(*model_);
    optimizer_.emplace(models::make_adamw(parameters_, config_.train.adamw));
    std::int64_t count = 0;
    for (const auto& [name, tensor] : models::all_parameters(parameters_)) {
        count += tensor.numel();
    }
    log_->info("{} parameters, {} threads", count, at::get_num_threads());
}

void Trainer::resume() {
    models::CheckpointLoadOptions load;
    load.config_digest = inputs_.combined_with(config_);
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
    models::set_cpu_rng_state(checkpoint->rng_state);
    state_ = RunState::from_json(checkpoint->run_state, source);
    sampler_->restore(state_.sampler);
    step_ = checkpoint->step;
    best_step_ = checkpoint->best_step;
    folder_.discard_after(step_);
    log_->info("resumed at step {} from {}", step_, source);
}

void Trainer::write_run_files() {
    write_file_atomically(path(kConfigFile), config_.resolved_text());
    if (table_) {
        write_file_atomically(path("genes_dropped.tsv"), data::dropped_genes_tsv(data_->targets.dropped));
    }
    if (!fs::exists(path("run.json"))) {
        write_run_record(path("run.json"), options_.command_line, inputs_);
    }
}

// The weighted sum over target kinds; undefined where the batch has nothing to score.
at::Tensor Trainer::loss_of(const data::Batch& batch) {
    const bool genes = table_ && batch.genes.window.size(0) > 0;
    const std::string head = data_->tracks ? config_.data.tracks->head : "";
    if (!genes && head.empty()) {
        return {};
    }
    const auto output = model_->forward(batch.tokens, genes ? gene_queries(batch.genes) : models::GeneQueries{},
                                        head.empty() ? std::vector<std::string>{} : std::vector<std::string>{head});
    at::Tensor loss;
    if (genes) {
        loss = config_.data.gene_weight * loss_(output.genes, batch.genes.targets, batch.genes.mask);
    }
    if (!head.empty()) {
        const at::Tensor track_loss =
            config_.data.track_weight * config_.train.track_loss(output.tracks.at(head), batch.tracks);
        loss = loss.defined() ? loss + track_loss : track_loss;
    }
    return loss;
}

void Trainer::train_step(data::Batch& batch) {
    model_->train();
    models::set_learning_rate(*optimizer_, config_.train.learning_rate.at(step_));
    optimizer_->zero_grad();
    last_loss_ = 0.0;
    double norm = 0.0;
    const at::Tensor loss = loss_of(batch);
    if (loss.defined()) {
        last_loss_ = loss.item<double>();
        if (!std::isfinite(last_loss_)) {
            throw_error("the loss is not finite at step ", step_ + 1, ": ", last_loss_,
                        " (the last checkpoint is unharmed; try a lower learning rate)");
        }
        loss.backward();
        const double limit = config_.train.global_clipnorm;
        norm = torch::nn::utils::clip_grad_norm_(model_->parameters(),
                                                 limit > 0 ? limit : std::numeric_limits<double>::infinity());
        optimizer_->step();
    }
    ++step_;
    state_.sampler = batch.sampler_state;
    state_.loss_sum += last_loss_;
    state_.norm_sum += norm;
    ++state_.loss_count;
}

void Trainer::log_step() {
    JsonObject line;
    const auto count = static_cast<double>(state_.loss_count);
    line.set("step", step_);
    line.set("epoch", static_cast<double>(state_.sampler.num_consumed) /
                          static_cast<double>(state_.sampler.num_examples));
    line.set("loss", state_.loss_sum / count);
    line.set("gradient_norm", state_.norm_sum / count);
    line.set("learning_rate", config_.train.learning_rate.at(step_ - 1));
    metrics_->append(line.dump());
    log_->info("step {}/{}  loss {:.4f}", step_, config_.train.max_steps, state_.loss_sum / count);
    state_.loss_sum = 0.0;
    state_.norm_sum = 0.0;
    state_.loss_count = 0;
}

void Trainer::validate() {
    const auto start = Clock::now();
    const Validation validation = validator_->run(model_);
    if (!validation.score) {
        if (step_ == config_.train.valid_every_steps) {
            log_->warn("the validation split holds neither genes nor windows: no step is the best, and none stops early");
        }
        return;
    }
    const bool best = *validation.score > state_.best_score;
    if (best) {
        state_.best_score = *validation.score;
        best_step_ = step_;
        state_.validations_without_best = 0;
    } else {
        ++state_.validations_without_best;
        const auto patience = config_.train.patience;
        state_.stopped_early = patience > 0 && state_.validations_without_best >= patience;
    }
    JsonObject line;
    line.set("step", step_);
    for (const auto& [name, value] : validation.metrics) {
        line.set(name, value);
    }
    metrics_->append(line.dump());
    for (const std::string& text : validation.lines) {
        log_->info("{}", text);
    }
    log_->info("validated in {:.1f} s{}", seconds_since(start), best ? "; best so far" : "");
}

void Trainer::save() {
    const auto start = Clock::now();
    models::CheckpointState checkpoint;
    checkpoint.step = step_;
    checkpoint.best_step = best_step_;
    checkpoint.config_digest = inputs_.combined_with(config_);
    checkpoint.model = models::module_tensors(*model_);
    checkpoint.optimizer = models::adamw_state(*optimizer_, models::all_parameters(parameters_));
    checkpoint.rng_state = models::cpu_rng_state();
    checkpoint.run_state = state_.to_json();
    checkpoint.texts = {{kConfigFile, config_.resolved_text()}};
    if (table_) {
        checkpoint.texts.emplace(kTransformFile, transform_.to_json_text());
        checkpoint.texts.emplace(kSamplesFile, samples_to_json(data_->targets.samples));
    }
    if (data_->tracks) {
        checkpoint.texts.emplace(kTrackTableFile, data_->tracks->table.to_text());
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
    data::PrefetchLoader loader(dataset_, *sampler_, table_, {config_.train.batch_size, 1, 4});
    Progress progress("train", "steps", config_.train.max_steps, step_);
    const auto start = Clock::now();
    const std::int64_t first_step = step_;
    const TrainConfig& train = config_.train;
    while (!finished()) {
        auto batch = loader.next();
        train_step(*batch);
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
    log_->info("done: {} steps in {}, {:.2f} s a step with validation, peak memory {:.2f} GiB{}", step_ - first_step,
               format_duration(seconds_since(start)), seconds_since(start) / static_cast<double>(step_ - first_step),
               peak_memory_gib(), best_step_ ? ", best at step " + std::to_string(*best_step_) : std::string{});
    return kExitOk;
}

}  // namespace

int train(const RunConfig& config, const TrainOptions& options) { return Trainer(config, options).run(); }

}  // namespace flagen::apps
