/* SPDX-License-Identifier: Apache-2.0 */
/* What calls.c calls. */
#include "edges.h"

EDGE uint64_t tiny(uint64_t value)
{
	return value + 1;
}

EDGE uint64_t taken(uint64_t value)
{
	return value + 2;
}

static void never(void)
{
}

EDGE void leaf_late(void)
{
	SPIN(FOREVER);
}

/* ld.so asks it which function to bind; chosen_late has its address. */
EDGE void (*resolver(void))(void)
{
	leaf_late();
	return never;
}

EDGE void chosen_late(void) __attribute__((ifunc("resolver")));
