#include "apps/runtime/section_choice.h"

#include <vector>

#include "flagen/error.h"
#include "flagen/problems.h"

namespace flagen::apps {

std::size_t section_named(const RunConfig& config, const std::string& head) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < config.data.size(); ++i) {
        names.push_back(config.data[i].head());
        if (names.back() == head) {
            return i;
        }
    }
    const auto with_genes = config.genes_section();
    FLAGEN_USER_CHECK(UserFault::kConfig, head == "genes" && with_genes, "no data section has the head ", head,
                      did_you_mean(head, names), " (heads: ", config.section_names(), ")");
    return *with_genes;
}

std::size_t choose_section(const RunConfig& config, const std::string& head, SectionUse use) {
    const auto fits = [use](const DataConfig& section) {
        return use == SectionUse::kGenes ? section.genes.has_value() : section.tracks.has_value();
    };
    if (!head.empty()) {
        const std::size_t section = section_named(config, head);
        FLAGEN_USER_CHECK(UserFault::kConfig, fits(config.data[section]), "the data section of head ", head, " has no ",
                          use == SectionUse::kGenes ? "genes" : "tracks", " (heads: ", config.section_names(), ")");
        return section;
    }
    std::vector<std::size_t> fitting;
    std::string names;
    for (std::size_t i = 0; i < config.data.size(); ++i) {
        if (fits(config.data[i])) {
            fitting.push_back(i);
            names += (names.empty() ? "" : ", ") + config.data[i].head();
        }
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !fitting.empty() || use == SectionUse::kTracks,
                      "the model has no genes head: say what to predict with --bed, --locus or --chrom");
    FLAGEN_USER_CHECK(UserFault::kConfig, !fitting.empty(), "the model has no tracks head: regions cannot be predicted");
    FLAGEN_USER_CHECK(UserFault::kConfig, fitting.size() == 1, "the model has several heads: choose one with --head (",
                      names, ")");
    return fitting.front();
}

}  // namespace flagen::apps
