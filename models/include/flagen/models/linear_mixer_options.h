#pragma once

#include <cstdint>
#include <string>

#include "flagen/models/stream_shape.h"

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

/// The recurrence of a linear mixer; fla/torch/ops.h has the formulas.
enum class MixerKind {
    kLinear,         ///< No decay, feature map elu + 1, normaliser. arXiv:2006.16236
    kScalar,         ///< One decay a head: retention (arXiv:2307.08621), fixed or from the data.
    kSsd,            ///< Mamba-2 (arXiv:2405.21060).
    kGla,            ///< One decay a key channel (arXiv:2312.06635).
    kDeltanet,       ///< Delta rule (arXiv:2406.06484).
    kGatedDeltanet,  ///< Delta rule with one decay a head (arXiv:2412.06464).
};

/// "linear", "scalar", ...: its name in the configuration.
[[nodiscard]] const std::string& mixer_kind_name(MixerKind kind);

enum class ScanDirection { kForward, kReverse };

/// How a bidirectional mixer shares its heads out. Each direction has its own parameters.
enum class DirectionHeads {
    kSplit,  ///< Half of `heads` read forward, half in reverse.
    kEach,   ///< `heads` forward and as many in reverse: twice the parameters and the work.
};

enum class DecaySource { kData, kFixed };

/// Options of `linear_attn`. Counts are totals over both directions unless said otherwise.
struct LinearMixerOptions {
    MixerKind kind = MixerKind::kScalar;
    std::int64_t heads = 4;
    std::int64_t key = 32;    ///< Key width of a head; the state width N for ssd.
    std::int64_t value = 32;  ///< Value width of a head; the head width P for ssd.
    /// Heads of q and k; they divide `heads`. 0: as `heads`, for ssd one a direction.
    std::int64_t key_heads = 0;
    bool bidirectional = true;
    DirectionHeads direction_heads = DirectionHeads::kSplit;

    /// Tokens of the depthwise convolution over q, k and v, followed by SiLU; it reaches the way
    /// its scan reads (past tokens for the forward heads). 0: none.
    std::int64_t short_conv = 4;
    /// Tokens of a centred depthwise convolution before everything: y = x + silu(conv(x)). It lets
    /// every head see (local_conv - 1) / 2 tokens both ways. Odd; 0: none.
    std::int64_t local_conv = 0;
    bool output_gate = true;  ///< Multiplies the heads' outputs by silu(W x).

    bool normalize = true;                   ///< linear only: divide by the sum of weights.
    DecaySource decay = DecaySource::kData;  ///< scalar only.
    double decay_bias = 3.0;                 ///< scalar from data: starting bias of z.
    double scalar_temperature =
        1.0;                        ///< scalar from data, `decay_temperature`: logsigmoid(z) / it.
    double gla_temperature = 16.0;  ///< gla, `decay_temperature`: likewise.
    std::int64_t decay_rank = 16;   ///< gla: rank of the projection to z.

    void bind(OptionTable& table);
    void check(std::int64_t num_channels, JsonObject& json) const;

    [[nodiscard]] std::int64_t num_directions() const { return bidirectional ? 2 : 1; }
    /// Value heads of one direction.
    [[nodiscard]] std::int64_t heads_per_direction() const {
        return bidirectional && direction_heads == DirectionHeads::kSplit ? heads / 2 : heads;
    }
    /// Query and key heads of one direction.
    [[nodiscard]] std::int64_t key_heads_per_direction() const {
        if (key_heads == 0) {
            return kind == MixerKind::kSsd ? 1 : heads_per_direction();
        }
        return heads_per_direction() * key_heads / heads;
    }
};

}  // namespace flagen::models
