#include "fasta_scanner.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{1} << 16U;
constexpr std::size_t kMaxNameBytes = 4096;
constexpr const char* kRewrap =
    "random access needs lines of one length: rewrap the file, for example with seqtk seq -l 60";
constexpr unsigned char kFirstPrintable = 0x21;
constexpr unsigned char kDelete = 0x7F;

}  // namespace

FastaScanner::FastaScanner(std::string path)
    : path_(std::move(path)), md5_(hts_md5_init()), batch_(kBatchBytes) {
    FLAGEN_CHECK(md5_ != nullptr, "out of memory");
}

void FastaScanner::consume(const char* data, std::size_t size) {
    const char* at = data;
    const char* const end = data + size;
    while (at != end) {
        switch (state_) {
            case State::kLineStart:
                at = start_line(at);
                break;
            case State::kName:
                at = read_name(at, end);
                break;
            case State::kDescription:
                at = read_description(at, end);
                break;
            case State::kSequence:
                at = read_sequence(at, end);
                break;
        }
        if (state_ == State::kLineStart && record_.offset_bytes < 0) {
            record_.offset_bytes = offset_bytes_ + (at - data);
        }
    }
    offset_bytes_ += static_cast<std::int64_t>(size);
}

const char* FastaScanner::start_line(const char* at) {
    if (*at == '>') {
        end_record();
        begin_record();
        return at + 1;
    }
    if (in_record_) {
        bases_in_line_ = 0;
        state_ = State::kSequence;
        return at;
    }
    if (*at != '\n' && *at != '\r') {
        fail_before_first_record(*at);
    }
    line_ += static_cast<std::int64_t>(*at == '\n');
    return at + 1;
}

const char* FastaScanner::read_name(const char* at, const char* end) {
    const char* stop = at;
    while (stop != end && static_cast<unsigned char>(*stop) >= kFirstPrintable &&
           static_cast<unsigned char>(*stop) != kDelete) {
        ++stop;
    }
    record_.name.append(at, stop);
    if (record_.name.size() > kMaxNameBytes) {
        fail(line_, "contig name is longer than " + std::to_string(kMaxNameBytes) + " characters");
    }
    if (stop == end) {
        return end;
    }
    if (*stop != ' ' && *stop != '\t' && *stop != '\r' && *stop != '\n') {
        fail(line_, "contig name holds " + describe_character(*stop));
    }
    state_ = State::kDescription;
    return stop;
}

const char* FastaScanner::read_description(const char* at, const char* end) {
    const auto size = static_cast<std::size_t>(end - at);
    const auto* newline = static_cast<const char*>(std::memchr(at, '\n', size));
    const char* stop = newline != nullptr ? newline : end;
    if (std::memchr(at, '\0', static_cast<std::size_t>(stop - at)) != nullptr) {
        fail(line_, "header holds byte 0x00", "the file is binary or damaged");
    }
    if (newline == nullptr) {
        return end;
    }
    end_header();
    return newline + 1;
}

void FastaScanner::begin_record() {
    in_record_ = true;
    record_ = FastaRecord{};
    record_.header_line = line_;
    bases_in_line_ = 0;
    pending_return_ = blank_seen_ = short_seen_ = false;
    state_ = State::kName;
}

void FastaScanner::end_header() {
    if (record_.name.empty()) {
        fail(line_, "contig has no name", "write one straight after the '>'");
    }
    const auto [entry, added] = header_lines_.emplace(record_.name, line_);
    if (!added) {
        fail(line_, "contig name stands twice: " + record_.name + ", first in line " +
                        std::to_string(entry->second));
    }
    ++line_;
    record_.offset_bytes = -1;  // Set by consume(), which knows where the header ended.
    state_ = State::kLineStart;
}

const char* FastaScanner::read_sequence(const char* at, const char* end) {
    const auto size = static_cast<std::size_t>(end - at);
    const auto* newline = static_cast<const char*>(std::memchr(at, '\n', size));
    auto num_letters = newline != nullptr ? static_cast<std::size_t>(newline - at) : size;
    if (pending_return_ && num_letters > 0) {
        // Not a line end after all: a letter that flush_bases() will refuse.
        pending_return_ = false;
        append_bases("\r", 1);
    }
    if (num_letters > 0 && at[num_letters - 1] == '\r') {
        --num_letters;
        pending_return_ = true;
    }
    if (num_letters > 0) {
        append_bases(at, num_letters);
    }
    if (newline == nullptr) {
        return end;
    }
    end_sequence_line(true);
    return newline + 1;
}

void FastaScanner::append_bases(const char* bases, std::size_t size) {
    if (bases_in_line_ == 0) {
        check_line_may_follow();
    }
    const bool first_line = record_.line_bases == 0;
    const std::size_t room =
        first_line ? size : static_cast<std::size_t>(record_.line_bases - bases_in_line_);
    store_bases(bases, std::min(size, room));
    if (size > room) {
        flush_bases();
        fail(line_,
             "line is longer than the first of its contig, " + std::to_string(record_.line_bases) +
                 " bases",
             kRewrap);
    }
}

