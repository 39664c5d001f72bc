#include <array>
#include <set>
#include <string_view>
#include <unordered_map>

#include "flagen/error.h"
#include "gene_assembler.h"

namespace flagen::genomics {

namespace {

constexpr std::array kIdAttributes{"gene_id", "locus_tag", "ID"};

/// Rows of one ID that may be a gene or a transcript.
struct Feature {
    std::string id;
    std::string type;
    std::vector<std::string> parents;
    std::vector<RowPlace> rows;
    std::string name;
    std::string biotype;
    std::string transcript_id;
    std::array<std::string, kIdAttributes.size()> ids;
    bool has_parts = false;
};

/// An exon or CDS row.
struct Part {
    bool is_cds = false;
    std::string id;
    std::vector<std::string> parents;
    RowPlace place;
};

[[nodiscard]] bool is_gene_type(std::string_view type) {
    return type == "gene" || type == "pseudogene" || type.ends_with("_gene");
}

[[nodiscard]] bool is_transcript_type(std::string_view type) {
    return type.find("RNA") != std::string_view::npos ||
           type.find("transcript") != std::string_view::npos;
}

class Gff3Assembler {
  public:
    explicit Gff3Assembler(const std::string& path) : path_(path), genes_(path) {}

    void add(const AnnotationRecord& record) {
        std::vector<std::string> parents;
        for (const std::string_view parent : record.attribute_values("Parent")) {
            if (!parent.empty()) {
                parents.emplace_back(parent);
            }
        }
        const bool is_part = record.type == "exon" || record.type == "CDS";
        if (is_part && !parents.empty()) {
            parts_.push_back({record.type == "CDS", first_attribute(record, {"ID"}),
                              std::move(parents), place_of(record)});
            return;
        }
        const std::size_t index = feature_for(record);
        Feature& feature = features_[index];
        feature.rows.push_back(place_of(record));
        if (feature.rows.size() == 1) {
            feature.type = record.type;
            feature.parents = std::move(parents);
            feature.name = first_attribute(record, {"gene_name", "Name", "gene"});
            feature.biotype = first_attribute(
                record, {"gene_biotype", "gene_type", "biotype", "transcript_type"});
            feature.transcript_id = first_attribute(record, {"transcript_id", "ID"});
            for (std::size_t i = 0; i < kIdAttributes.size(); ++i) {
                feature.ids[i] = first_attribute(record, {kIdAttributes[i]});
            }
        }
        if (is_part) {
            // A part without a parent is its own gene, as gene finders of bacteria write it.
            feature.has_parts = true;
            parts_.push_back({record.type == "CDS", feature.id, {feature.id}, place_of(record)});
        }
    }

    [[nodiscard]] std::pair<std::vector<Gene>, std::string> finish() {
        for (const Part& part : parts_) {
            for (const std::string& parent : part.parents) {
                features_[require(parent, part.place)].has_parts = true;
            }
        }
        for (std::size_t index = 0; index < features_.size(); ++index) {
            add_feature(index);
        }
        for (const Part& part : parts_) {
            for (const std::string& parent : part.parents) {
                add_part(part, features_[require(parent, part.place)]);
            }
        }
        std::vector<Gene> genes = genes_.take();
        std::string id_attribute = set_public_ids(genes);
        return {std::move(genes), std::move(id_attribute)};
    }

  private:
    [[nodiscard]] std::size_t feature_for(const AnnotationRecord& record) {
        std::string id = first_attribute(record, {"ID"});
        if (id.empty()) {
            // Nothing can refer to it, so the line makes a key that no file can hold.
            id = "\n" + std::to_string(record.line_number);
        }
        const auto [found, is_new] = index_.emplace(id, features_.size());
        if (is_new) {
            features_.emplace_back().id = id;
        }
        return found->second;
    }

    [[nodiscard]] std::size_t require(const std::string& id, const RowPlace& child) const {
        const auto found = index_.find(id);
        FLAGEN_USER_CHECK(UserFault::kInputFile, found != index_.end(),
                          "Parent is not the ID of any row: ", id, " (", path_, ":",
                          child.line_number, ")");
        return found->second;
    }

