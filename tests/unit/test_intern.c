/* SPDX-License-Identifier: Apache-2.0 */
/* Interning: equal content has one id, other content another, pointers stay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/intern.h"

static int setup(void **state)
{
	return string_table__new((struct string_table **)state);
}

static int teardown(void **state)
{
	string_table__free(*state);
	return 0;
}

static uint32_t intern(struct string_table *table, const char *s, size_t size)
{
	uint32_t id = UINT32_MAX;

	assert_int_equal(string_table__intern(table, s, size, &id), 0);
	return id;
}

static void empty_string_is_zero(void **state)
{
	assert_int_equal(string_table__count(*state), 1);
	assert_int_equal(intern(*state, "", 0), 0);
	assert_int_equal(intern(*state, "ignored", 0), 0);
	assert_string_equal(string_table__get(*state, 0), "");
	assert_int_equal(string_table__count(*state), 1);
}

static void content_decides(void **state)
{
	uint32_t a = intern(*state, "abc", 3), b = intern(*state, "abcd", 4);

	assert_int_not_equal(a, b);
	assert_int_equal(intern(*state, "abcd", 3), a);
	assert_string_equal(string_table__get(*state, a), "abc");
	assert_string_equal(string_table__get(*state, b), "abcd");
	/* a NUL inside is content too */
	assert_int_not_equal(intern(*state, "abc\0x", 5), a);
	assert_int_not_equal(intern(*state, "abc\0x", 5), intern(*state, "abc\0y", 5));
}

static void unknown_id_is_empty(void **state)
{
	assert_string_equal(string_table__get(*state, 77), "");
}

static void many_strings_and_pointers_stay(void **state)
{
	enum { COUNT = 60000 };
	const char **kept = calloc(COUNT, sizeof(*kept));
	char text[64];

	assert_non_null(kept);
	for (uint32_t i = 0; i < COUNT; i++) {
		int size = snprintf(text, sizeof(text), "module.Class%u.method", i);
		uint32_t id = intern(*state, text, (size_t)size);

		assert_int_equal(id, i + 1);
		kept[i] = string_table__get(*state, id);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		int size = snprintf(text, sizeof(text), "module.Class%u.method", i);

		assert_int_equal(intern(*state, text, (size_t)size), i + 1);
		assert_ptr_equal(string_table__get(*state, i + 1), kept[i]);
		assert_string_equal(kept[i], text);
	}
	assert_int_equal(string_table__count(*state), COUNT + 1);
	free(kept);
}

/* Strings longer than a block, between short ones. */
static void long_strings(void **state)
{
	size_t size = 300000;
	char *text = malloc(size);
	uint32_t ids[3];

	assert_non_null(text);
	for (uint32_t i = 0; i < 3; i++) {
		memset(text, 'a' + (int)i, size);
		intern(*state, text, 5 + i);
		ids[i] = intern(*state, text, size - i);
	}
	for (uint32_t i = 0; i < 3; i++) {
		memset(text, 'a' + (int)i, size);
		assert_int_equal(intern(*state, text, size - i), ids[i]);
		assert_int_equal(strlen(string_table__get(*state, ids[i])), size - i);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty_string_is_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(content_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_id_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(many_strings_and_pointers_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(long_strings, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
