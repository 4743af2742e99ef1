// A device without a copy to the host is refused. The error says what is missing.
// expect: error: .*constraint.*
// expect: device_has_download
// errors: 1
// SPDX-License-Identifier: MIT
#ifndef TENON_TWIN
#define WITHOUT_DOWNLOAD
#endif
#include "user_device.hpp"
