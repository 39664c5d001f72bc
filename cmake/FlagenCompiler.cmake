# Compiler settings of our own targets: warnings are errors, others' headers are SYSTEM.

# One position-independent code model everywhere, so that static libraries, the shared operator
# library and test programs can share one precompiled header.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fPIC>" "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fPIC>")

find_program(FLAGEN_CCACHE ccache)
if(FLAGEN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # The sloppiness flags are what ccache's manual asks for with precompiled headers.
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
        CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${FLAGEN_CCACHE}")
    add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>")
    if(FLAGEN_CUDA)
        set(CMAKE_CUDA_COMPILER_LAUNCHER "${FLAGEN_CCACHE}")
    endif()
endif()

if(FLAGEN_SANITIZE)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FLAGEN_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
    add_link_options("-fsanitize=${FLAGEN_SANITIZE}")
    add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()

set(FLAGEN_WARNINGS -Wall -Wextra -Wconversion -Wshadow=local -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
    # False reports on inlined std::string operations: gcc bugs 105329 and 105651.
    list(APPEND FLAGEN_WARNINGS -Wno-restrict "$<$<CONFIG:Release>:-Wno-stringop-overflow>"
        "$<$<CONFIG:Release>:-Wno-stringop-overread>")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND FLAGEN_SANITIZE)
    list(APPEND FLAGEN_WARNINGS -Wno-maybe-uninitialized)  # false reports under -fsanitize, as gcc's manual says
endif()
set(FLAGEN_HARDENING -fstack-protector-strong)

# flagen_compile_settings(<target>): warnings and hardening for one of our targets.
function(flagen_compile_settings target)
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:CXX>:${FLAGEN_WARNINGS};${FLAGEN_HARDENING}>")
    if(NOT FLAGEN_SANITIZE)
        target_compile_definitions(${target} PRIVATE
            "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release,RelWithDebInfo>>:_FORTIFY_SOURCE=2>")
    endif()
endfunction()
