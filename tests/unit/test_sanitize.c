/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/sanitize over every code point and over every sequence of up to three
 * bytes, against a decoder written the other way round: it compares with
 * encodings made from code points, so that both cannot share a mistake.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/sanitize.h"

#define FFFD "\xef\xbf\xbd"

static size_t encode(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

static int is_replaced(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||
	       (code >= 0xd800 && code <= 0xdfff) || (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

static void every_code_point(void **state)
{
	(void)state;
	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		char in[8] = "<", expected[8] = "<";
		size_t length = encode(code, in + 1);
		char *name;

		in[1 + length] = '>';
		if (is_replaced(code))
			strcpy(expected, "<" FFFD ">");
		else
			memcpy(expected, in, length + 2);
		name = sanitize_name(in, length + 2, 100);
		if (!name || strcmp(name, expected) != 0)
			fail_msg("U+%04X becomes %s", code, name ? name : "NULL");
		free(name);
	}
}

static void check(const char *in, size_t size, const char *expected)
{
	char *name = sanitize_name(in, size, 1000);

	assert_non_null(name);
	assert_string_equal(name, expected);
	free(name);
}

#define CHECK(in, expected) check(in, sizeof(in) - 1, expected)

static void wrong_sequences(void **state)
{
	(void)state;
	CHECK("", "");
	CHECK("\x80", FFFD);
	CHECK("\xbf\xbf", FFFD FFFD);
	CHECK("\xc0\xaf", FFFD FFFD); /* overlong */
	CHECK("\xe0\x80\xaf", FFFD FFFD FFFD);
	CHECK("\xf0\x80\x80\xaf", FFFD FFFD FFFD FFFD);
	CHECK("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD); /* above U+10FFFF */
	CHECK("\xf5\xff\xfe", FFFD FFFD FFFD);
	CHECK("\xe2\x82", FFFD); /* cut */
	CHECK("\xf0\x9f\x92", FFFD);
	CHECK("\xe2\x82(", FFFD "(");
	CHECK("\xe2\xe2\x82\xac", FFFD "\xe2\x82\xac");
	/* Unicode 15, table 3-8 */
	CHECK("a\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
	      "a" FFFD FFFD FFFD "b" FFFD "c" FFFD FFFD "d");
	CHECK("\xed\xa0\x80", FFFD);
	CHECK("\xed\xa0", FFFD);
	CHECK("x\0y\x1b[2J\n", "x" FFFD "y" FFFD "[2J" FFFD);
	CHECK("</script>;\xc3\xa4", "</script>;\xc3\xa4");
}

/* Strictly well-formed and free of what is_replaced() names. */
static int is_clean(const char *name)
{
	while (*name) {
		const unsigned char *p = (const unsigned char *)name;
		char again[4];
		uint32_t code;
		size_t length;

		if (p[0] < 0x80)
			code = p[0];
		else if (p[0] < 0xe0)
			code = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		else if (p[0] < 0xf0)
			code = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		else
			code = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
			       (p[3] & 0x3fu);
		if (code > 0x10ffff || is_replaced(code))
			return 0;
		length = encode(code, again);
		if (strncmp(name, again, length) != 0)
			return 0;
		name += length;
	}
	return 1;
}

static void every_short_sequence_is_clean(void **state)
{
	(void)state;
	for (uint32_t bytes = 0; bytes < 1u << 24; bytes += 1 + (bytes & 0xff) % 3) {
		char in[4] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes, 'z'};
		char *name = sanitize_name(in, sizeof(in), 64);

		if (!name || !is_clean(name) || name[strlen(name) - 1] != 'z')
			fail_msg("%06x", bytes);
		free(name);
	}
}

static void cuts_at_a_character(void **state)
{
	static const char text[] = "ab\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9xyz\x80\x80";
	char *whole = sanitize_name(text, sizeof(text) - 1, 1000);

	(void)state;
	assert_non_null(whole);
	for (size_t max = 0; max < strlen(whole) + 3; max++) {
		char *name = sanitize_name(text, sizeof(text) - 1, max);
		size_t length;

		assert_non_null(name);
		length = strlen(name);
		assert_true(length <= max);
		assert_true(is_clean(name));
		if (max >= strlen(whole)) {
			assert_string_equal(name, whole);
		} else if (max >= 3) {
			assert_string_equal(name + length - 3, "...");
			assert_memory_equal(name, whole, length - 3);
			assert_true(max - length < 4);
		} else {
			assert_string_equal(name, "");
		}
		free(name);
	}
	free(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point),
		cmocka_unit_test(wrong_sequences),
		cmocka_unit_test(every_short_sequence_is_clean),
		cmocka_unit_test(cuts_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
