/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTML page as text: what names may not do to it, and that its columns, read
 * back here by the rules of view_columns.h, hold the profile. The page at work in
 * a browser is tests/html.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "output/exporter.h"
#include "output/view_columns.h"
#include "profile/intern.h"
#include "profile/profile.h"

static const struct run_stats no_stats = {.event = "cpu-clock", .first_sample_ms = -1};

static int setup(void **state)
{
	return profile__new((struct profile **)state);
}

static int teardown(void **state)
{
	profile__free(*state);
	return 0;
}

static uint32_t intern(struct profile *profile, const char *s)
{
	uint32_t id;

	assert_int_equal(string_table__intern(profile__strings(profile), s, strlen(s), &id), 0);
	return id;
}

static uint32_t add_frame(struct profile *profile, uint8_t kind, const char *name, const char *file,
			  int line)
{
	struct profile_frame frame = {.kind = kind, .line = line};
	uint32_t id;

	frame.name = intern(profile, name);
	frame.file = intern(profile, file);
	assert_int_equal(profile__add_frame(profile, &frame, &id), 0);
	return id;
}

static void add_sample(struct profile *profile, const uint32_t *frames, size_t depth, uint32_t tid,
		       const char *comm, uint64_t count)
{
	uint32_t stack, process = 0;

	if (profile__process_count(profile) == 0)
		assert_int_equal(profile__add_process(profile, 42, intern(profile, comm), &process),
				 0);
	assert_int_equal(profile__add_stack(profile, frames, depth, &stack), 0);
	assert_int_equal(
		profile__add_sample(profile, stack, process, tid, intern(profile, comm), count), 0);
}

/* The whole page; the caller frees it. */
static char *write_page(const struct profile *profile, const char *title)
{
	struct export_options options = {.frames = FRAMES_FULL, .title = title};
	char *page = NULL;
	size_t size;
	FILE *to = open_memstream(&page, &size);

	assert_non_null(to);
	assert_int_equal(export_html(profile, &no_stats, &options, to), 0);
	assert_int_equal(fclose(to), 0);
	assert_int_equal(strlen(page), size);
	return page;
}

/* The text of the element that holds the profile, cut out of the page. */
static char *data_of(char *page)
{
	char *data = strstr(page, "<script type=\"application/json\" id=\"profile\">");

	assert_non_null(data);
	data = strchr(data, '>') + 1;
	*strstr(data, "</script>") = '\0';
	return data;
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		count++;
	return count;
}

