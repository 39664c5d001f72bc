#include "flagen/models/device_support.h"

#include <torch/torch.h>

#include "autocast_scope.h"
#include "flagen/models/directional_scan.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kNumTokens = 16;
constexpr std::int64_t kNumChannels = 8;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void run_once(const LinearMixerOptions& options, at::Device device, at::ScalarType dtype) {
    const torch::NoGradGuard no_gradients;
    DirectionalScan scan(options, kNumChannels, ScanDirection::kForward);
    scan.to(device);
    const AutocastScope autocast(device.type(), dtype);
    (void)scan.forward(at::zeros({1, kNumTokens, kNumChannels}, at::TensorOptions(device)));
}

}  // namespace

std::string missing_kernel(const ModelConfig& config, at::Device device, Precision precision) {
    if (device.is_cpu()) {
        return "";
    }
    for (const BlockConfig& block : config.trunk) {
        const LinearMixerOptions* mixer = block.spec->linear_mixer();
        if (mixer == nullptr) {
            continue;
        }
        try {
            run_once(*mixer, device, scalar_type_of(precision));
        } catch (const c10::Error& error) {
            return mixer_kind_name(mixer->kind) + ": " + first_line(error.what_without_backtrace());
        }
    }
    return "";
}

}  // namespace flagen::models
