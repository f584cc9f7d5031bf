/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cfi_reader over CFI assembled by hand; what is expected follows from DWARF 5
 * §6.4.2, byte by byte. Then this program's own .eh_frame under random damage.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "unit/frame_builder.h"
#include "unwind/cfi_reader.h"

#define CODE 0x1000 /* where the functions of these tests lie */

static const struct unwind_rule rule_none;
static const struct unwind_rule rule_unsupported = {.cfa = UNWIND_CFA_UNSUPPORTED};
static const struct unwind_rule rule_entry = {
	.cfa = UNWIND_CFA_REGISTER,
	.cfa_register = UNWIND_RSP,
	.cfa_offset = 8,
	.ra_offset = -8,
	.flags = UNWIND_RULE_ENTRY,
};

/* CFA = register + offset, RA at CFA - 8 */
static struct unwind_rule rule_of(uint8_t r, int32_t offset)
{
	return (struct unwind_rule){
		.cfa = UNWIND_CFA_REGISTER,
		.cfa_register = r,
		.cfa_offset = offset,
		.ra_offset = -8,
		.flags = r == UNWIND_RSP && offset == 8 ? UNWIND_RULE_ENTRY : 0,
	};
}

static struct cfi_rows read_marked(const struct frame_builder *b, const struct cfi_mark *marks,
				   size_t mark_count)
{
	struct frame_section section = {b->bytes, b->size, FRAME_VADDR, false};
	struct fde_index index;
	struct cfi_rows rows;

	assert_int_equal(fde_index_read(&section, 1, &index), 0);
	assert_int_equal(index.malformed, 0);
	assert_int_equal(cfi_read_rows(&index, &section, 1, marks, mark_count, &rows), 0);
	fde_index_done(&index);
	return rows;
}

static struct cfi_rows read_rows(const struct frame_builder *b)
{
	return read_marked(b, NULL, 0);
}

static void assert_row(const struct cfi_rows *rows, size_t i, uint64_t pc, struct unwind_rule rule)
{
	assert_true(i < rows->count);
	assert_int_equal(rows->rows[i].pc, pc);
	assert_memory_equal(&rows->rows[i].rule, &rule, sizeof(rule));
}

/* The rule that one function has which consists of these instructions (usual CIE). */
static struct unwind_rule rule_after(const uint8_t *program, uint32_t size)
{
	struct frame_builder b = {0};
	struct unwind_rule rule;
	struct cfi_rows rows;

	fde_begin(&b, put_usual_cie(&b), CODE, 0x40);
	put(&b, program, size);
	entry_end(&b);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 2);
	assert_row(&rows, 1, CODE + 0x40, rule_none);
	assert_int_equal(rows.rows[0].pc, CODE);
	rule = rows.rows[0].rule;
	assert_int_equal(rows.unsupported, rule.cfa == UNWIND_CFA_UNSUPPORTED);
	cfi_rows_done(&rows);
	return rule;
}

