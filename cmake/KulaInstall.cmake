include(CMakePackageConfigHelpers)

install(FILES "${PROJECT_SOURCE_DIR}/include/kula.h" "${PROJECT_SOURCE_DIR}/include/kula.hpp"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
)
install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/include/kula"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    FILES_MATCHING
    PATTERN "*.h"
    PATTERN "*.hpp"
)

set_target_properties(kula_shared PROPERTIES EXPORT_NAME shared)
set_target_properties(kula_static PROPERTIES EXPORT_NAME static)
install(TARGETS kula_shared kula_static EXPORT kulaTargets)
if(TARGET kula-info)
    install(TARGETS kula-info)
endif()

set(KULA_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/kula")
install(
    EXPORT kulaTargets
    NAMESPACE kula::
    DESTINATION "${KULA_CMAKE_DIR}"
)
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/kulaConfig.cmake.in" "${PROJECT_BINARY_DIR}/kulaConfig.cmake"
    INSTALL_DESTINATION "${KULA_CMAKE_DIR}"
)
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/kulaConfigVersion.cmake" COMPATIBILITY SameMinorVersion
)
install(FILES "${PROJECT_BINARY_DIR}/kulaConfig.cmake"
              "${PROJECT_BINARY_DIR}/kulaConfigVersion.cmake" DESTINATION "${KULA_CMAKE_DIR}"
)

# The prefix is found from where the file lies, so that an installed tree can be moved.
set(KULA_PC_DIR "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH KULA_PC_PREFIX "${CMAKE_INSTALL_PREFIX}/${KULA_PC_DIR}" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" KULA_PC_PREFIX "${KULA_PC_PREFIX}")
set(KULA_PC_REQUIRES_PRIVATE "")
if(KULA_BACKEND_URING)
    set(KULA_PC_REQUIRES_PRIVATE "liburing >= 2.3")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/kula.pc.in" "${PROJECT_BINARY_DIR}/kula.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/kula.pc" DESTINATION "${KULA_PC_DIR}")
