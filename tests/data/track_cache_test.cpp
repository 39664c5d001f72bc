#include "flagen/data/track_cache.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "data/bigwig_fixture.h"
#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/tiny_genome.h"

namespace flagen::data {
namespace {

namespace fs = std::filesystem;
using ::flagen::testing::read_numbers;
using ::flagen::testing::run_python;
using ::flagen::testing::table_of;
using ::flagen::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr WindowGeometry kGeometry{200, 20, 10};  // 16 bins

/// Values made up from their place, with many zeros; may be slow on purpose.
class MadeUpSource final : public TrackSource {
  public:
    MadeUpSource(std::int64_t num_tracks, int delay_ms = 0)
        : num_tracks_(num_tracks), delay_ms_(delay_ms) {}
    [[nodiscard]] std::int64_t num_tracks() const override { return num_tracks_; }
    [[nodiscard]] std::int64_t bin_bp() const override { return kGeometry.bin_bp; }
    void read(const std::string& contig, std::int64_t start_bp, std::int64_t num_bins,
              std::span<float> out) const override {
        ++num_reads;
        std::mt19937_64 random(static_cast<std::uint64_t>(start_bp) * 31 + contig.size());
        for (float& value : out) {
            value = random() % 3 == 0 ? static_cast<float>(random() % 100'000) / 7.0F : 0.0F;
        }
        ASSERT_EQ(static_cast<std::int64_t>(out.size()), num_bins * num_tracks_);
        if (delay_ms_ > 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms_));
        }
    }
    mutable std::atomic<std::int64_t> num_reads{0};

  private:
    std::int64_t num_tracks_;
    int delay_ms_;
};

std::string bytes_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Inputs of a small cache: files that are only hashed, windows, a table.
class TrackCacheTest : public ::testing::Test {
  protected:
    explicit TrackCacheTest(std::int64_t num_tracks = 300) : num_tracks_(num_tracks) {
        std::vector<std::string> files;
        for (std::int64_t i = 0; i < num_tracks; ++i) {
            files.push_back(temp_.write("f" + std::to_string(i) + ".bw", std::to_string(i * i)));
        }
        table_ = table_of(files);
        WindowListOptions options;
        options.stride_bp = 90;
        options.splits.test_contigs = {"bb"};
        windows_ = plan_window_list(contigs_, kGeometry, {}, {}, options).list;
    }

    [[nodiscard]] TrackCacheInputs inputs(bool half = false) const {
        return {contigs_, table_, "new", kGeometry, blacklist_, half};
    }
    [[nodiscard]] std::string folder(const std::string& name) const {
        const auto path = temp_.path() / name;
        fs::create_directories(path);
        return path.string();
    }
    TrackCacheResult build(const std::string& where, const TrackSource& source, int threads = 1,
                           std::int64_t stop_after = -1, bool half = false) const {
        TrackCacheOptions options;
        options.num_threads = threads;
        if (stop_after >= 0) {
            options.progress = [stop_after](std::int64_t done, std::int64_t) {
                return done < stop_after;
            };
        }
        return build_track_cache(where, make_track_manifest(inputs(half), windows_, 2), windows_,
                                 table_, source, options);
    }
    [[nodiscard]] std::string cache_bytes(const std::string& where) const {
        return bytes_of_file(where + "/tracks.h5");
    }
    [[nodiscard]] std::int64_t num_windows() const {
        return static_cast<std::int64_t>(windows_.windows.size());
    }

    std::int64_t num_tracks_;
    TempDir temp_;
    genomics::ContigTable contigs_{{{"a", 3000, false}, {"bb", 1000, false}}};
    GenomeMask blacklist_;
    TrackTable table_;
    WindowList windows_;
};

TEST_F(TrackCacheTest, ServesWhatTheSourceGave) {
    const MadeUpSource source(num_tracks_);
    const std::string where = folder("c");
    const TrackCacheResult result = build(where, source, 3);
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.num_resumed, 0);
    EXPECT_EQ(result.num_bytes, static_cast<std::int64_t>(cache_bytes(where).size()));
    EXPECT_FALSE(fs::exists(where + "/tracks.h5.part"));
    const TrackCacheSource cache(where, inputs());
    EXPECT_EQ(cache.num_tracks(), num_tracks_);
    EXPECT_EQ(cache.bin_bp(), 10);
    EXPECT_EQ(cache.windows().windows, windows_.windows);
    EXPECT_EQ(cache.windows().geometry, kGeometry);
    std::vector<float> found(static_cast<std::size_t>(16 * num_tracks_));
    std::vector<float> expected(found.size());
    for (const ListedWindow& window : windows_.windows) {
        ASSERT_TRUE(cache.holds(window.contig, window.start_bp, 16));
        cache.read(window.contig, window.start_bp, 16, found);
        source.read(window.contig, window.start_bp, 16, expected);
        ASSERT_EQ(found, expected);
    }
    EXPECT_FALSE(cache.holds("a", 1, 16));
    EXPECT_FALSE(cache.holds("a", 0, 15));
    EXPECT_THROW(cache.read("a", 1, 16, found), Error);
    // Threads, and HDF5 at work elsewhere in the process.
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            std::vector<float> mine(found.size());
            std::vector<float> theirs(found.size());
            for (const ListedWindow& window : windows_.windows) {
                cache.read(window.contig, window.start_bp, 16, mine);
                source.read(window.contig, window.start_bp, 16, theirs);
                wrong += mine == theirs ? 0 : 1;
            }
        });
    }
    const TrackCacheSource second(where, inputs());
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
}