#define RULE_AFTER(...)                                                                            \
	rule_after((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define assert_rule(actual, ...)                                                                   \
	do {                                                                                       \
		struct unwind_rule actual_ = (actual), expected_ = (__VA_ARGS__);                  \
                                                                                                   \
		assert_memory_equal(&actual_, &expected_, sizeof(actual_));                        \
	} while (0)

/* push %rbp; mov %rsp,%rbp; push %rbx; ...; leave; ret, as gcc describes it */
static void usual_function(void **state)
{
	struct frame_builder b = {0};
	struct unwind_rule rule = rule_entry;
	struct cfi_rows rows;

	(void)state;
	fde_begin(&b, put_usual_cie(&b), CODE, 0x30);
	PUT(&b, 0x41, 0x0e, 0x10, 0x86, 0x02);	     /* at 1: offset 16, rbp at cfa-16 */
	PUT(&b, 0x43, 0x0d, 0x06);		     /* at 4: cfa register rbp */
	PUT(&b, 0x41, 0x83, 0x03);		     /* at 5: rbx at cfa-24 */
	PUT(&b, 0x02, 0x20, 0x0a);		     /* at 0x25: remember */
	PUT(&b, 0x41, 0x0c, 0x07, 0x08, 0xc6, 0xc3); /* at 0x26: rsp+8, restore both */
	PUT(&b, 0x41, 0x0b);			     /* at 0x27: as remembered */
	entry_end(&b);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 7);
	assert_row(&rows, 0, CODE, rule);
	rule = rule_of(UNWIND_RSP, 16);
	rule.rbp = UNWIND_AT_CFA;
	rule.rbp_offset = -16;
	assert_row(&rows, 1, CODE + 1, rule);
	rule.cfa_register = UNWIND_RBP;
	assert_row(&rows, 2, CODE + 4, rule);
	rule.rbx = UNWIND_AT_CFA;
	rule.rbx_offset = -24;
	assert_row(&rows, 3, CODE + 5, rule);
	assert_row(&rows, 4, CODE + 0x26, rule_entry);
	assert_row(&rows, 5, CODE + 0x27, rule);
	assert_row(&rows, 6, CODE + 0x30, rule_none);
	assert_int_equal(rows.unsupported, 0);
	assert_int_equal(rows.malformed, 0);
	cfi_rows_done(&rows);
}

static void every_way_to_advance(void **state)
{
	struct frame_builder b = {0};
	struct cfi_rows rows;

	(void)state;
	fde_begin(&b, put_usual_cie(&b), CODE, 0x40000);
	PUT(&b, 0x7f, 0x0e, 0x10);			   /* advance_loc 63 */
	PUT(&b, 0x02, 0xff, 0x0e, 0x18);		   /* advance_loc1 255 */
	PUT(&b, 0x03, 0x00, 0x01, 0x0e, 0x20);		   /* advance_loc2 256 */
	PUT(&b, 0x04, 0x00, 0x00, 0x01, 0x00, 0x0e, 0x28); /* advance_loc4 65536 */
	PUT(&b, 0x01); /* set_loc, encoded as the FDE's addresses: pcrel sdata4 */
	put_u32(&b, CODE + 0x20000 - (FRAME_VADDR + b.size));
	PUT(&b, 0x0e, 0x30);
	PUT(&b, 0x04, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x38); /* beyond the function: no row */
	entry_end(&b);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 7);
	assert_row(&rows, 0, CODE, rule_entry);
	assert_row(&rows, 1, CODE + 63, rule_of(UNWIND_RSP, 16));
	assert_row(&rows, 2, CODE + 318, rule_of(UNWIND_RSP, 24));
	assert_row(&rows, 3, CODE + 574, rule_of(UNWIND_RSP, 32));
	assert_row(&rows, 4, CODE + 574 + 65536, rule_of(UNWIND_RSP, 40));
	assert_row(&rows, 5, CODE + 0x20000, rule_of(UNWIND_RSP, 48));
	assert_row(&rows, 6, CODE + 0x40000, rule_none);
	cfi_rows_done(&rows);
}

static void cfa_operations(void **state)
{
	(void)state;
	assert_rule(RULE_AFTER(0x00), rule_entry);
	assert_rule(RULE_AFTER(0x0c, 0x0a, 0x00), rule_of(UNWIND_R10, 0)); /* def_cfa r10 0 */
	assert_rule(RULE_AFTER(0x0c, 0x03, 0x80, 0x01), rule_of(UNWIND_RBX, 128));
	assert_rule(RULE_AFTER(0x12, 0x06, 0x7e), rule_of(UNWIND_RBP, 16)); /* def_cfa_sf -2 */
	assert_rule(RULE_AFTER(0x13, 0x7d), rule_of(UNWIND_RSP, 24)); /* def_cfa_offset_sf -3 */
	assert_rule(RULE_AFTER(0x13, 0x02), rule_of(UNWIND_RSP, -16));
	assert_rule(RULE_AFTER(0x0d, 0x10), rule_of(UNWIND_RIP, 8));
	assert_rule(RULE_AFTER(0x0d, 0x11), rule_unsupported); /* xmm0 */
	/* args_size says nothing of the CFA */
	assert_rule(RULE_AFTER(0x2e, 0x10), rule_entry);
	/* 2^31 does not fit; 2^31 - 1 does */
	assert_rule(RULE_AFTER(0x0e, 0x80, 0x80, 0x80, 0x80, 0x08), rule_unsupported);
	assert_rule(RULE_AFTER(0x0e, 0xff, 0xff, 0xff, 0xff, 0x07), rule_of(UNWIND_RSP, INT32_MAX));
	/* -2^63 times -8 does not even fit 64 bits */
	assert_rule(RULE_AFTER(0x13, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f),
		    rule_unsupported);
}

