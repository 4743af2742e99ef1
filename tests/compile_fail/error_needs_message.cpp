// An Error says what was expected: it has no constructor without a message.
// expect: no matching (function for call to|constructor for initialization of) .*Error
// errors: 1
// SPDX-License-Identifier: MIT
#include "tenon/core/error.hpp"

#ifndef TENON_TWIN
const tenon::Error error("load_idx");
#else
const tenon::Error error("load_idx", "expected 10 labels, got 9");
#endif
