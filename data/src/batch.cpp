#include "flagen/data/batch.h"

#include <ATen/ATen.h>

#include <cstring>

#include "flagen/error.h"

namespace flagen::data {
namespace {

// Plain loops and memcpy instead of tensor operators: those would start a pool of OpenMP threads in
// every loader thread.

at::Tensor int64_tensor(std::size_t size) {
    return at::empty({static_cast<std::int64_t>(size)}, at::kLong);
}

std::int64_t* ints(const at::Tensor& tensor) { return tensor.mutable_data_ptr<std::int64_t>(); }

void copy_targets(const TargetTable& table, std::size_t row, std::int64_t gene, GeneRows& genes) {
    const std::int64_t num_samples = table.values.size(1);
    FLAGEN_CHECK(gene >= 0 && gene < table.values.size(0), "gene ", gene, " of ",
                 table.values.size(0));
    const auto width = static_cast<std::size_t>(num_samples);
    std::memcpy(genes.targets.mutable_data_ptr<float>() + row * width,
                table.values.const_data_ptr<float>() + gene * num_samples, width * sizeof(float));
    std::memcpy(genes.mask.mutable_data_ptr<bool>() + row * width,
                table.mask.const_data_ptr<bool>() + gene * num_samples, width * sizeof(bool));
}

GeneRows collate_genes(const std::vector<WindowExample>& examples, const TargetTable* targets) {
    std::size_t num_genes = 0;
    std::size_t num_pieces = 0;
    for (const WindowExample& example : examples) {
        num_genes += example.genes.size();
        for (const PlacedGene& gene : example.genes) {
            num_pieces += gene.pieces.size();
        }
    }
    const std::int64_t num_samples = targets == nullptr ? 0 : targets->values.size(1);
    const auto rows = static_cast<std::int64_t>(num_genes);
    GeneRows genes;
    genes.window = int64_tensor(num_genes);
    genes.start_bp = int64_tensor(num_genes);
    genes.end_bp = int64_tensor(num_genes);
    genes.strand = int64_tensor(num_genes);
    genes.gene_index = int64_tensor(num_genes);
    genes.targets = at::empty({rows, num_samples}, at::kFloat);
    genes.mask = at::empty({rows, num_samples}, at::kBool);
    genes.piece_offset = int64_tensor(num_genes + 1);
    genes.piece_start_bp = int64_tensor(num_pieces);
    genes.piece_end_bp = int64_tensor(num_pieces);

    std::size_t row = 0;
    std::int64_t piece = 0;
    ints(genes.piece_offset)[0] = 0;
    for (std::size_t window = 0; window < examples.size(); ++window) {
        for (const PlacedGene& gene : examples[window].genes) {
            ints(genes.window)[row] = static_cast<std::int64_t>(window);
            ints(genes.start_bp)[row] = gene.start_bp;
            ints(genes.end_bp)[row] = gene.end_bp;
            ints(genes.strand)[row] = gene.strand;
            ints(genes.gene_index)[row] = gene.gene_index;
            for (const genomics::Range& range : gene.pieces) {
                ints(genes.piece_start_bp)[piece] = range.start_bp;
                ints(genes.piece_end_bp)[piece] = range.end_bp;
                ++piece;
            }
            if (targets != nullptr) {
                copy_targets(*targets, row, gene.gene_index, genes);
            }
            ++row;
            ints(genes.piece_offset)[row] = piece;
        }
    }
    return genes;
}

at::Tensor collate_tracks(const std::vector<WindowExample>& examples) {
    const std::size_t size = examples.front().tracks.size();
    const std::int64_t num_tracks = examples.front().num_tracks;
    if (num_tracks == 0) {
        return {};
    }
    const std::int64_t num_bins = static_cast<std::int64_t>(size) / num_tracks;
    at::Tensor tracks = at::empty(
        {static_cast<std::int64_t>(examples.size()), num_bins, num_tracks}, at::kFloat);
    for (std::size_t i = 0; i < examples.size(); ++i) {
        FLAGEN_CHECK_EQ(examples[i].tracks.size(), size, "windows of one batch differ in bins");
        FLAGEN_CHECK_EQ(examples[i].num_tracks, num_tracks, "windows of one batch differ in tracks");
        std::memcpy(tracks.mutable_data_ptr<float>() + i * size, examples[i].tracks.data(),
                    size * sizeof(float));
    }
    return tracks;
}

}  // namespace

TargetTable TargetTable::make(const GeneTargets& targets, const TargetTransform& transform) {
    const at::Tensor transformed = transform.apply(targets.values);
    TargetTable table;
    table.mask = at::isfinite(transformed).contiguous();
    table.values = at::where(table.mask, transformed, at::zeros_like(transformed)).contiguous();
    return table;
}

Batch collate(const std::vector<WindowExample>& examples, const TargetTable* targets) {
    FLAGEN_CHECK(!examples.empty(), "a batch needs a window");
    const std::size_t length = examples.front().tokens.size();
    Batch batch;
    batch.tokens = at::empty(
        {static_cast<std::int64_t>(examples.size()), static_cast<std::int64_t>(length)}, at::kByte);
    auto* tokens = batch.tokens.mutable_data_ptr<std::uint8_t>();
    for (std::size_t i = 0; i < examples.size(); ++i) {
        FLAGEN_CHECK_EQ(examples[i].tokens.size(), length, "windows of one batch differ in length");
        std::memcpy(tokens + i * length, examples[i].tokens.data(), length);
        batch.windows.push_back(examples[i].window);
        batch.ids.push_back(examples[i].id);
        batch.num_padded_bp.push_back(examples[i].num_padded_bp);
    }
    batch.genes = collate_genes(examples, targets);
    batch.tracks = collate_tracks(examples);
    return batch;
}

}  // namespace flagen::data
