// A device without a memory type is refused. The error says what is missing.
// expect: error: .*constraint.*
// expect: device_has_Buffer
// errors: 1
// SPDX-License-Identifier: MIT
#ifndef TENON_TWIN
#define WITHOUT_BUFFER
#endif
#include "user_device.hpp"
