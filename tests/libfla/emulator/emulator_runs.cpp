// The emulator's side of layer_gpu_test.cpp.

#include <deque>
#include <vector>

#include "libfla/emulator/hopper_runs.cuh"
#include "libfla/emulator/layer_runs.cuh"

namespace fla::device::testing {
namespace {

/// "Device memory" is the heap. A kernel that is wrong in one order is wrong: all are random.
class Emulator {
  public:
    template <class T>
    T* upload(const std::vector<T>& values) {
        blocks_.emplace_back(values.size() * sizeof(T));
        std::memcpy(blocks_.back().data(), values.data(), blocks_.back().size());
        return reinterpret_cast<T*>(blocks_.back().data());
    }

    template <class T>
    std::vector<T> download(const T* from, std::size_t count) {
        return {from, from + count};
    }

    template <class... Params, class... Args>
    void launch(void (*kernel)(Params...), const RunShape& shape, Args... args) {
        emu::Launch config;
        config.grid = {shape.grid_x, shape.grid_y};
        config.block = {shape.block_x, shape.block_y};
        config.dynamic_smem_bytes = shape.shared_bytes;
        config.order = emu::Order::kRandom;
        config.seed = ++launches_;
        config.check_races = true;
        emu::launch(config, kernel, args...);
    }

  private:
    std::deque<std::vector<std::byte>> blocks_;
    std::uint64_t launches_ = 0;
};

}  // namespace

std::vector<LayerRun> run_layer_on_emulator() {
    Emulator side;
    return run_layer(side);
}

std::vector<LayerRun> run_hopper_on_emulator() {
    Emulator side;
    return run_hopper(side);
}

}  // namespace fla::device::testing
