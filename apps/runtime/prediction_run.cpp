#include "apps/runtime/prediction_run.h"

#include "apps/options/command_line.h"
#include "apps/runtime/build_info.h"
#include "flagen/sha256.h"

namespace flagen::apps {

std::string PredictionRun::models_sha256() const {
    if (models.size() == 1) {
        return first().model_sha256;
    }
    std::string all;
    for (const TrainedModel& trained : models) {
        all += trained.model_sha256 + "\n";
    }
    return sha256_of(all);
}

data::Attributes PredictionRun::attributes(const PredictionRequest& request) const {
    const RunConfig& config = first().config;
    data::Attributes attributes = {
        {"flagen_version", std::string(short_version())},
        {"cmdline", request.command_line},
        {"created_utc", utc_now()},
        {"model", first().checkpoint},
        {"model_sha256", models_sha256()},
        {"model_step", first().step},
        {"params_json", config.resolved_text()},
        {"genome_md5", inputs.genome_md5},
        {"seq_length", config.model.seq_length},
        {"shifts", int_list_text(request.shifts_bp)},
        {"rc", std::int64_t{request.reverse_complement}},
        {"device", request.device.device.str()},
        {"precision", models::precision_name(config.train.precision)},
        {"ensemble_n", static_cast<std::int64_t>(models.size())},
    };
    if (section().genes) {
        attributes["targets_sha256"] = inputs.matrix_sha256;
        attributes["annotation_sha256"] = inputs.annotation_sha256;
    }
    return attributes;
}

}  // namespace flagen::apps
