// A network of 16 layers, all of different widths, compiles with its trainer.
#define TENON_DEPTH 16
#include "../../bench/compile/depth.cpp"
