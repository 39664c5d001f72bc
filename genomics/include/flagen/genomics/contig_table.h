#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "flagen/genomics/interval.h"

namespace flagen::genomics {

/// One sequence of a genome.
struct Contig {
    std::string name;
    std::int64_t length_bp = 0;
    bool circular = false;  ///< Windows over the end go on at the start.
};

/// The contigs of a genome in the order of its FASTA. Names are unique and compared exactly.
class ContigTable {
  public:
    ContigTable() = default;

    /// @throws flagen::Error if a name is empty or stands twice, or a length is not positive.
    explicit ContigTable(std::vector<Contig> contigs);

    [[nodiscard]] std::size_t size() const { return contigs_.size(); }
    [[nodiscard]] const Contig& at(std::size_t index) const { return contigs_.at(index); }
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] std::int64_t total_length_bp() const;

    /// Index of the contig of exactly this name; nothing is guessed.
    [[nodiscard]] std::optional<std::size_t> find(const std::string& name) const;

    /// The contig of exactly this name.
    ///
    /// @throws flagen::UserError (kInputFile) naming the contig, `source` (the file that used the
    ///         name) and, where one is plain, the contig that was likely meant.
    [[nodiscard]] const Contig& require(const std::string& name, const std::string& source) const;

    /// A contig that `name` is likely another spelling of: "chr1" and "1", "chrIV" and "4", "MT"
    /// and "chrM", another accession version, other case. For error texts only.
    [[nodiscard]] std::optional<std::string> likely_alias(const std::string& name) const;

  private:
    std::vector<Contig> contigs_;
    std::unordered_map<std::string, std::size_t> index_;
};

/// Other names of contigs, from an explicit table; never guessed.
class ContigAliases {
  public:
    ContigAliases() = default;

    /// Reads a table of two tab-separated columns, alias and name in the FASTA, without a header.
    /// Blank lines and lines that begin with '#' are skipped; CRLF is accepted.
    ///
    /// @throws flagen::UserError (kInputFile) naming file and line if a row has not two non-empty
    ///         columns, or an alias stands for two names.
    [[nodiscard]] static ContigAliases load(const std::string& path);

    [[nodiscard]] std::size_t size() const { return names_.size(); }

    /// The name that `alias` stands for, or `alias` itself if the table does not hold it.
    [[nodiscard]] std::string resolve(const std::string& alias) const;

    /// As `contigs.find(name)`; where that finds nothing, the alias's contig.
    [[nodiscard]] std::optional<std::size_t> find(const ContigTable& contigs,
                                                  const std::string& name) const;

  private:
    std::unordered_map<std::string, std::string> names_;
};

/// Parses a region as parse_region(text) does, with the contigs known: an absent end becomes the
/// contig's length, and names may hold colons. An end past the contig is kept (fetch_window pads).
///
/// @throws flagen::UserError (kConfig) as parse_region(text) does, and if the contig is unknown, or
///         if `text` is a contig's name and also a range of another contig (braces tell them
///         apart).
[[nodiscard]] Interval parse_region(const std::string& text, const ContigTable& contigs);

}  // namespace flagen::genomics
