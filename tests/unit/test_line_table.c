/* SPDX-License-Identifier: Apache-2.0 */
/* Line tables by hand; against CPython itself they are checked by tests/oracle/line_tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "python/line_table.h"

#define BAD (-1000)
#define NONE (-1001)

static int line_at(enum python_line_format format, const uint8_t *table, size_t size, int64_t at)
{
	int32_t line = 77;
	int err = line_table_resolve(format, table, size, 100, at, &line);

	if (err)
		assert_int_equal(line, 77); /* untouched */
	assert_true(err == 0 || err == -ENOENT || err == -EBADMSG);
	return err == -ENOENT ? NONE : err ? BAD : line;
}

#define AT(format, table, at) line_at(format, table, sizeof(table), at)

static void lnotab_steps_at_its_address(void **state)
{
	static const uint8_t table[] = {0, 1, 6, 200, 4, 0xff};

	(void)state;
	assert_int_equal(AT(PYTHON_LINES_LNOTAB_UNSIGNED, table, 0), 101);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB_UNSIGNED, table, 5), 101);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB_UNSIGNED, table, 6), 301);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB_UNSIGNED, table, 10), 556);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB, table, 6), 101 - 56);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB, table, 10), 101 - 57);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB, table, 10000), 101 - 57);
}

static void lnotab_may_be_empty_or_cut(void **state)
{
	static const uint8_t cut[] = {2, 1, 2};

	(void)state;
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, NULL, 0, 40), 100);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB, cut, 2), 101);
	assert_int_equal(AT(PYTHON_LINES_LNOTAB, cut, 4), BAD);
}

static void linetable_310_has_ranges_without_line(void **state)
{
	static const uint8_t table[] = {4, 1, 2, 0x80, 0, 5, 2, 0xfe};

	(void)state;
	assert_int_equal(AT(PYTHON_LINES_LINETABLE_310, table, 0), 101);
	assert_int_equal(AT(PYTHON_LINES_LINETABLE_310, table, 4), NONE);
	/* the empty range steps as well, the one without a line does not */
	assert_int_equal(AT(PYTHON_LINES_LINETABLE_310, table, 6), 104);
	assert_int_equal(AT(PYTHON_LINES_LINETABLE_310, table, 8), NONE);
	assert_int_equal(line_at(PYTHON_LINES_LINETABLE_310, table, 3, 4), BAD);
}

static const uint8_t locations[] = {
	0x80 | 15 << 3 | 0,		       /* 2 bytes without a line */
	0x80 | 10 << 3 | 1, 3,	      9,       /* 4 bytes, same line */
	0x80 | 12 << 3 | 0, 0,	      1,       /* 2 bytes, two lines on */
	0x80 | 3 << 3 | 0,  0x12,	       /* 2 bytes, same line, short */
	0x80 | 13 << 3 | 7, 0x40 | 1, 1,       /* 16 bytes; svarint 0x41: -(0x41 >> 1) = -32 */
	0x80 | 14 << 3 | 0, 0x20,     0, 1, 2, /* +16 */
};

static void locations_of_every_kind(void **state)
{
	static const int expected[] = {NONE, 100, 100, 102, 102, 70, 70,
				       70,   70,  70,  70,  70,	 70, 86};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(AT(PYTHON_LINES_LOCATIONS, locations, 2 * (int64_t)i),
				 expected[i]);
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, locations, 28), NONE);
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, locations, -2), 100);
}

static void locations_cut_anywhere(void **state)
{
	(void)state;
	for (size_t size = 0; size < sizeof(locations); size++) {
		uint8_t *copy = malloc(size ? size : 1); /* so that a sanitizer sees an overrun */
		int line;

		for (size_t i = 0; i < size; i++)
			copy[i] = locations[i];
		line = line_at(PYTHON_LINES_LOCATIONS, copy, size, 26);
		assert_true(line == BAD || line == NONE);
		free(copy);
	}
}

static void hostile_locations(void **state)
{
	static const uint8_t no_start[] = {0x10, 0x80};
	static const uint8_t endless[] = {0x80 | 13 << 3, 0x7f, 0x7f, 0x7f, 0x7f,
					  0x7f,		  0x7f, 0x7f, 0x7f, 0x7f};
	static const uint8_t restart[] = {0x80 | 13 << 3, 0x80 | 15 << 3};
	/* 2^30 lines on, three times over: does not fit */
	static const uint8_t step[] = {0xef, 0x40, 0x40, 0x40, 0x40, 0x40, 2,
				       0xef, 0x40, 0x40, 0x40, 0x40, 0x40, 2,
				       0xef, 0x40, 0x40, 0x40, 0x40, 0x40, 2};

	(void)state;
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, no_start, 0), BAD);
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, endless, 0), BAD);
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, restart, 0), BAD);
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, step, 0), 100 + (1 << 30));
	assert_int_equal(AT(PYTHON_LINES_LOCATIONS, step, 40), BAD);
}

static void random_bytes_are_harmless(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t table[64];

		for (size_t i = 0; i < sizeof(table); i++) {
			seed = seed * 1664525 + 1013904223;
			table[i] = (uint8_t)(seed >> 24);
		}
		for (int format = 1; format <= 4; format++)
			line_at((enum python_line_format)format, table, seed % 65, seed >> 20);
	}
}

static void unknown_format(void **state)
{
	int32_t line;

	(void)state;
	assert_int_equal(line_table_resolve((enum python_line_format)9, NULL, 0, 1, 0, &line),
			 -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lnotab_steps_at_its_address),
		cmocka_unit_test(lnotab_may_be_empty_or_cut),
		cmocka_unit_test(linetable_310_has_ranges_without_line),
		cmocka_unit_test(locations_of_every_kind),
		cmocka_unit_test(locations_cut_anywhere),
		cmocka_unit_test(hostile_locations),
		cmocka_unit_test(random_bytes_are_harmless),
		cmocka_unit_test(unknown_format),
	};

	return cmocka_run_group_tests_name("line_table", tests, NULL, NULL);
}
