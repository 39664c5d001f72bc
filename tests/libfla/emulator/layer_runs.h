#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace fla::device::testing {

/// What one kernel has written, as 32-bit words, and how far two sides may differ.
struct LayerRun {
    std::string name;
    std::vector<std::uint32_t> words;
    double relative = 0;  ///< 0: the same bits. Else the words are floats.
};

/// Passes over all runs, notes their names and starts the one that is wanted: an error of a GPU
/// stays for the rest of the process, so a process may have to be started for each.
class Runs {
  public:
    explicit Runs(std::string wanted) : wanted_(std::move(wanted)) {}

    /// write() launches the kernel and returns the words.
    template <class Write>
    void add(const std::string& name, Write write, double relative = 0) {
        names_.push_back(name);
        if (name == wanted_) {
            run_ = {name, write(), relative};
        }
    }
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    /// Without a name if none was wanted.
    [[nodiscard]] const LayerRun& run() const { return run_; }

  private:
    std::string wanted_;
    std::vector<std::string> names_;
    LayerRun run_;
};

/// A launch. Kernels run on a side, the emulator (emulator_runs.cpp) or a GPU (gpu_side.cuh), with
/// three members: upload(values) and download(pointer, count) move memory, and
/// launch(kernel, shape, arguments...) returns when the kernel has ended.
struct RunShape {
    unsigned block_x = 32, block_y = 1, grid_x = 1, grid_y = 1;
    std::size_t shared_bytes = 4096;
};

template <class T>
std::vector<std::uint32_t> to_words(const std::vector<T>& values) {
    std::vector<std::uint32_t> words(values.size() * sizeof(T) / 4);
    std::memcpy(words.data(), values.data(), words.size() * 4);
    return words;
}

/// Run a kernel of layer_kernels.cuh by the name of the run.
///
/// @throws fla::CudaError, fla::emu::Error
[[nodiscard]] LayerRun run_layer_on_emulator(const std::string& name);
[[nodiscard]] LayerRun run_layer_on_gpu(const std::string& name);
[[nodiscard]] std::vector<std::string> layer_run_names();

/// Run a kernel of hopper_kernels.cuh or hopper_av.cuh; the GPU must be an sm_90.
///
/// @throws fla::CudaError, fla::Unsupported, fla::emu::Error
[[nodiscard]] LayerRun run_hopper_on_emulator(const std::string& name);
[[nodiscard]] LayerRun run_hopper_on_gpu(const std::string& name);
[[nodiscard]] std::vector<std::string> hopper_run_names();

}  // namespace fla::device::testing
