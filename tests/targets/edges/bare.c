/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that bare_main.c calls; compiled without CFI, with or without frame pointers. */
#include "edges.h"

EDGE void leaf_bare(uint64_t rounds)
{
	SPIN(rounds);
}

EDGE void bare_inner(uint64_t rounds)
{
	leaf_bare(rounds);
	CALLED_BEFORE_THIS();
}

EDGE void bare_outer(uint64_t rounds)
{
	bare_inner(rounds);
	CALLED_BEFORE_THIS();
}
