#include "flagen/models/trunk_skips.h"

#include <ATen/ATen.h>

#include <iterator>

#include "flagen/error.h"

namespace flagen::models {

void TrunkSkips::offer(const at::Tensor& tokens) {
    FLAGEN_CHECK(num_offers_ < wanted_.size(), "a trunk of ", wanted_.size(),
                 " skips got one offer more");
    if (wanted_[num_offers_++]) {
        kept_.push_back(tokens);
    }
}

at::Tensor TrunkSkips::take(std::int64_t num_tokens) {
    for (auto skip = kept_.rbegin(); skip != kept_.rend(); ++skip) {
        if (skip->size(1) == num_tokens) {
            at::Tensor result = *skip;
            kept_.erase(std::next(skip).base());
            return result;
        }
    }
    throw_error("no skip of ", num_tokens, " tokens was kept");
}

}  // namespace flagen::models
