/* SPDX-License-Identifier: Apache-2.0 */
/* Demangling against c++filt, against the examples of Rust's specification, and its bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "symbol/demangle.h"

#define COMPARED_MIN 2000
#define COMPARED_MAX 20000

static void expect_demangled(const char *mangled, const char *expected)
{
	_cleanup_free_ char *shown = demangle_symbol(mangled);

	assert_non_null(shown);
	assert_string_equal(shown, expected);
}

static void test_cpp_keeps_parameters(void **state)
{
	(void)state;
	expect_demangled("_ZN3foo3barEv", "foo::bar()");
	expect_demangled("_ZNSt6vectorIiSaIiEE9push_backERKi",
			 "std::vector<int, std::allocator<int> >::push_back(int const&)");
	expect_demangled("_ZNK3Foo3getEv", "Foo::get() const");
}

/* Pairs of RFC 2603 ("Rust symbol name mangling v0") and of the rustc book's chapter on it. */
static void test_rust(void **state)
{
	(void)state;
	expect_demangled("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function");
	expect_demangled("_RNvC6_123foo3bar", "123foo::bar");
	expect_demangled("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>");
	expect_demangled("_RNCNvCsgStHSCytQ6I_7mycrate4main0B3_", "mycrate::main::{closure#0}");
	expect_demangled("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
			 "utf8_idents::საჭმელად_გემრიელი_სადილი");
	/* legacy: the hash is dropped, escapes are undone */
	expect_demangled("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
			 "core::fmt::Formatter::pad");
	expect_demangled("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$"
			 "$GT$3bar17h930b740aa94f1d3aE",
			 "<Test + 'static as foo::Bar<Test>>::bar");
}

