# `cmake --install`: merges both include roots into one, which find_package(tenon) finds.
# SPDX-License-Identifier: MIT
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(headers FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(DIRECTORY include/tenon kernels/tenon DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" ${headers})

# tenon::gz and tenon::cuda are exported separately: a consumer without zlib or CUDA still gets tenon::tenon.
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/tenon")
target_include_directories(tenon INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
install(TARGETS tenon EXPORT tenonTargets)
install(TARGETS tenon_gz EXPORT tenonGzTargets)
install(TARGETS tenon_cuda tenon_cublas EXPORT tenonCudaTargets)
install(EXPORT tenonTargets NAMESPACE tenon:: DESTINATION "${package_dir}")
install(EXPORT tenonGzTargets NAMESPACE tenon:: DESTINATION "${package_dir}")
install(EXPORT tenonCudaTargets NAMESPACE tenon:: DESTINATION "${package_dir}")

configure_package_config_file(cmake/tenonConfig.cmake.in tenonConfig.cmake INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(tenonConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/tenonConfig.cmake" "${PROJECT_BINARY_DIR}/tenonConfigVersion.cmake"
  cmake/dependencies.cmake DESTINATION "${package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/tenon")
