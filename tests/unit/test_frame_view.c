/* SPDX-License-Identifier: Apache-2.0 */
/* The four views of stacks as they occur, and the labels of shared/cli.md. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "output/frame_view.h"
#include "profile_builder.h"

static int setup(void **state)
{
	return profile__new((struct profile **)state);
}

static int teardown(void **state)
{
	profile__free(*state);
	return 0;
}

static void check_view(struct profile *profile, enum frame_selection selection, const char *stack,
		       const char *expected)
{
	uint32_t frames[BUILDER_FRAMES];
	struct buffer seen = {0};
	size_t count = build_frames(profile, stack, frames);

	count = frame_view_select(profile, selection, frames, count);
	for (size_t i = 0; i < count; i++) {
		if (i)
			buffer_u8(&seen, ' ');
		frame_view_label(profile, frames[i], false, &seen);
	}
	buffer_u8(&seen, 0);
	assert_string_equal((const char *)seen.data, expected);
	buffer_done(&seen);
}

/* python main -> a() -> b(), b calls sorted(key=c), c calls an extension that calls d, which reads.
 */
#define WHOLE                                                                                      \
	"n:_start i:main i:Py_RunMain e:eval p:a p:b i:vectorcall i:list_sort e:eval p:c "         \
	"i:cfunction_call n:ext_apply i:PyObject_Call e:eval p:d i:os_read n:read k:ksys_read"

static void mixed_folds_the_machinery_between(void **state)
{
	check_view(*state, FRAMES_MIXED, WHOLE,
		   "_start main Py_RunMain a b c ext_apply d read ksys_read_[k]");
}

static void mixed_keeps_where_the_time_goes(void **state)
{
	check_view(*state, FRAMES_MIXED, "n:_start i:main e:eval p:a i:vectorcall i:list_sort",
		   "_start main a vectorcall list_sort");
	check_view(*state, FRAMES_MIXED, "n:_start i:main e:eval p:a", "_start main a");
	/* an eval that has not linked its frame yet */
	check_view(*state, FRAMES_MIXED, "i:main e:eval p:a i:vectorcall i:eval",
		   "main a vectorcall eval");
	/* one that runs nothing any more: what its teardown does is its caller's */
	check_view(*state, FRAMES_MIXED, "i:main e:eval p:a i:vectorcall e:eval i:dealloc",
		   "main a vectorcall dealloc");
	check_view(*state, FRAMES_MIXED, "i:main e:eval p:a i:vectorcall e:eval i:dealloc n:free",
		   "main a free");
}

static void mixed_folds_up_to_the_callee(void **state)
{
	check_view(*state, FRAMES_MIXED, "e:eval p:a i:call i:list_sort n:memcmp", "a memcmp");
	check_view(*state, FRAMES_MIXED, "e:eval p:a i:list_sort k:page_fault", "a page_fault_[k]");
	/* what the extension itself calls in the interpreter stays, wherever it leads */
	check_view(*state, FRAMES_MIXED, "e:eval p:a i:call n:ext i:PyObject_Malloc",
		   "a ext PyObject_Malloc");
	check_view(*state, FRAMES_MIXED, "e:eval p:a i:call n:ext i:PyObject_Malloc n:mmap k:mmap",
		   "a ext PyObject_Malloc mmap mmap_[k]");
}

static void mixed_without_python_is_all(void **state)
{
	check_view(*state, FRAMES_MIXED, "n:clone i:gil_wait n:futex k:futex",
		   "clone gil_wait futex futex_[k]");
	check_view(*state, FRAMES_MIXED, "", "");
	check_view(*state, FRAMES_MIXED, "m:[truncated:unwind_no_row] i:call p:a",
		   "[truncated:unwind_no_row] call a");
}

static void other_views(void **state)
{
	check_view(*state, FRAMES_PYTHON, "m:[truncated:x] " WHOLE, "[truncated:x] a b c d");
	check_view(*state, FRAMES_NATIVE, WHOLE,
		   "_start main Py_RunMain eval vectorcall list_sort eval cfunction_call ext_apply "
		   "PyObject_Call eval os_read read ksys_read_[k]");
	check_view(*state, FRAMES_FULL, WHOLE,
		   "_start main Py_RunMain eval a b vectorcall list_sort eval c cfunction_call "
		   "ext_apply PyObject_Call eval d os_read read ksys_read_[k]");
}