static struct unwind_rule entry_with_rbp(uint8_t how, int16_t offset)
{
	struct unwind_rule rule = rule_entry;

	rule.rbp = how;
	rule.rbp_offset = offset;
	return rule;
}

static struct unwind_rule entry_with_rbx(uint8_t how, int16_t offset)
{
	struct unwind_rule rule = rule_entry;

	rule.rbx = how;
	rule.rbx_offset = offset;
	return rule;
}

static void saved_registers(void **state)
{
	(void)state;
	assert_rule(RULE_AFTER(0x05, 0x06, 0x02), entry_with_rbp(UNWIND_AT_CFA, -16));
	assert_rule(RULE_AFTER(0x11, 0x06, 0x7e), entry_with_rbp(UNWIND_AT_CFA, 16));
	assert_rule(RULE_AFTER(0x2f, 0x03, 0x02), entry_with_rbx(UNWIND_AT_CFA, 16));
	assert_rule(RULE_AFTER(0x83, 0x02, 0x06, 0x03), rule_entry); /* restore_extended */
	assert_rule(RULE_AFTER(0x83, 0x02, 0x08, 0x03), rule_entry); /* same_value */
	assert_rule(RULE_AFTER(0x07, 0x06), entry_with_rbp(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x09, 0x06, 0x08), entry_with_rbp(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x14, 0x06, 0x02), entry_with_rbp(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x15, 0x03, 0x02), entry_with_rbx(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x16, 0x06, 0x02, 0x76, 0x10), entry_with_rbp(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x90, 0x02, 0xd0), rule_entry); /* RA as the CIE says */
	/* expression: breg6 -8; breg6 0; breg7 0; two operations */
	assert_rule(RULE_AFTER(0x10, 0x06, 0x02, 0x76, 0x78),
		    entry_with_rbp(UNWIND_AT_REGISTER, -8));
	assert_rule(RULE_AFTER(0x10, 0x03, 0x02, 0x76, 0x00),
		    entry_with_rbx(UNWIND_AT_REGISTER, 0));
	assert_rule(RULE_AFTER(0x10, 0x03, 0x02, 0x77, 0x00), entry_with_rbx(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x10, 0x03, 0x03, 0x76, 0x00, 0x06),
		    entry_with_rbx(UNWIND_UNKNOWN, 0));
	/* 4097 * -8 does not fit 16 bits, 4096 * -8 does */
	assert_rule(RULE_AFTER(0x86, 0x81, 0x20), entry_with_rbp(UNWIND_UNKNOWN, 0));
	assert_rule(RULE_AFTER(0x86, 0x80, 0x20), entry_with_rbp(UNWIND_AT_CFA, -32768));
	/* r12, xmm15 and register 2^40: nobody asks */
	assert_rule(
		RULE_AFTER(0x8c, 0x02, 0x05, 0x20, 0x02, 0x07, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20),
		rule_entry);
}

static void return_addresses(void **state)
{
	struct unwind_rule end = rule_entry, odd = rule_entry;

	(void)state;
	end.ra_offset = 0;
	end.flags |= UNWIND_RULE_END;
	odd.ra_offset = -128;
	assert_rule(RULE_AFTER(0x07, 0x10), end);
	assert_rule(RULE_AFTER(0x90, 0x10), odd);
	assert_rule(RULE_AFTER(0x90, 0x11), rule_unsupported);	     /* -136 does not fit */
	assert_rule(RULE_AFTER(0x08, 0x10), rule_unsupported);	     /* same_value */
	assert_rule(RULE_AFTER(0x09, 0x10, 0x05), rule_unsupported); /* in rdi, as in vfork */
	assert_rule(RULE_AFTER(0x10, 0x10, 0x02, 0x77, 0x00), rule_unsupported);
	/* the caller's rsp is not the CFA */
	assert_rule(RULE_AFTER(0x87, 0x02), rule_unsupported);
	assert_rule(RULE_AFTER(0x08, 0x07), rule_entry);
	/* the root stays the root, whatever its CFA */
	end = rule_unsupported;
	end.flags = UNWIND_RULE_END;
	assert_rule(RULE_AFTER(0x07, 0x10, 0x0d, 0x20), end);
}

