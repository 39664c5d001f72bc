# CUDA settings. Kernels are built for sm_80 (runs on every later GPU through its PTX) and sm_90a (Hopper).
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80;90a-real")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# One CUDA runtime in a process: LibTorch brings the shared one.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
message(STATUS "CUDA ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
# Compressed device code: a library of kernels takes a fifth of the space.
add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-lineinfo;-Xptxas=--warn-on-spills;-Xfatbin=-compress-all>")
