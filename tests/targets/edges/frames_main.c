/* SPDX-License-Identifier: Apache-2.0 */
/* Calls start_VARIANT of each variant of frames.c; VARIANTS is X(VARIANT) for each. */
#include "edges.h"

#define X(variant) void start_##variant(void);
VARIANTS
#undef X

int main(void)
{
	puts("ready");
	fflush(stdout);
	for (;;) {
#define X(variant) start_##variant();
		VARIANTS
#undef X
	}
}
