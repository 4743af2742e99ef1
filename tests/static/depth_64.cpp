// A network of 64 layers, all of different widths, compiles with its trainer.
#define TENON_DEPTH 64
#include "../../bench/compile/depth.cpp"
