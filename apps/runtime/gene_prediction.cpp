#include <ATen/ATen.h>

#include <cstdio>
#include <filesystem>
#include <span>
#include <sstream>
#include <unordered_map>

#include "apps/exit_code.h"
#include "apps/runtime/prediction_run.h"
#include "apps/runtime/predictor.h"
#include "apps/runtime/progress.h"
#include "apps/runtime/stop_signal.h"
#include "flagen/atomic_file.h"
#include "flagen/data/prediction_store.h"
#include "flagen/error.h"

namespace flagen::apps {
namespace {

std::vector<std::int64_t> chosen_rows(const PredictionRequest& request, const RunData& data) {
    if (!request.genes_file.empty()) {
        return rows_of_gene_list(request.genes_file, data.targets);
    }
    std::vector<std::int64_t> rows;
    for (std::size_t i = 0; i < data.splits.size(); ++i) {
        if (request.split == "all" || request.split == genomics::split_name(data.splits[i])) {
            rows.push_back(static_cast<std::int64_t>(i));
        }
    }
    return rows;
}

std::vector<data::PredictedGene> describe_genes(const RunData& data, const std::vector<std::int64_t>& rows,
                                                const GenePrediction& prediction) {
    std::vector<data::PredictedGene> genes;
    genes.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<std::size_t>(rows[i]);
        const auto& span = data.targets.spans[row];
        const auto& assignment = prediction.assignments[i];
        genes.push_back({span.id, genomics::split_name(data.splits[row]), span.contig,
                         genomics::strand_symbol(span.strand), span.start_bp, span.end_bp, assignment.window_start_bp,
                         assignment.status});
    }
    return genes;
}

// The models' mean on the measured scale; undefined if a signal stopped it.
GenePrediction predict_mean(PredictionRun& run, const std::vector<std::int64_t>& rows,
                            const data::EvaluationOptions& options, const StopSignal& stop) {
    Progress progress("predict", "windows", 0);
    GenePrediction mean;
    std::int64_t finished = 0;
    for (TrainedModel& trained : run.models) {
        GenePrediction one = predict_genes(
            trained.model, run.data.reference, run.data.targets.spans, rows, options,
            [&](std::int64_t done, std::int64_t total) {
                progress.set_total(total * static_cast<std::int64_t>(run.models.size()));
                progress.update(finished * total + done);
                return stop.received() == 0;
            });
        if (!one.complete) {
            return one;
        }
        const at::Tensor values = trained.transform.invert(one.values).to(at::kDouble);
        one.values = mean.values.defined() ? mean.values + values : values;
        mean = std::move(one);
        ++finished;
    }
    mean.values = (mean.values / static_cast<double>(finished)).to(at::kFloat).contiguous();
    return mean;
}

}  // namespace

std::vector<std::int64_t> rows_of_gene_list(const std::string& path, const data::GeneTargets& targets) {
    std::unordered_map<std::string, std::int64_t> row_of;
    for (std::size_t i = 0; i < targets.spans.size(); ++i) {
        row_of.emplace(targets.spans[i].id, static_cast<std::int64_t>(i));
    }
    std::vector<std::int64_t> rows;
    std::istringstream in(read_whole_file(path, UserFault::kInputFile));
    std::int64_t number = 0;
    for (std::string id; std::getline(in, id);) {
        ++number;
        if (!id.empty() && id.back() == '\r') {
            id.pop_back();
        }
        if (id.empty() || id.front() == '#') {
            continue;
        }
        const auto found = row_of.find(id);
        if (found == row_of.end()) {
            throw_user_error(UserFault::kInputFile, "gene is not in the expression table and annotation: ", id, " (",
                             path, ":", number, ")");
        }
        rows.push_back(found->second);
    }
    return rows;
}

int predict_genes_to_file(PredictionRun& run, const PredictionRequest& request) {
    const TrainedModel& first = run.first();
    for (const TrainedModel& trained : run.models) {
        FLAGEN_USER_CHECK(UserFault::kConfig, run.data.targets.samples == trained.samples,
                          "the model was trained on other samples than the expression table has: ",
                          trained.checkpoint, " and ", run.section().genes->matrix);
    }
    const auto rows = chosen_rows(request, run.data);
    FLAGEN_USER_CHECK(UserFault::kConfig, !rows.empty(), "no gene was chosen (--split ", request.split, ")");
    if (request.dry_run) {
        std::fprintf(stderr, "%zu genes x %zu samples, about %zu bytes into %s\n", rows.size(), first.samples.size(),
                     rows.size() * first.samples.size() * sizeof(float), request.out.c_str());
        return kExitOk;
    }
    data::EvaluationOptions options = evaluation_options(run.section(), first.config.predict, request.shifts_bp);
    options.both_orientations = request.reverse_complement;
    if (options.both_orientations && run.section().windows.strand_mode == data::StrandMode::kSense) {
        std::fprintf(stderr, "flagen: --rc reads genes antisense too, which the model was not trained to do "
                             "(data.strand_mode is sense)\n");
    }
    const StopSignal stop;
    const GenePrediction prediction = predict_mean(run, rows, options, stop);
    if (!prediction.complete) {
        std::fprintf(stderr, "flagen: stopped by signal %d; nothing was written\n", stop.received());
        return kExitRequeue;
    }

    const auto genes = describe_genes(run.data, rows, prediction);
    data::Attributes attributes = run.attributes(request);
    attributes["transform"] = first.transform.name();
    attributes["scale"] = run.section().genes->value;
    attributes["strand_policy"] = std::string(
        options.both_orientations ? "both: each gene is read on its own strand and on the other, and the two are averaged"
                                  : "sense: each gene is read on its own strand");
    data::GenePredictionWriter writer(request.out, genes, first.samples);
    writer.append(std::span(prediction.values.const_data_ptr<float>(),
                            static_cast<std::size_t>(prediction.values.numel())));
    writer.finish(attributes);

    std::size_t num_failed = 0;
    for (const auto& gene : genes) {
        num_failed += gene.status == data::RowStatus::kBeyondWindow ? 1 : 0;
    }
    std::fprintf(stderr, "%s: %zu genes x %zu samples, %zu without a prediction\n", request.out.c_str(), genes.size(),
                 first.samples.size(), num_failed);
    return num_failed > 0 ? kExitSomeRowsFailed : kExitOk;
}

}  // namespace flagen::apps
