/* SPDX-License-Identifier: Apache-2.0 */
/* A function that calls itself, so often. */
#include "edges.h"

EDGE void leaf_deep(void)
{
	SPIN(FOREVER);
}

EDGE void recurse(int left)
{
	if (left)
		recurse(left - 1);
	else
		leaf_deep();
	CALLED_BEFORE_THIS();
}

EDGE void call_1500(void)
{
	recurse(1500 - 1);
	CALLED_BEFORE_THIS();
}

EDGE void call_5000(void)
{
	recurse(5000 - 1);
	CALLED_BEFORE_THIS();
}

MAIN({"1500", call_1500}, {"5000", call_5000})
