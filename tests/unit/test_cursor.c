/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/cursor and base/buffer: every read is bounded, failure sticks, and what
 * the buffer writes the cursor reads back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/cursor.h"

static void reads_little_endian(void **state)
{
	const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
				 0x07, 0x08, 0xff, 0xfe, 0xff, 0x80};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u64(&c), 0x0807060504030201);
	assert_int_equal(cursor_s8(&c), -1);
	assert_int_equal(cursor_s16(&c), -2);
	assert_int_equal(cursor_left(&c), 1);
	assert_int_equal(cursor_u8(&c), 0x80);
	assert_true(cursor_done(&c));
	assert_false(c.failed);
}

static void failure_sticks(void **state)
{
	const uint8_t bytes[] = {1, 2, 3};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(cursor_left(&c), 0);
	/* One byte would have fitted: a failed cursor gives nothing any more. */
	assert_int_equal(cursor_u8(&c), 0);
	assert_null(cursor_bytes(&c, 0));
	assert_null(cursor_string(&c));
}

static void huge_sizes_do_not_wrap(void **state)
{
	const uint8_t bytes[8] = {0};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	struct cursor sub;

	(void)state;
	cursor_u8(&c);
	assert_null(cursor_bytes(&c, SIZE_MAX));
	assert_true(c.failed);
	c = cursor_of(bytes, sizeof(bytes));
	sub = cursor_sub(&c, SIZE_MAX - 3);
	assert_true(c.failed);
	assert_true(sub.failed);
	c = cursor_of(bytes, sizeof(bytes));
	cursor_skip(&c, SIZE_MAX);
	assert_true(c.failed);
}

static void empty_and_null(void **state)
{
	struct cursor c = cursor_of(NULL, 0);

	(void)state;
	assert_true(cursor_done(&c));
	assert_false(c.failed);
	assert_non_null(cursor_bytes(&c, 0));
	assert_false(c.failed);
	assert_null(cursor_string(&c));
	assert_true(c.failed);
	c = cursor_of(NULL, 12);
	assert_int_equal(cursor_left(&c), 0);
}

static void strings(void **state)
{
	const char bytes[] = {'a', 'b', 0, 0, 'c'};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_string_equal(cursor_string(&c), "ab");
	assert_string_equal(cursor_string(&c), "");
	assert_null(cursor_string(&c));
	assert_true(c.failed);
}

static void sub_cursor_is_bounded(void **state)
{
	const uint8_t bytes[] = {1, 2, 3, 4};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	struct cursor sub = cursor_sub(&c, 2);

	(void)state;
	assert_int_equal(cursor_u16(&sub), 0x0201);
	assert_int_equal(cursor_u8(&sub), 0);
	assert_true(sub.failed);
	assert_false(c.failed);
	assert_int_equal(cursor_u16(&c), 0x0403);
}

struct varint {
	const char *bytes;
	size_t size;
	uint64_t value;
	bool fails;
};

static void unsigned_varints(void **state)
{
	static const struct varint cases[] = {
		{"\x00", 1, 0, false},
		{"\x7f", 1, 127, false},
		{"\xe5\x8e\x26", 3, 624485, false}, /* DWARF 5, figure C.1 */
		{"\x80\x80\x00", 3, 0, false},	    /* padded */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03", 10, 0, true}, /* 65 bits */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11, 0, true},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, 0, false},
		{"\x80", 1, 0, true}, /* no end */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cursor c = cursor_of(cases[i].bytes, cases[i].size);

		assert_int_equal(cursor_uleb128(&c), cases[i].value);
		assert_int_equal(c.failed, cases[i].fails);
		assert_int_equal(cursor_left(&c), 0);
	}
}

static void signed_varints(void **state)
{
	static const struct varint cases[] = {
		{"\x02", 1, 2, false},
		{"\x7e", 1, (uint64_t)-2, false},
		{"\xff\x00", 2, 127, false},
		{"\x81\x7f", 2, (uint64_t)-127, false},
		{"\x80\x01", 2, 128, false},
		{"\x80\x7f", 2, (uint64_t)-128, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 10, INT64_MAX, false},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 10, (uint64_t)INT64_MIN, false},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10, 0, true}, /* +2^63 */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, (uint64_t)-1, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 11, 0, true},
		{"\xff", 1, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cursor c = cursor_of(cases[i].bytes, cases[i].size);

		assert_int_equal((uint64_t)cursor_sleb128(&c), cases[i].value);
		assert_int_equal(c.failed, cases[i].fails);
	}
}

