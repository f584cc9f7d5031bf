/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain of functions whose frames are unlike each other. Compiled once per set of
 * options, VARIANT being part of each name; frames_main.c calls them all.
 */
#include "edges.h"

#include <alloca.h>

#define PASTE(a, b) a##_##b
#define NAME2(name, variant) PASTE(name, variant)
#define NAME(name) NAME2(name, VARIANT)

/* frames_odd.S: they call their argument. */
void odd_order(void (*)(void));
void odd_base(void (*)(void));
void odd_slots(void (*)(void));

typedef double wide __attribute__((vector_size(32)));

EDGE void NAME(leaf_spin)(void)
{
	SPIN(A_WHILE);
}

/* Its prologue and epilogue are most of it. */
EDGE uint64_t NAME(leaf_short)(uint64_t a, uint64_t b)
{
	uint64_t kept[3] = {a, b, a ^ b};

	__asm__ volatile("" ::"r"(kept) : "memory", "rbx", "r12", "r13", "r14", "r15");
	return kept[a % 3];
}

EDGE __attribute__((force_align_arg_pointer)) uint64_t NAME(leaf_aligned)(uint64_t a)
{
	wide volatile kept = {(double)a};

	__asm__ volatile("" ::: "rbx", "r12", "memory");
	return (uint64_t)kept[0];
}

EDGE void NAME(call_leaves)(void)
{
	NAME(leaf_spin)();
	for (uint64_t i = 0; i < A_WHILE / 8; i++) {
		NAME(leaf_short)(i, i + 1);
		NAME(leaf_aligned)(i);
	}
	CALLED_BEFORE_THIS();
}

EDGE void NAME(with_alloca)(uint64_t bytes)
{
	volatile char *memory = alloca(bytes);

	memory[0] = memory[bytes - 1] = 1;
	odd_slots(NAME(call_leaves));
	CALLED_BEFORE_THIS();
	memory[0] = 2;
}

EDGE void NAME(in_base)(void)
{
	NAME(with_alloca)(1000);
	CALLED_BEFORE_THIS();
}

EDGE __attribute__((force_align_arg_pointer)) void NAME(with_wide)(uint64_t n)
{
	wide volatile kept = {(double)n};

	odd_base(NAME(in_base));
	CALLED_BEFORE_THIS();
	kept = kept + kept;
}

/* Realigned and of a size that is not known: the CFA is in memory, found by rbp. */
EDGE void NAME(wide_alloca)(uint64_t bytes)
{
	volatile wide *memory = alloca(bytes * sizeof(wide) + 64);
	wide volatile kept = {(double)bytes};

	memory = (volatile wide *)(((uintptr_t)memory + 31) & ~31UL);
	memory[0] = kept;
	NAME(with_wide)(bytes);
	CALLED_BEFORE_THIS();
	kept = memory[0];
}

EDGE void NAME(in_order)(void)
{
	NAME(wide_alloca)(5);
	CALLED_BEFORE_THIS();
}

EDGE void NAME(start)(void)
{
	odd_order(NAME(in_order));
	CALLED_BEFORE_THIS();
}
