# tenon::cuda, which a target with .cu files links, and tenon::cublas for programs that link cuBLAS instead of opening
# it at run time. Both are header-only, so every build exports them. The toolkit is searched for where they are used.
# SPDX-License-Identifier: MIT
if(TENON_CUDA STREQUAL "NVCC")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(TENON_NVCC nvcc PATHS /usr/local/cuda/bin "$ENV{CUDA_HOME}/bin")
    if(NOT TENON_NVCC)
      message(FATAL_ERROR "tenon: expected nvcc of the CUDA Toolkit (12.4 or newer), found none; install it, set CUDACXX to "
        "it, or configure without TENON_CUDA")
    endif()
    set(CMAKE_CUDA_COMPILER "${TENON_NVCC}" CACHE FILEPATH "nvcc")
  endif()
  # `native` fails on a machine without a GPU, so the architectures are listed.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU architectures")
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  list(APPEND found "CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
else()
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("CUDA" IN_LIST languages)  # enabled by the parent project
    find_package(CUDAToolkit QUIET)
  endif()
endif()

# cudart is linked statically; cuBLAS and the driver are opened when needed.
add_library(tenon_cuda INTERFACE)
add_library(tenon::cuda ALIAS tenon_cuda)
set_target_properties(tenon_cuda PROPERTIES EXPORT_NAME cuda)
tenon_use_cxx20_in_cuda(tenon_cuda)
target_link_libraries(tenon_cuda INTERFACE tenon CUDA::cudart_static ${CMAKE_DL_LIBS})

add_library(tenon_cublas INTERFACE)
add_library(tenon::cublas ALIAS tenon_cublas)
set_target_properties(tenon_cublas PROPERTIES EXPORT_NAME cublas)
target_link_libraries(tenon_cublas INTERFACE tenon_cuda CUDA::cublas)
