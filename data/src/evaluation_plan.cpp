#include "flagen/data/evaluation_plan.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "flagen/error.h"

namespace flagen::data {
namespace {

using genomics::Contig;
using genomics::GeneSpan;
using genomics::Strand;
using genomics::Window;

void check_options(const EvaluationOptions& options) {
    FLAGEN_USER_CHECK(UserFault::kConfig, options.window_bp >= 1 && options.stride_bp >= 1,
                      "window and stride must be at least 1 bp: ", options.window_bp, " and ",
                      options.stride_bp);
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      options.margin_bp >= 0 && 2 * options.margin_bp < options.window_bp,
                      "margin leaves nothing of the window: ", options.margin_bp,
                      " bp at each end of ", options.window_bp);
    std::vector<std::int64_t> shifts = options.start_shifts_bp;
    std::sort(shifts.begin(), shifts.end());
    FLAGEN_USER_CHECK(
        UserFault::kConfig,
        !shifts.empty() && std::adjacent_find(shifts.begin(), shifts.end()) == shifts.end(),
        "start shifts must be distinct, at least one: ", shifts.size(), " given");
}

/// Lowest and highest shift, and 0: what a window has to allow for on either side.
std::pair<std::int64_t, std::int64_t> shift_bounds(const EvaluationOptions& options) {
    const auto [low, high] =
        std::minmax_element(options.start_shifts_bp.begin(), options.start_shifts_bp.end());
    return {std::min<std::int64_t>(*low, 0), std::max<std::int64_t>(*high, 0)};
}

/// Starts of the unshifted windows of one contig, ascending.
std::vector<std::int64_t> tile_starts(const Contig& contig, const EvaluationOptions& options) {
    std::vector<std::int64_t> starts;
    if (contig.circular) {
        for (std::int64_t start = 0; start < contig.length_bp; start += options.stride_bp) {
            starts.push_back(start);
        }
        return starts;
    }
    const auto [low_shift, high_shift] = shift_bounds(options);
    const std::int64_t first = -options.margin_bp - high_shift;
    const std::int64_t last = contig.length_bp + options.margin_bp - low_shift - options.window_bp;
    if (last <= first) {
        // Rounded down as the window planner does for short contigs.
        const std::int64_t sum = first + last;
        starts.push_back(sum >= 0 ? sum / 2 : -((1 - sum) / 2));
        return starts;
    }
    for (std::int64_t start = first; start < last; start += options.stride_bp) {
        starts.push_back(start);
    }
    starts.push_back(last);
    return starts;
}

/// Chooses windows of one contig for its genes.
class WindowChooser {
  public:
    WindowChooser(const GeneIndex& index, const Contig& contig, const EvaluationOptions& options)
        : index_(index),
          contig_(contig),
          options_(options),
          starts_(tile_starts(contig, options)) {}

    [[nodiscard]] Window shifted(std::int64_t start_bp, std::size_t shift, Strand strand) const {
        std::int64_t start = start_bp + options_.start_shifts_bp[shift];
        if (contig_.circular) {
            start = (start % contig_.length_bp + contig_.length_bp) % contig_.length_bp;
        }
        return {contig_.name, start, options_.window_bp, strand};
    }

    /// Start of the nearest window that holds the gene under every shift, if there is one.
    [[nodiscard]] std::optional<std::int64_t> choose(std::int64_t row) const {
        const GeneSpan& gene = index_.genes()[static_cast<std::size_t>(row)];
        std::optional<std::int64_t> best;
        std::int64_t best_distance = 0;
        const auto consider = [&](std::int64_t start, std::int64_t copy_bp) {
            const std::int64_t distance = std::abs(2 * start + options_.window_bp -
                                                   (gene.start_bp + gene.end_bp + 2 * copy_bp));
            const bool better = !best.has_value() || distance < best_distance ||
                                (distance == best_distance && start < *best);
            if (better && holds(row, start)) {
                best = start;
                best_distance = distance;
            }
        };
        // On a ring a window may hold the gene one turn further on.
        const std::int64_t turns =
            contig_.circular ? options_.window_bp / contig_.length_bp + 1 : 0;
        for (std::int64_t turn = -turns; turn <= turns; ++turn) {
            const std::int64_t copy_bp = turn * contig_.length_bp;
            const auto [low_shift, high_shift] = shift_bounds(options_);
            const auto from =
                std::lower_bound(starts_.begin(), starts_.end(),
                                 gene.end_bp + copy_bp - options_.window_bp - high_shift);
            for (auto start = from;
                 start != starts_.end() && *start <= gene.start_bp + copy_bp - low_shift; ++start) {
                consider(*start, copy_bp);
            }
        }
        return best;
    }

