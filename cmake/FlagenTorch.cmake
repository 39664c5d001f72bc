# flagen::torch: LibTorch as an imported interface target.
#
# The wheel's own TorchConfig.cmake refuses to configure without a CUDA toolkit and edits the kernels' CUDA flags,
# so the folder is imported here: headers as SYSTEM, libraries by full path.
#
# Searched: FLAGEN_TORCH_ROOT (the folder that holds include/ and lib/), the project's .venv, CMAKE_PREFIX_PATH.
set(FLAGEN_TORCH_ROOT "" CACHE PATH "LibTorch folder that holds include/ and lib/")
file(GLOB _flagen_venv_torch "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
find_path(FLAGEN_TORCH_INCLUDE torch/csrc/api/include/torch/version.h
    HINTS "${FLAGEN_TORCH_ROOT}" ${_flagen_venv_torch} ${CMAKE_PREFIX_PATH} PATH_SUFFIXES include ../../include)
if(NOT FLAGEN_TORCH_INCLUDE)
    message(FATAL_ERROR "LibTorch was not found. Run ./setup.sh, or set FLAGEN_TORCH_ROOT to a LibTorch >= 2.7.")
endif()
cmake_path(GET FLAGEN_TORCH_INCLUDE PARENT_PATH _torch_root)

foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${FLAGEN_TORCH_INCLUDE}/torch/headeronly/version.h" _line REGEX "#define TORCH_VERSION_${part} ")
    if(NOT _line)
        file(STRINGS "${FLAGEN_TORCH_INCLUDE}/torch/csrc/api/include/torch/version.h" _line REGEX "#define TORCH_VERSION_${part} ")
    endif()
    string(REGEX MATCH "[0-9]+" _torch_${part} "${_line}")
endforeach()
set(FLAGEN_TORCH_VERSION "${_torch_MAJOR}.${_torch_MINOR}.${_torch_PATCH}")
if(FLAGEN_TORCH_VERSION VERSION_LESS 2.7)
    # Older wheels use the other std::string ABI and fail at link time with unreadable errors.
    message(FATAL_ERROR "LibTorch ${FLAGEN_TORCH_VERSION} at ${_torch_root} is too old: 2.7 or newer is needed.")
endif()
message(STATUS "LibTorch ${FLAGEN_TORCH_VERSION} (${_torch_root})")

# The wheel ships its own fmt, which breaks the system's spdlog when found first.
find_path(_flagen_fmt_include fmt/core.h PATHS /usr/include NO_DEFAULT_PATH)
set(_fmt_first "${CMAKE_BINARY_DIR}/system_fmt")
file(MAKE_DIRECTORY "${_fmt_first}")
if(_flagen_fmt_include)
    file(CREATE_LINK "${_flagen_fmt_include}/fmt" "${_fmt_first}/fmt" SYMBOLIC)
endif()

add_library(flagen_torch INTERFACE)
add_library(flagen::torch ALIAS flagen_torch)
target_include_directories(flagen_torch SYSTEM INTERFACE
    "${_fmt_first}" "${FLAGEN_TORCH_INCLUDE}" "${FLAGEN_TORCH_INCLUDE}/torch/csrc/api/include")
target_compile_definitions(flagen_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(flagen_torch INTERFACE "${_torch_root}/lib/libtorch_cpu.so" "${_torch_root}/lib/libc10.so"
    Threads::Threads)
target_link_options(flagen_torch INTERFACE "-Wl,-rpath,${_torch_root}/lib")

# flagen::torch_cuda: devices and streams of a LibTorch with CUDA, for code that starts kernels on its tensors. Tensors on a
# GPU need libtorch_cuda.so too, which only programs that make such tensors load.
if(FLAGEN_CUDA)
    if(EXISTS "${_torch_root}/lib/libc10_cuda.so")
        add_library(flagen_torch_cuda INTERFACE)
        add_library(flagen::torch_cuda ALIAS flagen_torch_cuda)
        target_link_libraries(flagen_torch_cuda INTERFACE "${_torch_root}/lib/libc10_cuda.so" CUDA::cudart)
    else()
        message(STATUS "LibTorch has no CUDA: its operators run on the CPU")
    endif()
endif()

# <torch/torch.h> takes about 15 s to parse; every torch target reuses this one.
file(WRITE "${CMAKE_BINARY_DIR}/torch_pch.cpp.in" "// Holds the precompiled LibTorch header.\n")
configure_file("${CMAKE_BINARY_DIR}/torch_pch.cpp.in" "${CMAKE_BINARY_DIR}/torch_pch.cpp" COPYONLY)
add_library(flagen_torch_pch STATIC "${CMAKE_BINARY_DIR}/torch_pch.cpp")
target_link_libraries(flagen_torch_pch PRIVATE flagen::torch)
flagen_compile_settings(flagen_torch_pch)
target_precompile_headers(flagen_torch_pch PRIVATE <torch/torch.h>)

# The interpreter beside that LibTorch: runs the Python tests and the outside checks (h5py, numpy, scipy).
find_program(FLAGEN_PYTHON python3 HINTS "${CMAKE_SOURCE_DIR}/.venv/bin" NO_CMAKE_SYSTEM_PATH NO_SYSTEM_ENVIRONMENT_PATH)
if(NOT FLAGEN_PYTHON)
    find_program(FLAGEN_PYTHON python3)
endif()
