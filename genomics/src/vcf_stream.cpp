#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "flagen/error.h"
#include "variant_line.h"
#include "variant_stream.h"

namespace flagen::genomics {
namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{64} << 20;
constexpr int kCompressionNone = 0;  // As bgzf_compression() documents its result.
constexpr int kCompressionBgzf = 2;
constexpr int kPresetMask = 0xFFFF;  // Of tbx_conf_t::preset; the rest are flags.

// Names the faults in a record's errcode that make it unusable; empty if there is none.
std::string describe_fault(int code) {
    if ((code & BCF_ERR_NCOLS) != 0) {
        return "a sample column has more fields than FORMAT, or columns are missing";
    }
    if ((code & BCF_ERR_LIMITS) != 0) {
        return "a number is too large";
    }
    if ((code & BCF_ERR_CHAR) != 0) {
        return "a field holds a character that it must not";
    }
    if ((code & BCF_ERR_CTG_INVALID) != 0) {
        return "the contig's name is malformed";
    }
    return (code & BCF_ERR_TAG_INVALID) != 0 ? "a tag's name is malformed" : "";
}

class VcfStream final : public VariantStream {
  public:
    VcfStream(const std::string& path, bool genotypes)
        : VariantStream(path), genotypes_(genotypes), lines_(path, kMaxLineBytes) {
        header_ = read_vcf_header(lines_);
    }

    [[nodiscard]] VariantPlace place() const override {
        return tabix_ == nullptr ? VariantPlace{path(), lines_.line_number(), 0}
                                 : VariantPlace{path(), 0, record_number()};
    }

  protected:
    bool next_of_file(bcf1_t* record) override {
        std::string_view line;
        if (!lines_.next(line)) {
            return false;
        }
        parse(line, record);
        return true;
    }

    bool next_of_region(bcf1_t* record) override {
        const int status =
            tbx_bgzf_itr_next(file_.get(), tabix_.get(), iterator_.get(), line_.get());
        FLAGEN_USER_CHECK(
            UserFault::kInputFile, status >= -1 && file_->errcode == 0,
            "file of variants is damaged, or its index belongs to another file: ", path(),
            "; copy the file again and make the index: tabix -p vcf -f ", path());
        if (status < 0) {
            return false;
        }
        const std::string_view line(line_.get()->s, line_.get()->l);
        if (line.size() > kMaxLineBytes) {
            place().fail("line is longer than ", kMaxLineBytes, " bytes");
        }
        parse(line, record);
        return true;
    }

    void open_index() override {
        const int descriptor = ::open(path().c_str(), O_RDONLY | O_CLOEXEC);
        FLAGEN_USER_CHECK(UserFault::kInputFile, descriptor >= 0,
                          "cannot open the file of variants: ", path(), " (", std::strerror(errno),
                          ")");
        file_.reset(bgzf_dopen(descriptor, "r"));
        FLAGEN_USER_CHECK(UserFault::kInputFile, file_ != nullptr,
                          "cannot read the file of variants: ", path());
        const int compression = bgzf_compression(file_.get());
        FLAGEN_USER_CHECK(UserFault::kInputFile, compression == kCompressionBgzf,
                          "region query needs a file compressed with bgzip: ", path(),
                          "; make one: ", compression == kCompressionNone ? "bgzip -c " : "zcat ",
                          path(), compression == kCompressionNone ? "" : " | bgzip -c",
                          " > NEW.vcf.gz, then tabix -p vcf NEW.vcf.gz");
        const std::string index_path = find_variant_index(path(), false);
        check_variant_index(path(), index_path, "tabix -p vcf -f " + path());
        tabix_.reset(tbx_index_load3(absolute_path(path()).c_str(),
                                     absolute_path(index_path).c_str(), HTS_IDX_SILENT_FAIL));
        FLAGEN_USER_CHECK(UserFault::kInputFile,
                          tabix_ != nullptr && (tabix_->conf.preset & kPresetMask) == TBX_VCF,
                          "index is damaged, another file's, or not that of a VCF: ", index_path,
                          "; make it again: tabix -p vcf -f ", path());
        check_index_contigs(index_path);
    }

    bool seek(const VariantRegion& region) override {
        const int number = tbx_name2id(tabix_.get(), region.contig.c_str());
        if (number < 0) {
            if (bcf_hdr_name2id(header_.handle.get(), region.contig.c_str()) < 0) {
                fail_unknown_contig(region.contig);
            }
            return false;
        }
        iterator_.reset(tbx_itr_queryi(tabix_.get(), number, region.start_bp, region.end_bp));
        FLAGEN_CHECK(iterator_ != nullptr, "no iterator for ", region.contig, ":", region.start_bp,
                     "..", region.end_bp, " of ", path());
        return true;
    }

  private:
    void check_index_contigs(const std::string& index_path) const {
        int count = 0;
        const std::unique_ptr<const char*, decltype(&std::free)> names(
            tbx_seqnames(tabix_.get(), &count), &std::free);
        for (int i = 0; i < count && !header_.contigs.empty(); ++i) {
            const char* name = names.get()[i];
            FLAGEN_USER_CHECK(UserFault::kInputFile,
                              bcf_hdr_name2id(header_.handle.get(), name) >= 0,
                              "index belongs to another file, it lists a contig that the header "
                              "does not: ",
                              name, " (", index_path, "); make it again: tabix -p vcf -f ", path());
        }
    }

    void parse(std::string_view line, bcf1_t* record) {
        const VariantPlace here = place();
        check_variant_line(line, header_.num_columns, here, columns_);
        bcf_hdr_t* header = header_.handle.get();
        contig_ = columns_[0];
        if (!header_.contigs.empty() && bcf_hdr_name2id(header, contig_.c_str()) < 0) {
            here.fail("contig is not in the header of the VCF: ", contig_,
                      "; add a ##contig line, for example with bcftools reheader -f GENOME.fa.fai");
        }
        bcf_clear(record);
        record->max_unpack = genotypes_ ? 0 : BCF_UN_INFO;
        kstring_t* copy = copy_.get();  // The parser writes into its line.
        copy->l = 0;
        FLAGEN_CHECK(kputsn(line.data(), line.size(), copy) >= 0, "out of memory");
        const int status = vcf_parse(copy, header, record);
        const std::string fault = describe_fault(record->errcode);
        if (status != 0 || !fault.empty()) {
            here.fail("VCF line cannot be parsed", fault.empty() ? "" : ": ", fault, ": ",
                      quoted(line));
        }
    }

    bool genotypes_;
    TextLineReader lines_;
    std::vector<std::string_view> columns_;
    std::string contig_;
    HtsString copy_;
    BgzfHandle file_;  // For regions.
    TabixHandle tabix_;
    HtsString line_;
};

}  // namespace

std::unique_ptr<VariantStream> make_text_variant_stream(const std::string& path, bool genotypes) {
    return std::make_unique<VcfStream>(path, genotypes);
}

}  // namespace flagen::genomics
