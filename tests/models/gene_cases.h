#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/models/gene_queries.h"

namespace flagen::models::testing {

struct GeneCase {
    std::int64_t window;
    std::int64_t start_bp;
    std::int64_t end_bp;
    std::int64_t strand;
    std::vector<std::pair<std::int64_t, std::int64_t>> pieces;
};

inline GeneQueries make_queries(const std::vector<GeneCase>& genes) {
    std::vector<std::int64_t> window, start, end, strand, piece_start, piece_end;
    std::vector<std::int64_t> offset = {0};
    for (const GeneCase& gene : genes) {
        window.push_back(gene.window);
        start.push_back(gene.start_bp);
        end.push_back(gene.end_bp);
        strand.push_back(gene.strand);
        for (const auto& [first, last] : gene.pieces) {
            piece_start.push_back(first);
            piece_end.push_back(last);
        }
        offset.push_back(static_cast<std::int64_t>(piece_start.size()));
    }
    const auto tensor = [](const std::vector<std::int64_t>& values) {
        return torch::tensor(values, torch::kInt64);
    };
    return {tensor(window), tensor(start),       tensor(end),      tensor(strand),
            tensor(offset), tensor(piece_start), tensor(piece_end)};
}

/// "ACGTN" -> uint8 [1, L].
inline at::Tensor codes_of(const std::string& bases) {
    std::vector<std::int64_t> codes;
    for (const char base : bases) {
        codes.push_back(static_cast<std::int64_t>(std::string("ACGTN").find(base)));
    }
    return torch::tensor(codes, torch::kInt64).to(torch::kByte).unsqueeze(0);
}

inline std::string reverse_complement(const std::string& bases) {
    std::string result;
    for (auto base = bases.rbegin(); base != bases.rend(); ++base) {
        result += std::string("TGCAN")[std::string("ACGTN").find(*base)];
    }
    return result;
}

}  // namespace flagen::models::testing
