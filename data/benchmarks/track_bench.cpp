// Measures how fast targets come out of bigWigs and out of a cache, and what the cache weighs.
//
//     track_bench GENOME.fa.gz TARGETS.txt TRACK_FOLDER [synthetic tracks] [seconds per case]
//
// Windows are Borzoi's: 524,288 bp, 6,144 bins of 32 bp. The real tracks of TARGETS are read over
// the whole genome; the synthetic ones (1,000 unless given) lie on one contig of 1 Mbp, with a
// value every 40 bp on 60 % of it. Prints a table of windows per second, processor time (which
// other programs do not disturb) and MB per window on disk, beside the 93.5 MB that one of Borzoi's
// windows takes in f16 for 7,611 tracks.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "flagen/data/track_cache.h"
#include "flagen/data/track_source.h"
#include "flagen/data/window_list.h"
#include "flagen/error.h"
#include "flagen/genomics/bigwig_writer.h"
#include "flagen/genomics/fasta_reader.h"

namespace {

using namespace flagen::data;  // NOLINT(google-build-using-namespace): a program of one file
using flagen::genomics::ContigTable;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What one table of the report is about.
struct Subject {
    std::string name;
    ContigTable contigs;
    TrackTable table;
    WindowList windows;
};

/// Processor time of all threads of this program.
double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// What reading or writing windows cost.
struct Cost {
    double windows_per_second = 0;
    double cpu_ms = 0;  // a window
};

/// Reads windows in `threads` threads for some seconds.
Cost cost_of(const TrackSource& source, const WindowList& windows, int threads, double seconds) {
    std::atomic<std::size_t> next{0};
    std::atomic<std::int64_t> done{0};
    const auto start = Clock::now();
    const double cpu = cpu_seconds();
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; ++i) {
        workers.emplace_back([&] {
            std::vector<float> values(
                static_cast<std::size_t>(windows.geometry.num_bins() * source.num_tracks()));
            do {
                const ListedWindow& window = windows.windows[next++ % windows.windows.size()];
                source.read(window.contig, window.start_bp, windows.geometry.num_bins(), values);
                ++done;
            } while (seconds_since(start) < seconds);
        });
    }
    for (std::thread& worker : workers) {
        worker.join();
    }
    const auto count = static_cast<double>(done);
    return {count / seconds_since(start), (cpu_seconds() - cpu) * 1e3 / count};
}

void print_row(const Subject& subject, const std::string& source, int threads, Cost cost,
               double megabytes) {
    std::printf("| %-9s | %5lld | %-16s | %2d | %9.2f | %9.2f | ", subject.name.c_str(),
                static_cast<long long>(subject.table.num_tracks()), source.c_str(), threads,
                cost.windows_per_second, cost.cpu_ms);
    if (megabytes > 0) {
        std::printf("%8.4f |\n", megabytes);
    } else {
        std::printf("%8s |\n", "-");
    }
    std::fflush(stdout);
}

void measure_cache(const Subject& subject, const TrackSource& source, const std::string& folder,
                   bool half, int level, double seconds) {
    const GenomeMask no_mask;
    const TrackCacheInputs inputs{subject.contigs,          subject.table, "new",
                                  subject.windows.geometry, no_mask,       half};
    TrackCacheOptions options;
    options.num_threads = 2;
    options.deflate_level = level;
    std::filesystem::create_directory(folder);
    const TrackManifest manifest = make_track_manifest(inputs, subject.windows, 2);
    const auto start = Clock::now();
    const double cpu = cpu_seconds();
    const auto result =
        build_track_cache(folder, manifest, subject.windows, subject.table, source, options);
    const auto count = static_cast<double>(subject.windows.windows.size());
    const double megabytes = static_cast<double>(result.num_bytes) / 1e6 / count;
    const std::string what = flagen::detail::concatenate(half ? "f16" : "f32", " gzip ", level);
    const Cost writing{count / seconds_since(start), (cpu_seconds() - cpu) * 1e3 / count};
    print_row(subject, what + " write", options.num_threads, writing, megabytes);
    const TrackCacheSource cache(folder, inputs);
    for (const int threads : {1, 2}) {
        print_row(subject, what, threads, cost_of(cache, subject.windows, threads, seconds),
                  megabytes);
    }
    std::filesystem::remove_all(folder);
}

void measure(const Subject& subject, const std::string& folder, double seconds) {
    const auto source = open_track_source(subject.table, TrackTransform::make("new", subject.table),
                                          subject.windows.geometry.bin_bp, subject.contigs);
    for (const int threads : {1, 2}) {
        print_row(subject, "bigWig", threads, cost_of(*source, subject.windows, threads, seconds),
                  0);
    }
    measure_cache(subject, *source, folder, false, 1, seconds);
    measure_cache(subject, *source, folder, false, 4, seconds);
    measure_cache(subject, *source, folder, true, 1, seconds);
}

WindowList windows_over(const ContigTable& contigs, std::int64_t stride_bp) {
    WindowListOptions options;
    options.stride_bp = stride_bp;
    return plan_window_list(contigs, {}, {}, {}, options).list;
}

Subject synthetic(const std::string& folder, int num_tracks) {
    constexpr std::int64_t kContigBp = 1'000'000;
    constexpr std::int64_t kStepBp = 40;
    const ContigTable contigs({{"synthetic", kContigBp, false}});
    std::string table = "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\n";
    std::mt19937_64 random(7);
    for (int track = 0; track < num_tracks; ++track) {
        const std::string file = flagen::detail::concatenate("s", track, ".bw");
        std::vector<float> values(static_cast<std::size_t>(kContigBp / kStepBp));
        for (float& value : values) {
            value = random() % 10 < 6 ? static_cast<float>(random() % 1000) / 50.0F
                                      : std::numeric_limits<float>::quiet_NaN();
        }
        flagen::genomics::BigWigWriter writer(folder + "/" + file, {contigs.at(0)});
        writer.add("synthetic", 0, values, kStepBp);
        writer.finish();
        table += std::to_string(track) + "\ts" + std::to_string(track) + "\t" + file +
                 "\t768\t384\t0.3\tsum_sqrt\n";
    }
    const std::string path = folder + "/targets.txt";
    std::ofstream(path) << table;
    return {"synthetic", contigs, TrackTable::load(path), windows_over(contigs, 80'000)};
}

int run(int argc, char** argv) {
    if (argc < 4 || argc > 6) {
        std::fputs(
            "usage: track_bench GENOME.fa.gz TARGETS.txt TRACK_FOLDER [synthetic tracks] "
            "[seconds per case]\n",
            stderr);
        return 2;
    }
    const int num_synthetic = argc > 4 ? std::atoi(argv[4]) : 1000;
    const double seconds = argc > 5 ? std::atof(argv[5]) : 3.0;
    const std::string folder =
        (std::filesystem::temp_directory_path() / flagen::detail::concatenate("track-bench-", getpid()))
            .string();
    std::filesystem::create_directory(folder);
    std::puts(
        "| tracks    | count | source           | threads | windows/s | CPU ms/window | MB/window "
        "|");
    std::puts("|---|---|---|---|---|---|---|");
    const ContigTable contigs = flagen::genomics::FastaReader::open(argv[1]).contigs();
    measure({"real", contigs, TrackTable::load(argv[2], {argv[3]}), windows_over(contigs, 49'173)},
            folder + "/cache", seconds);
    if (num_synthetic > 0) {
        measure(synthetic(folder, num_synthetic), folder + "/cache", seconds);
    }
    std::filesystem::remove_all(folder);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "track_bench: %s\n", error.what());
        return 1;
    }
}