TEST_F(TrackCacheTest, TheSameBytesWithAnyNumberOfThreads) {
    const MadeUpSource source(num_tracks_);
    build(folder("one"), source, 1);
    build(folder("four"), source, 4);
    EXPECT_EQ(cache_bytes(folder("one")), cache_bytes(folder("four")));
    EXPECT_EQ(bytes_of_file(folder("one") + "/manifest.json"),
              bytes_of_file(folder("four") + "/manifest.json"));
}

// h5py undoes the filters that chunk_codec applied without the library.
TEST_F(TrackCacheTest, OpensInH5py) {
    const MadeUpSource source(num_tracks_);
    for (const bool half : {false, true}) {
        const std::string where = folder(half ? "h" : "f");
        build(where, source, 2, -1, half);
        const std::string out = run_python(R"(
import h5py, hashlib, json, numpy as np, sys
f = h5py.File(sys.argv[1] + '/tracks.h5')
t = f['targets']
assert t.shape == (int(sys.argv[3]), 16, 300), t.shape
assert t.chunks == (1, 16, 256), t.chunks
assert (t.compression, t.shuffle, t.fletcher32) == ('gzip', True, True)
t[:].astype('f4').tofile(sys.argv[2])
rows = [l.split() for l in open(sys.argv[4])]
assert [[a.decode(), str(b), str(c), d.decode()] for a, b, c, d in
        zip(f['chrom'][:], f['start'][:], f['end'][:], f['label'][:])] == rows
assert f['target_ids'][299] == b't299' and f['target_labels'].shape == (300,)
manifest = open(sys.argv[1] + '/manifest.json', 'rb').read()
assert f.attrs['manifest_sha256'].decode() == hashlib.sha256(manifest).hexdigest()
m = json.loads(manifest)
for i, e in enumerate(m['files']):
    assert e['sha256'] == hashlib.sha256(str(i * i).encode()).hexdigest()
    assert e['size'] == len(str(i * i))
print(t.dtype, f.attrs['transform'].decode(), f.attrs['bin_size'], f.attrs['complete'],
      m['dtype'], m['transform'])
)",
                                           {where, where + "/values", std::to_string(num_windows()),
                                            temp_.write("w.bed", bed_text(windows_.windows))});
        EXPECT_EQ(out, half ? "float16 new 10 1 f16 new\n" : "float32 new 10 1 f32 new\n");
        const auto values = read_numbers<float>(where + "/values");
        const TrackCacheSource cache(where, inputs());
        const std::size_t size = 16 * 300;
        std::vector<float> found(size);
        std::vector<float> raw(size);
        for (std::size_t row = 0; row < windows_.windows.size(); ++row) {
            const ListedWindow& window = windows_.windows[row];
            cache.read(window.contig, window.start_bp, 16, found);
            ASSERT_TRUE(std::equal(found.begin(), found.end(),
                                   values.begin() + static_cast<std::ptrdiff_t>(row * size)));
            source.read(window.contig, window.start_bp, 16, raw);
            for (std::size_t i = 0; i < size; ++i) {
                ASSERT_NEAR(found[i], raw[i], half ? raw[i] / 2048 : 0.0);
            }
        }
        EXPECT_NE(*std::max_element(raw.begin(), raw.end()), 0.0F);
    }
    // Rounding to f16 is numpy's.
    run_python(
        "import numpy as np, sys\n"
        "a = np.fromfile(sys.argv[1], 'f4'); b = np.fromfile(sys.argv[2], 'f4')\n"
        "assert len(a) and (a.astype('f2').astype('f4') == b).all()\n",
        {folder("f") + "/values", folder("h") + "/values"});
}

