/* SPDX-License-Identifier: Apache-2.0 */
/* Folded lines: text, order and merging, hostile names, and a model for many of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>

#include "output/exporter.h"
#include "profile_builder.h"

static int setup(void **state)
{
	struct profile *profile;
	uint32_t process;

	assert_int_equal(profile__new(&profile), 0);
	assert_int_equal(profile__add_process(profile, 42, 0, &process), 0);
	*state = profile;
	return 0;
}

static int teardown(void **state)
{
	profile__free(*state);
	return 0;
}

static void check_folded(struct profile *profile, enum frame_selection frames, bool no_lines,
			 const char *expected)
{
	struct export_options options = {.frames = frames, .no_lines = no_lines};
	struct run_stats stats = {0};
	char *text = build_text(to, export_folded(profile, &stats, &options, to));

	assert_string_equal(text, expected);
	free(text);
}

static void lines_of_the_contract(void **state)
{
	build_sample(*state, 0, "python3",
		     "n:_start e:eval p:main@/a/app.py@9 i:call e:eval p:C.run@/a/b.py@12 "
		     "n:compress k:page_fault",
		     7);
	build_sample(*state, 0, "python3", "m:[truncated:unwind_no_row] n:libx.so+0x1f20", 1);
	check_folded(*state, FRAMES_MIXED, false,
		     "python3;[truncated:unwind_no_row];libx.so+0x1f20 1\n"
		     "python3;_start;main (/a/app.py:9);C.run (/a/b.py:12);compress;"
		     "page_fault_[k] 7\n");
	check_folded(*state, FRAMES_PYTHON, true,
		     "python3;[truncated:unwind_no_row] 1\n"
		     "python3;main (/a/app.py);C.run (/a/b.py) 7\n");
}

static void empty_profile_is_empty(void **state)
{
	check_folded(*state, FRAMES_MIXED, false, "");
}

static void equal_lines_are_merged(void **state)
{
	build_sample(*state, 0, "py", "p:f@a.py@1", 1);
	build_sample(*state, 0, "py", "p:f@a.py@2", 2);
	build_sample(*state, 0, "py", "e:eval p:f@a.py@2 i:list_sort", 4);
	build_sample(*state, 0, "other", "p:f@a.py@2", 8);
	check_folded(*state, FRAMES_PYTHON, true, "other;f (a.py) 8\npy;f (a.py) 7\n");
	check_folded(*state, FRAMES_MIXED, false,
		     "other;f (a.py:2) 8\npy;f (a.py:1) 1\npy;f (a.py:2) 2\n"
		     "py;f (a.py:2);list_sort 4\n");
}

static void names_cannot_break_lines(void **state)
{
	build_sample(*state, 0, "a;b\n\x01", "n:x;y n:new\nline\tend n:bad\xff", 1);
	build_sample(*state, 0, "", "n: p:gr\xc3\xbc\xc3\x9f@\xe6\xbc\xa2.py@3", 2);
	build_sample(*state, 0, "  two words ", "n:operator~new(unsigned~long)", 3);
	build_sample(*state, 0, "   ", "n:f", 4);
	check_folded(*state, FRAMES_FULL, false,
		     "[unknown];[unknown];gr\xc3\xbc\xc3\x9f (\xe6\xbc\xa2.py:3) 2\n"
		     "[unknown];f 4\n"
		     "a:b\xef\xbf\xbd\xef\xbf\xbd;x:y;new\xef\xbf\xbdline\xef\xbf\xbd"
		     "end;bad\xef\xbf\xbd 1\n"
		     "two words;operator new(unsigned long) 3\n");
}

/* flamegraph.pl reads "leaf 7 120" as two counts. */
static void no_label_ends_in_a_count(void **state)
{
	build_sample(*state, 0, "pool 3", "n:slot~7 n:slot~7", 1);
	build_sample(*state, 0, "pool 3", "", 2);
	build_sample(*state, 0, "py", "n:v~1.25", 3);
	build_sample(*state, 0, "py", "n:v~1.", 4);
	build_sample(*state, 0, "py", "n:v1~2x", 5);
	build_sample(*state, 0, "py", "n:v.2", 6);
	build_sample(*state, 0, "py", "n:12", 7);
	check_folded(*state, FRAMES_FULL, false,
		     "pool 3;slot_7;slot_7 1\n"
		     "pool_3 2\n"
		     "py;12 7\n"
		     "py;v.2 6\n"
		     "py;v1 2x 5\n"
		     "py;v_1. 4\n"
		     "py;v_1.25 3\n");
}

