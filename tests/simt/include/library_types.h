// SPDX-License-Identifier: MIT
#pragma once
#include "driver_types.h"  // defines cudaDataType