TEST_F(TrackCacheTest, AStoppedBuildGoesOn) {
    const MadeUpSource source(num_tracks_);
    build(folder("whole"), source);
    const std::string where = folder("stopped");
    const TrackCacheResult stopped = build(where, source, 2, 5);
    EXPECT_FALSE(stopped.complete);
    EXPECT_FALSE(fs::exists(where + "/tracks.h5"));
    FLAGEN_EXPECT_USER_ERROR(TrackCacheSource(where, inputs()), kInputFile, "no finished", where);
    const std::int64_t reads = source.num_reads;
    const TrackCacheResult resumed = build(where, source, 2);
    EXPECT_TRUE(resumed.complete);
    EXPECT_EQ(resumed.num_resumed, 5);
    EXPECT_EQ(source.num_reads - reads, num_windows() - 5);
    EXPECT_EQ(cache_bytes(where), cache_bytes(folder("whole")));
}

// A record that a kill cut off, at any byte, or that a disk damaged, is made again.
TEST_F(TrackCacheTest, UnfinishedRecordsAreCutOff) {
    const MadeUpSource source(num_tracks_);
    build(folder("whole"), source);
    const std::string where = folder("cut");
    build(where, source, 1, 2);
    const std::string part = bytes_of_file(where + "/tracks.h5.part");
    build(where, source, 1, 3);
    const std::string longer = bytes_of_file(where + "/tracks.h5.part");
    ASSERT_EQ(longer.substr(0, part.size()), part);
    const std::size_t step = (longer.size() - part.size()) / 12 + 1;
    int tried = 0;
    for (std::size_t size = part.size(); size < longer.size(); size += step) {
        temp_.write("cut/tracks.h5.part", longer.substr(0, size));
        EXPECT_EQ(build(where, source).num_resumed, 2) << size;
        ASSERT_EQ(cache_bytes(where), cache_bytes(folder("whole"))) << size;
        fs::remove(where + "/tracks.h5");
        ++tried;
    }
    EXPECT_GT(tried, 10);
    std::string damaged = longer;
    damaged[longer.size() - 100] = static_cast<char>(damaged[longer.size() - 100] ^ 4);
    temp_.write("cut/tracks.h5.part", damaged);
    EXPECT_EQ(build(where, source).num_resumed, 2);
    EXPECT_EQ(cache_bytes(where), cache_bytes(folder("whole")));
}

TEST_F(TrackCacheTest, KilledAtRandomTimesItEndsWithTheSameBytes) {
    const MadeUpSource slow(num_tracks_, 4);
    build(folder("whole"), MadeUpSource(num_tracks_));
    const std::string where = folder("killed");
    std::mt19937_64 random(11);
    std::uint64_t kills = 0;
    bool finished = false;
    while (!finished) {
        const pid_t child = ::fork();
        if (child == 0) {
            build(where, slow, 2);
            ::_exit(0);
        }
        // Too short for a whole build at first; longer with every kill, so that a busy machine gets
        // through as well.
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % (6 + 4 * kills)));
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        kills += finished ? 0 : 1;
        ASSERT_LT(kills, 500U);
    }
    EXPECT_GT(kills, 2U);
    EXPECT_EQ(cache_bytes(where), cache_bytes(folder("whole")));
    EXPECT_NO_THROW(TrackCacheSource(where, inputs()));
}

TEST_F(TrackCacheTest, TwoBuildersOfOneFolderAreRefused) {
    const MadeUpSource source(num_tracks_);
    const std::string where = folder("shared");
    std::atomic<bool> refused{false};
    TrackCacheOptions options;  // of a builder that holds the folder until the other was refused
    options.progress = [&](std::int64_t, std::int64_t) {
        while (!refused) {
            std::this_thread::yield();
        }
        return false;
    };
    const TrackManifest manifest = make_track_manifest(inputs(), windows_, 2);
    std::thread first(
        [&] { build_track_cache(where, manifest, windows_, table_, source, options); });
    while (!fs::exists(where + "/manifest.json")) {  // written with the lock held
        std::this_thread::yield();
    }
    FLAGEN_EXPECT_USER_ERROR(build(where, source), kConfig, "another process", "tracks.h5.part");
    refused = true;
    first.join();
}

