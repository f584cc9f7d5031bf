/* SPDX-License-Identifier: Apache-2.0 */
/* A chain as plain as can be: what matters is how it is linked. */
#include "edges.h"

EDGE void leaf_plain(uint64_t rounds)
{
	SPIN(rounds);
}

EDGE void plain_inner(void)
{
	leaf_plain(A_WHILE);
	CALLED_BEFORE_THIS();
}

EDGE void plain_outer(void)
{
	for (;;)
		plain_inner();
}

MAIN({"plain", plain_outer})
