#include "flagen/models/gene_head_config.h"

#include "flagen/error.h"
#include "option_table.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kMaxOffset = std::int64_t{1} << 24;

}  // namespace

std::vector<GenePool> default_gene_pools() {
    using enum PoolAnchor;
    return {{kSpan, 0, 0},     {kStart, -256, -64}, {kStart, -64, 0},   {kStart, 0, 64},
            {kStart, 64, 256}, {kEnd, -64, 64},     {kStart, -1500, 0}, {kEnd, 0, 1500}};
}

void GenePool::bind(OptionTable& table) {
    table.choice<PoolAnchor>("anchor", anchor,
                             {{PoolAnchor::kSpan, "span"},
                              {PoolAnchor::kPieces, "pieces"},
                              {PoolAnchor::kStart, "start"},
                              {PoolAnchor::kEnd, "end"}});
    if (anchor != PoolAnchor::kPieces) {
        table.integer("from_bp", from_bp, -kMaxOffset, kMaxOffset);
        table.integer("to_bp", to_bp, -kMaxOffset, kMaxOffset);
    }
}

void GenePool::check(JsonObject& json) const {
    const bool is_point = anchor == PoolAnchor::kStart || anchor == PoolAnchor::kEnd;
    if (is_point && from_bp >= to_bp) {
        json.add_problem("from_bp", detail::concatenate("found ", from_bp,
                                                        "; must be smaller than to_bp ", to_bp));
    }
    // A span that shrinks could end before it starts for a short gene.
    if (anchor == PoolAnchor::kSpan && (from_bp > 0 || to_bp < 0)) {
        json.add_problem("anchor", "a span can only be widened: from_bp <= 0 <= to_bp");
    }
}

void CodonOptions::bind(OptionTable& table) {
    table.integer("width", width, 0, 4096);
    if (width > 0) {
        table.integer("kernel", kernel, 1, 255);
        table.integer("first", first, 0, 100000);
        table.integer("max_codons", max_codons, 1, 1000000);
        table.number("dropout", dropout, 0.0, 0.99);
    }
}

void CodonOptions::check(JsonObject& json) const {
    if (kernel % 2 == 0) {
        json.add_problem("kernel", detail::concatenate("found ", kernel, "; must be odd"));
    }
}

void PromoterOptions::bind(OptionTable& table) {
    table.integer("width", width, 0, 4096);
    if (width > 0) {
        table.integer("upstream_bp", upstream_bp, 0, 1 << 20);
        table.integer("downstream_bp", downstream_bp, 0, 1 << 20);
        table.integer("bins", bins, 1, 4096);
        table.number("dropout", dropout, 0.0, 0.99);
    }
}

void PromoterOptions::check(JsonObject& json) const {
    const std::int64_t length = upstream_bp + downstream_bp;
    if (length == 0 || length % bins != 0) {
        json.add_problem("bins", detail::concatenate(bins,
                                                     " does not divide upstream_bp + "
                                                     "downstream_bp = ",
                                                     length));
    }
}

void GeneHeadConfig::bind(OptionTable& table) {
    table.objects("pools", pools);
    table.flag("tower_pool", tower_pool);
    OptionTable codon_table = table.object("codons");
    codons.bind(codon_table);
    OptionTable promoter_table = table.object("promoter");
    promoter.bind(promoter_table);
    table.flag("log_length", log_length);
    table.number("token_dropout", token_dropout, 0.0, 0.99);
    table.number("dropout", dropout, 0.0, 0.99);
    table.integer("hidden", hidden, 0, 65536);
    if (hidden > 0) {
        table.number("hidden_dropout", hidden_dropout, 0.0, 0.99);
    }
}

void GeneHeadConfig::check(JsonObject& json) const {
    if (json.has("pools")) {
        std::vector<JsonObject> objects = json.get_objects("pools");
        for (std::size_t i = 0; i < objects.size() && i < pools.size(); ++i) {
            pools[i].check(objects[i]);
        }
    }
    JsonObject codons_json = json.get_object("codons");
    codons.check(codons_json);
    JsonObject promoter_json = json.get_object("promoter");
    promoter.check(promoter_json);
    if (pools.empty() && !tower_pool && codons.width == 0 && promoter.width == 0 && !log_length) {
        json.add_problem("",
                         "no feature is left: pools, tower_pool, codons, promoter and "
                         "log_length are all off");
    }
}

}  // namespace flagen::models