static void check_label(struct profile *profile, const char *frame, uint8_t flags, bool no_lines,
			const char *expected)
{
	struct profile_frame made = *profile__frame(profile, build_frame(profile, frame));
	struct buffer label = {0};
	uint32_t id;

	made.flags |= flags;
	assert_int_equal(profile__add_frame(profile, &made, &id), 0);
	frame_view_label(profile, id, no_lines, &label);
	buffer_u8(&label, 0);
	assert_string_equal((const char *)label.data, expected);
	buffer_done(&label);
}

static void labels(void **state)
{
	check_label(*state, "p:C.m@/a/b.py@12", 0, false, "C.m (/a/b.py:12)");
	check_label(*state, "p:C.m@/a/b.py@12", 0, true, "C.m (/a/b.py)");
	check_label(*state, "p:C.m@/a/b.py@0", 0, false, "C.m (/a/b.py)");
	check_label(*state, "p:C.m", 0, false, "C.m");
	check_label(*state, "p:@/a/b.py@1", 0, false, "[unknown] (/a/b.py:1)");
	check_label(*state, "n:memcpy@/lib/libc.so.6", 0, false, "memcpy");
	check_label(*state, "n:memcpy@/lib/libc.so.6", FRAME_PLT, false, "memcpy@plt");
	check_label(*state, "n:libc.so.6+0x1234", FRAME_UNNAMED, false, "libc.so.6+0x1234");
	check_label(*state, "n:", 0, false, "[unknown]");
	check_label(*state, "k:ext4_read@ext4", 0, false, "ext4_read_[k]");
	check_label(*state, "m:[truncated:unwind_depth]", 0, false, "[truncated:unwind_depth]");
}

static void plt_suffix_is_not_doubled(void **state)
{
	struct profile_frame frame = {.kind = FRAME_NATIVE, .flags = FRAME_PLT};
	struct buffer label = {0};
	uint32_t id;

	frame.name = build_string(*state, "memcpy@plt");
	assert_int_equal(profile__add_frame(*state, &frame, &id), 0);
	frame_view_label(*state, id, false, &label);
	buffer_u8(&label, 0);
	assert_string_equal((const char *)label.data, "memcpy@plt");
	buffer_done(&label);
}

static void upper(struct buffer *label)
{
	for (size_t i = 0; i < label->size; i++)
		if (label->data[i] >= 'a' && label->data[i] <= 'z')
			label->data[i] -= 'a' - 'A';
}

static void equal_labels_have_equal_ids(void **state)
{
	uint32_t a = build_frame(*state, "p:f@a.py@1"), b = build_frame(*state, "p:f@a.py@2");
	uint32_t c = build_frame(*state, "n:f");
	struct frame_labels *labels_of;

	assert_int_equal(frame_labels__new(*state, false, NULL, &labels_of), 0);
	assert_int_not_equal(frame_labels__id(labels_of, a), frame_labels__id(labels_of, b));
	frame_labels__free(labels_of);
	assert_int_equal(frame_labels__new(*state, true, upper, &labels_of), 0);
	assert_int_equal(frame_labels__id(labels_of, a), frame_labels__id(labels_of, b));
	assert_int_not_equal(frame_labels__id(labels_of, a), frame_labels__id(labels_of, c));
	assert_string_equal(frame_labels__text(labels_of, frame_labels__id(labels_of, a)),
			    "F (A.PY)");
	assert_true(frame_labels__id(labels_of, c) < frame_labels__count(labels_of));
	frame_labels__free(labels_of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mixed_folds_the_machinery_between, setup, teardown),
		cmocka_unit_test_setup_teardown(mixed_keeps_where_the_time_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(mixed_folds_up_to_the_callee, setup, teardown),
		cmocka_unit_test_setup_teardown(mixed_without_python_is_all, setup, teardown),
		cmocka_unit_test_setup_teardown(other_views, setup, teardown),
		cmocka_unit_test_setup_teardown(labels, setup, teardown),
		cmocka_unit_test_setup_teardown(plt_suffix_is_not_doubled, setup, teardown),
		cmocka_unit_test_setup_teardown(equal_labels_have_equal_ids, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
