#include "flagen/error.h"
#include "variant_stream.h"

namespace flagen::genomics {
namespace {

constexpr int kCompressionBgzf = 2;  // As bgzf_compression() documents its result.

class BcfStream final : public VariantStream {
  public:
    BcfStream(const std::string& path, HfileHandle file) : VariantStream(path) {
        file_.reset(hts_hopen(file.get(), path.c_str(), "r"));
        FLAGEN_USER_CHECK(UserFault::kInputFile, file_ != nullptr,
                          "cannot read the BCF file: ", path);
        static_cast<void>(file.release());  // Belongs to file_ now.
        FLAGEN_USER_CHECK(UserFault::kInputFile,
                          bgzf_compression(file_->fp.bgzf) != kCompressionBgzf ||
                              bgzf_check_EOF(file_->fp.bgzf) != 0,
                          "BCF file is truncated: no end-of-file block (", path,
                          "); copy or make it again");
        header_ = read_bcf_header(file_.get(), path);
    }

    [[nodiscard]] VariantPlace place() const override { return {path(), 0, record_number()}; }

  protected:
    bool next_of_file(bcf1_t* record) override {
        return accept(bcf_read(file_.get(), header_.handle.get(), record), record);
    }

    bool next_of_region(bcf1_t* record) override {
        return accept(bcf_itr_next(file_.get(), iterator_.get(), record), record);
    }

    void open_index() override {
        FLAGEN_USER_CHECK(
            UserFault::kInputFile, bgzf_compression(file_->fp.bgzf) == kCompressionBgzf,
            "region query needs a compressed BCF file: ", path(),
            "; make one: bcftools view -Ob -o NEW.bcf ", path(), ", then bcftools index NEW.bcf");
        const std::string index_path = find_variant_index(path(), true);
        check_variant_index(path(), index_path, "bcftools index -f " + path());
        index_.reset(bcf_index_load3(absolute_path(path()).c_str(),
                                     absolute_path(index_path).c_str(), HTS_IDX_SILENT_FAIL));
        FLAGEN_USER_CHECK(UserFault::kInputFile, index_ != nullptr,
                          "index is damaged: ", index_path, "; make it again: bcftools index -f ",
                          path());
    }

    bool seek(const VariantRegion& region) override {
        const int number = bcf_hdr_name2id(header_.handle.get(), region.contig.c_str());
        if (number < 0) {
            fail_unknown_contig(region.contig);
        }
        iterator_.reset(bcf_itr_queryi(index_.get(), number, region.start_bp, region.end_bp));
        FLAGEN_CHECK(iterator_ != nullptr, "no iterator for ", region.contig, ":", region.start_bp,
                     "..", region.end_bp, " of ", path());
        return true;
    }

  private:
    [[nodiscard]] bool accept(int status, const bcf1_t* record) const {
        if (status < -1 || file_->fp.bgzf->errcode != 0 ||
            (status >= 0 && (record->errcode & ~BCF_ERR_TAG_UNDEF) != 0)) {
            place().fail("BCF file is truncated or damaged");
        }
        return status >= 0;
    }

    HtsFileHandle file_;
    HtsIndexHandle index_;
};

}  // namespace

std::unique_ptr<VariantStream> make_bcf_variant_stream(const std::string& path, HfileHandle file) {
    return std::make_unique<BcfStream>(path, std::move(file));
}

}  // namespace flagen::genomics