static void cfa_expressions(void **state)
{
	struct unwind_rule deref = {
		.cfa = UNWIND_CFA_DEREF,
		.cfa_register = UNWIND_RBP,
		.cfa_offset = -16,
		.ra_offset = -8,
	};
	struct unwind_rule switched = deref;

	(void)state;
	switched.cfa_register = UNWIND_RSP;
	switched.cfa_offset = 40;
	switched.deref_offset = 8;
	assert_rule(RULE_AFTER(0x0f, 0x03, 0x76, 0x70, 0x06), deref);
	/* rsp+40; deref; then 8 is added in several words */
	assert_rule(RULE_AFTER(0x0f, 0x05, 0x77, 0x28, 0x06, 0x23, 0x08), switched);
	assert_rule(RULE_AFTER(0x0f, 0x05, 0x77, 0x28, 0x06, 0x38, 0x22), switched);
	assert_rule(RULE_AFTER(0x0f, 0x06, 0x77, 0x28, 0x06, 0x10, 0x08, 0x22), switched);
	assert_rule(RULE_AFTER(0x0f, 0x06, 0x77, 0x28, 0x06, 0x09, 0xf8, 0x1c), switched);
	assert_rule(RULE_AFTER(0x0f, 0x06, 0x92, 0x07, 0x28, 0x06, 0x23, 0x08), switched);
	/* no deref: a register after all */
	assert_rule(RULE_AFTER(0x0f, 0x02, 0x77, 0x18), rule_of(UNWIND_RSP, 24));
	/* a second deref; constants that do not fit; a stray operation; nothing; cut short */
	assert_rule(RULE_AFTER(0x0f, 0x04, 0x77, 0x28, 0x06, 0x06), rule_unsupported);
	assert_rule(RULE_AFTER(0x0f, 0x07, 0x77, 0x28, 0x06, 0x23, 0x80, 0x80, 0x02),
		    rule_unsupported);
	assert_rule(RULE_AFTER(0x0f, 0x04, 0x77, 0x28, 0x06, 0x38), rule_unsupported);
	assert_rule(RULE_AFTER(0x0f, 0x04, 0x77, 0x28, 0x06, 0x12), rule_unsupported);
	assert_rule(RULE_AFTER(0x0f, 0x00), rule_unsupported);
	assert_rule(RULE_AFTER(0x0f, 0x01, 0x77), rule_unsupported);
	/* def_cfa ends the expression */
	assert_rule(RULE_AFTER(0x0f, 0x03, 0x76, 0x70, 0x06, 0x0c, 0x07, 0x08), rule_entry);
}

static void linker_plt(void **state)
{
	struct unwind_rule plt = {
		.cfa = UNWIND_CFA_PLT,
		.cfa_register = UNWIND_RSP,
		.cfa_offset = 8,
		.deref_offset = 11,
		.ra_offset = -8,
	};

	(void)state;
	assert_rule(
		RULE_AFTER(0x0f, 0x0b, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22),
		plt);
	plt.deref_offset = 10;
	assert_rule(
		RULE_AFTER(0x0f, 0x0b, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22),
		plt);
	/* shifted by 4; lit16 */
	assert_rule(
		RULE_AFTER(0x0f, 0x0b, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x34, 0x24, 0x22),
		rule_unsupported);
	assert_rule(
		RULE_AFTER(0x0f, 0x0b, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x40, 0x2a, 0x33, 0x24, 0x22),
		rule_unsupported);
}

