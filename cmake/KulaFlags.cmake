# Compiler and linker flags for everything that this project builds. They are set on the folder, so
# that a library, a test and an example cannot differ, and never reach a project that uses kula.

include(CheckCCompilerFlag)
include(CheckLinkerFlag)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Adds each flag that the compiler knows.
function(kula_add_supported_flags)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "KULA_HAS${flag}" known)
        check_c_compiler_flag("${flag}" ${known})
        if(${known})
            add_compile_options("${flag}")
        endif()
    endforeach()
endfunction()

# As for the compiler; a linker option that some linkers do not have.
function(kula_link_options_if_supported target)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "KULA_HAS${flag}" known)
        check_linker_flag(C "${flag}" ${known})
        if(${known})
            target_link_options(${target} PRIVATE "${flag}")
        endif()
    endforeach()
endfunction()

if(KULA_LINUX)
    add_compile_definitions(_GNU_SOURCE)
else()
    add_compile_definitions(_POSIX_C_SOURCE=200809L _XOPEN_SOURCE=700)
endif()
if(KULA_NO_LINUX)
    add_compile_definitions(KULA_NO_LINUX=1)
endif()

add_compile_options(
    -Wall
    -Wextra
    -Wpedantic
    -Wconversion
    -Wshadow
    -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
)
if(KULA_WERROR)
    add_compile_options(-Werror)
endif()

if(KULA_SANITIZE)
    add_compile_options(
        -fsanitize=${KULA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g
    )
    add_link_options(-fsanitize=${KULA_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # -ftrivial-auto-var-init=zero is left out on purpose: the structs that one operation fills on
    # the stack would be cleared for every operation.
    kula_add_supported_flags(-fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
        kula_add_supported_flags(-fcf-protection=full)
    endif()
    # Needs optimisation, and says so with a warning where there is none.
    add_compile_options(
        "$<$<NOT:$<CONFIG:Debug>>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>"
    )
endif()
