#pragma once

#include <cstdint>
#include <memory>

#include "flagen/genomics/variant_reader.h"
#include "hts_handles.h"
#include "variant_place.h"

namespace flagen::genomics {

/// Turns records of HTSlib into ours.
class VariantDecoder {
  public:
    explicit VariantDecoder(bool genotypes) : genotypes_(genotypes) {}
    ~VariantDecoder();
    VariantDecoder(const VariantDecoder&) = delete;
    VariantDecoder& operator=(const VariantDecoder&) = delete;

    /// Fills everything of `out` but row and line_number.
    void decode(const bcf_hdr_t* header, bcf1_t* record, const VariantPlace& place,
                VariantRecord& out);

  private:
    void decode_genotypes(const bcf_hdr_t* header, bcf1_t* record, const VariantPlace& place,
                          VariantRecord& out);

    bool genotypes_;
    void* values_ = nullptr;  // Grown by HTSlib with realloc().
    int num_values_ = 0;
};

}  // namespace flagen::genomics
