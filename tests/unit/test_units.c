/* SPDX-License-Identifier: Apache-2.0 */
/* base/units: every form of shared/cli.md, and every way not to be one. base/log: levels and form.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/units.h"

struct number_case {
	const char *text;
	int err;
	uint64_t value;
};

#define CHECK_ALL(cases, parse, type)                                                              \
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++) {                          \
		type value = 77;                                                                   \
		int err = parse((cases)[i].text, &value);                                          \
		if (err != (cases)[i].err || value != (err ? 77 : (cases)[i].value))               \
			fail_msg("\"%s\": %d, %llu", (cases)[i].text, err,                         \
				 (unsigned long long)value);                                       \
	}

static void durations(void **state)
{
	static const struct number_case cases[] = {
		{"250ms", 0, 250000000},
		{"10s", 0, 10000000000},
		{"5m", 0, 300000000000},
		{"1h", 0, 3600000000000},
		{"7us", 0, 7000},
		{"9ns", 0, 9},
		{"3", 0, 3000000000},
		{"0", 0, 0},
		{"0.1", 0, 100000000},
		{"0.1s", 0, 100000000},
		{"1.5m", 0, 90000000000},
		{"2.25h", 0, 8100000000000},
		{"0.5ns", 0, 0},
		{"0.0000000019s", 0, 1},
		{"18446744073s", 0, 18446744073000000000u},
		{"18446744073709551615ns", 0, UINT64_MAX},
		{"18446744073709551616ns", -ERANGE, 0},
		{"18446744074s", -ERANGE, 0},
		{"18446744073.8s", -ERANGE, 0},
		{"9999999999999999999999s", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"+1s", -EINVAL, 0},
		{" 1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1s ", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{"1.5.2", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"1min", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"inf", -EINVAL, 0},
	};

	(void)state;
	CHECK_ALL(cases, parse_duration_ns, uint64_t);
}

static void sizes(void **state)
{
	static const struct number_case cases[] = {
		{"0", 0, 0},
		{"17", 0, 17},
		{"3K", 0, 3072},
		{"64M", 0, 67108864},
		{"2G", 0, 2147483648},
		{"17179869183G", 0, 18446744072635809792u},
		{"17179869184G", -ERANGE, 0},
		{"64m", -EINVAL, 0},
		{"64MB", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"M", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
	};

	(void)state;
	CHECK_ALL(cases, parse_size_bytes, uint64_t);
}

static void small_numbers(void **state)
{
	static const struct number_case cases[] = {
		{"0", 0, 0},
		{"4294967295", 0, UINT32_MAX},
		{"007", 0, 7},
		{"4294967296", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"1x", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1,2", -EINVAL, 0},
	};

	(void)state;
	CHECK_ALL(cases, parse_u32, uint32_t);
}

static void check_set(const char *text, const char *expected)
{
	uint32_t *values = NULL;
	size_t count = 0, used = 0;
	char got[128] = "";

	assert_int_equal(parse_u32_set(text, &values, &count), 0);
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(got + used, sizeof(got) - used, "%u ", values[i]);
	assert_string_equal(got, expected);
	free(values);
}

static void sets(void **state)
{
	static const char *const wrong[] = {"",	   ",",	    "1,", ",1",	 "1,,2", "1-",	"-1",
					    "4-1", "1-2-3", "a",  "1,b", "1 ,2", "1-x", "1;2"};
	uint32_t *values = (uint32_t *)state;
	size_t count = 5;

	check_set("7", "7 ");
	check_set("1,4-7", "1 4 5 6 7 ");
	check_set("9,3,3,1-4", "1 2 3 4 9 ");
	check_set("5-5", "5 ");
	check_set("4294967294-4294967295,0", "0 4294967294 4294967295 ");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_u32_set(wrong[i], &values, &count), -EINVAL);
	assert_int_equal(parse_u32_set("0-4294967295", &values, &count), -ERANGE);
	assert_int_equal(parse_u32_set("0-900000,0-900000", &values, &count), -ERANGE);
	assert_int_equal(parse_u32_set("1,4294967296", &values, &count), -ERANGE);
	assert_ptr_equal(values, state);
	assert_int_equal(count, 5);
}

/* What fn() writes to standard error. */
static void capture_stderr(void (*fn)(void), char *text, size_t size)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t length;

	assert_true(saved >= 0);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = read(fds[0], text, size - 1);
	assert_true(length >= 0);
	text[length] = '\0';
	close(fds[0]);
}

static void log_each_level(void)
{
	log_error("error %d", 1);
	log_warning("warning %s", "\x1b[31m\n");
	log_info("info");
	log_debug("debug");
}

static void log_long(void)
{
	static char text[10000];

	memset(text, 'x', sizeof(text) - 1);
	log_error("%s", text);
}

static void log_levels(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(log_get_level(), LOG_LEVEL_INFO);
	capture_stderr(log_each_level, text, sizeof(text));
	assert_string_equal(text, "mixprof: error 1\nmixprof: warning ?[31m\n\nmixprof: info\n");
	log_set_level(LOG_LEVEL_ERROR);
	capture_stderr(log_each_level, text, sizeof(text));
	assert_string_equal(text, "mixprof: error 1\n");
	log_set_level(LOG_LEVEL_DEBUG);
	capture_stderr(log_each_level, text, sizeof(text));
	assert_non_null(strstr(text, "mixprof: debug\n"));
	capture_stderr(log_long, text, sizeof(text));
	assert_true(strlen(text) > 1000 && strlen(text) <= 2048);
	assert_int_equal(text[strlen(text) - 1], '\n');
	log_set_level(LOG_LEVEL_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),	 cmocka_unit_test(sizes),
		cmocka_unit_test(small_numbers), cmocka_unit_test(sets),
		cmocka_unit_test(log_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
