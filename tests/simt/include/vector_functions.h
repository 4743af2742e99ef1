// SPDX-License-Identifier: MIT
#pragma once
#include "vector_types.h"  // defines make_float4 and so on
