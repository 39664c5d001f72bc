#pragma once

#include <string>

#include "fasta_scanner.h"

namespace flagen::genomics {

/// Compares the `.fai` beside a FASTA file with what the file holds.
///
/// Every row must agree in name, order, length, offset and line geometry; only what cannot matter
/// may differ: the line end of a contig of one line, and rows of contigs without bases. The times
/// of the two files are not looked at: a copy or a checkout changes them, and equal content is the
/// stronger proof.
///
/// Returns false if there is no index.
///
/// @throws flagen::UserError (kInputFile) naming the index, the line, the contig and both values if
///         the index is malformed, stale or another file's.
[[nodiscard]] bool check_fasta_index(const std::string& fasta_path, const FastaContents& contents);

}  // namespace flagen::genomics
