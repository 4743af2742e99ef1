// A device that cannot be copied is refused. The error says what is missing.
// expect: error: .*constraint.*
// expect: device_is_a_copyable_handle
// errors: 1
// SPDX-License-Identifier: MIT
#ifndef TENON_TWIN
#define WITHOUT_COPIES
#endif
#include "user_device.hpp"