/* The CIE of a signal trampoline: CFA and registers from the ucontext at rsp. */
static struct unwind_rule rule_of_trampoline(const char *augmentation, uint8_t rbx_low,
					     uint8_t rip_low)
{
	struct frame_builder b = {0};
	struct unwind_rule rule;
	struct cfi_rows rows;
	uint32_t cie = cie_begin(&b, augmentation);

	PUT(&b, 0x01, 0x1b);
	PUT(&b, 0x0f, 0x04, 0x77, 0xa0, 0x01, 0x06);	/* cfa: breg7 160; deref */
	PUT(&b, 0x10, 0x03, 0x03, 0x77, rbx_low, 0x01); /* rbx: breg7 128 */
	PUT(&b, 0x10, 0x06, 0x03, 0x77, 0xf8, 0x00);	/* rbp: breg7 120 */
	PUT(&b, 0x10, 0x07, 0x03, 0x77, 0xa0, 0x01);	/* rsp: breg7 160 */
	PUT(&b, 0x10, 0x10, 0x03, 0x77, rip_low, 0x01); /* rip: breg7 168 */
	entry_end(&b);
	put_empty_fde(&b, cie, CODE, 0x0a);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 2);
	rule = rows.rows[0].rule;
	cfi_rows_done(&rows);
	return rule;
}

static void signal_trampoline(void **state)
{
	struct unwind_rule signal = {.cfa = UNWIND_CFA_SIGNAL};

	(void)state;
	assert_rule(rule_of_trampoline("zRS", 0x80, 0xa8), signal);
	assert_rule(rule_of_trampoline("zRS", 0x80, 0xb0), rule_unsupported); /* rip elsewhere */
	assert_rule(rule_of_trampoline("zRS", 0x88, 0xa8), rule_unsupported); /* rbx elsewhere */
	assert_rule(rule_of_trampoline("zR", 0x80, 0xa8), rule_unsupported); /* not marked as one */
}

/* Outside .cfi_startproc's default a CIE may leave everything open. */
static void cie_that_says_nothing(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = cie_begin(&b, "zR");
	struct cfi_rows rows;

	(void)state;
	PUT(&b, 0x01, 0x1b);
	entry_end(&b);
	put_empty_fde(&b, cie, CODE, 0x10);
	fde_begin(&b, cie, CODE + 0x10, 0x10);
	PUT(&b, 0x0c, 0x07, 0x08); /* a CFA, but no return address */
	entry_end(&b);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 2);
	assert_row(&rows, 0, CODE, rule_unsupported);
	assert_int_equal(rows.unsupported, 1);
	cfi_rows_done(&rows);
}

static void gaps_merging_and_clipping(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	struct cfi_rows rows;

	(void)state;
	put_empty_fde(&b, cie, CODE, 0x10);
	put_empty_fde(&b, cie, CODE + 0x10, 0x10); /* the same rule goes on */
	put_empty_fde(&b, cie, CODE + 0x28, 0x08); /* after a gap */
	/* Overlaps the last one; what is left of it begins in its second row. */
	fde_begin(&b, cie, CODE + 0x24, 0x1c);
	PUT(&b, 0x48, 0x0e, 0x10, 0x48, 0x0e, 0x18);
	entry_end(&b);
	rows = read_rows(&b);
	assert_int_equal(rows.count, 6);
	assert_row(&rows, 0, CODE, rule_entry);
	assert_row(&rows, 1, CODE + 0x20, rule_none);
	assert_row(&rows, 2, CODE + 0x24, rule_entry);
	assert_row(&rows, 3, CODE + 0x30, rule_of(UNWIND_RSP, 16));
	assert_row(&rows, 4, CODE + 0x34, rule_of(UNWIND_RSP, 24));
	assert_row(&rows, 5, CODE + 0x40, rule_none);
	cfi_rows_done(&rows);
}

