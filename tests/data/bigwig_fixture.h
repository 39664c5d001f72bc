#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "flagen/data/track_table.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::testing {

/// Writes a bigWig with pyBigWig. `contigs` is "[('a', 1000), ..]"; each of `rows` is "contig start
/// end value", ascending.
inline void write_bigwig(const std::string& path, const std::string& contigs,
                         const std::string& rows) {
    run_python(
        "import pyBigWig, sys\n"
        "b = pyBigWig.open(sys.argv[1], 'w')\n"
        "b.addHeader(eval(sys.argv[2]))\n"
        "r = [x.split() for x in sys.argv[3].strip().splitlines()]\n"
        "b.addEntries([x[0] for x in r], [int(x[1]) for x in r], ends=[int(x[2]) for x in r],\n"
        "             values=[float(x[3]) for x in r])\n"
        "b.close()\n",
        {path, contigs, rows});
}

/// Numbers that a script wrote with numpy's tofile().
template <typename T>
std::vector<T> read_numbers(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    if (bytes.empty()) {
        throw std::runtime_error("nothing in " + path);
    }
    std::vector<T> numbers(bytes.size() / sizeof(T));
    bytes.copy(reinterpret_cast<char*>(numbers.data()), numbers.size() * sizeof(T));
    return numbers;
}

/// A table of unstranded tracks over `files`, all with the same statistic and no limits.
inline data::TrackTable table_of(const std::vector<std::string>& files,
                                 const std::string& statistic = "sum") {
    const TempDir folder;
    std::string text = "\tidentifier\tfile\tsum_stat\n";
    for (std::size_t i = 0; i < files.size(); ++i) {
        text += std::to_string(i) + "\tt" + std::to_string(i) + "\t" + files[i] + "\t" + statistic +
                "\n";
    }
    return data::TrackTable::load(folder.write("targets.txt", text));
}

}  // namespace flagen::testing

/// Skips the test with the reason where pyBigWig is not installed.
#define FLAGEN_PYBIGWIG_OR_SKIP()                                 \
    if (!::flagen::testing::python_has("pyBigWig")) {             \
        GTEST_SKIP() << "pyBigWig is not installed in the .venv"; \
    }                                                             \
    static_assert(true)