static void read_anything(struct cursor *c, unsigned int what)
{
	switch (what % 12) {
	case 0:
		cursor_u8(c);
		break;
	case 1:
		cursor_u16(c);
		break;
	case 2:
		cursor_u32(c);
		break;
	case 3:
		cursor_u64(c);
		break;
	case 4:
		cursor_s32(c);
		break;
	case 5:
		cursor_s64(c);
		break;
	case 6:
		cursor_uleb128(c);
		break;
	case 7:
		cursor_sleb128(c);
		break;
	case 8:
		cursor_string(c);
		break;
	case 9:
		cursor_skip(c, what >> 4 & 15);
		break;
	case 10:
		cursor_bytes(c, what >> 4 & 15);
		break;
	default:
		cursor_sub(c, what >> 4 & 15);
	}
}

/* Any order of reads over any bytes, in memory of exactly that size (ASan sees one byte too far).
 */
static void never_past_the_end(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 20000; round++) {
		size_t size = (size_t)random() % 40;
		uint8_t *bytes = malloc(size ? size : 1);
		struct cursor c;
		bool failed = false;

		assert_non_null(bytes);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(random() % 3 ? random() : random() % 2 * 0x80);
		c = cursor_of(size ? bytes : NULL, size);
		for (unsigned int i = 0; i < 30; i++) {
			const uint8_t *before = c.pos;

			read_anything(&c, (unsigned int)random());
			assert_true(c.pos >= before && c.pos <= c.end);
			assert_true(!failed || c.failed);
			failed = c.failed;
		}
		free(bytes);
	}
}

static void buffer_and_cursor_agree(void **state)
{
	struct buffer b = {0};
	struct cursor c;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		buffer_u8(&b, (uint8_t)i);
		buffer_u16(&b, (uint16_t)(i * 7));
		buffer_u32(&b, i * 70001);
		buffer_u64(&b, i * UINT64_C(0x123456789ab));
		buffer_printf(&b, "<%u>%c", i, 0);
		buffer_string(&b, "text");
		buffer_append(&b, "", 1);
		buffer_append(&b, NULL, 0);
	}
	assert_false(b.failed);
	c = cursor_of(b.data, b.size);
	for (uint32_t i = 0; i < 1000; i++) {
		char expected[16];

		snprintf(expected, sizeof(expected), "<%u>", i);
		assert_int_equal(cursor_u8(&c), (uint8_t)i);
		assert_int_equal(cursor_u16(&c), (uint16_t)(i * 7));
		assert_int_equal(cursor_u32(&c), i * 70001);
		assert_int_equal(cursor_u64(&c), i * UINT64_C(0x123456789ab));
		assert_string_equal(cursor_string(&c), expected);
		assert_string_equal(cursor_string(&c), "text");
	}
	assert_true(cursor_done(&c));
	assert_false(c.failed);
	buffer_clear(&b);
	assert_int_equal(b.size, 0);
	buffer_done(&b);
	assert_null(b.data);
}

static void buffer_failure_sticks(void **state)
{
	struct buffer b = {0};

	(void)state;
	buffer_string(&b, "kept");
	assert_null(buffer_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buffer_u8(&b, 1);
	assert_int_equal(b.size, 4);
	assert_memory_equal(b.data, "kept", 4);
	assert_null(buffer_reserve(&b, 1));
	buffer_done(&b);
	assert_false(b.failed);
	buffer_printf(&b, "%s", "");
	assert_int_equal(b.size, 0);
	assert_false(b.failed);
	buffer_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_little_endian),
		cmocka_unit_test(failure_sticks),
		cmocka_unit_test(huge_sizes_do_not_wrap),
		cmocka_unit_test(empty_and_null),
		cmocka_unit_test(strings),
		cmocka_unit_test(sub_cursor_is_bounded),
		cmocka_unit_test(unsigned_varints),
		cmocka_unit_test(signed_varints),
		cmocka_unit_test(never_past_the_end),
		cmocka_unit_test(buffer_and_cursor_agree),
		cmocka_unit_test(buffer_failure_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
