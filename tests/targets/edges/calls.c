/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that pass through something on their way: the vDSO, the PLT, and ld.so when it binds
 * a function at its first call.
 */
#include "edges.h"

#include <time.h>

uint64_t tiny(uint64_t);
uint64_t taken(uint64_t);
void chosen_late(void);

EDGE void call_vdso(void)
{
	struct timespec now;

	for (;;)
		clock_gettime(CLOCK_MONOTONIC, &now);
}

EDGE void call_plt(void)
{
	for (uint64_t i = 0;; i++)
		tiny(i);
}

/* Its address is taken too, so that the linker may put its stub into .plt.got. */
uint64_t (*volatile pointer_to_taken)(uint64_t) = taken;

EDGE void call_plt_got(void)
{
	for (uint64_t i = 0;; i++)
		taken(i);
}

EDGE void call_late(void)
{
#ifndef BOUND_AT_START /* main would never be reached */
	chosen_late();
#endif
	CALLED_BEFORE_THIS();
}

MAIN({"vdso", call_vdso}, {"plt", call_plt}, {"plt_got", call_plt_got}, {"late", call_late})
