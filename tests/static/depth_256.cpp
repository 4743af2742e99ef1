// A network of 256 layers, all of different widths, compiles with its trainer.
#define TENON_DEPTH 256
#include "../../bench/compile/depth.cpp"
