#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "variant_place.h"

namespace flagen::genomics {

/// Checks what HTSlib's parser would let through: number of columns, characters, POS, QUAL, END,
/// empty fields. `columns` is scratch; afterwards it holds the line's columns up to INFO.
void check_variant_line(std::string_view line, std::size_t num_columns, const VariantPlace& place,
                        std::vector<std::string_view>& columns);

}  // namespace flagen::genomics