/* Each of these programs cannot be followed: its function becomes a gap, its neighbours stay. */
static void malformed_programs_are_gaps(void **state)
{
	static const uint8_t programs[][6] = {
		{0x17},
		{0x2c},
		{0x2d},
		{0x3f}, /* unknown, or other machines' */
		{0x0b}, /* nothing remembered */
		{0x0e},
		{0x86},
		{0x04, 1, 2},			/* cut short */
		{0x0f, 0x05, 0x77},		/* expression beyond the end */
		{0x42, 0x0e, 0x10, 0x42, 0x3f}, /* good rows first */
	};
	static const uint8_t sizes[] = {1, 1, 1, 1, 1, 1, 1, 3, 3, 5};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes); i++) {
		struct frame_builder b = {0};
		uint32_t cie = put_usual_cie(&b);
		struct cfi_rows rows;

		put_empty_fde(&b, cie, CODE, 0x10);
		fde_begin(&b, cie, CODE + 0x10, 0x10);
		put(&b, programs[i], sizes[i]);
		entry_end(&b);
		put_empty_fde(&b, cie, CODE + 0x20, 0x10);
		rows = read_rows(&b);
		assert_int_equal(rows.malformed, 1);
		assert_int_equal(rows.count, 4);
		assert_row(&rows, 0, CODE, rule_entry);
		assert_row(&rows, 1, CODE + 0x10, rule_none);
		assert_row(&rows, 2, CODE + 0x20, rule_entry);
		assert_row(&rows, 3, CODE + 0x30, rule_none);
		cfi_rows_done(&rows);
	}
}

static void state_stack_is_bounded(void **state)
{
	(void)state;
	for (int depth = 10; depth < 100000; depth *= 10) {
		static struct frame_builder b;
		struct cfi_rows rows;

		memset(&b, 0, sizeof(b));
		fde_begin(&b, put_usual_cie(&b), CODE, 0x10);
		for (int i = 0; i < depth; i++)
			PUT(&b, 0x0a);
		entry_end(&b);
		rows = read_rows(&b);
		assert_int_equal(rows.malformed, depth > 64);
		cfi_rows_done(&rows);
	}
}

/*
 * Few bytes must not buy much work: an expression of 200 KB in force for 100,000
 * rows, and 20,000 FDEs in turn of two CIEs with programs of 100 KB.
 */
static void work_is_bounded(void **state)
{
	static struct frame_builder b;
	uint32_t cies[2], cie = put_usual_cie(&b);
	clock_t start = clock();
	struct cfi_rows rows;

	(void)state;
	fde_begin(&b, cie, CODE, 0x100000);
	PUT(&b, 0x0f, 0xc2, 0x9a, 0x0c, 0x77, 0x08); /* 200,002 bytes: breg7 8 */
	for (int i = 0; i < 100000; i++)
		PUT(&b, 0x23, 0x00); /* plus_uconst 0 */
	for (int i = 0; i < 100000; i++)
		PUT(&b, 0x41); /* a row */
	entry_end(&b);
	for (int i = 0; i < 2; i++) {
		cies[i] = cie_begin(&b, "zR");
		PUT(&b, 0x01, 0x1b);
		for (int j = 0; j < 100000; j++)
			PUT(&b, 0x00);
		entry_end(&b);
	}
	for (uint32_t i = 0; i < 20000; i++)
		put_empty_fde(&b, cies[i % 2], CODE + 0x100000 + i, 1);
	rows = read_rows(&b);
	assert_int_equal(rows.malformed, 20000);
	assert_int_equal(rows.unsupported, 1);
	assert_true(clock() - start < CLOCKS_PER_SEC); /* either would take tens of seconds */
	cfi_rows_done(&rows);
}

static void marks_split_rows(void **state)
{
	const struct cfi_mark marks[] = {
		{CODE + 0x08, CODE + 0x18, UNWIND_RULE_EVAL},
		{CODE + 0x38, CODE + 0x48, UNWIND_RULE_EVAL},
		{CODE + 0x10, CODE + 0x18, UNWIND_RULE_END}, /* flags of both are or'ed */
	};
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	struct unwind_rule marked = rule_entry, both, gap = {.flags = UNWIND_RULE_EVAL};
	struct cfi_rows rows;

	(void)state;
	marked.flags |= UNWIND_RULE_EVAL;
	both = marked;
	both.flags |= UNWIND_RULE_END;
	put_empty_fde(&b, cie, CODE, 0x40);
	rows = read_marked(&b, marks, 3);
	assert_int_equal(rows.count, 7);
	assert_row(&rows, 0, CODE, rule_entry);
	assert_row(&rows, 1, CODE + 0x08, marked);
	assert_row(&rows, 2, CODE + 0x10, both);
	assert_row(&rows, 3, CODE + 0x18, rule_entry);
	assert_row(&rows, 4, CODE + 0x38, marked);
	assert_row(&rows, 5, CODE + 0x40, gap);
	assert_row(&rows, 6, CODE + 0x48, rule_none);
	cfi_rows_done(&rows);
}