static void test_others_stay(void **state)
{
	static const char *const names[] = {"",		 "_",	      "main",	 "_Z",
					    "_ZN",	 "_R",	      "foo",	 "_start",
					    "_ZN3fooE$", "main.main", "\xff\xfe"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect_demangled(names[i], names[i]);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Substitution n is A<the one before, the one before>: the last stands for 2^32 ints. */
static void test_doubling_is_bounded(void **state)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char mangled[1024] = "_Z1f1AIiiE";
	double start = seconds_now();
	size_t size;

	(void)state;
	for (int i = 0; i < 32; i++) {
		char step[16];

		snprintf(step, sizeof(step), "S_IS%c_S%c_E", digits[i], digits[i]);
		strcat(mangled, step);
	}
	_cleanup_free_ char *shown = demangle_symbol(mangled);
	assert_non_null(shown);
	size = strlen(shown);
	assert_true(size <= DEMANGLE_RESULT_MAX);
	assert_true(strncmp(shown, "_Z", 2) != 0); /* it was demangled, and cut */
	assert_string_equal(shown + size - 3, "...");
	assert_true(seconds_now() - start < 1);
}

/* Names whose parsing nests as deeply as their length allows, on a quarter of the usual stack. */
static void *demangle_deep_names(void *unused)
{
	static const char *const nests[] = {"P",   "K",	 "A1_", "F",  "1AI", "DpT_", "N1A",
					    "adL", "ng", "cv",	"cl", "St",  "LZ",   "X",
					    "Dv",  "J",	 "M",	"sz", "Z1f", "TL",   "fl"};
	char name[4200];

	(void)unused;
	for (size_t i = 0; i < sizeof(nests) / sizeof(nests[0]); i++) {
		for (int as_template = 0; as_template < 2; as_template++) {
			strcpy(name, as_template ? "_Z1fIX" : "_Z1f");
			while (strlen(name) + strlen(nests[i]) < 4090)
				strcat(name, nests[i]);
			strcat(name, "i");
			free(demangle_symbol(name));
		}
	}
	return NULL;
}

static void test_deep_names_fit_the_stack(void **state)
{
	pthread_attr_t attributes;
	pthread_t thread;

	(void)state;
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstacksize(&attributes, 2u << 20), 0);
	assert_int_equal(pthread_create(&thread, &attributes, demangle_deep_names, NULL), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
}

static void test_long_names(void **state)
{
	char mangled[8192] = "_Z";
	char digits[16];

	(void)state;
	for (size_t size = 900; size < 6000; size += 50) {
		snprintf(digits, sizeof(digits), "_Z%zu", size);
		strcpy(mangled, digits);
		memset(mangled + strlen(digits), 'x', size);
		strcpy(mangled + strlen(digits) + size, "v");
		_cleanup_free_ char *shown = demangle_symbol(mangled);
		assert_non_null(shown);
		if (size + 2 <= DEMANGLE_RESULT_MAX)
			assert_int_equal(strlen(shown), size + 2); /* "()" */
		else
			assert_int_equal(strlen(shown), DEMANGLE_RESULT_MAX);
		assert_int_equal(shown[0], size > 4090 ? '_' : 'x');
	}
}

static void test_cut_keeps_utf8_whole(void **state)
{
	char name[DEMANGLE_RESULT_MAX + 64];

	(void)state;
	for (size_t lead = 0; lead < 4; lead++) {
		size_t size = lead;

		memset(name, 'a', lead);
		for (; size + 4 < sizeof(name); size += 4)
			memcpy(name + size, "\xf0\x9f\x90\x8d", 4);
		name[size] = '\0';
		_cleanup_free_ char *shown = demangle_symbol(name);
		assert_non_null(shown);
		assert_int_equal((strlen(shown) - 3 - lead) % 4, 0);
		assert_true(strlen(shown) > DEMANGLE_RESULT_MAX - 4);
	}
}

struct names {
	char **all;
	size_t count;
};

static int keep_mangled(const struct elf_symbol *symbol, void *context)
{
	struct names *names = context;

	if (strncmp(symbol->name, "_Z", 2) == 0 && strlen(symbol->name) <= 4096)
		names->all[names->count++] = strdup(symbol->name);
	return names->count == COMPARED_MAX;
}

static void collect_from(const char *library, struct names *names)
{
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	_cleanup_close_ int fd = -1;
	void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
	struct link_map *map;

	if (!handle)
		return;
	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	fd = open(map->l_name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(elf_image__open(fd, &image), 0);
	elf_image__for_each_symbol(image, ELF_DYNSYM, keep_mangled, names);
	dlclose(handle);
}

static void expect_like_filter(const char *mangled, char *expected)
{
	_cleanup_free_ char *shown = demangle_symbol(mangled);
	size_t size;

	assert_non_null(shown);
	expected[strcspn(expected, "\n")] = '\0';
	size = strlen(expected);
	if (size > DEMANGLE_RESULT_MAX)
		strcpy(expected + DEMANGLE_RESULT_MAX - 3, "...");
	if (strcmp(shown, expected) != 0)
		print_error("%s\n", mangled);
	assert_string_equal(shown, expected);
}

static void test_same_as_filter(void **state)
{
	char path[] = "/tmp/mixprof-names-XXXXXX";
	struct names names = {.all = calloc(COMPARED_MAX, sizeof(char *))};
	_cleanup_fclose_ FILE *file = NULL;
	char command[128];
	char *line = NULL;
	size_t room = 0;

	(void)state;
	if (system("command -v c++filt >/dev/null 2>&1") != 0) {
		print_message("skipped: no c++filt\n");
		skip();
	}
	collect_from("libstdc++.so.6", &names);
	if (names.count < COMPARED_MIN) {
		print_message("skipped: no libstdc++.so.6 to take names from\n");
		skip();
	}
	file = fdopen(mkstemp(path), "w");
	assert_non_null(file);
	for (size_t i = 0; i < names.count; i++)
		fprintf(file, "%s\n", names.all[i]);
	fclose(file);
	snprintf(command, sizeof(command), "c++filt -i <%s", path);
	file = NULL;
	FILE *filter = popen(command, "r");
	assert_non_null(filter);
	print_message("%zu names\n", names.count);
	for (size_t i = 0; i < names.count; i++) {
		assert_true(getline(&line, &room, filter) > 0);
		expect_like_filter(names.all[i], line);
		free(names.all[i]);
	}
	pclose(filter);
	unlink(path);
	free(line);
	free(names.all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpp_keeps_parameters),
		cmocka_unit_test(test_rust),
		cmocka_unit_test(test_others_stay),
		cmocka_unit_test(test_doubling_is_bounded),
		cmocka_unit_test(test_deep_names_fit_the_stack),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_cut_keeps_utf8_whole),
		cmocka_unit_test(test_same_as_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
