#pragma once

#include <sys/wait.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace flagen::testing {

/// One made-up contig.
struct TinyContig {
    std::string name;
    std::string bases;
};

/// Random bases in both cases with stretches of N, the same for the same seed on every platform.
inline std::string random_bases(std::size_t length, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string bases;
    bases.reserve(length);
    while (bases.size() < length) {
        const bool soft_masked = random() % 3 == 0;
        const bool gap = random() % 40 == 0;
        const std::size_t run = 1 + random() % 60;
        for (std::size_t i = 0; i < run && bases.size() < length; ++i) {
            const char base = gap ? 'N' : "ACGT"[random() % 4];
            bases.push_back(soft_masked ? static_cast<char>(base | 0x20) : base);
        }
    }
    return bases;
}

/// Four contigs that meet the corners of the FASTA geometry: many lines and bgzip blocks, an exact
/// multiple of 60, one base, and one short line. 236,128 bp in all.
inline std::vector<TinyContig> tiny_genome() {
    return {{"chrI", random_bases(200'007, 1)},
            {"chrII", random_bases(36'000, 2)},
            {"one", "G"},
            {"plasmid", random_bases(120, 3)}};
}

/// FASTA text of `contigs`, `width` bases a line; 0 puts each contig on one line.
inline std::string fasta_text(const std::vector<TinyContig>& contigs, std::size_t width = 60,
                              const std::string& line_end = "\n") {
    std::string text;
    for (const TinyContig& contig : contigs) {
        text += ">" + contig.name + " made up" + line_end;
        const std::size_t step = width == 0 ? contig.bases.size() : width;
        for (std::size_t at = 0; at < contig.bases.size(); at += step) {
            text += contig.bases.substr(at, step) + line_end;
        }
    }
    return text;
}

/// Standard output of a shell command.
///
/// @throws std::runtime_error if it cannot be started or does not exit with 0.
inline std::string tool_output(const std::string& command) {
    std::FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) {
        throw std::runtime_error("cannot start: " + command);
    }
    std::string output;
    std::array<char, 65536> buffer;
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
        output.append(buffer.data(), n);
    }
    const int status = pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error("failed: " + command);
    }
    return output;
}

inline bool has_tool(const std::string& name) {
    return std::system(("command -v " + name + " > /dev/null 2>&1").c_str()) == 0;
}

/// Sequences of a FASTA text in order, lines joined, names dropped.
inline std::vector<std::string> fasta_sequences(const std::string& text) {
    std::vector<std::string> sequences;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.front() == '>') {
            sequences.emplace_back();
        } else if (!sequences.empty()) {
            sequences.back() += line;
        }
    }
    return sequences;
}

}  // namespace flagen::testing

/// Skips the test with the reason where an outside tool is not installed.
#define FLAGEN_TOOL_OR_SKIP(name)                                    \
    if (!::flagen::testing::has_tool(name)) {                        \
        GTEST_SKIP() << "outside tool is not installed: " << (name); \
    }                                                                \
    static_assert(true)