    /// Indexes of the parentless features above `index`, itself included.
    [[nodiscard]] std::set<std::size_t> roots_of(std::size_t index) const {
        std::set<std::size_t> roots;
        std::set<std::size_t> visited{index};
        std::vector<std::size_t> waiting{index};
        while (!waiting.empty()) {
            const std::size_t current = waiting.back();
            const Feature& feature = features_[current];
            waiting.pop_back();
            if (feature.parents.empty()) {
                roots.insert(current);
            }
            for (const std::string& parent : feature.parents) {
                const std::size_t next = require(parent, feature.rows.front());
                if (visited.insert(next).second) {
                    waiting.push_back(next);
                }
            }
        }
        FLAGEN_USER_CHECK(UserFault::kInputFile, !roots.empty(),
                          "Parent chain is circular: ", features_[index].id, " (", path_, ":",
                          features_[index].rows.front().line_number, ")");
        return roots;
    }

    void add_feature(std::size_t index) {
        const Feature& feature = features_[index];
        const bool is_root = feature.parents.empty();
        const bool is_gene = is_root && is_gene_type(feature.type);
        const bool is_transcript =
            !is_gene_type(feature.type) && (feature.has_parts || is_transcript_type(feature.type));
        if (!is_gene && !feature.has_parts && !(is_transcript && !is_root)) {
            return;
        }
        for (const std::size_t root : roots_of(index)) {
            // A transcript type below something that is no gene needs parts to make one of it.
            if (!feature.has_parts && !is_gene_type(features_[root].type)) {
                continue;
            }
            add_root(features_[root]);
            if (index == root && (is_gene || !is_transcript_type(feature.type))) {
                continue;
            }
            for (const RowPlace& row : feature.rows) {
                genes_.add_transcript_row(features_[root].id, feature.id, row);
            }
            Transcript& transcript =
                genes_.transcript(features_[root].id, feature.id, feature.rows.front());
            transcript.id = feature.transcript_id;
            transcript.biotype = feature.biotype.empty() ? feature.type : feature.biotype;
        }
    }

    void add_root(const Feature& root) {
        if (!added_.insert(root.id).second) {
            return;
        }
        for (const RowPlace& row : root.rows) {
            genes_.add_gene_row(root.id, row);
        }
        Gene& gene = genes_.gene(root.id, root.rows.front());
        gene.id = root.id;
        gene.name = root.name;
        gene.biotype = root.biotype;
        if (gene.biotype.empty() && root.type != "gene") {
            gene.biotype = root.type;
        }
    }

    void add_part(const Part& part, const Feature& parent) {
        for (const std::size_t root : roots_of(index_.at(parent.id))) {
            add_root(features_[root]);
            const std::string& gene = features_[root].id;
            const bool is_direct = is_gene_type(parent.type) && parent.parents.empty();
            const std::string& transcript =
                is_direct && part.is_cds && !part.id.empty() ? part.id : parent.id;
            if (part.is_cds) {
                genes_.add_cds(gene, transcript, part.place);
            } else {
                genes_.add_exon(gene, transcript, part.place);
            }
        }
    }

    /// Gives every gene the value of the first attribute that tells all of them apart.
    [[nodiscard]] std::string set_public_ids(std::vector<Gene>& genes) const {
        for (std::size_t i = 0; i < kIdAttributes.size(); ++i) {
            std::set<std::string_view> values;
            for (const Gene& gene : genes) {
                const std::string& value = features_[index_.at(gene.id)].ids[i];
                if (value.empty() || !values.insert(value).second) {
                    break;
                }
            }
            if (values.size() == genes.size()) {
                for (Gene& gene : genes) {
                    gene.id = features_[index_.at(gene.id)].ids[i];
                }
                return kIdAttributes[i];
            }
        }
        for (const Gene& gene : genes) {
            const Feature& feature = features_[index_.at(gene.id)];
            FLAGEN_USER_CHECK(UserFault::kInputFile, !feature.ids.back().empty(),
                              "gene row has no ID (", path_, ":", feature.rows.front().line_number,
                              ")");
        }
        throw_error("GFF3 genes of ", path_, " have no ids of their own");
    }

    const std::string& path_;
    GeneAssembler genes_;
    std::vector<Feature> features_;
    std::unordered_map<std::string, std::size_t> index_;
    std::vector<Part> parts_;
    std::set<std::string> added_;
};

}  // namespace

std::pair<std::vector<Gene>, std::string> assemble_gff3(AnnotationReader& reader,
                                                        AnnotationRecord& record) {
    Gff3Assembler assembler(reader.path());
    do {
        assembler.add(record);
    } while (reader.next(record));
    return assembler.finish();
}

}  // namespace flagen::genomics
