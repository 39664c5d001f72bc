# flagen_add_test(<name> SOURCES <file>... [LINKS <lib>...] [LABELS cpu|gpu|multigpu|slow ...] [GPUS n]
#                 [TORCH_PCH] [TIMEOUT seconds])
#
# One GoogleTest program; CTest sees each case (and its GTEST_SKIP) on its own. The label is cpu unless given.
# GPUS makes it one of the programs that libfla/benchmarks/gpu_report.sh runs (flagen_add_gpu_programs).
# FLAGEN_SHARED_DATA names the folder of real genomes; tests that need it say SKIPPED where it is absent.
set(FLAGEN_SHARED_DATA "${CMAKE_SOURCE_DIR}/../shared/data" CACHE PATH "Real genomes used by some tests")

function(flagen_add_test name)
    cmake_parse_arguments(ARG "TORCH_PCH" "GPUS;TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
    if(NOT ARG_LABELS)
        set(ARG_LABELS cpu)
    endif()
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 300)
    endif()
    add_executable(${name} ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    flagen_compile_settings(${name})
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
    target_link_libraries(${name} PRIVATE ${ARG_LINKS} GTest::gmock GTest::gtest_main)
    target_compile_definitions(${name} PRIVATE
        FLAGEN_TESTDATA="${CMAKE_SOURCE_DIR}/tests/testdata"
        FLAGEN_VENV_PYTHON="${FLAGEN_PYTHON}")
    if(ARG_TORCH_PCH)
        target_precompile_headers(${name} REUSE_FROM flagen_torch_pch)
    endif()
    set(properties LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
        ENVIRONMENT "FLAGEN_SHARED_DATA=${FLAGEN_SHARED_DATA};OMP_NUM_THREADS=1")
    if(ARG_GPUS)
        list(APPEND properties RESOURCE_LOCK gpu)
        set_property(GLOBAL APPEND PROPERTY FLAGEN_GPU_PROGRAMS "test ${name}")
    endif()
    gtest_discover_tests(${name} TEST_PREFIX "${name}." PROPERTIES ${properties}
        DISCOVERY_TIMEOUT 60)
endfunction()

# Target gpu_programs: everything that needs a GPU, listed in gpu_programs.txt as "<test | bench | library> <file>" lines.
# Call it last; each line comes from the global property FLAGEN_GPU_PROGRAMS, "<kind> <target>".
function(flagen_add_gpu_programs)
    get_property(entries GLOBAL PROPERTY FLAGEN_GPU_PROGRAMS)
    add_custom_target(gpu_programs)
    set(lines "")
    foreach(entry IN LISTS entries)
        string(REPLACE " " ";" pair "${entry}")
        list(GET pair 0 kind)
        list(GET pair 1 target)
        add_dependencies(gpu_programs ${target})
        string(APPEND lines "${kind} $<TARGET_FILE:${target}>\n")
    endforeach()
    file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/gpu_programs.txt" CONTENT "${lines}")
endfunction()