void FastaScanner::store_bases(const char* bases, std::size_t size) {
    bases_in_line_ += static_cast<std::int64_t>(size);
    while (size > 0) {
        const std::size_t piece = std::min(size, batch_.size() - batch_size_);
        std::memcpy(batch_.data() + batch_size_, bases, piece);
        batch_size_ += piece;
        record_.length_bp += static_cast<std::int64_t>(piece);
        bases += piece;
        size -= piece;
        if (batch_size_ == batch_.size()) {
            flush_bases();
        }
    }
}

void FastaScanner::check_line_may_follow() {
    if (!blank_seen_ && !short_seen_) {
        return;
    }
    flush_bases();
    if (blank_seen_) {
        fail(line_ - 1, "blank line inside a contig", "take it out");
    }
    fail(line_ - 1,
         "line is not as long as the first of its contig, " + std::to_string(record_.line_bases) +
             " bases and " + std::to_string(record_.line_bytes - record_.line_bases) +
             " for the line end, and is not the last one",
         kRewrap);
}

void FastaScanner::end_sequence_line(bool newline) {
    const std::int64_t num_bytes = bases_in_line_ + static_cast<std::int64_t>(newline) +
                                   static_cast<std::int64_t>(pending_return_);
    if (bases_in_line_ == 0) {
        blank_seen_ = true;
    } else if (record_.line_bases == 0) {
        record_.line_bases = bases_in_line_;
        record_.line_bytes = num_bytes;
    } else if (bases_in_line_ != record_.line_bases || num_bytes != record_.line_bytes) {
        short_seen_ = true;
    }
    bases_in_line_ = 0;
    pending_return_ = false;
    line_ += static_cast<std::int64_t>(newline);
    state_ = State::kLineStart;
}

void FastaScanner::end_record() {
    if (!in_record_) {
        return;
    }
    flush_bases();
    contents_.num_bases += record_.length_bp;
    if (record_.length_bp == 0) {
        contents_.empty_records.push_back(std::move(record_.name));
    } else {
        contents_.records.push_back(std::move(record_));
    }
}

void FastaScanner::flush_bases() {
    const std::size_t bad = normalise_bases(batch_.data(), batch_size_, contents_.counts);
    if (bad != batch_size_) {
        fail_at_base(record_.length_bp - static_cast<std::int64_t>(batch_size_ - bad), batch_[bad]);
    }
    hts_md5_update(md5_.get(), batch_.data(), batch_size_);
    batch_size_ = 0;
}

FastaContents FastaScanner::finish() {
    if (in_record_) {
        if (state_ == State::kName || state_ == State::kDescription) {
            end_header();
        } else if (state_ == State::kSequence) {
            end_sequence_line(false);
        }
        end_record();
    }
    if (contents_.records.empty()) {
        throw_user_error(UserFault::kInputFile, "FASTA file holds no bases: ", path_);
    }
    std::array<unsigned char, 16> digest{};
    std::array<char, 33> hex{};
    hts_md5_final(digest.data(), md5_.get());
    hts_md5_hex(hex.data(), digest.data());
    contents_.md5 = hex.data();
    return std::move(contents_);
}

void FastaScanner::fail_before_first_record(char first) const {
    const bool file_start = line_ == 1;
    if (file_start && first == '@') {
        fail(line_, "file is FASTQ, not FASTA", "convert it, for example with samtools fasta");
    }
    if (file_start && first == '\xEF') {
        fail(line_, "file begins with a byte order mark (byte 0xEF)",
             "take it out: sed -i '1s/^\\xEF\\xBB\\xBF//'");
    }
    if (file_start && (first == '\xFF' || first == '\xFE')) {
        fail(line_, "file is UTF-16 text, not FASTA", "convert it with iconv -t ASCII");
    }
    fail(line_, "text stands before the first '>', beginning with " + describe_character(first),
         "a FASTA file begins with '>'");
}

void FastaScanner::fail_at_base(std::int64_t index, char letter) const {
    // In the first line line_bases is not known yet, and index is the column.
    const bool later_line = record_.line_bases > 0;
    const std::int64_t line =
        record_.header_line + 1 + (later_line ? index / record_.line_bases : 0);
    const std::int64_t column = (later_line ? index % record_.line_bases : index) + 1;
    std::string remedy = "sequences hold ACGTUN and IUPAC codes only";
    if (letter == '-' || letter == '*') {
        remedy = "take gaps and stops out: the file looks like an alignment or a protein";
    } else if (letter == '\r') {
        remedy = "line ends must be LF or CRLF";
    } else if (letter == '+' || letter == '@') {
        remedy += "; is it FASTQ?";
    }
    fail(line,
         "sequence holds " + describe_character(letter) + " at column " + std::to_string(column),
         remedy);
}

void FastaScanner::fail(std::int64_t line, const std::string& fault,
                        const std::string& remedy) const {
    const bool named = in_record_ && state_ != State::kName && !record_.name.empty();
    throw_user_error(UserFault::kInputFile, fault, " (", path_, ", line ", line,
                     named ? ", contig " + record_.name : "", ")",
                     remedy.empty() ? "" : "; " + remedy);
}

}  // namespace flagen::genomics
