/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks that are left and entered sideways: longjmp, and contexts with a stack of their own. */
#include "edges.h"

#include <setjmp.h>
#include <ucontext.h>

static jmp_buf back;
static ucontext_t outside, inside;

EDGE void leaf_before_jump(void)
{
	SPIN(A_WHILE / 100);
	longjmp(back, 1);
}

EDGE void jump_deep(int depth)
{
	if (depth)
		jump_deep(depth - 1);
	else
		leaf_before_jump();
	CALLED_BEFORE_THIS();
}

EDGE void leaf_after_jump(void)
{
	SPIN(A_WHILE / 100);
}

EDGE void call_jump(void)
{
	for (;;) {
		if (setjmp(back) == 0)
			jump_deep(3);
		leaf_after_jump();
	}
}

EDGE void leaf_in_context(void)
{
	SPIN(A_WHILE / 100);
	swapcontext(&inside, &outside);
}

EDGE void context_main(void)
{
	for (;;)
		leaf_in_context();
}

EDGE void leaf_out_of_context(void)
{
	SPIN(A_WHILE / 100);
}

EDGE void call_contexts(void)
{
	static char stack[1 << 16];

	getcontext(&inside);
	inside.uc_stack = (stack_t){.ss_sp = stack, .ss_size = sizeof(stack)};
	inside.uc_link = &outside;
	makecontext(&inside, context_main, 0);
	for (;;) {
		swapcontext(&outside, &inside);
		leaf_out_of_context();
	}
}

MAIN({"jump", call_jump}, {"contexts", call_contexts})