TEST_F(TrackCacheTest, APartOfOtherInputsIsRefusedOrDiscarded) {
    const MadeUpSource source(num_tracks_);
    const std::string where = folder("other");
    build(where, source, 1, 5);
    EXPECT_TRUE(has_unfinished_track_cache(where));
    const auto bytes = fs::file_size(where + "/tracks.h5.part");
    temp_.write("f7.bw", "other content");
    FLAGEN_EXPECT_USER_ERROR(build(where, source), kConfig, "other inputs", "tracks.h5.part");
    EXPECT_EQ(fs::file_size(where + "/tracks.h5.part"), bytes);
    TrackCacheOptions options;
    options.discard_other = true;
    const auto manifest = make_track_manifest(inputs(), windows_, 1);
    const auto result = build_track_cache(where, manifest, windows_, table_, source, options);
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.num_resumed, 0);
    EXPECT_NO_THROW(TrackCacheSource(where, inputs()));
    EXPECT_FALSE(has_unfinished_track_cache(where));
    remove_track_cache(where);
    EXPECT_TRUE(fs::is_empty(where));
}

TEST_F(TrackCacheTest, APartGoesOnWhereABigWigHasTheSameContentAtAnotherTime) {
    const MadeUpSource source(num_tracks_);
    const std::string where = folder("touched");
    build(where, source, 1, 5);
    fs::last_write_time(table_.tracks[7].file,
                        fs::file_time_type::clock::now() + std::chrono::hours(1));
    EXPECT_EQ(build(where, source).num_resumed, 5);
}

TEST_F(TrackCacheTest, StaleCachesAreRefusedWithWhatChanged) {
    const std::string where = folder("c");
    build(where, MadeUpSource(num_tracks_));
    const auto open = [&](const TrackCacheInputs& now) { return TrackCacheSource(where, now); };
    EXPECT_NO_THROW(open(inputs(true)));  // f16 or f32 is the cache's own affair

    TrackCacheInputs changed = inputs();
    changed.transform = "old";
    FLAGEN_EXPECT_USER_ERROR(open(changed), kInputFile, "stale", "transform was new, is old",
                             where);
    const WindowGeometry other_bins{200, 20, 20};
    FLAGEN_EXPECT_USER_ERROR(open({contigs_, table_, "new", other_bins, blacklist_}), kInputFile,
                             "bin in bp was 10, is 20");
    const genomics::ContigTable other_contigs({{"a", 3001, false}, {"bb", 1000, false}});
    FLAGEN_EXPECT_USER_ERROR(open({other_contigs, table_, "new", kGeometry, blacklist_}),
                             kInputFile, "contig lengths");
    TrackTable other_table = table_;
    other_table.tracks[3].scale = 2.0F;
    FLAGEN_EXPECT_USER_ERROR(open({contigs_, other_table, "new", kGeometry, blacklist_}),
                             kInputFile, "track table");
    const GenomeMask mask = GenomeMask::load(temp_.write("b.bed", "a\t3\t9\n"), contigs_);
    FLAGEN_EXPECT_USER_ERROR(open({contigs_, table_, "new", kGeometry, mask}), kInputFile,
                             "blacklist", "was none");

    // A bigWig: same content at another time is no change, other content of the same size is.
    fs::last_write_time(table_.tracks[20].file,
                        fs::file_time_type::clock::now() + std::chrono::hours(1));
    EXPECT_NO_THROW(open(inputs()));
    temp_.write("f20.bw", "401");
    fs::last_write_time(table_.tracks[20].file,
                        fs::file_time_type::clock::now() + std::chrono::hours(2));
    FLAGEN_EXPECT_USER_ERROR(open(inputs()), kInputFile, "other content", "f20.bw");
    temp_.write("f20.bw", "4001");
    FLAGEN_EXPECT_USER_ERROR(open(inputs()), kInputFile, "has 4 bytes, had 3", "f20.bw");
    fs::remove(table_.tracks[20].file);
    EXPECT_NO_THROW(open(inputs()));  // the bigWigs need not be where training is

    WindowList fewer = windows_;
    fewer.windows.pop_back();
    const auto manifest = TrackManifest::read(where + "/manifest.json");
    EXPECT_THAT(stale_reasons(manifest, inputs(), &fewer), ElementsAre(HasSubstr("windows")));
    EXPECT_TRUE(stale_reasons(manifest, inputs(), &windows_).empty());
}

