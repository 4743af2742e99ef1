// A device without memory_space() is refused. The error says what is missing.
// expect: error: .*constraint.*
// expect: device_has_memory_space
// errors: 1
// SPDX-License-Identifier: MIT
#ifndef TENON_TWIN
#define WITHOUT_MEMORY_SPACE
#endif
#include "user_device.hpp"