static void first_rule_of_a_fragment(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	struct frame_section section;
	struct unwind_rule rule = {0};
	struct fde_index index;

	(void)state;
	fde_begin(&b, cie, CODE, 0x10);
	PUT(&b, 0x0e, 0x40, 0x44, 0x0e, 0x08); /* starts with a frame set up */
	entry_end(&b);
	fde_begin(&b, cie, CODE + 0x10, 0x10);
	PUT(&b, 0x3f);
	entry_end(&b);
	section = (struct frame_section){b.bytes, b.size, FRAME_VADDR, false};
	assert_int_equal(fde_index_read(&section, 1, &index), 0);
	assert_int_equal(cfi_first_rule(&index.fdes[0], &section, 1, &rule), 0);
	assert_rule(rule, rule_of(UNWIND_RSP, 64));
	assert_int_equal(cfi_first_rule(&index.fdes[1], &section, 1, &rule), -EBADMSG);
	assert_int_equal(cfi_first_rule(&index.fdes[0], NULL, 0, &rule), -ENOENT);
	fde_index_done(&index);
}

static void check_invariants(const struct cfi_rows *rows)
{
	size_t unsupported = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct unwind_rule *rule = &rows->rows[i].rule;

		assert_true(i == 0 || rows->rows[i].pc > rows->rows[i - 1].pc);
		assert_true(i == 0 || memcmp(rule, &rows->rows[i - 1].rule, sizeof(*rule)) != 0);
		assert_true(rule->cfa <= UNWIND_CFA_UNSUPPORTED);
		assert_true(rule->cfa_register < UNWIND_REGISTERS);
		assert_true(rule->rbp <= UNWIND_UNKNOWN && rule->rbx <= UNWIND_UNKNOWN);
		unsupported += rule->cfa == UNWIND_CFA_UNSUPPORTED;
	}
	assert_int_equal(rows->unsupported, unsupported);
	if (rows->count)
		assert_rule(rows->rows[rows->count - 1].rule, rule_none);
}

/* 20,000 damaged versions of a part of this program's own .eh_frame. */
static void survives_damage(void **state)
{
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *bytes = NULL;
	struct elf_section section;
	size_t size;

	(void)state;
	assert_int_equal(elf_image__open(fd, &image), 0);
	assert_int_equal(elf_image__find_section(image, ".eh_frame", &section), 0);
	size = section.data_size < 3000 ? section.data_size : 3000;
	bytes = malloc(size); /* exactly: the sanitizer guards its end */
	assert_non_null(bytes);
	srandom(3);
	for (int round = 0; round < 20000; round++) {
		struct frame_section frame = {bytes, size, section.vaddr, round % 5 == 0};
		struct fde_index index;
		struct cfi_rows rows;

		memcpy(bytes, section.data, size);
		for (int i = 0; i < 1 + round % 8; i++)
			bytes[(size_t)random() % size] ^= (uint8_t)(1 + random() % 255);
		assert_int_equal(fde_index_read(&frame, 1, &index), 0);
		assert_int_equal(cfi_read_rows(&index, &frame, 1, NULL, 0, &rows), 0);
		check_invariants(&rows);
		cfi_rows_done(&rows);
		fde_index_done(&index);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_function),
		cmocka_unit_test(every_way_to_advance),
		cmocka_unit_test(cfa_operations),
		cmocka_unit_test(saved_registers),
		cmocka_unit_test(return_addresses),
		cmocka_unit_test(cfa_expressions),
		cmocka_unit_test(linker_plt),
		cmocka_unit_test(signal_trampoline),
		cmocka_unit_test(cie_that_says_nothing),
		cmocka_unit_test(gaps_merging_and_clipping),
		cmocka_unit_test(malformed_programs_are_gaps),
		cmocka_unit_test(state_stack_is_bounded),
		cmocka_unit_test(work_is_bounded),
		cmocka_unit_test(marks_split_rows),
		cmocka_unit_test(first_rule_of_a_fragment),
		cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
