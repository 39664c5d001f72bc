#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hts_handles.h"
#include "text_line_reader.h"
#include "variant_header.h"
#include "variant_index.h"
#include "variant_place.h"

namespace flagen::genomics {

/// The records of a file, raw: all of them, or those of one region after another.
class VariantStream {
  public:
    virtual ~VariantStream() = default;

    [[nodiscard]] const VariantHeader& header() const { return header_; }
    [[nodiscard]] const std::string& path() const { return path_; }

    /// Where the record stands that is being read or was read last.
    [[nodiscard]] virtual VariantPlace place() const = 0;

    /// Reads the next record; false at the end of the file or of the regions.
    bool next(bcf1_t* record);

    /// Restricts the records to regions, from the first.
    void set_regions(std::vector<VariantRegion> regions);

  protected:
    explicit VariantStream(std::string path) : path_(std::move(path)) {}

    virtual bool next_of_file(bcf1_t* record) = 0;
    virtual bool next_of_region(bcf1_t* record) = 0;

    /// Opens file and index; called before the first region.
    virtual void open_index() = 0;

    /// Moves to a region; false if the index holds no record on its contig.
    virtual bool seek(const VariantRegion& region) = 0;

    /// Throws where neither header nor index know a contig.
    [[noreturn]] void fail_unknown_contig(const std::string& contig) const;

    /// 1-based number of the record that is being read or was read last.
    [[nodiscard]] std::uint64_t record_number() const { return record_number_; }

    VariantHeader header_;
    HtsIteratorHandle iterator_;

  private:
    bool next_in_regions(bcf1_t* record);

    std::string path_;
    std::uint64_t record_number_ = 0;
    bool by_region_ = false;
    bool index_open_ = false;
    std::vector<VariantRegion> regions_;
    std::size_t next_region_ = 0;
};

/// Opens a VCF or BCF file, told apart by its content. Genotype columns are parsed only if asked.
[[nodiscard]] std::unique_ptr<VariantStream> open_variant_stream(const std::string& path,
                                                                 bool genotypes);

/// VCF text: plain, gzip or bgzip.
[[nodiscard]] std::unique_ptr<VariantStream> make_text_variant_stream(const std::string& path,
                                                                      bool genotypes);

/// BCF over an opened file.
[[nodiscard]] std::unique_ptr<VariantStream> make_bcf_variant_stream(const std::string& path,
                                                                     HfileHandle file);

}  // namespace flagen::genomics
