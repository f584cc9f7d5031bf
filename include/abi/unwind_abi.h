/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Unwind tables as the walker reads them (bpf/walk/native_walk.h) and as
 * src/unwind/unwind_table.c builds them.
 *
 * A table belongs to one file. It is a run of 8-byte rows sorted by pc and a
 * page index over them. Rows point at rules, which are deduplicated over all
 * files in one array. Rows and page index live in segments: array maps with a
 * single value of UNWIND_SEGMENT_BYTES, reached by one lookup, in which offsets
 * are then plain bounded arithmetic.
 *
 * pcs in a table are ELF virtual addresses minus table.text_start. Page p covers
 * [p << UNWIND_PAGE_SHIFT, (p+1) << UNWIND_PAGE_SHIFT) of that space.
 * page_index[p] is the position of the first row whose pc lies in or above page
 * p; there is one entry more than there are pages. The row in force at pc is the
 * last one with row.pc <= pc, which may be the row before page_index[p].
 * Where no FDE covers the code, a row with rule UNWIND_RULE_NONE says so.
 */
#ifndef MIXPROF_ABI_UNWIND_ABI_H
#define MIXPROF_ABI_UNWIND_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <stddef.h>
#include <linux/types.h>
#endif

#define UNWIND_SEGMENT_BYTES (1u << 20)
#define UNWIND_SEGMENT_ROWS (UNWIND_SEGMENT_BYTES / 8)
#define UNWIND_SEGMENTS_MAX 256 /* outer array size: 256 MB can never be exceeded */
#define UNWIND_TABLES_MAX 8192
#define UNWIND_RULES_MAX 16384
#define UNWIND_PAGE_SHIFT 12
#define UNWIND_ROWS_PER_TABLE_MAX (1u << 23)

struct unwind_row {
	__u32 pc;   /* elf vaddr - text_start */
	__u32 rule; /* index of the rule array */
};

/* rule 0: no information; the walker tries the frame pointer */
#define UNWIND_RULE_NONE 0

/* x86-64 DWARF register numbers; the order of walk_registers too. */
enum unwind_register {
	UNWIND_RAX = 0,
	UNWIND_RDX = 1,
	UNWIND_RCX = 2,
	UNWIND_RBX = 3,
	UNWIND_RSI = 4,
	UNWIND_RDI = 5,
	UNWIND_RBP = 6,
	UNWIND_RSP = 7,
	UNWIND_R8 = 8,
	UNWIND_R9 = 9,
	UNWIND_R10 = 10,
	UNWIND_R11 = 11,
	UNWIND_R12 = 12,
	UNWIND_R13 = 13,
	UNWIND_R14 = 14,
	UNWIND_R15 = 15,
	UNWIND_RIP = 16,
	UNWIND_REGISTERS = 17,
};

enum unwind_cfa {
	UNWIND_CFA_NONE = 0,	    /* no rule */
	UNWIND_CFA_REGISTER = 1,    /* CFA = reg + cfa_offset */
	UNWIND_CFA_DEREF = 2,	    /* CFA = *(reg + cfa_offset) + deref_offset */
	UNWIND_CFA_PLT = 3,	    /* CFA = rsp + 8 + ((rip & 15) >= deref_offset ? 8 : 0) */
	UNWIND_CFA_SIGNAL = 4,	    /* rsp points to a ucontext: all registers come from it */
	UNWIND_CFA_UNSUPPORTED = 5, /* there is a rule, the walker has no form for it */
};

/* How the caller's rbp / rbx is found. */
enum unwind_saved {
	UNWIND_SAME = 0,	/* unchanged */
	UNWIND_AT_CFA = 1,	/* *(CFA + offset) */
	UNWIND_AT_REGISTER = 2, /* *(rbp + offset): DW_CFA_expression of realigned frames */
	UNWIND_UNKNOWN = 3,	/* undefined, or a rule the walker has no form for */
};

enum unwind_rule_flag {
	UNWIND_RULE_END = 1 << 0,   /* the return address is undefined: the thread's root */
	UNWIND_RULE_EVAL = 1 << 1,  /* the pc lies in an eval range of CPython */
	UNWIND_RULE_ENTRY = 1 << 2, /* CFA = rsp + 8: nothing pushed yet */
	UNWIND_RULE_THREAD_START =
		1 << 3, /* the root, unless a return address is found (src/unwind/syscall_gap.h) */
};

struct unwind_rule {
	__u8 cfa;	   /* enum unwind_cfa */
	__u8 cfa_register; /* enum unwind_register */
	__u8 rbp;	   /* enum unwind_saved */
	__u8 rbx;	   /* enum unwind_saved */
	__s32 cfa_offset;
	__s16 rbp_offset; /* bytes */
	__s16 rbx_offset;
	__s16 deref_offset;
	__u8 flags;	/* enum unwind_rule_flag */
	__s8 ra_offset; /* the return address is at CFA + ra_offset; -8 everywhere but in odd
			   assembly */
};

/* Where a table's parts are. Positions count 8-byte units from the start of segment 0. */
struct unwind_table {
	__u64 text_start; /* elf vaddr of page 0; page aligned */
	__u32 pages;	  /* page_index has pages + 1 entries of 4 bytes */
	__u32 rows;
	__u32 index_position; /* the page index lies within one segment */
	__u32 row_position; /* rows lie consecutively, and may span segments that follow each other
			     */
	__u32 generation;   /* changes when the slot is reused; 0: slot empty */
	__u32 flags;	    /* enum unwind_table_flag */
};

enum unwind_table_flag {
	UNWIND_TABLE_OVER_BUDGET = 1 << 0, /* no rows: frame pointers, and count it */
};

#ifndef __bpf__
static_assert(sizeof(struct unwind_row) == 8, "ABI");
static_assert(sizeof(struct unwind_rule) == 16, "ABI");
static_assert(sizeof(struct unwind_table) == 32, "ABI");
#endif

#endif
