#include "flagen/data/prediction_store.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::data {
namespace {

using ::flagen::testing::TempDir;
using ::flagen::testing::tool_output;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<PredictedGene> some_genes(std::size_t count) {
    std::vector<PredictedGene> genes;
    for (std::size_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::int64_t>(i);
        genes.push_back({"gene" + std::to_string(i), i % 5 == 0 ? "test" : "train", "NC_000913.3",
                         i % 2 == 0 ? '+' : '-', at * 100, at * 100 + 90, at * 10 - 50,
                         i == 1 ? RowStatus::kBeyondWindow : RowStatus::kOk});
    }
    return genes;
}

std::vector<std::string> some_samples(std::size_t count) {
    std::vector<std::string> samples;
    for (std::size_t i = 0; i < count; ++i) {
        samples.push_back(i == 0 ? "a longer name, µ" : "s" + std::to_string(i));
    }
    return samples;
}

std::vector<float> some_values(std::size_t genes, std::size_t samples) {
    std::mt19937_64 random(8);
    std::vector<float> values(genes * samples);
    for (float& value : values) {
        value = static_cast<float>(random() % 1'000'000) / 4321.0F;
    }
    for (std::size_t s = 0; s < samples && genes > 1; ++s) {
        values[samples + s] = kNan;  // the gene beyond its window
    }
    return values;
}

/// Writes `num_genes` x `num_samples` in blocks of `block_rows`.
void write_store(const std::string& path, std::size_t num_genes, std::size_t num_samples,
                 std::size_t block_rows, const Attributes& attributes = {}) {
    const auto values = some_values(num_genes, num_samples);
    GenePredictionWriter writer(path, some_genes(num_genes), some_samples(num_samples));
    for (std::size_t row = 0; row < num_genes; row += block_rows) {
        const std::size_t rows = std::min(block_rows, num_genes - row);
        writer.append(std::span(values).subspan(row * num_samples, rows * num_samples));
    }
    writer.finish(attributes);
}

std::string file_bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> names_in(const TempDir& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        names.push_back(entry.path().filename().string());
    }
    return names;
}

