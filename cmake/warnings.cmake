# Warnings for our own programs, tests and benches. Not exported: consumers choose their own warnings.
# SPDX-License-Identifier: MIT
add_library(tenon_warnings INTERFACE)
target_compile_options(tenon_warnings INTERFACE -Wall -Wextra -Wshadow)
# After inlining, g++ often warns wrongly about std::string and std::regex: version 12 always, any version with a
# sanitizer. These warnings are errors in no build.
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
  set(werror -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND werror -Wno-error=array-bounds -Wno-error=maybe-uninitialized -Wno-error=restrict
      -Wno-error=stringop-overflow -Wno-error=stringop-overread)
  endif()
  # nvcc's -Werror takes an argument, and nvcc knows none of the other options.
  target_compile_options(tenon_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${werror}>")
endif()
