/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers entered from anywhere: by a timer (between any two instructions), by
 * raise(), by a fault at a function's first instruction, on the normal stack and
 * on another one, and by a signal inside a handler.
 */
#include "edges.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

EDGE void leaf_handler(int number)
{
	(void)number;
	SPIN(3 * A_WHILE);
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(number, &action, NULL);
}

static void use_another_stack(void)
{
	static char stack[1 << 16];
	stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};

	sigaltstack(&other, NULL);
}

static void start_timer(void)
{
	struct itimerval time = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};

	setitimer(ITIMER_REAL, &time, NULL);
}

/* Short, and its frame changes: the timer's signal finds each of its instructions. */
EDGE uint64_t interrupted(uint64_t a, uint64_t b)
{
	uint64_t kept[4] = {a, b, a ^ b, a + b};

	__asm__ volatile("" ::"r"(kept), "r"(a), "r"(b) : "memory", "rbx", "rbp", "r12", "r13");
	return kept[b & 3];
}

EDGE void call_interrupted(void)
{
	uint64_t sum = 0;

	for (uint64_t i = 0;; i++) {
		sum += interrupted(i, sum);
		__asm__ volatile("" : "+r"(sum));
	}
}

static void timer(void)
{
	handle(SIGALRM, leaf_handler, SA_RESTART);
	start_timer();
	call_interrupted();
}

static void timer_other_stack(void)
{
	use_another_stack();
	handle(SIGALRM, leaf_handler, SA_RESTART | SA_ONSTACK);
	start_timer();
	call_interrupted();
}

EDGE void call_raise(void)
{
	for (;;)
		raise(SIGUSR1);
}

static void raised(void)
{
	handle(SIGUSR1, leaf_handler, 0);
	call_raise();
}

static void raised_other_stack(void)
{
	use_another_stack();
	handle(SIGUSR1, leaf_handler, SA_ONSTACK);
	call_raise();
}

/* The frame of a fault at a function's first instruction is the function's, not what lies before.
 */
void faulting(void);
__asm__(".pushsection .text\n"
	".globl faulting\n"
	".type faulting, @function\n"
	"faulting:\n"
	".cfi_startproc\n"
	"ud2\n"
	"ret\n"
	".cfi_endproc\n"
	".size faulting, .-faulting\n"
	".popsection\n");

EDGE void leaf_fault_handler(int number)
{
	(void)number;
	SPIN(FOREVER);
}

EDGE void call_faulting(void)
{
	faulting();
	CALLED_BEFORE_THIS();
}

static void fault(void)
{
	handle(SIGILL, leaf_fault_handler, 0);
	call_faulting();
	CALLED_BEFORE_THIS();
}

EDGE void outer_handler(int number)
{
	(void)number;
	raise(SIGUSR2);
	CALLED_BEFORE_THIS();
}

static void nested(void)
{
	use_another_stack();
	handle(SIGUSR1, outer_handler, SA_ONSTACK);
	handle(SIGUSR2, leaf_handler, 0);
	call_raise();
}

MAIN({"timer", timer}, {"timer_other_stack", timer_other_stack}, {"raised", raised},
     {"raised_other_stack", raised_other_stack}, {"fault", fault}, {"nested", nested})
