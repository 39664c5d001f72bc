#include "variant_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

// HTSlib prints what it thinks of a file; our errors say it instead.
void silence_htslib() {
    static std::once_flag once;
    std::call_once(once, [] { hts_set_log_level(HTS_LOG_OFF); });
}

// Opens by descriptor, as hopen() takes "name:" for a network scheme. Non-blocking, so that a named
// pipe is refused and not waited for.
HfileHandle open_regular_file(const std::string& path) {
    FLAGEN_USER_CHECK(UserFault::kInputFile, path.find("://") == std::string::npos,
                      "variants are not read over the network: ", path,
                      "; download the file and give its path");
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FLAGEN_USER_CHECK(UserFault::kInputFile, descriptor >= 0,
                      "cannot open the file of variants: ", path, " (", std::strerror(errno), ")");
    struct stat status = {};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(descriptor);
        throw_user_error(UserFault::kInputFile, "file of variants is not a regular file: ", path);
    }
    HfileHandle file(hdopen(descriptor, "r"));
    FLAGEN_USER_CHECK(UserFault::kInputFile, file != nullptr,
                      "cannot read the file of variants: ", path);
    return file;
}

std::string describe(const htsFormat& format) {
    char* text = hts_format_description(&format);
    std::string description = text == nullptr ? "something else" : text;
    std::free(text);
    return description;
}

}  // namespace

bool VariantStream::next(bcf1_t* record) {
    ++record_number_;
    return by_region_ ? next_in_regions(record) : next_of_file(record);
}

bool VariantStream::next_in_regions(bcf1_t* record) {
    while (true) {
        while (iterator_ == nullptr) {
            if (next_region_ == regions_.size()) {
                return false;
            }
            static_cast<void>(seek(regions_[next_region_++]));
        }
        const VariantRegion& region = regions_[next_region_ - 1];
        if (!next_of_region(record)) {
            iterator_.reset();
            continue;
        }
        const char* contig = bcf_hdr_id2name(header_.handle.get(), record->rid);
        FLAGEN_USER_CHECK(UserFault::kInputFile, contig != nullptr && contig == region.contig,
                          "index belongs to another file, it led to contig ",
                          contig == nullptr ? "?" : contig, " instead of ", region.contig, ": ",
                          path_, "; make it again");
        if (record->pos >= region.previous_end_bp) {
            return true;
        }
    }
}

void VariantStream::set_regions(std::vector<VariantRegion> regions) {
    if (!index_open_) {
        open_index();
        index_open_ = true;
    }
    by_region_ = true;
    regions_ = std::move(regions);
    next_region_ = 0;
    record_number_ = 0;
    iterator_.reset();
    for (const VariantRegion& region : regions_) {
        static_cast<void>(seek(region));  // Unknown contigs are told now.
    }
    iterator_.reset();
}

void VariantStream::fail_unknown_contig(const std::string& contig) const {
    std::string known;
    constexpr std::size_t kShown = 5;
    for (std::size_t i = 0; i < header_.contigs.size() && i < kShown; ++i) {
        known.append(i == 0 ? "; it has " : ", ").append(header_.contigs[i].name);
    }
    throw_user_error(UserFault::kInputFile,
                     "contig of the region is not in the file of variants: ", contig, " (", path_,
                     ")", known, header_.contigs.size() > kShown ? ", ..." : "");
}

std::unique_ptr<VariantStream> open_variant_stream(const std::string& path, bool genotypes) {
    silence_htslib();
    HfileHandle file = open_regular_file(path);
    htsFormat format = {};
    FLAGEN_USER_CHECK(UserFault::kInputFile, hts_detect_format(file.get(), &format) == 0,
                      "cannot read the file of variants: ", path);
    if (format.format == bcf) {
        return make_bcf_variant_stream(path, std::move(file));
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      format.category == variant_data || format.category == unknown_category,
                      "not a VCF or BCF file but ", describe(format), ": ", path);
    return make_text_variant_stream(path, genotypes);
}

}  // namespace flagen::genomics
