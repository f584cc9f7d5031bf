/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of this folder share. Each has ways to run, named by its first argument, and
 * each way has one known chain of functions, which tests/e2e/test_edges.py declares. A function
 * whose name begins with leaf_ is the last of its chain and spins. Each program says "ready", and
 * then runs until it is killed.
 */
#ifndef MIXPROF_EDGES_H
#define MIXPROF_EDGES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
#define EDGE extern "C" __attribute__((noinline, visibility("default")))
#else
#define EDGE __attribute__((noinline, visibility("default")))
/* Nothing but the linker ever looks for them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#endif

/* After a call: makes of it no tail call. */
#define CALLED_BEFORE_THIS() __asm__ volatile("" ::: "memory")

#define SPIN(rounds)                                                                               \
	for (uint64_t i_ = 0; i_ < (rounds); i_++)                                                 \
	__asm__ volatile("" : "+r"(i_))

/* About a millisecond. */
#define A_WHILE 1000000
#define FOREVER UINT64_MAX

struct way {
	const char *name;
	void (*run)(void);
};

__attribute__((always_inline)) static inline int run_way(const struct way *ways, const char *name)
{
	for (; ways->name; ways++) {
		if (strcmp(ways->name, name) != 0)
			continue;
		puts("ready");
		fflush(stdout);
		ways->run();
		CALLED_BEFORE_THIS();
		return 0;
	}
	return 1;
}

/* Inlined, so that main is the function above the way's own. */
#define MAIN(...)                                                                                  \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct way ways[] = {__VA_ARGS__, {}};                                \
		return argc == 2 ? run_way(ways, argv[1]) : 2;                                     \
	}

#endif
