# The library's targets. common/ and backends/ fill them through kula_sources and kula_libraries:
#
#   kula_static    libkula.a, kula::kula in this tree
#   kula_shared    libkula.so, exports what cmake/kula.map lists
#   kula_testing   as kula_static, with failure injection (KULA_FAULTS) and the internal headers;
#                  only for tests, never installed
#   kula_unchecked as kula_shared, without the run-time check; only for the bench, never installed

# Both libraries are made from one set of position-independent objects.
add_library(kula_objects OBJECT)
add_library(kula_static STATIC $<TARGET_OBJECTS:kula_objects>)
add_library(kula_shared SHARED $<TARGET_OBJECTS:kula_objects>)
add_library(kula::kula ALIAS kula_static)
set(kula_compiled_targets kula_objects)
set(kula_linked_targets kula_static kula_shared)

if(KULA_BUILD_TESTS)
    add_library(kula_testing STATIC)
    target_compile_definitions(kula_testing PUBLIC KULA_FAULTS=1)
    target_include_directories(
        kula_testing PUBLIC "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}"
                            "${PROJECT_BINARY_DIR}/generated"
    )
    list(APPEND kula_compiled_targets kula_testing)
    list(APPEND kula_linked_targets kula_testing)
endif()

# As kula_shared, without the run-time check: only to measure what that costs, never installed.
if(KULA_BUILD_BENCH)
    add_library(kula_unchecked SHARED)
    target_compile_definitions(kula_unchecked PRIVATE KULA_UNCHECKED=1)
    target_include_directories(kula_unchecked PUBLIC "${PROJECT_SOURCE_DIR}/include")
    list(APPEND kula_compiled_targets kula_unchecked)
    list(APPEND kula_linked_targets kula_unchecked)
endif()

foreach(target IN LISTS kula_compiled_targets)
    set_target_properties(
        ${target} PROPERTIES C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON
    )
    target_compile_options(${target} PRIVATE -fno-plt)
    target_compile_definitions(
        ${target} PRIVATE KULA_BUILDING KULA_DEBUG_BUILD=$<IF:$<CONFIG:Debug>,1,0>
                          $<$<BOOL:${KULA_VALGRIND}>:KULA_VALGRIND=1>
    )
    target_include_directories(
        ${target} PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}"
                          "${PROJECT_BINARY_DIR}/generated"
    )
endforeach()

foreach(target IN LISTS kula_linked_targets)
    target_link_libraries(${target} PRIVATE Threads::Threads)
endforeach()
foreach(target kula_static kula_shared)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME kula LINKER_LANGUAGE C)
    target_include_directories(
        ${target} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                         "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
    )
endforeach()

set_target_properties(
    kula_shared
    PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS
               "${PROJECT_SOURCE_DIR}/cmake/kula.map"
)
kula_link_options_if_supported(kula_shared "-Wl,-z,relro" "-Wl,-z,now" "-Wl,-z,noexecstack")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(
        kula_shared PRIVATE "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/kula.map"
    )
endif()
if(NOT KULA_SANITIZE) # the sanitizers' functions come from the program
    kula_link_options_if_supported(kula_shared "-Wl,-z,defs")
endif()

if(KULA_LTO)
    # The archive has to link without -flto, too, and with any linker: gcc's fat objects do that,
    # clang has none before 17.
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
        message(FATAL_ERROR "KULA_LTO needs gcc, for an archive that every linker can read")
    endif()
    include(CheckIPOSupported)
    check_ipo_supported(LANGUAGES C)
    set_target_properties(
        kula_objects kula_shared PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON
    )
    target_compile_options(kula_objects PRIVATE -ffat-lto-objects)
endif()

# Adds source files to the library.
function(kula_sources)
    foreach(target IN LISTS kula_compiled_targets)
        target_sources(${target} PRIVATE ${ARGN})
    endforeach()
endfunction()

# Adds a library that the library needs.
function(kula_libraries)
    foreach(target IN LISTS kula_linked_targets)
        target_link_libraries(${target} PRIVATE ${ARGN})
    endforeach()
    target_link_libraries(kula_objects PRIVATE ${ARGN})
endfunction()

# Adds one folder of backends/, or its name alone if this build goes without it. The library learns
# of it by its place in the list that kula_finish_backends writes.
function(kula_add_backend name enabled)
    if(enabled)
        set_property(GLOBAL APPEND_STRING PROPERTY KULA_BACKEND_ENTRIES " BUILT(${name})")
        add_subdirectory(${name})
    else()
        set_property(GLOBAL APPEND_STRING PROPERTY KULA_BACKEND_ENTRIES " ABSENT(${name})")
    endif()
endfunction()

# Writes generated/kula_backend_list.h: the backends in the order of preference, so that no source
# file has to name them.
function(kula_finish_backends)
    get_property(KULA_BACKEND_ENTRIES GLOBAL PROPERTY KULA_BACKEND_ENTRIES)
    configure_file(
        "${PROJECT_SOURCE_DIR}/cmake/kula_backend_list.h.in"
        "${PROJECT_BINARY_DIR}/generated/kula_backend_list.h" @ONLY
    )
    message(STATUS "kula: backends${KULA_BACKEND_ENTRIES}")
endfunction()
