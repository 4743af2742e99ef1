// How a test of a kernel begins that is written once for all devices (devices.hpp): Device is defined before this is
// included, and its memory is Memory<T>.
// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/exact.hpp"
#include "kernels/ways.hpp"

using namespace tenon;
using namespace tenon::tests;

template <class T>
using Memory = typename Ways<Device>::template Memory<T>;

/// Where a gradient of an operation behind pointers goes, and whether it is added to what is there.
template <class T>
struct Gradient {
  T* data = nullptr;
  bool add = false;
};
