#include "flagen/models/gene_queries.h"

#include <ATen/ATen.h>

#include "flagen/error.h"

namespace flagen::models {
namespace {

void check_tensor(const at::Tensor& tensor, const char* name, std::int64_t size) {
    FLAGEN_CHECK(tensor.defined() && tensor.scalar_type() == at::kLong &&
                     tensor.device().is_cpu() && tensor.dim() == 1 && tensor.is_contiguous(),
                 name, " must be a contiguous int64 vector on the CPU");
    FLAGEN_CHECK_EQ(tensor.size(0), size, "length of ", name);
}

}  // namespace

void check_gene_queries(const GeneQueries& queries, std::int64_t num_windows,
                        std::int64_t seq_length) {
    const std::int64_t num_genes = queries.num_genes();
    check_tensor(queries.window, "window", num_genes);
    check_tensor(queries.start_bp, "start_bp", num_genes);
    check_tensor(queries.end_bp, "end_bp", num_genes);
    check_tensor(queries.strand, "strand", num_genes);
    check_tensor(queries.piece_offset, "piece_offset", num_genes + 1);
    const std::int64_t* offset = queries.piece_offset.const_data_ptr<std::int64_t>();
    check_tensor(queries.piece_start_bp, "piece_start_bp", offset[num_genes]);
    check_tensor(queries.piece_end_bp, "piece_end_bp", offset[num_genes]);
    FLAGEN_CHECK_EQ(offset[0], 0, "piece_offset[0]");

    const std::int64_t* window = queries.window.const_data_ptr<std::int64_t>();
    const std::int64_t* start = queries.start_bp.const_data_ptr<std::int64_t>();
    const std::int64_t* end = queries.end_bp.const_data_ptr<std::int64_t>();
    const std::int64_t* strand = queries.strand.const_data_ptr<std::int64_t>();
    const std::int64_t* piece_start = queries.piece_start_bp.const_data_ptr<std::int64_t>();
    const std::int64_t* piece_end = queries.piece_end_bp.const_data_ptr<std::int64_t>();
    for (std::int64_t g = 0; g < num_genes; ++g) {
        FLAGEN_CHECK(window[g] >= 0 && window[g] < num_windows, "gene ", g, " lies in window ",
                     window[g], " of ", num_windows);
        FLAGEN_CHECK(start[g] >= 0 && start[g] < end[g] && end[g] <= seq_length, "gene ", g,
                     " spans [", start[g], ", ", end[g], ") of a window of ", seq_length);
        FLAGEN_CHECK(strand[g] == 1 || strand[g] == -1, "gene ", g, " has strand ", strand[g]);
        FLAGEN_CHECK(offset[g] <= offset[g + 1], "piece_offset falls at gene ", g);
        std::int64_t last = start[g];
        for (std::int64_t p = offset[g]; p < offset[g + 1]; ++p) {
            FLAGEN_CHECK(
                piece_start[p] >= last && piece_start[p] < piece_end[p] && piece_end[p] <= end[g],
                "gene ", g, " [", start[g], ", ", end[g], ") has a piece [", piece_start[p], ", ",
                piece_end[p], ") out of place");
            last = piece_end[p];
        }
    }
}

void check_genes_inside(const GeneQueries& queries, const StreamShape& tokens) {
    const std::int64_t* start = queries.start_bp.const_data_ptr<std::int64_t>();
    const std::int64_t* end = queries.end_bp.const_data_ptr<std::int64_t>();
    for (std::int64_t g = 0; g < queries.num_genes(); ++g) {
        FLAGEN_CHECK(start[g] >= tokens.offset_bp && end[g] <= tokens.end_bp(), "gene ", g,
                     " spans [", start[g], ", ", end[g], "), but the tokens stand for [",
                     tokens.offset_bp, ", ", tokens.end_bp(), ")");
    }
}

}  // namespace flagen::models
