/* SPDX-License-Identifier: Apache-2.0 */
/* fde_index over hand-assembled sections: encodings, overlaps, malformed entries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "object/fde_index.h"
#include "unit/frame_builder.h"

static struct fde_index read_one(const struct frame_builder *b, bool is_debug_frame)
{
	struct frame_section section = {
		.data = b->bytes,
		.size = b->size,
		.vaddr = is_debug_frame ? 0 : FRAME_VADDR,
		.is_debug_frame = is_debug_frame,
	};
	struct fde_index index;

	assert_int_equal(fde_index_read(&section, 1, &index), 0);
	return index;
}

static void assert_fde(const struct fde_index *index, size_t i, uint64_t start, uint64_t end,
		       uint32_t fde_offset)
{
	assert_true(i < index->count);
	assert_int_equal(index->fdes[i].start, start);
	assert_int_equal(index->fdes[i].end, end);
	assert_int_equal(index->fdes[i].fde_offset, fde_offset);
}

static void sorts_and_finds(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	uint32_t high = put_empty_fde(&b, cie, 0x3000, 0x100);
	uint32_t low = put_empty_fde(&b, cie, 0x1000, 0x80);
	struct fde_index index = read_one(&b, false);

	(void)state;
	assert_int_equal(index.count, 2);
	assert_int_equal(index.malformed, 0);
	assert_fde(&index, 0, 0x1000, 0x1080, low);
	assert_fde(&index, 1, 0x3000, 0x3100, high);
	assert_int_equal(index.fdes[0].cie_offset, cie);
	assert_null(fde_index_find(&index, 0xfff));
	assert_ptr_equal(fde_index_find(&index, 0x1000), &index.fdes[0]);
	assert_ptr_equal(fde_index_find(&index, 0x107f), &index.fdes[0]);
	assert_null(fde_index_find(&index, 0x1080));
	assert_ptr_equal(fde_index_find(&index, 0x30ff), &index.fdes[1]);
	assert_null(fde_index_find(&index, 0x3100));
	fde_index_done(&index);
	assert_null(fde_index_find(&index, 0x1000));
}

static void first_read_keeps_overlaps(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	uint32_t first = put_empty_fde(&b, cie, 0x2000, 0x100);
	uint32_t around = put_empty_fde(&b, cie, 0x1f00, 0x300);
	struct fde_index index;

	(void)state;
	put_empty_fde(&b, cie, 0x2000, 0x100); /* the same code once more */
	put_empty_fde(&b, cie, 0x2040, 0x10);
	index = read_one(&b, false);
	assert_int_equal(index.count, 3);
	assert_fde(&index, 0, 0x1f00, 0x2000, around);
	assert_fde(&index, 1, 0x2000, 0x2100, first);
	assert_fde(&index, 2, 0x2100, 0x2200, around);
	fde_index_done(&index);
}

static void debug_frame_fills_what_eh_frame_leaves(void **state)
{
	struct frame_builder eh = {0}, debug = {0};
	uint32_t cie = put_usual_cie(&eh), debug_fde;
	struct frame_section sections[2];
	struct fde_index index;

	(void)state;
	put_empty_fde(&eh, cie, 0x2000, 0x100);
	/* version 4: address size, segment selector size */
	entry_begin(&debug);
	put_u32(&debug, 0xffffffff);
	PUT(&debug, 4, 0, 8, 0, 0x01, 0x78, 0x10, 0x0c, 0x07, 0x08, 0x90, 0x01);
	entry_end(&debug);
	entry_begin(&debug);
	debug_fde = debug.entry;
	put_u32(&debug, 0);
	put_u64(&debug, 0x1f80);
	put_u64(&debug, 0x100);
	entry_end(&debug);

	sections[0] = (struct frame_section){eh.bytes, eh.size, FRAME_VADDR, false};
	sections[1] = (struct frame_section){debug.bytes, debug.size, 0, true};
	assert_int_equal(fde_index_read(sections, 2, &index), 0);
	assert_int_equal(index.malformed, 0);
	assert_int_equal(index.count, 2);
	assert_fde(&index, 0, 0x1f80, 0x2000, debug_fde);
	assert_true(index.fdes[0].is_debug_frame);
	assert_false(index.fdes[1].is_debug_frame);
	fde_index_done(&index);
}

