// Measures how fast training windows come out of a FASTA file.
//
//     loader_bench GENOME.fa.gz [seconds per case]
//
// GENOME is a bgzip FASTA; a plain copy is written to a temporary folder. Prints a table with
// windows and bases per second, in all and for each worker thread.
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "flagen/data/prefetch_loader.h"
#include "flagen/data/window_dataset.h"
#include "flagen/error.h"
#include "flagen/genomics/fasta_reader.h"

namespace {

using flagen::data::BatchSampler;
using flagen::data::LoaderOptions;
using flagen::data::PrefetchLoader;
using flagen::data::ResumableSampler;
using flagen::data::SamplerOptions;
using flagen::data::WindowDataset;
using flagen::data::WindowDatasetConfig;
using flagen::genomics::FastaReader;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWindowBp = 524'288;
constexpr std::int64_t kLineBp = 60;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void write_plain_copy(const FastaReader& genome, const std::string& path) {
    std::ofstream out(path, std::ios::binary);
    for (std::size_t i = 0; i < genome.contigs().size(); ++i) {
        const auto& contig = genome.contigs().at(i);
        const std::string bases = genome.fetch({contig.name, 0, contig.length_bp});
        out << '>' << contig.name << '\n';
        for (std::size_t at = 0; at < bases.size(); at += kLineBp) {
            out << bases.substr(at, kLineBp) << '\n';
        }
    }
    FLAGEN_CHECK(out.flush().good(), "cannot write ", path);
}

/// Splits the time of one case over windows, with a loader of `threads` workers.
void measure(const std::string& format, const std::shared_ptr<const FastaReader>& genome,
             double mutate_rate, std::int64_t threads, double seconds) {
    WindowDatasetConfig config;
    config.window_bp = kWindowBp;
    config.mutate_rate = mutate_rate;
    const flagen::genomics::SplitPlan plan(genome->contigs(), {});
    const auto dataset = std::make_shared<WindowDataset>(
        genome, std::vector<flagen::genomics::GeneSpan>{}, plan, config);
    SamplerOptions options;
    options.num_examples = dataset->num_examples();
    PrefetchLoader loader({{dataset, nullptr}}, BatchSampler({ResumableSampler(options)}, 1),
                          LoaderOptions{threads, 2 * threads + 2});
    const std::int64_t warm_up = 2 * threads + 2;
    for (std::int64_t i = 0; i < warm_up; ++i) {
        static_cast<void>(loader.next());
    }
    std::int64_t windows = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds) {
        static_cast<void>(loader.next());
        ++windows;
    }
    const double rate = static_cast<double>(windows) / seconds_since(start);
    const auto workers = static_cast<double>(threads == 0 ? 1 : threads);
    std::printf("| %-5s | %5.2f | %2lld | %8.1f | %8.1f | %8.1f |\n", format.c_str(), mutate_rate,
                static_cast<long long>(threads), rate, rate / workers,
                rate / workers * static_cast<double>(kWindowBp) / 1e6);
}

int run(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        std::fprintf(stderr, "usage: loader_bench GENOME.fa.gz [seconds per case]\n");
        return 2;
    }
    const double seconds = argc == 3 ? std::atof(argv[2]) : 3.0;
    const auto compressed = std::make_shared<FastaReader>(FastaReader::open(argv[1]));
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("loader-bench-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    const std::string copy = (folder / "plain.fa").string();
    write_plain_copy(*compressed, copy);
    const auto plain = std::make_shared<FastaReader>(FastaReader::open(copy));
    std::printf("windows of %lld bp\n", static_cast<long long>(kWindowBp));
    std::puts("| FASTA | mutate | threads | windows/s | windows/s/thread | MB/s/thread |");
    std::puts("|---|---|---|---|---|---|");
    for (const double mutate_rate : {0.0, 0.05}) {
        for (const std::int64_t threads : {1, 2, 4}) {
            measure("plain", plain, mutate_rate, threads, seconds);
            measure("bgzip", compressed, mutate_rate, threads, seconds);
        }
    }
    std::filesystem::remove_all(folder);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "loader_bench: %s\n", error.what());
        return 1;
    }
}
