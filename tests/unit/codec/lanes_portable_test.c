/* The same on a machine without vectors. */
#undef __SSE2__
#undef __ARM_NEON

#include "lanes_test.c"
