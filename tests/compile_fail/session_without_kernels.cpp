// If a unit cannot compile the kernels of a device, the error names the header to include.
// expect: error: static.assert.*tenon::make_session<Net, Cuda>: expected <tenon/cuda.cuh>
// expect: a .cpp includes <tenon/train/session.hpp> alone
// errors: 1
// SPDX-License-Identifier: MIT
#ifdef TENON_TWIN
#include <tenon/train/session.hpp>
#else
#include <tenon/train/session_impl.hpp>
#endif

#include <tenon/layers.hpp>

using namespace tenon;

using Net = Sequential<Input<4>, Linear<3>>;

int main() { return make_session<Net>({}, Cuda{})->progress().epoch; }
