// The emulator's side of layer_gpu_test.cpp.

#include <deque>
#include <string>
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

template <class Visit>
Runs visit_runs(const std::string& wanted, Visit visit) {
    Emulator side;
    Runs runs(wanted);
    visit(side, runs);
    return runs;
}
Runs layer_runs(const std::string& wanted) {
    return visit_runs(wanted, [](Emulator& side, Runs& runs) { run_layer(side, runs); });
}
Runs hopper_runs(const std::string& wanted) {
    return visit_runs(wanted, [](Emulator& side, Runs& runs) { run_hopper(side, runs); });
}

}  // namespace

LayerRun run_layer_on_emulator(const std::string& name) { return layer_runs(name).run(); }
std::vector<std::string> layer_run_names() { return layer_runs("").names(); }

LayerRun run_hopper_on_emulator(const std::string& name) { return hopper_runs(name).run(); }
std::vector<std::string> hopper_run_names() { return hopper_runs("").names(); }

}  // namespace fla::device::testing
