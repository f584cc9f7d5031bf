/* SPDX-License-Identifier: Apache-2.0 */
/* kallsyms: synthetic text for each rule, and this machine's own file where it may be read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "symbol/kernel_symbols.h"

static const char text[] = "0000000000000000 A fixed_percpu_data\n"
			   "0000000000001000 A cpu_debug_store\n"
			   "ffffffff81000000 T _stext\n"
			   "ffffffff81000000 T startup_64\n"
			   "ffffffff81000000 t local_alias\n"
			   "ffffffff81000100 t helper\n"
			   "ffffffff81000200 W weak_one\n"
			   "ffffffff81000200 t early_local\n"
			   "ffffffff81000300 T last_function\n"
			   "ffffffff81000400 D _etext\n"
			   "ffffffff81000500 d some_data\n"
			   "ffffffff81000600 b more_data\n"
			   "ffffffff81100000 T far_function\n"
			   "ffffffff81280000 T __entry_text_end\n"
			   "ffffffffc0200000 t ext4_b\t[ext4]\n"
			   "ffffffffc0100000 t ext4_a\t[ext4]\n"
			   "ffffffffc0300000 t xfs_a\t[xfs]\n"
			   "ffffffffc0300010 r xfs_table\t[xfs]\n"
			   "ffffffffc0400000 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]\n";

static struct kernel_symbols *parse(const char *s)
{
	struct kernel_symbols *symbols = NULL;

	assert_int_equal(kernel_symbols__parse(s, strlen(s), &symbols), 0);
	return symbols;
}

static void expect(const struct kernel_symbols *symbols, uint64_t address, const char *name,
		   const char *module)
{
	const char *found_module = "unset";
	const char *found = kernel_symbols__find(symbols, address, &found_module);

	if (!name) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_string_equal(found, name);
	assert_string_equal(found_module, module);
	assert_string_equal(kernel_symbols__find(symbols, address, NULL), name);
}

static void test_covers(void **state)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *s = parse(text);

	(void)state;
	expect(s, 0xffffffff810000ff, "startup_64", "");
	expect(s, 0xffffffff81000100, "helper", "");
	expect(s, 0xffffffff810001ff, "helper", "");
	expect(s, 0xffffffff81000200, "weak_one", "");
	expect(s, 0xffffffff810003ff, "last_function", "");
}

static void test_ends(void **state)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *s = parse(text);

	(void)state;
	expect(s, 0xffffffff80ffffff, NULL, NULL); /* before the first */
	expect(s, 0xffffffff81000400, NULL, NULL); /* data */
	expect(s, 0xffffffff81000700, NULL, NULL);
	expect(s, 0xffffffff8113ffff, "far_function", ""); /* up to 256 KB */
	expect(s, 0xffffffff81140000, NULL, NULL);
	expect(s, 0xffffffff81280010, NULL, NULL); /* behind a mark of the linker */
	expect(s, 0xffffffffc0300010, NULL, NULL);
	expect(s, UINT64_MAX, NULL, NULL);
	/* user space, and what kallsyms calls absolute */
	expect(s, 0, NULL, NULL);
	expect(s, 0x1000, NULL, NULL);
	expect(s, 0x7fffffffffff, NULL, NULL);
}

static void test_modules(void **state)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *s = parse(text);

	(void)state;
	expect(s, 0xffffffffc0100010, "ext4_a", "ext4"); /* not in the file's order */
	expect(s, 0xffffffffc0200000, "ext4_b", "ext4");
	expect(s, 0xffffffffc030000f, "xfs_a", "xfs");
	expect(s, 0xffffffffc0400123, "bpf_prog_6deef7357e7b4530_sd_fw", "bpf");
}

static void test_hidden_and_absent(void **state)
{
	static const char hidden[] = "0000000000000000 T _stext\n0000000000000000 t helper\n";
	static const char *const absent[] = {"", "\n\n", "no kallsyms at all\n",
					     "ffffffff81000000 D only_data\n"};
	struct kernel_symbols *symbols = NULL;

	(void)state;
	assert_int_equal(kernel_symbols__parse(hidden, strlen(hidden), &symbols), -EPERM);
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_int_equal(kernel_symbols__parse(absent[i], strlen(absent[i]), &symbols),
				 -ENOENT);
	assert_null(symbols);
}

static void test_malformed_lines_are_skipped(void **state)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *s =
		parse("ffffffff81000000 T\n"
		      "ffffffff81000000 T \n"
		      "ffffffff81000000\n"
		      "fffffffff81000000 T seventeen_digits\n"
		      "xyz T not_hex\n"
		      " ffffffff81000000 T space_first\n"
		      "ffffffff81000010 T good\n"
		      "ffffffff81000020 T odd_module [\n"
		      "ffffffff81000030 T empty_module\t[]\n"
		      "ffffffff81000040 T no_newline\t[m]");

	(void)state;
	expect(s, 0xffffffff81000000, NULL, NULL);
	expect(s, 0xffffffff81000010, "good", "");
	expect(s, 0xffffffff81000020, "odd_module", "");
	expect(s, 0xffffffff81000030, "empty_module", "");
	expect(s, 0xffffffff81000040, "no_newline", "m");
}

/* Every prefix of the text, in a block of exactly its size: nothing is read past the end. */
static void test_truncation(void **state)
{
	(void)state;
	for (size_t size = 0; size < sizeof(text); size++) {
		_cleanup_(kernel_symbols__freep) struct kernel_symbols *symbols = NULL;
		_cleanup_free_ char *copy = malloc(size + !size);
		int err;

		memcpy(copy, text, size);
		err = kernel_symbols__parse(copy, size, &symbols);
		assert_true(err == 0 || err == -ENOENT || err == -EPERM);
		if (!err)
			kernel_symbols__find(symbols, 0xffffffff81000010, NULL);
	}
}

static void test_own_kernel(void **state)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *symbols = NULL;
	_cleanup_fclose_ FILE *file = NULL;
	int err = kernel_symbols__new(&symbols);
	uint64_t address, last = 0;
	char name[600], type;
	size_t lines = 0, covered = 0, same = 0;

	(void)state;
	if (err) {
		print_message("skipped: /proc/kallsyms: %s\n", strerror(-err));
		assert_true(err == -EPERM || err == -ENOENT || err == -EACCES);
		skip();
	}
	file = fopen("/proc/kallsyms", "re");
	assert_non_null(file);
	while (fscanf(file, "%lx %c %599s%*[^\n]", &address, &type, name) == 3) {
		const char *found;

		if (strstr(name, "text_end") || strstr(name, "_etext") ||
		    strstr(name, "_einittext"))
			continue;
		if (address == last || !strchr("tTwW", type) || (int64_t)address >= 0)
			continue;
		last = address;
		found = kernel_symbols__find(symbols, address, NULL);
		lines++;
		covered += found != NULL;
		same += found && !strcmp(found, name);
	}
	assert_true(lines > 1000);
	assert_int_equal(covered, lines);
	assert_true(same > lines / 10 * 9); /* the others are aliases */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_hidden_and_absent),
		cmocka_unit_test(test_malformed_lines_are_skipped),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_own_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
