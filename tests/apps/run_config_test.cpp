#include "apps/options/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "flagen/error.h"
#include "support/temp_dir.h"

namespace flagen::apps {
namespace {

using ::testing::HasSubstr;

constexpr const char* kConfig = R"({
  "data": {"fasta": "genome.fa", "seq_length": 4096, "stride": 1024,
           "splits": {"valid_contigs": ["XI"], "test_regions": ["XVI:1-5,000"]},
           "targets": [{"kind": "genes", "matrix": "m.tsv", "annotation": "a.gff3", "feature": "gene",
                        "gene_id": "locus_tag", "value": "log2_tpm"}]},
  "model": {"trunk": [{"name": "conv_dna", "filters": 8, "kernel_size": 9, "stride": 2},
                      {"name": "linear_attn", "kind": "gla", "heads": 2, "key": 8, "value": 8}],
            "heads": {"genes": {"hidden": 16}}},
  "train": {"max_steps": 20, "checkpoint_every_steps": 5, "valid_every_steps": 10, "seed": 7,
            "learning_rate": {"kind": "warmup_cosine", "peak": 0.01, "warmup_steps": 2}}
})";

std::string message_of(const std::string& path, const std::vector<std::string>& overrides) {
    try {
        static_cast<void>(RunConfig::load(path, overrides));
    } catch (const UserError& error) {
        EXPECT_EQ(error.fault(), UserFault::kConfig);
        return error.what();
    }
    return "nothing was thrown";
}

TEST(RunConfig, ReadsEverySection) {
    const testing::TempDir folder;
    const auto config = RunConfig::load(folder.write("params.json", kConfig));
    ASSERT_EQ(config.data.size(), 1U);
    EXPECT_EQ(config.data.front().windows.window_bp, 4096);
    EXPECT_EQ(config.data.front().windows.seed, 7U);
    EXPECT_EQ(config.model.seq_length, 4096);
    EXPECT_EQ(config.train.max_steps, 20);
    EXPECT_EQ(config.train.learning_rate.total_steps, 20);
    ASSERT_EQ(config.data.front().splits.test_intervals.size(), 1U);
    EXPECT_EQ(config.data.front().splits.test_intervals[0].start_bp, 0);
    EXPECT_EQ(config.data.front().splits.test_intervals[0].end_bp, 5000);
}

TEST(RunConfig, ResolvedTextReadsBackToTheSameDigest) {
    const testing::TempDir folder;
    const auto config = RunConfig::load(folder.write("params.json", kConfig));
    const auto again = RunConfig::load(folder.write("config.json", config.resolved_text()));
    EXPECT_EQ(again.resolved_text(), config.resolved_text());
    EXPECT_EQ(again.digest(), config.digest());
}

TEST(RunConfig, DigestSeesNumbersAndNotPaths) {
    const testing::TempDir folder;
    const std::string path = folder.write("params.json", kConfig);
    const auto config = RunConfig::load(path);
    EXPECT_EQ(RunConfig::load(path, {"data.fasta=elsewhere/genome.fa"}).digest(), config.digest());
    EXPECT_NE(RunConfig::load(path, {"train.seed=8"}).digest(), config.digest());
    EXPECT_NE(RunConfig::load(path, {"model.heads.genes.hidden=17"}).digest(), config.digest());
}

TEST(RunConfig, OverridesBeatTheFile) {
    const testing::TempDir folder;
    const std::string path = folder.write("params.json", kConfig);
    EXPECT_EQ(RunConfig::load(path, {"train.max_steps=40"}).train.max_steps, 40);
    EXPECT_THAT(message_of(path, {"train.max_steps"}), HasSubstr("--set expects key=value"));
    EXPECT_THAT(message_of(path, {"train.max_step=3"}), HasSubstr("did you mean \"max_steps\""));
}

TEST(RunConfig, AllProblemsComeInOneMessage) {
    const testing::TempDir folder;
    const std::string path = folder.write("params.json", kConfig);
    const std::string message = message_of(
        path, {"train.los=mse", "train.batch_size=0", "data.targets[0].kind=genomes", "model.heads.genes.hiden=3"});
    EXPECT_THAT(message, HasSubstr("4 problems"));
    EXPECT_THAT(message, HasSubstr("train.los: unknown key; did you mean \"loss\"?"));
    EXPECT_THAT(message, HasSubstr("train.batch_size"));
    EXPECT_THAT(message, HasSubstr("data.targets[0].kind"));
    EXPECT_THAT(message, HasSubstr("model.heads.genes.hiden"));
}

