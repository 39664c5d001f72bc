#include "text_line_reader.h"

#include <fcntl.h>
#include <htslib/bgzf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <system_error>

namespace flagen::genomics {

namespace {

constexpr std::size_t kBlockBytes = std::size_t{64} << 10;
constexpr int kBgzip = 2;  // Value of bgzf_compression() for blocked gzip.

}  // namespace

TextLineReader::TextLineReader(std::string path, std::size_t max_line_bytes)
    : path_(std::move(path)), max_line_bytes_(max_line_bytes), block_(kBlockBytes) {
    // Opens the descriptor here, not through hopen(), which takes "name:" for a network scheme.
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    FLAGEN_USER_CHECK(UserFault::kInputFile, descriptor >= 0, "cannot open file: ", path_, " (",
                      std::strerror(errno), ")");
    struct stat status = {};
    if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        ::close(descriptor);
        throw_user_error(UserFault::kInputFile, "is a folder, not a file: ", path_);
    }
    file_.reset(bgzf_dopen(descriptor, "r"));
    FLAGEN_USER_CHECK(UserFault::kInputFile, file_ != nullptr, "cannot read file: ", path_);
    if (bgzf_compression(file_.get()) == kBgzip && bgzf_check_EOF(file_.get()) == 0) {
        throw_user_error(UserFault::kInputFile, "bgzip file is truncated: no end-of-file block (",
                         path_, ")");
    }
}

bool TextLineReader::refill() {
    const ssize_t num_read = bgzf_read(file_.get(), block_.data(), block_.size());
    if (num_read < 0 || file_->errcode != 0) {
        throw_user_error(UserFault::kInputFile,
                         bgzf_compression(file_.get()) == 0
                             ? "file cannot be read to its end"
                             : "compressed file is truncated or damaged",
                         " after line ", line_number_, " (", path_, ":", line_number_ + 1, ")");
    }
    block_begin_ = 0;
    block_end_ = static_cast<std::size_t>(num_read);
    return num_read > 0;
}

bool TextLineReader::next(std::string_view& line) {
    pending_.clear();
    while (block_begin_ < block_end_ || refill()) {
        const char* begin = block_.data() + block_begin_;
        const std::size_t available = block_end_ - block_begin_;
        const auto* end = static_cast<const char*>(std::memchr(begin, '\n', available));
        const std::size_t length =
            end == nullptr ? available : static_cast<std::size_t>(end - begin);
        if (pending_.size() + length > max_line_bytes_) {
            ++line_number_;
            fail("line is longer than ", max_line_bytes_, " bytes");
        }
        if (end == nullptr) {
            pending_.append(begin, length);
            block_begin_ = block_end_;
            continue;
        }
        block_begin_ += length + 1;
        ++line_number_;
        if (pending_.empty()) {
            line = finish_line({begin, length});
        } else {
            line = finish_line(pending_.append(begin, length));
        }
        return true;
    }
    if (pending_.empty()) {
        return false;
    }
    ++line_number_;
    line = finish_line(pending_);
    return true;
}

std::string_view TextLineReader::finish_line(std::string_view line) const {
    if (line_number_ == 1 && line.starts_with("\xEF\xBB\xBF")) {
        line.remove_prefix(3);
    }
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    if (line.find('\0') != std::string_view::npos) {
        fail("NUL byte inside a line: not a text file");
    }
    if (line.find('\r') != std::string_view::npos) {
        fail("carriage return inside a line; line ends must be LF or CRLF");
    }
    return line;
}

std::string quoted(std::string_view value) {
    constexpr std::size_t kMaxShown = 80;
    std::string text = "\"";
    for (const char letter : value.substr(0, kMaxShown)) {
        const auto code = static_cast<unsigned char>(letter);
        text += code < 0x20 || code == 0x7F ? '?' : letter;
    }
    return text + (value.size() > kMaxShown ? "...\"" : "\"");
}

void split_fields(std::string_view line, char separator, std::vector<std::string_view>& fields) {
    fields.clear();
    while (true) {
        const std::size_t end = line.find(separator);
        fields.push_back(line.substr(0, end));
        if (end == std::string_view::npos) {
            return;
        }
        line.remove_prefix(end + 1);
    }
}

bool parse_position(std::string_view text, std::int64_t& value) {
    constexpr std::int64_t kMaxPosition = std::int64_t{1} << 53;
    if (text.empty() || text.front() == '-') {
        return false;
    }
    const char* end = text.data() + text.size();
    const auto [rest, fault] = std::from_chars(text.data(), end, value);
    return fault == std::errc{} && rest == end && value <= kMaxPosition;
}

bool parse_number(std::string_view text, double& value) {
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        if (text.starts_with('-')) {
            return false;
        }
    }
    const char* end = text.data() + text.size();
    const auto [rest, fault] = std::from_chars(text.data(), end, value);
    if (rest != end || text.empty()) {
        return false;
    }
    if (fault == std::errc::result_out_of_range) {
        // Tells a value too small for fp64, which is 0, from one too large.
        value = std::strtod(std::string(text).c_str(), nullptr);
        return std::abs(value) < 1.0;
    }
    return fault == std::errc{};
}

}  // namespace flagen::genomics