static void names_end_no_element(void **state)
{
	static const char *const names[] = {
		"</script><script>alert(1)</script>", "<!--",	    "]]>",	"&lt;", "a\"b\\c",
		"\xe2\x80\xa8\xe2\x80\xa9",	      "{{viewer}}", "\xff\xfe",
	};
	size_t count = sizeof(names) / sizeof(*names);
	char *page, *plain, *data;

	plain = write_page(*state, "t");
	for (size_t i = 0; i < count; i++) {
		uint32_t frame = add_frame(*state, FRAME_PYTHON, names[i], names[i], 1);

		add_sample(*state, &frame, 1, 1, names[i], 1);
	}
	page = write_page(*state, "</title><script>alert(2)</script>");
	assert_int_equal(count_of(page, "<script"), count_of(plain, "<script"));
	assert_int_equal(count_of(page, "</script"), count_of(plain, "</script"));
	assert_int_equal(count_of(page, "<title>"), 1);
	assert_non_null(strstr(page, "<title>&#60;/title&#62;&#60;script&#62;alert(2)"));
	data = data_of(page);
	assert_null(strpbrk(data, "<>&"));
	assert_null(strstr(data, "\xe2\x80\xa8"));
	assert_null(strstr(data, "\xe2\x80\xa9"));
	assert_non_null(strstr(data, "\"\\u2028\\u2029\""));
	assert_non_null(strstr(data, "\"a\\\"b\\\\c\""));
	assert_non_null(strstr(data, "\"\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
	assert_non_null(strstr(data, "\"{{viewer}}\""));
	assert_non_null(strstr(data, "\"\xef\xbf\xbd\xef\xbf\xbd\""));
	free(page);
	free(plain);
}

static void page_is_whole(void **state)
{
	char *page = write_page(*state, NULL);

	assert_memory_equal(page, "<!doctype html>", 15);
	assert_non_null(strstr(page, "</html>\n"));
	assert_null(strstr(page, "{{"));
	assert_non_null(strstr(page, "default-src 'none'"));
	assert_non_null(strstr(page, "function decodeStacks("));
	assert_non_null(strstr(page, "\"samples\":{\"expected\":null")); /* of --stats */
	free(page);
}

static uint64_t read_number(const char **at)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t value = 0;

	for (int shift = 0;; shift += 5) {
		const char *digit = **at ? strchr(digits, **at) : NULL;

		assert_non_null(digit);
		(*at)++;
		value |= (uint64_t)((digit - digits) & 31) << shift;
		if (digit - digits < 32)
			return value;
	}
}

static char *text_of(struct buffer *column)
{
	buffer_u8(column, '\0');
	assert_false(column->failed);
	return (char *)column->data;
}

/* Name and line of a frame, as its column has them. */
static const char *frame_name(const struct view_columns *columns, uint64_t frame,
			      uint64_t *ret_line)
{
	struct buffer column = {0};
	uint64_t name = 0;

	view_columns__frames(columns, &column);
	const char *at = text_of(&column);
	for (uint64_t i = 0; i <= frame; i++) {
		read_number(&at);
		name = read_number(&at);
		read_number(&at);
		*ret_line = read_number(&at);
	}
	buffer_done(&column);
	return string_table__get(view_columns__strings(columns), (uint32_t)name);
}

/* "comm;name:line;... tid-index=count ...\n" per stack of the column. */
static char *spell_stacks(const struct profile *profile, enum frame_selection view, bool no_lines)
{
	struct buffer column = {0}, out = {0};
	struct view_columns *columns;
	uint64_t path[16];
	size_t depth = 0;

	assert_int_equal(view_columns__new(profile, no_lines, &columns), 0);
	assert_int_equal(view_columns__stacks(columns, view, &column), 0);
	for (const char *at = text_of(&column); *at;) {
		depth -= read_number(&at);
		for (uint64_t add = read_number(&at); add > 0; add--) {
			assert_true(depth < 16);
			path[depth++] = read_number(&at);
		}
		for (size_t i = 0; i < depth; i++) {
			uint64_t line;
			const char *name = frame_name(columns, path[i], &line);

			buffer_printf(&out, "%s%s:%d", i ? ";" : "", name, (int)line);
		}
		for (uint64_t counts = read_number(&at); counts > 0; counts--) {
			unsigned long thread = read_number(&at), count = read_number(&at);

			buffer_printf(&out, " %lu=%lu", thread, count);
		}
		buffer_string(&out, "\n");
	}
	view_columns__free(columns);
	buffer_done(&column);
	return text_of(&out);
}

static void assert_stacks(const struct profile *profile, enum frame_selection view, bool no_lines,
			  const char *wanted)
{
	char *got = spell_stacks(profile, view, no_lines);

	assert_string_equal(got, wanted);
	free(got);
}

static void columns_hold_the_stacks(void **state)
{
	uint32_t start = add_frame(*state, FRAME_NATIVE, "start", "exe", 0);
	uint32_t f1 = add_frame(*state, FRAME_PYTHON, "f", "f.py", 1);
	uint32_t f2 = add_frame(*state, FRAME_PYTHON, "f", "f.py", 2);
	uint32_t read = add_frame(*state, FRAME_KERNEL, "read", "", 0);

	add_sample(*state, (uint32_t[]){start, f2, read}, 3, 8, "b", 5);
	add_sample(*state, (uint32_t[]){start, f1}, 2, 7, "b", 1ULL << 40);
	add_sample(*state, (uint32_t[]){start, f1}, 2, 9, "b", 2);
	add_sample(*state, (uint32_t[]){start}, 1, 7, "a", 3);
	add_sample(*state, NULL, 0, 7, "a", 4);
	assert_stacks(*state, FRAMES_FULL, false,
		      "a:0 0=4\n"
		      "a:0;start:0 0=3\n"
		      "b:0;start:0;f:1 0=1099511627776 2=2\n"
		      "b:0;start:0;f:2;read_[k]:0 1=5\n");
	assert_stacks(*state, FRAMES_PYTHON, true,
		      "a:0 0=7\n"
		      "b:0;f:0 0=1099511627776 1=5 2=2\n");
}

static void flags_part_no_frames(void **state)
{
	struct profile_frame eval = {.kind = FRAME_INTERPRETER, .flags = FRAME_EVAL};
	uint32_t frames[2];

	frames[0] = add_frame(*state, FRAME_INTERPRETER, "eval", "python", 0);
	eval.name = intern(*state, "eval");
	eval.file = intern(*state, "python");
	assert_int_equal(profile__add_frame(*state, &eval, &frames[1]), 0);
	assert_int_not_equal(frames[0], frames[1]);
	add_sample(*state, &frames[0], 1, 7, "a", 1);
	add_sample(*state, &frames[1], 1, 7, "a", 2);
	assert_stacks(*state, FRAMES_FULL, false, "a:0;eval:0 0=3\n");
}

static void fill_in_order(struct profile *profile, bool backwards)
{
	for (int i = 0; i < 6; i++) {
		int n = backwards ? 5 - i : i;
		char name[8];
		uint32_t frame;

		snprintf(name, sizeof(name), "f%d", n % 3);
		frame = add_frame(profile, FRAME_PYTHON, name, "f.py", n);
		add_sample(profile, &frame, 1, 7, "comm", (uint64_t)n + 1);
	}
}

static void equal_profiles_give_equal_columns(void **state)
{
	struct profile *other;
	char *a, *b;

	assert_int_equal(profile__new(&other), 0);
	fill_in_order(*state, false);
	fill_in_order(other, true);
	a = spell_stacks(*state, FRAMES_MIXED, false);
	b = spell_stacks(other, FRAMES_MIXED, false);
	assert_string_equal(a, b);
	assert_int_equal(count_of(a, "\n"), 6);
	free(a);
	free(b);
	profile__free(other);
}

static void full_disk_is_an_error(void **state)
{
	struct export_options options = {0};
	FILE *to = fopen("/dev/full", "w");

	if (!to)
		skip();
	assert_int_equal(export_html(*state, &no_stats, &options, to), -ENOSPC);
	fclose(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_end_no_element, setup, teardown),
		cmocka_unit_test_setup_teardown(page_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(columns_hold_the_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(flags_part_no_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(equal_profiles_give_equal_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
