/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spins below DEPTH frames of C: recurse DEPTH. Sixteen functions call each
 * other in turn, each with a frame of another size, so that a walk needs sixteen
 * rows and not one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void step(int depth);

static step *const steps[16];

static __attribute__((noinline)) void spin(void)
{
	for (;;) {
		for (volatile uint64_t i = 0; i < 1000000; i++)
			;
	}
}

#define STEP(n)                                                                                    \
	static __attribute__((noinline, noclone)) void step_##n(int depth)                         \
	{                                                                                          \
		char local[16 + 24 * (n)];                                                         \
                                                                                                   \
		memset(local, depth, sizeof(local));                                               \
		__asm__ volatile("" : : "r"(local) : "memory");                                    \
		if (depth > 0)                                                                     \
			steps[((n) + 1) % 16](depth - 1);                                          \
		else                                                                               \
			spin();                                                                    \
		__asm__ volatile("" : : "r"(local) : "memory");                                    \
	}

/* clang-format off */
STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
STEP(8) STEP(9) STEP(10) STEP(11) STEP(12) STEP(13) STEP(14) STEP(15)

static step *const steps[16] = {
	step_0, step_1, step_2, step_3, step_4, step_5, step_6, step_7,
	step_8, step_9, step_10, step_11, step_12, step_13, step_14, step_15,
};
/* clang-format on */

int main(int argc, char **argv)
{
	step_0(argc > 1 ? atoi(argv[1]) : 0);
	return 0;
}
