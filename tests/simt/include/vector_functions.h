// SPDX-License-Identifier: MIT
#pragma once
#include "vector_types.h"  // make_float4 and so on are there