TEST(PredictionStoreTest, ReadsBackWhatItWrote) {
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    const Attributes attributes = {{"transform", "zscore"},
                                   {"seq_length", std::int64_t{524288}},
                                   {"dropped_share", 0.125},
                                   {"cmdline", ""},
                                   {"params_json", std::string(100'000, 'x')}};
    write_store(path, 30, 7, 4, attributes);
    EXPECT_THAT(names_in(folder), ::testing::ElementsAre("p.h5"));
    const GenePredictions found = read_gene_predictions(path);
    EXPECT_EQ(found.genes, some_genes(30));
    EXPECT_EQ(found.samples, some_samples(7));
    const auto values = some_values(30, 7);
    ASSERT_EQ(found.values.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_TRUE(found.values[i] == values[i] ||
                    (std::isnan(found.values[i]) && std::isnan(values[i])));
    }
    for (const auto& [name, value] : attributes) {
        EXPECT_EQ(found.attributes.at(name), value) << name;
    }
    EXPECT_EQ(found.attributes.at("complete"), AttributeValue(std::int64_t{1}));
    EXPECT_EQ(found.attributes.at("rows_done"), AttributeValue(std::int64_t{30}));
}

// h5py sees names, dtypes, values, filters, chunks and attributes as documented.
TEST(PredictionStoreTest, OpensInH5py) {
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    write_store(path, 3000, 200, 7, {{"transform", "none"}, {"seq_length", std::int64_t{9}}});
    const auto values = some_values(3000, 200);
    std::ofstream(folder.path() / "values.bin", std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(float)));
    const std::string script = folder.write("check.py", R"(
import sys, h5py, numpy as np
folder = sys.argv[1]
f = h5py.File(folder + '/p.h5', 'r')
want = np.fromfile(folder + '/values.bin', np.float32).reshape(3000, 200)
pred = f['genes/pred']
assert pred.dtype == np.dtype('<f4'), pred.dtype
np.testing.assert_array_equal(pred[:], want)
assert np.isnan(pred.fillvalue)
kinds = {'id': 'S', 'split': 'S', 'chrom': 'S', 'strand': 'S1', 'samples': 'S',
         'start': '<i8', 'end': '<i8', 'window': '<i8', 'status': '|u1', 'pred': '<f4'}
assert set(f['genes']) == set(kinds), set(f['genes'])
for name, kind in kinds.items():
    d = f['genes'][name]
    got = d.dtype.str.lstrip('|') if kind[0] == 'S' else d.dtype.str
    assert got == kind or (kind == 'S' and got[0] == 'S'), (name, got)
    assert d.shuffle and d.compression == 'gzip' and d.fletcher32, name
    if d.dtype.kind == 'S':
        t = d.id.get_type()
        assert t.get_strpad() == h5py.h5t.STR_NULLPAD and not t.is_variable_str(), name
rows, columns = pred.chunks
assert columns == 200 and 262144 <= rows * columns * 4 <= 4 << 20, pred.chunks
assert f['genes/id'][2999] == b'gene2999' and f['genes/id'].dtype == 'S8'
assert f['genes/samples'][0].decode() == 'a longer name, \u00b5'
assert f['genes/strand'][:3].tolist() == [b'+', b'-', b'+']
assert f['genes/window'][0] == -50 and f['genes/end'][2] == 290
assert f['genes/status'][:3].tolist() == [0, 4, 0]
text = [t.decode() for t in f['status_text'][:]]
assert text[0] == 'ok' and text[4] == 'beyond_window' and len(text) == 11
a = f.attrs
assert a['complete'] == 1 and a['rows_done'] == 3000 and a['schema_version'] == 1
assert a['transform'] == b'none' and a['seq_length'] == 9
print('good')
)");
    EXPECT_EQ(
        tool_output(std::string(FLAGEN_VENV_PYTHON) + " " + script + " " + folder.path().string()),
        "good\n");
}

TEST(PredictionStoreTest, OpensInH5dump) {
    FLAGEN_TOOL_OR_SKIP("h5dump");
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    write_store(path, 5, 2, 5);
    const std::string dump =
        tool_output("h5dump -p -d /genes/id -d /genes/pred -a complete " + path);
    EXPECT_THAT(dump, HasSubstr("STRPAD H5T_STR_NULLPAD"));
    EXPECT_THAT(dump, HasSubstr("CSET H5T_CSET_UTF8"));
    EXPECT_THAT(dump, HasSubstr("H5T_IEEE_F32LE"));
    EXPECT_THAT(dump, HasSubstr("CHECKSUM FLETCHER32"));
    EXPECT_THAT(dump, HasSubstr("COMPRESSION DEFLATE { LEVEL 4 }"));
    EXPECT_THAT(dump, HasSubstr("PREPROCESSING SHUFFLE"));
    EXPECT_THAT(dump, HasSubstr("\"gene4\""));
}

TEST(PredictionStoreTest, BytesDependOnTheContentOnly) {
    const TempDir folder;
    const std::string one = (folder.path() / "one.h5").string();
    const std::string other = (folder.path() / "other.h5").string();
    write_store(one, 2500, 300, 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's clock counts seconds
    write_store(other, 2500, 300, 1111);
    EXPECT_EQ(file_bytes(one), file_bytes(other)) << "neither time nor block size may show";
}

TEST(PredictionStoreTest, UnfinishedWriterLeavesNothing) {
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    folder.write("p.h5", "an older file");
    {
        GenePredictionWriter writer(path, some_genes(3), {"s"});
        writer.append(std::vector<float>{1, 2});
        EXPECT_EQ(writer.rows_done(), 2);
        EXPECT_THROW(writer.finish({}), Error) << "a row is missing";
        EXPECT_THROW(writer.append(std::vector<float>{3, 4}), Error) << "a row too many";
    }
    EXPECT_THAT(names_in(folder), ::testing::ElementsAre("p.h5"));
    EXPECT_EQ(file_bytes(path), "an older file");
}

/// Starts a process that writes a store to `path`.
pid_t start_writer(const std::string& path) {
    const pid_t child = fork();
    if (child == 0) {
        write_store(path, 4000, 100, 50);
        _exit(0);
    }
    return child;
}

TEST(PredictionStoreTest, KilledWriterLeavesNoFileUnderTheFinalName) {
    const TempDir folder;
    const auto path_of = [&](int trial) {
        return (folder.path() / ("p" + std::to_string(trial) + ".h5")).string();
    };
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    waitpid(start_writer(path_of(-1)), nullptr, 0);
    const auto whole = Clock::now() - start;
    ASSERT_TRUE(std::filesystem::exists(path_of(-1)));
    std::mt19937 random(1);
    int killed = 0;
    for (int trial = 0; trial < 16; ++trial) {
        const pid_t child = start_writer(path_of(trial));
        ASSERT_GE(child, 0);
        std::this_thread::sleep_for(whole * (random() % 120) / 100);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status) ? 1 : 0;
        if (std::filesystem::exists(path_of(trial))) {
            EXPECT_EQ(read_gene_predictions(path_of(trial)).genes.size(), 4000U);
        } else {
            EXPECT_TRUE(WIFSIGNALED(status)) << "a writer that ended leaves its file";
        }
    }
    std::cout << killed << " of 16 writers were killed at work\n";
    EXPECT_GT(killed, 4) << "the delays are too long to prove anything";
}

TEST(PredictionStoreTest, FullDiskIsAnErrorThatNamesTheFile) {
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        // A limit on the file size stands in for a full disk.
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{200'000, 200'000};
        setrlimit(RLIMIT_FSIZE, &limit);
        std::string text = "no error";
        try {
            write_store(path, 4000, 100, 500);
        } catch (const Error& error) {
            text = error.what();
        }
        static_cast<void>(!write(report[1], text.data(), text.size()));
        std::exit(0);  // not _exit: HDF5's own clean-up must survive the failed file
    }
    int status = 0;
    waitpid(child, &status, 0);
    close(report[1]);
    char buffer[2000] = {};
    static_cast<void>(!read(report[0], buffer, sizeof(buffer) - 1));
    close(report[0]);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_THAT(std::string(buffer), HasSubstr(path));
    EXPECT_THAT(std::string(buffer), HasSubstr("errno = 27"));
    EXPECT_THAT(names_in(folder), ::testing::ElementsAre());
}

TEST(PredictionStoreTest, RefusesDamagedFiles) {
    const TempDir folder;
    const std::string path = (folder.path() / "p.h5").string();
    write_store(path, 3000, 50, 1000);
    const std::string good = file_bytes(path);
    const auto read = [&](const std::string& bytes) {
        return read_gene_predictions(folder.write("damaged.h5", bytes));
    };
    FLAGEN_EXPECT_USER_ERROR(read(good.substr(0, good.size() / 2)), kInputFile, "damaged.h5");
    FLAGEN_EXPECT_USER_ERROR(read("not HDF5"), kInputFile, "damaged.h5",
                             "not a complete HDF5 file");
    FLAGEN_EXPECT_USER_ERROR(read(""), kInputFile, "damaged.h5");
    FLAGEN_EXPECT_USER_ERROR(read_gene_predictions("/nowhere/p.h5"), kInputFile, "/nowhere/p.h5");
    // A bit flip in the values: gzip or fletcher32 notices.
    std::string flipped = good;
    flipped[good.size() * 3 / 4] = static_cast<char>(flipped[good.size() * 3 / 4] ^ 0x10);
    FLAGEN_EXPECT_USER_ERROR(read(flipped), kInputFile, "damaged.h5", "/genes/pred");
}

// Files of the right format that flagen did not write this way.
TEST(PredictionStoreTest, RefusesFilesThatAreNotComplete) {
    struct Edit {
        std::string code;
        std::string message;
    };
    const std::string new_pred = "del f['genes/pred']; f['genes'].create_dataset('pred', ";
    const std::vector<Edit> edits = {
        {"f.attrs['complete'] = 0", "not complete"},
        {"del f.attrs['complete']", "not complete"},
        {"f.attrs['schema_version'] = 2", "schema version 2"},
        {"f.attrs['rows_done'] = 4", "rows_done"},
        {"del f['genes/end']", "/genes/end: dataset is absent"},
        {"del f['genes/end']; f['genes/end'] = np.arange(4)", "not stored in chunks"},
        {"del f['genes/end']; f['genes'].create_dataset('end', data=np.arange(4), chunks=(4,))",
         "differ in length"},
        {new_pred + "data=np.zeros((5, 3), 'f4'), chunks=(5, 3))", "is 5 x 3, expected 5 x 2"},
        {new_pred + "shape=(2**40, 2**20), dtype='f4', chunks=(1, 1024))", "impossible size"},
        {new_pred + "shape=(2**20, 2**10), dtype='f4', chunks=(1, 1024))", "holds less data"},
        {"del f['genes/id']; f['genes/id'] = h5py.ExternalLink('x.h5', '/y')", "link to elsewhere"},
        {"f['genes/status'][2] = 77", "unknown status 77"},
        {"del f['genes/id']; f['genes'].create_dataset('id', data=np.arange(5), chunks=(5,))",
         "expected fixed-length strings"}};
    const TempDir folder;
    const auto path_of = [&](std::size_t i) {
        return (folder.path() / ("p" + std::to_string(i) + ".h5")).string();
    };
    std::string script = "import h5py, numpy as np\n";
    for (std::size_t i = 0; i < edits.size(); ++i) {
        write_store(path_of(i), 5, 2, 5);
        EXPECT_NO_THROW(static_cast<void>(read_gene_predictions(path_of(i))));
        script += "with h5py.File('" + path_of(i) + "', 'r+') as f:\n    " + edits[i].code + "\n";
    }
    tool_output(std::string(FLAGEN_VENV_PYTHON) + " " + folder.write("edit.py", script));
    for (std::size_t i = 0; i < edits.size(); ++i) {
        FLAGEN_EXPECT_USER_ERROR(read_gene_predictions(path_of(i)), kInputFile, edits[i].message,
                                 path_of(i));
    }
}

TEST(PredictionStoreTest, RefusesAFolderThatDoesNotExist) {
    FLAGEN_EXPECT_USER_ERROR(GenePredictionWriter("/nowhere/p.h5", some_genes(1), {"s"}), kConfig,
                             "/nowhere/p.h5");
    const TempDir folder;
    EXPECT_THROW(GenePredictionWriter((folder.path() / "p.h5").string(), {}, {"s"}), Error);
    EXPECT_THROW(GenePredictionWriter((folder.path() / "p.h5").string(), some_genes(1),
                                      {std::string("a\0b", 3)}),
                 Error);
    EXPECT_THAT(names_in(folder), ::testing::ElementsAre());
}

}  // namespace
}  // namespace flagen::data
