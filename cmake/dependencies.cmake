# What tenon::tenon and tenon::gz stand on. Shared by the build here and by the installed package, so that both
# find Eigen the same way: its CMake package if there is one, else its headers.
# SPDX-License-Identifier: MIT

# Sets `missing` to a sentence for the user, or to nothing. zlib is optional: only tenon::gz needs it.
function(tenon_find_dependencies missing)
  set(${missing} "" PARENT_SCOPE)

  if(NOT TARGET Threads::Threads)
    find_package(Threads QUIET)
  endif()
  if(NOT TARGET Threads::Threads)
    set(${missing} "expected a thread library, found none" PARENT_SCOPE)
    return()
  endif()

  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 QUIET NO_MODULE)
  endif()
  if(NOT TARGET Eigen3::Eigen)
    find_path(TENON_EIGEN_INCLUDE_DIR Eigen/Core PATH_SUFFIXES eigen3)
    if(NOT TENON_EIGEN_INCLUDE_DIR)
      set(${missing} "expected Eigen 3.4 (headers), found none; install libeigen3-dev, or set Eigen3_DIR to its CMake \
package or TENON_EIGEN_INCLUDE_DIR to the folder that holds Eigen/Core" PARENT_SCOPE)
      return()
    endif()
    add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
    set_target_properties(Eigen3::Eigen PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${TENON_EIGEN_INCLUDE_DIR}")
    set(Eigen3_VERSION "in ${TENON_EIGEN_INCLUDE_DIR}")
  endif()
  set(Eigen3_VERSION "${Eigen3_VERSION}" PARENT_SCOPE)

  if(NOT TARGET ZLIB::ZLIB)
    find_package(ZLIB QUIET)
  endif()
  set(ZLIB_FOUND "${ZLIB_FOUND}" PARENT_SCOPE)
  set(ZLIB_VERSION_STRING "${ZLIB_VERSION_STRING}" PARENT_SCOPE)
endfunction()
