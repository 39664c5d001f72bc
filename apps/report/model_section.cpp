#include "apps/report/markup.h"
#include "apps/report/sections.h"
#include "flagen/error.h"
#include "flagen/models/model_summary.h"

namespace flagen::apps::report {
namespace {

std::string share(double part, double whole) {
    return whole > 0 ? fixed(100.0 * part / whole, 1).append(" %") : "\u2013";
}

std::vector<Table::Cell> row_of(const models::StageSummary& stage, const models::StageSummary& total) {
    const auto parameters = static_cast<double>(stage.num_parameters);
    return {
        {stage.name, false},
        {detail::concatenate(with_commas(stage.output.num_tokens), " \u00D7 ", with_commas(stage.output.num_channels)),
         false},
        {stage.output.bp_per_token > 0 ? with_commas(stage.output.bp_per_token) : std::string("\u2013"), false},
        {with_commas(stage.num_parameters), false},
        {share(parameters, static_cast<double>(total.num_parameters)), false},
        {with_prefix(stage.forward_flops), false},
        {share(stage.forward_flops, total.forward_flops), false},
        {with_prefix(stage.activation_bytes).append("B"), false}};
}

}  // namespace

void model_section(HtmlPage& page, const models::ModelSummary& summary, const WindowContent& window) {
    page.section("Model");
    const models::StageSummary total = summary.total();
    Table table;
    table.caption = detail::concatenate(
        "Cost of one forward pass over a window of ", with_commas(window.length_bp), " bp",
        window.num_genes > 0 ? detail::concatenate(" that holds ", with_commas(window.num_genes), " genes")
                             : std::string(),
        ". A multiply-add counts as two operations; a training step costs about "
        "three forward passes. Activations are what the backward pass keeps, in fp32.");
    table.columns = {
        "stage",      "tokens \u00D7 channels", "bp a token", "parameters", "of parameters", "FLOPs", "of FLOPs",
        "activations"};
    for (const models::StageSummary& stage : summary.stages) {
        table.rows.push_back(row_of(stage, total));
    }
    table.rules.push_back(table.rows.size());
    table.rows.push_back(row_of(total, total));
    for (Table::Cell& cell : table.rows.back()) {
        cell.strong = true;
    }
    page.table(table);
}

void provenance_section(HtmlPage& page, const RunFolder& run, const std::vector<Fact>& facts) {
    page.section("Provenance");
    std::vector<Fact> all;
    if (!run.record.command_line.empty()) {
        all.emplace_back("trained by", run.record.command_line);
    }
    all.insert(all.end(), facts.begin(), facts.end());
    for (const auto& [name, digest] : run.record.inputs) {
        all.emplace_back(name, digest);
    }
    std::string versions;
    for (const auto& [name, version] : run.record.versions) {
        versions += detail::concatenate(versions.empty() ? "" : ", ", name, " ", version);
    }
    all.emplace_back("versions", versions.empty() ? std::string("not recorded") : versions);
    page.facts(all);
    page.collapsed("Resolved configuration (config.json)", run.config_text);
}

}  // namespace flagen::apps::report
