#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/split_plan.h"

namespace flagen::testing {

/// A random small genome with random held-out parts, and the use of every base counted base by
/// base: the slow truth that SplitPlan and the window planner are compared with.
class RandomSplit {
  public:
    explicit RandomSplit(std::uint64_t seed) : random_(seed) {
        std::vector<genomics::Contig> contigs;
        const std::int64_t num_contigs = between(1, 5);
        for (std::int64_t i = 0; i < num_contigs; ++i) {
            contigs.push_back({"c" + std::to_string(i), between(1, 300), between(0, 2) == 0});
        }
        for (const genomics::Contig& contig : contigs) {
            uses_.emplace_back(static_cast<std::size_t>(contig.length_bp), genomics::Split::kTrain);
        }
        contigs_ = genomics::ContigTable(std::move(contigs));
        definition_.margin_bp = between(0, 3) == 0 ? between(0, 40) : 0;
        hold_out_contigs();
        hold_out_intervals();
        close_margins();
    }

    [[nodiscard]] std::int64_t between(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
    }

    [[nodiscard]] const genomics::ContigTable& contigs() const { return contigs_; }
    [[nodiscard]] const genomics::SplitDefinition& definition() const { return definition_; }

    /// Use of a base; kNone in a margin. Positions go round circular contigs.
    [[nodiscard]] genomics::Split use(std::size_t contig, std::int64_t position) const {
        const std::int64_t length = contigs_.at(contig).length_bp;
        return uses_[contig][static_cast<std::size_t>(((position % length) + length) % length)];
    }

    /// An interval on a random contig, over the origin at times where that is circular.
    [[nodiscard]] genomics::Interval interval() {
        const auto index =
            static_cast<std::size_t>(between(0, static_cast<std::int64_t>(contigs_.size()) - 1));
        const genomics::Contig& contig = contigs_.at(index);
        const std::int64_t start = between(0, contig.length_bp - 1);
        const std::int64_t last = contig.circular ? start + contig.length_bp : contig.length_bp;
        return {contig.name, start, between(start + 1, std::min(last, start + 120))};
    }

  private:
    void mark(std::size_t contig, std::int64_t start, std::int64_t end, genomics::Split split) {
        const std::int64_t length = contigs_.at(contig).length_bp;
        for (std::int64_t at = start; at < end; ++at) {
            uses_[contig][static_cast<std::size_t>(at % length)] = split;
        }
    }

    void hold_out_contigs() {
        for (std::size_t i = 0; i < contigs_.size(); ++i) {
            if (between(0, 5) == 0) {
                const bool test = between(0, 1) == 0;
                (test ? definition_.test_contigs : definition_.valid_contigs)
                    .push_back(contigs_.at(i).name);
                mark(i, 0, contigs_.at(i).length_bp,
                     test ? genomics::Split::kTest : genomics::Split::kValid);
            }
        }
    }

    void hold_out_intervals() {
        for (std::int64_t tries = between(0, 8); tries > 0; --tries) {
            const genomics::Interval wanted = interval();
            const std::size_t contig = *contigs_.find(wanted.contig);
            bool is_free = true;
            for (std::int64_t at = wanted.start_bp; at < wanted.end_bp; ++at) {
                is_free = is_free && use(contig, at) == genomics::Split::kTrain;
            }
            if (is_free) {
                const bool test = between(0, 1) == 0;
                (test ? definition_.test_intervals : definition_.valid_intervals).push_back(wanted);
                mark(contig, wanted.start_bp, wanted.end_bp,
                     test ? genomics::Split::kTest : genomics::Split::kValid);
            }
        }
    }

    void close_margins() {
        const auto uses = uses_;
        for (std::size_t contig = 0; contig < contigs_.size(); ++contig) {
            const std::int64_t length = contigs_.at(contig).length_bp;
            for (std::int64_t at = 0; at < length; ++at) {
                const auto here = uses[contig][static_cast<std::size_t>(at)];
                if (here == genomics::Split::kTrain) {
                    continue;
                }
                for (std::int64_t near = at - definition_.margin_bp;
                     near <= at + definition_.margin_bp; ++near) {
                    if (!contigs_.at(contig).circular && (near < 0 || near >= length)) {
                        continue;
                    }
                    auto& use =
                        uses_[contig]
                             [static_cast<std::size_t>(((near % length) + length) % length)];
                    if (use == genomics::Split::kTrain) {
                        use = genomics::Split::kNone;
                    }
                }
            }
        }
    }

    std::mt19937_64 random_;
    genomics::ContigTable contigs_;
    genomics::SplitDefinition definition_;
    std::vector<std::vector<genomics::Split>> uses_;
};

}  // namespace flagen::testing