static void debug_frame_64bit(void **state)
{
	struct frame_builder b = {0};
	struct fde_index index;
	uint32_t fde;

	(void)state;
	put_u32(&b, 0xffffffff);
	put_u64(&b, 8 + 10);
	put_u64(&b, UINT64_MAX);
	PUT(&b, 3, 0, 0x01, 0x78, 0x10, 0x0c, 0x07, 0x08, 0x90, 0x01);
	fde = b.size;
	put_u32(&b, 0xffffffff);
	put_u64(&b, 24);
	put_u64(&b, 0);
	put_u64(&b, 0x400000);
	put_u64(&b, 0x20);
	index = read_one(&b, true);
	assert_int_equal(index.malformed, 0);
	assert_int_equal(index.count, 1);
	assert_fde(&index, 0, 0x400000, 0x400020, fde);
	fde_index_done(&index);
}

/* One FDE of [start, start + 0x20) under a given pointer encoding. */
static void check_encoding(uint8_t encoding, uint32_t bytes, bool pcrel)
{
	struct frame_builder b = {0};
	uint32_t cie = cie_begin(&b, "zPLR");
	uint64_t value = 0x4100, size = 0x20;
	struct fde_index index;

	/* personality indirect pcrel sdata4, LSDA pcrel sdata4 */
	PUT(&b, 0x07, 0x9b, 1, 2, 3, 4, 0x1b, encoding);
	entry_end(&b);
	entry_begin(&b);
	put_u32(&b, b.size - cie);
	if (pcrel)
		value -= FRAME_VADDR + b.size;
	put(&b, &value, bytes);
	put(&b, &size, bytes);
	PUT(&b, 0x04, 9, 9, 9, 9);
	entry_end(&b);
	index = read_one(&b, false);
	assert_int_equal(index.malformed, 0);
	assert_int_equal(index.count, 1);
	assert_fde(&index, 0, 0x4100, 0x4120, index.fdes[0].fde_offset);
	fde_index_done(&index);
}

/* A segment selector of 2 bytes comes before the address. */
static void debug_frame_with_selectors(void **state)
{
	struct frame_builder b = {0};
	struct fde_index index;
	uint32_t fde;

	(void)state;
	entry_begin(&b);
	put_u32(&b, 0xffffffff);
	PUT(&b, 4, 0, 8, 2, 0x01, 0x78, 0x10, 0x0c, 0x07, 0x08, 0x90, 0x01);
	entry_end(&b);
	entry_begin(&b);
	fde = b.entry;
	put_u32(&b, 0);
	PUT(&b, 0x55, 0x66);
	put_u64(&b, 0x1234);
	put_u64(&b, 0x10);
	entry_end(&b);
	index = read_one(&b, true);
	assert_int_equal(index.count, 1);
	assert_fde(&index, 0, 0x1234, 0x1244, fde);
	fde_index_done(&index);
}

static void pointer_encodings(void **state)
{
	(void)state;
	check_encoding(0x00, 8, false); /* absptr */
	check_encoding(0x02, 2, false); /* udata2 */
	check_encoding(0x03, 4, false); /* udata4 */
	check_encoding(0x04, 8, false);
	check_encoding(0x0a, 2, false); /* sdata2 */
	check_encoding(0x10, 8, true);	/* pcrel */
	check_encoding(0x1a, 2, true);
	check_encoding(0x1b, 4, true);
	check_encoding(0x1c, 8, true);
}

static void terminator_ends(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	struct fde_index index;

	(void)state;
	put_empty_fde(&b, cie, 0x1000, 0x10);
	put_u32(&b, 0);
	put_empty_fde(&b, cie, 0x2000, 0x10);
	index = read_one(&b, false);
	assert_int_equal(index.count, 1);
	assert_int_equal(index.malformed, 0);
	fde_index_done(&index);
}

static void dropped_code_is_skipped(void **state)
{
	struct frame_builder b = {0};
	uint32_t cie = put_usual_cie(&b);
	struct fde_index index;

	(void)state;
	put_empty_fde(&b, cie, 0, 0x10);
	put_empty_fde(&b, cie, 0x2000, 0);
	index = read_one(&b, false);
	assert_int_equal(index.count, 0);
	assert_int_equal(index.malformed, 0);
	fde_index_done(&index);
}

