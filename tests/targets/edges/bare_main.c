/* SPDX-License-Identifier: Apache-2.0 */
/* Calls code without CFI. Has CFI itself; caller_with_frame has a frame pointer too. */
#include "edges.h"

#include <alloca.h>

void bare_outer(uint64_t);
void leaf_rbp_number(uint64_t);
void leaf_rbp_data(uint64_t);
void leaf_rbp_of_caller(uint64_t);

EDGE void call_bare(void)
{
	bare_outer(FOREVER);
	CALLED_BEFORE_THIS();
}

EDGE void call_number(void)
{
	leaf_rbp_number(FOREVER);
	CALLED_BEFORE_THIS();
}

EDGE void call_data(void)
{
	leaf_rbp_data(FOREVER);
	CALLED_BEFORE_THIS();
}

EDGE void caller_with_frame(volatile uint64_t bytes)
{
	volatile char *memory = alloca(bytes);

	memory[0] = 1;
	leaf_rbp_of_caller(FOREVER);
	CALLED_BEFORE_THIS();
	memory[0] = 2;
}

EDGE void call_of_caller(void)
{
	caller_with_frame(100);
	CALLED_BEFORE_THIS();
}

MAIN({"bare", call_bare}, {"number", call_number}, {"data", call_data},
     {"of_caller", call_of_caller})
