/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process whose life is one loop: it needs no libc (-nostdlib -static), so the
 * first of its instructions is the loop's. What runs of it before a profiler is
 * armed is missing from the profile, and that can be counted. Exits with 7.
 */
#define ROUNDS 400000000UL
#define EXIT_SYSCALL 60UL
#define STATUS 7UL

void _start(void);

__attribute__((noreturn)) void _start(void)
{
	for (unsigned long i = 0; i < ROUNDS; i++)
		__asm__ volatile("" : "+r"(i));
	__asm__ volatile("syscall" ::"a"(EXIT_SYSCALL), "D"(STATUS) : "rcx", "r11", "memory");
	__builtin_unreachable();
}