TEST_F(TrackCacheTest, DamageIsAnErrorThatNamesTheWindow) {
    const std::string where = folder("c");
    build(where, MadeUpSource(num_tracks_));
    const std::string sound = cache_bytes(where);
    std::string damaged = sound;
    for (std::size_t i = 1; i < 10; ++i) {  // between chunks there is some unused space
        const std::size_t at = sound.size() * i / 10;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
    }
    temp_.write("c/tracks.h5", damaged);
    {
        const TrackCacheSource cache(where, inputs());
        std::vector<float> values(static_cast<std::size_t>(16 * num_tracks_));
        const auto read_all = [&] {
            for (const ListedWindow& window : windows_.windows) {
                cache.read(window.contig, window.start_bp, 16, values);
            }
        };
        FLAGEN_EXPECT_USER_ERROR(read_all(), kInputFile, "damaged data", "window", "tracks.h5");
    }  // HDF5 does not look at a file again that it has open
    temp_.write("c/tracks.h5", sound.substr(0, sound.size() / 2));
    FLAGEN_EXPECT_USER_ERROR(TrackCacheSource(where, inputs()), kInputFile, "tracks.h5");
    temp_.write("c/tracks.h5", sound);
    const std::string manifest = bytes_of_file(where + "/manifest.json");
    temp_.write("c/manifest.json", manifest + "\n");
    FLAGEN_EXPECT_USER_ERROR(TrackCacheSource(where, inputs()), kInputFile,
                             "do not belong together");
    temp_.write("c/manifest.json", "{\"schema_version\": 99}");
    FLAGEN_EXPECT_USER_ERROR(TrackCacheSource(where, inputs()), kInputFile, "99", "manifest.json");
    temp_.write("c/manifest.json", "{");
    FLAGEN_EXPECT_USER_ERROR(TrackCacheSource(where, inputs()), kInputFile, "manifest.json");
}

TEST_F(TrackCacheTest, AFailingSourceEndsTheBuildWithItsError) {
    class Failing final : public TrackSource {
      public:
        [[nodiscard]] std::int64_t num_tracks() const override { return 300; }
        [[nodiscard]] std::int64_t bin_bp() const override { return 10; }
        void read(const std::string&, std::int64_t start_bp, std::int64_t,
                  std::span<float> out) const override {
            FLAGEN_USER_CHECK(UserFault::kInputFile, start_bp < 900, "bad block");
            std::fill(out.begin(), out.end(), 1e6F);
        }
    };
    const std::string where = folder("c");
    FLAGEN_EXPECT_USER_ERROR(build(where, Failing(), 2), kInputFile, "bad block");
    EXPECT_FALSE(fs::exists(where + "/tracks.h5"));
    EXPECT_EQ(build(where, MadeUpSource(num_tracks_)).num_resumed, 10);
    FLAGEN_EXPECT_USER_ERROR(build(folder("h"), Failing(), 1, -1, true), kConfig, "f16", "1e+06");
}

// Real tracks through the files: the cache equals the bigWigs, bit for bit.
TEST(TrackCacheYeastTest, EqualsBinningOnTheFly) {
    FLAGEN_SHARED_DATA_OR_SKIP(tracks, "yeast_R64-1-1/tracks");
    const TempDir temp;
    const genomics::ContigTable contigs(
        {{"I", 230'218, false}, {"XVI", 948'066, false}, {"Mito", 85'779, false}});
    const TrackTable table = TrackTable::load(
        std::string(FLAGEN_PRESETS) + "/yeast_stripe_targets.txt", {tracks});
    const WindowGeometry geometry;
    WindowListOptions options;
    options.stride_bp = 49'173;
    options.splits.test_contigs = {"XVI"};
    const WindowList windows = plan_window_list(contigs, geometry, {}, {}, options).list;
    const auto source =
        open_track_source(table, TrackTransform::make("new", table), geometry.bin_bp, contigs);
    const GenomeMask no_mask;
    const TrackCacheInputs inputs{contigs, table, "new", geometry, no_mask};
    TrackCacheOptions build;
    build.num_threads = 2;
    const TrackCacheResult result =
        build_track_cache(temp.path().string(), make_track_manifest(inputs, windows, 1), windows,
                          table, *source, build);
    ASSERT_TRUE(result.complete);
    const TrackCacheSource cache(temp.path().string(), inputs);
    std::vector<float> found(6144 * 12);
    std::vector<float> expected(found.size());
    double sum = 0;
    for (const ListedWindow& window : windows.windows) {
        cache.read(window.contig, window.start_bp, 6144, found);
        source->read(window.contig, window.start_bp, 6144, expected);
        ASSERT_EQ(found, expected);
        sum += found[0] + found[found.size() / 2];
    }
    EXPECT_GE(sum, 0.0);
}

}  // namespace
}  // namespace flagen::data
