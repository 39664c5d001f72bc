#include "flagen/models/generator_state.h"

#include <ATen/Context.h>

#include <mutex>

#include "flagen/error.h"

namespace flagen::models {

at::Tensor generator_state(at::Device device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    return generator.get_state();
}

void set_generator_state(at::Device device, const at::Tensor& state) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    try {
        generator.set_state(state);
    } catch (const c10::Error& error) {
        throw_user_error(UserFault::kInputFile, "not a state of the generator of ", device, ": ",
                         error.what_without_backtrace());
    }
}

}  // namespace flagen::models
