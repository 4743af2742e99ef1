# Dependencies of tenon::tenon, tenon::gz and tenon::cuda. This build and the installed package share the file, so both
# find Eigen the same way: by its CMake package if there is one, else by its headers.
# SPDX-License-Identifier: MIT

# Sets `missing` to an error message, or to an empty string. zlib is optional: only tenon::gz needs it.
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

# CMake 3.25.1 (Debian 12) does not know that nvcc supports C++20. No version knows it before the language is enabled.
function(tenon_use_cxx20_in_cuda target)
  if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    target_compile_features(${target} INTERFACE "$<BUILD_INTERFACE:cuda_std_20>")
  else()
    target_compile_options(${target} INTERFACE "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>>")
  endif()
endfunction()