static void malformed_entries_are_counted(void **state)
{
	static const char *const bad_augmentations[] = {"zQR", "R", "zRRRRRRRRRRRR"};
	struct frame_builder b = {0};
	struct fde_index index;
	uint32_t cie;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		cie = cie_begin(&b, bad_augmentations[i]);
		PUT(&b, 0x01, 0x1b);
		entry_end(&b);
		put_empty_fde(&b, cie, 0x1000, 0x10);
	}
	cie = cie_begin(&b, "zR");
	PUT(&b, 0x01, 0x30); /* data relative: no base known */
	entry_end(&b);
	put_empty_fde(&b, cie, 0x1000, 0x10);
	cie = cie_begin(&b, "zR");
	PUT(&b, 0x01, 0x9b); /* the address is in memory that we do not have */
	entry_end(&b);
	put_empty_fde(&b, cie, 0x1000, 0x10);
	put_empty_fde(&b, b.size, 0x1000, 0x10);     /* its CIE would be itself */
	put_empty_fde(&b, 0xf0000000, 0x1000, 0x10); /* CIE after the section */
	cie = put_usual_cie(&b);
	entry_begin(&b); /* cut short */
	put_u32(&b, b.size - cie);
	entry_end(&b);
	entry_begin(&b); /* no room for a CIE pointer */
	PUT(&b, 1, 2);
	entry_end(&b);
	put_empty_fde(&b, cie, 0x3000, 0x10); /* and one that is well */
	index = read_one(&b, false);
	assert_int_equal(index.malformed, 9);
	assert_int_equal(index.count, 1);
	assert_int_equal(index.fdes[0].start, 0x3000);
	fde_index_done(&index);
}

static void bad_length_ends(void **state)
{
	static const uint32_t lengths[] = {0x1000, 0xfffffff0, 0xfffffffe, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct frame_builder b = {0};
		uint32_t cie = put_usual_cie(&b);
		struct fde_index index;

		put_empty_fde(&b, cie, 0x1000, 0x10);
		put_u32(&b, lengths[i]);
		put_u64(&b, 0x123456789);
		index = read_one(&b, false);
		assert_int_equal(index.count, 1);
		assert_int_equal(index.malformed, 1);
		fde_index_done(&index);
	}
}

/* Whatever overlaps there are: pieces ascend, are disjoint and cover the same addresses. */
static void random_overlaps(void **state)
{
	(void)state;
	srandom(7);
	for (int round = 0; round < 300; round++) {
		struct frame_builder b = {0};
		uint32_t cie = put_usual_cie(&b), owner[256] = {0};
		struct fde_index index;

		for (int i = 0; i < 1 + random() % 20; i++) {
			uint32_t start = (uint32_t)random() % 200,
				 size = 1 + (uint32_t)random() % 50;
			uint32_t fde = put_empty_fde(&b, cie, 0x1000 + start, size);

			for (uint32_t at = start; at < start + size; at++)
				owner[at] = owner[at] ? owner[at] : fde;
		}
		index = read_one(&b, false);
		for (size_t i = 1; i < index.count; i++)
			assert_true(index.fdes[i - 1].end <= index.fdes[i].start);
		for (uint32_t at = 0; at < 256; at++) {
			const struct fde *fde = fde_index_find(&index, 0x1000 + at);

			assert_int_equal(fde ? fde->fde_offset : 0, owner[at]);
		}
		fde_index_done(&index);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_and_finds),
		cmocka_unit_test(first_read_keeps_overlaps),
		cmocka_unit_test(debug_frame_fills_what_eh_frame_leaves),
		cmocka_unit_test(debug_frame_64bit),
		cmocka_unit_test(debug_frame_with_selectors),
		cmocka_unit_test(pointer_encodings),
		cmocka_unit_test(terminator_ends),
		cmocka_unit_test(dropped_code_is_skipped),
		cmocka_unit_test(malformed_entries_are_counted),
		cmocka_unit_test(bad_length_ends),
		cmocka_unit_test(random_overlaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
