#include "flagen/models/track_head.h"

#include <torch/torch.h>

#include <algorithm>
#include <cctype>

#include "flagen/error.h"
#include "flagen/json_object.h"
#include "no_autocast.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kMaxUnits = std::int64_t{1} << 24;

}  // namespace

TrackHeadConfig TrackHeadConfig::from_json(const std::string& name, JsonObject& json) {
    TrackHeadConfig config;
    config.name = name;
    // It becomes part of names of tensors, files and columns.
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-';
    });
    if (name.empty() || !plain) {
        json.add_problem("",
                         "a track head needs a name of letters, digits, _ and -, as in head_human");
    }
    if (name == "genes") {
        json.add_problem("", "is the name of the head for genes, heads.genes");
    }
    (void)json.get_choice("name", "final", {"final"});
    (void)json.get_choice("activation", "softplus", {"softplus"});
    config.units = json.require_int("units", 1, kMaxUnits);
    for (const char* key : {"kernel_initializer", "l2_scale"}) {
        json.ignore(key);
    }
    return config;
}

void TrackHeadConfig::write(JsonObject& json) const {
    json.set("name", "final");
    json.set("units", units);
    json.set("activation", "softplus");
}

TrackHead::TrackHead(const TrackHeadConfig& config, const StreamShape& tokens,
                     Activation activation)
    : tokens_(tokens), num_tracks_(config.units), activation_(activation) {
    FLAGEN_CHECK(config.units > 0, "track head ", config.name, " has ", config.units, " units");
    proj_ = register_module("proj", torch::nn::Linear(tokens.num_channels, config.units));
}

at::Tensor TrackHead::forward(const at::Tensor& tokens) {
    FLAGEN_CHECK(tokens.dim() == 3 && tokens.size(1) == tokens_.num_tokens &&
                     tokens.size(2) == tokens_.num_channels,
                 "tokens ", tokens.sizes(), " for a head on ", tokens_.num_tokens, " x ",
                 tokens_.num_channels);
    const NoAutocast guard(tokens.device().type());
    const at::Tensor wide = tokens.scalar_type() == at::kDouble ? tokens : tokens.to(at::kFloat);
    return at::softplus(proj_->forward(activate(wide, activation_)));
}

StageCost TrackHead::cost() const {
    const auto tokens = static_cast<double>(tokens_.num_tokens);
    const auto channels = static_cast<double>(tokens_.num_channels);
    const auto tracks = static_cast<double>(num_tracks_);
    // Its input before and after the activation, and softplus' input; the loss keeps the result.
    const double inputs = activation_ == Activation::kNone ? 1.0 : 2.0;
    return {2.0 * tokens * channels * tracks, 4.0 * tokens * (inputs * channels + 2.0 * tracks)};
}

}  // namespace flagen::models
