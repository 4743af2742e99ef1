# What tenon::tenon, tenon::gz and tenon::cuda stand on. Shared by the build here and by the installed package, so that both
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

# CMake 3.25.1, which Debian 12 has, does not know that nvcc has C++20; nor does any before the language is enabled.
function(tenon_use_cxx20_in_cuda target)
  if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    target_compile_features(${target} INTERFACE "$<BUILD_INTERFACE:cuda_std_20>")
  else()
    target_compile_options(${target} INTERFACE "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>>")
  endif()
endfunction()