/* As LC_ALL=C sort: ' ' and '(' come before ';', and counts take part. */
static void lines_are_sorted_as_bytes(void **state)
{
	build_sample(*state, 0, "c", "n:a n:z", 1);
	build_sample(*state, 0, "c", "n:a", 50);
	build_sample(*state, 0, "c", "n:a~b", 3);
	build_sample(*state, 0, "c", "n:a~12x", 4);
	build_sample(*state, 0, "c", "n:a(int)", 5);
	build_sample(*state, 0, "c", "n:a~b n:y", 6);
	build_sample(*state, 0, "c", "n:ab", 7);
	build_sample(*state, 0, "c", "n:\xc3\xa4", 8);
	check_folded(*state, FRAMES_FULL, false,
		     "c;a 12x 4\n"
		     "c;a 50\n"
		     "c;a b 3\n"
		     "c;a b;y 6\n"
		     "c;a(int) 5\n"
		     "c;a;z 1\n"
		     "c;ab 7\n"
		     "c;\xc3\xa4 8\n");
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Random stacks of awkward labels: the lines come out sorted, each once, and sum up. */
static void many_random_lines(void **state)
{
	static const char *const words[] = {"n:a",  "n:a~",   "n:a~1", "n:a!", "n:a;",
					    "n:a:", "n:a~1x", "n:a~b", "n:ab", "n:a~7~8",
					    "n:a<", "n:~",    "n:~5x", "n:5",  "n:a~~9"};
	struct export_options options = {.frames = FRAMES_FULL};
	uint64_t total = 0, sum = 0, seed = 7;
	char stack[256], *text, *rest, *line, *before = NULL;
	struct run_stats stats = {0};

	for (int i = 0; i < 4000; i++) {
		stack[0] = '\0';
		do {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			strcat(strcat(stack, " "), words[(seed >> 33) % 15]);
		} while ((seed >> 60) < 10 && strlen(stack) < 200);
		build_sample(*state, 0, seed >> 50 & 1 ? "c" : "c 1", stack,
			     1 + (seed >> 40) % 150);
		total += 1 + (seed >> 40) % 150;
	}
	text = build_text(to, export_folded(*state, &stats, &options, to));
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *space = strrchr(line, ' ');
		uint64_t count = strtoull(space + 1, NULL, 10);

		if (before)
			assert_true(compare_lines(&before, &line) < 0);
		before = line;
		sum += count;
		/* as flamegraph.pl reads it: no second number before the count */
		while (space > line && ((space[-1] >= '0' && space[-1] <= '9') || space[-1] == '.'))
			space--;
		assert_true(space == strrchr(line, ' ') || space[-1] != ' ');
	}
	assert_int_equal(sum, total);
	free(text);
}

/* A recursion of 4,000: 300 lines of 100 KB come out whole, and memory does not grow with them. */
static void deep_recursion(void **state)
{
	enum { DEPTH = 4000, STACKS = 300 };
	const size_t label = strlen(";fib (/some/where/fib.py:7)");
	struct export_options options = {.frames = FRAMES_FULL};
	uint32_t *frames = calloc(DEPTH, sizeof(*frames)), stack;
	struct run_stats stats = {0};
	struct rusage before, after;
	size_t expected = 0;
	FILE *to = tmpfile();

	assert_non_null(frames);
	assert_non_null(to);
	for (uint32_t i = 0; i < DEPTH; i++)
		frames[i] = build_frame(*state, "p:fib@/some/where/fib.py@7");
	for (uint32_t i = 0; i < STACKS; i++) {
		assert_int_equal(profile__add_stack(*state, frames, DEPTH - i, &stack), 0);
		assert_int_equal(profile__add_sample(*state, stack, 0, 1, 0, 1), 0);
		expected += strlen("[unknown]") + (DEPTH - i) * label + strlen(" 1\n");
	}
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	assert_int_equal(export_folded(*state, &stats, &options, to), 0);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	assert_int_equal(ftell(to), expected);
	/* all of the text would be 30 MB */
	assert_true(after.ru_maxrss - before.ru_maxrss < 12 << 10);
	fclose(to);
	free(frames);
}

static void full_disk_is_an_error(void **state)
{
	struct export_options options = {.frames = FRAMES_FULL};
	struct run_stats stats = {0};
	FILE *full = fopen("/dev/full", "w");

	if (!full) {
		print_message("no /dev/full here\n");
		skip();
	}
	build_sample(*state, 0, "c", "n:a", 1);
	assert_int_equal(export_folded(*state, &stats, &options, full), -ENOSPC);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_of_the_contract, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_profile_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(equal_lines_are_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(names_cannot_break_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(no_label_ends_in_a_count, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_are_sorted_as_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(many_random_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(deep_recursion, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
