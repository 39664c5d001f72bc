# flagen_add_library(<target>
#     ALIAS <name>                 e.g. flagen::genomics
#     [SHARED | INTERFACE]         STATIC by default
#     [INCLUDE_DIR <dir>]          public include root, "include" by default
#     HEADERS <file>...            public headers; each must compile alone
#     SOURCES <file>...            private
#     [PUBLIC <lib>...] [PRIVATE <lib>...]
#     [TORCH_PCH]                  reuse the precompiled <torch/torch.h>
#     FORBIDS <regex>...           link targets that must never be reached (FlagenLayerCheck)
#     [FORBIDS_INCLUDES <regex>...] include paths that no file of it may name
# )
define_property(GLOBAL PROPERTY FLAGEN_LIBRARIES BRIEF_DOCS "Targets declared with flagen_add_library")

function(flagen_add_library target)
    cmake_parse_arguments(ARG "SHARED;INTERFACE;TORCH_PCH" "ALIAS;INCLUDE_DIR"
        "HEADERS;SOURCES;PUBLIC;PRIVATE;FORBIDS;FORBIDS_INCLUDES" ${ARGN})
    if(ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "flagen_add_library(${target}): unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT ARG_INCLUDE_DIR)
        set(ARG_INCLUDE_DIR include)
    endif()

    if(ARG_INTERFACE)
        add_library(${target} INTERFACE)
        set(public INTERFACE)
    elseif(ARG_SHARED)
        add_library(${target} SHARED)
        set(public PUBLIC)
    else()
        add_library(${target} STATIC)
        set(public PUBLIC)
    endif()
    if(ARG_ALIAS)
        add_library(${ARG_ALIAS} ALIAS ${target})
    endif()

    target_sources(${target} ${public} FILE_SET HEADERS
        BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_INCLUDE_DIR}" FILES ${ARG_HEADERS})
    target_link_libraries(${target} ${public} ${ARG_PUBLIC})
    target_compile_features(${target} ${public} cxx_std_20)
    if(NOT ARG_INTERFACE)
        target_sources(${target} PRIVATE ${ARG_SOURCES})
        target_link_libraries(${target} PRIVATE ${ARG_PRIVATE})
        flagen_compile_settings(${target})
    endif()
    if(ARG_TORCH_PCH)
        target_precompile_headers(${target} REUSE_FROM flagen_torch_pch)
    endif()
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)

    set_property(GLOBAL APPEND PROPERTY FLAGEN_LIBRARIES ${target})
    set_property(TARGET ${target} PROPERTY FLAGEN_FORBIDS "${ARG_FORBIDS}")
    set_property(TARGET ${target} PROPERTY FLAGEN_FORBIDS_INCLUDES "${ARG_FORBIDS_INCLUDES}")
endfunction()
