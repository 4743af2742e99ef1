# Warnings for our own programs, tests and benches. Not exported: a consumer's warnings are the consumer's.
# SPDX-License-Identifier: MIT
add_library(tenon_warnings INTERFACE)
target_compile_options(tenon_warnings INTERFACE -Wall -Wextra -Wshadow)
# What g++ guesses after inlining is often wrong in std::string and std::regex: version 12 as it is, any with a sanitizer.
# It is no error anywhere.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  if(CMAKE_CXX_FLAGS_${type} MATCHES "-fsanitize")
    target_compile_options(tenon_warnings INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized)
  endif()
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(tenon_warnings INTERFACE -Wno-array-bounds -Wno-restrict)
  endif()
endif()

if(TENON_WERROR)
  target_compile_options(tenon_warnings INTERFACE -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tenon_warnings INTERFACE -Wno-error=array-bounds -Wno-error=maybe-uninitialized
      -Wno-error=restrict -Wno-error=stringop-overflow -Wno-error=stringop-overread)
  endif()
endif()
