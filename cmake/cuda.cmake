# CUDA by nvcc: the language, the architectures, and tenon::cuda, what a target with .cu files links.
# SPDX-License-Identifier: MIT
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(TENON_NVCC nvcc PATHS /usr/local/cuda/bin "$ENV{CUDA_HOME}/bin")
  if(NOT TENON_NVCC)
    message(FATAL_ERROR "tenon: expected nvcc of the CUDA Toolkit (12.4 or newer), found none; install it, set CUDACXX to "
      "it, or configure without TENON_CUDA")
  endif()
  set(CMAKE_CUDA_COMPILER "${TENON_NVCC}" CACHE FILEPATH "nvcc")
endif()
# `native` fails where there is no GPU, so architectures are named.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU architectures")
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

# cudart is linked statically; cuBLAS and the driver are opened when they are needed.
add_library(tenon_cuda INTERFACE)
add_library(tenon::cuda ALIAS tenon_cuda)
# CMake 3.25.1, which Debian 12 has, does not know that nvcc has C++20.
if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
  target_compile_features(tenon_cuda INTERFACE cuda_std_20)
else()
  target_compile_options(tenon_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>")
endif()
target_link_libraries(tenon_cuda INTERFACE tenon CUDA::cudart_static ${CMAKE_DL_LIBS})

# For programs that would rather link cuBLAS than open it.
add_library(tenon_cublas INTERFACE)
add_library(tenon::cublas ALIAS tenon_cublas)
target_link_libraries(tenon_cublas INTERFACE tenon_cuda CUDA::cublas)
list(APPEND found "CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