TEST(RunConfig, ValidationsMustMeetCheckpoints) {
    const testing::TempDir folder;
    EXPECT_THAT(message_of(folder.write("params.json", kConfig), {"train.valid_every_steps=7"}),
                HasSubstr("must be a multiple of checkpoint_every_steps (5), found 7"));
}

// Two sections: genes and tracks of one species, tracks of another.
constexpr const char* kTwoSections = R"({
  "data": [{"fasta": "a.fa", "seq_length": 4096,
            "targets": [{"kind": "genes", "matrix": "m.tsv", "annotation": "a.gff3", "feature": "gene",
                         "gene_id": "locus_tag", "value": "log2_tpm"},
                        {"kind": "tracks", "head": "human", "table": "h.txt", "transform": "new"}]},
           {"fasta": "b.fa", "seq_length": 4096, "splits": {"valid_contigs": ["chr2"]},
            "targets": [{"kind": "tracks", "head": "mouse", "table": "m.txt", "transform": "old"}]}],
  "model": {"trunk": [{"name": "conv_dna", "filters": 8, "kernel_size": 9, "stride": 2}],
            "augment_rc": false, "augment_shift": 5, "verbose": true, "l2_scale": 1e-8,
            "heads": {"genes": {"hidden": 16}},
            "head_human": {"name": "final", "units": 3}, "head_mouse": {"name": "final", "units": 2}},
  "train": {"seed": 7, "shuffle_buffer": 256}
})";

TEST(RunConfig, ReadsAListOfSections) {
    const testing::TempDir folder;
    const auto config = RunConfig::load(folder.write("params.json", kTwoSections));
    ASSERT_EQ(config.data.size(), 2U);
    EXPECT_EQ(config.section_names(), "human, mouse");
    EXPECT_EQ(config.genes_section(), 0U);
    EXPECT_EQ(config.data[0].windows.seed, 7U);
    EXPECT_NE(config.data[1].windows.seed, 7U) << "sections draw numbers of their own";
    for (const DataConfig& section : config.data) {
        EXPECT_FALSE(section.windows.random_reverse_complement);
        EXPECT_EQ(section.tracks->window_shift, 5);
    }
    EXPECT_THAT(config.data[1].splits.valid_contigs, ::testing::ElementsAre("chr2"));
    const auto again = RunConfig::load(folder.write("config.json", config.resolved_text()));
    EXPECT_EQ(again.resolved_text(), config.resolved_text());
    EXPECT_EQ(again.digest(), config.digest());
    EXPECT_THAT(again.ignored_keys, ::testing::IsEmpty());
    EXPECT_EQ(RunConfig::load(folder.write("p.json", kTwoSections), {"data[1].fasta=c.fa"}).data[1].genome.fasta, "c.fa");
}

TEST(RunConfig, NamesBorzoisKeysWithoutEffectOnce) {
    const testing::TempDir folder;
    const auto config = RunConfig::load(folder.write("params.json", kTwoSections));
    EXPECT_THAT(config.ignored_keys, ::testing::ElementsAre("l2_scale", "shuffle_buffer", "verbose"));
}

TEST(RunConfig, SectionsShareNoHeadAndOneLength) {
    const testing::TempDir folder;
    const std::string path = folder.write("params.json", kTwoSections);
    const std::string message =
        message_of(path, {"data[1].seq_length=8192", "data[1].targets[0].head=human", "data[0].targets[1].head=other"});
    EXPECT_THAT(message, HasSubstr("data[1].seq_length: differs from the first section's, 4096"));
    EXPECT_THAT(message, HasSubstr("head_other: is missing"));
    EXPECT_THAT(message_of(path, {"data[1].targets[0].head=human"}),
                HasSubstr("data[1].targets: head human is trained by data[0] already"));
    EXPECT_THAT(message_of(path, {"data=[]"}), HasSubstr("data: expected"));
    EXPECT_THAT(message_of(path, {"model.head_genes={\"name\":\"final\",\"units\":1}"}),
                HasSubstr("head_genes: is the name of the head for genes"));
    EXPECT_THAT(message_of(path, {"model={\"head_a/b\":{\"units\":1}}"}), HasSubstr("letters, digits, _ and -"));
}

}  // namespace
}  // namespace flagen::apps