    /// Whether some shifted window of this start reads past an end of a linear contig.
    [[nodiscard]] bool padded(std::int64_t start_bp) const {
        return !contig_.circular &&
               std::any_of(options_.start_shifts_bp.begin(), options_.start_shifts_bp.end(),
                           [&](std::int64_t shift) {
                               return start_bp + shift < 0 ||
                                      start_bp + shift + options_.window_bp > contig_.length_bp;
                           });
    }

  private:
    [[nodiscard]] bool holds(std::int64_t row, std::int64_t start_bp) const {
        for (std::size_t shift = 0; shift < options_.start_shifts_bp.size(); ++shift) {
            const Window window = shifted(start_bp, shift, Strand::kForward);
            if (!index_.place(row, window, options_.margin_bp).has_value()) {
                return false;
            }
        }
        return true;
    }

    const GeneIndex& index_;
    const Contig& contig_;
    const EvaluationOptions& options_;
    std::vector<std::int64_t> starts_;
};

/// Sorts by contig, window start, and orientation with + first.
using PassKey = std::tuple<std::size_t, std::int64_t, bool>;

}  // namespace

EvaluationPlan plan_gene_evaluation(const std::vector<GeneSpan>& genes,
                                    const std::vector<std::int64_t>& rows,
                                    const genomics::ContigTable& contigs,
                                    const EvaluationOptions& options) {
    check_options(options);
    const GeneIndex index(genes, rows, contigs);
    std::map<std::size_t, WindowChooser> choosers;
    std::map<PassKey, std::vector<std::int64_t>> genes_of_pass;
    EvaluationPlan plan;
    for (const std::int64_t row : rows) {
        const GeneSpan& gene = genes[static_cast<std::size_t>(row)];
        const std::size_t contig = contigs.find(gene.contig).value();
        const WindowChooser& chooser =
            choosers.try_emplace(contig, index, contigs.at(contig), options).first->second;
        const auto start = chooser.choose(row);
        if (!start.has_value()) {
            plan.genes.push_back({row, 0, RowStatus::kBeyondWindow});
            ++plan.num_unreachable;
            continue;
        }
        plan.genes.push_back(
            {row, *start, chooser.padded(*start) ? RowStatus::kOutOfBoundsPadded : RowStatus::kOk});
        const bool reverse = gene.strand == Strand::kReverse;
        genes_of_pass[{contig, *start, reverse}].push_back(row);
        if (options.both_orientations) {
            genes_of_pass[{contig, *start, !reverse}].push_back(row);
        }
    }
    for (const auto& [key, members] : genes_of_pass) {
        const auto& [contig, start, reverse] = key;
        const WindowChooser& chooser = choosers.at(contig);
        for (std::size_t shift = 0; shift < options.start_shifts_bp.size(); ++shift) {
            EvaluationPass pass;
            pass.shift = shift;
            pass.window =
                chooser.shifted(start, shift, reverse ? Strand::kReverse : Strand::kForward);
            for (const std::int64_t row : members) {
                pass.genes.push_back(index.place(row, pass.window, options.margin_bp).value());
            }
            std::sort(
                pass.genes.begin(), pass.genes.end(), [](const PlacedGene& a, const PlacedGene& b) {
                    return std::tie(a.start_bp, a.gene_index) < std::tie(b.start_bp, b.gene_index);
                });
            plan.passes.push_back(std::move(pass));
        }
    }
    return plan;
}

EvaluationSource::EvaluationSource(std::shared_ptr<const genomics::ReferenceGenome> reference,
                                   std::shared_ptr<const EvaluationPlan> plan)
    : reference_(std::move(reference)), plan_(std::move(plan)) {}

std::int64_t EvaluationSource::num_examples() const {
    return static_cast<std::int64_t>(plan_->passes.size());
}

WindowExample EvaluationSource::example(const SampleId& id) const {
    FLAGEN_CHECK(id.index >= 0 && id.index < num_examples(), "pass ", id.index, " of ",
                 num_examples());
    const EvaluationPass& pass = plan_->passes[static_cast<std::size_t>(id.index)];
    WindowExample example;
    example.id = id;
    example.window = pass.window;
    example.genes = pass.genes;
    read_tokens(*reference_, example.window, example);
    return example;
}

}  // namespace flagen::data
