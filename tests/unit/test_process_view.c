/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow/process_view: lookups against a linear search, the form in a capture
 * there and back, and that form damaged in every byte: it is refused, or what
 * comes out keeps every promise of the header.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/process_abi.h"
#include "base/cleanup.h"
#include "follow/process_view.h"

#define MAPPINGS 5

static const char paths[] = "/usr/bin/python3.12\0\0/usr/lib/libc.so.6\0[vdso]";

static struct process_view view_of(uint32_t count)
{
	static const uint32_t path_of[] = {0, 20, 21, 40};
	struct process_view view = {
		.pid = 4321,
		.has_python = 1,
		.start_ns = 77,
		.exec_id = 3,
		.comm = "python3",
		.version = "3.12.1",
		.code_type = 0x1234,
		.mapping_count = count,
		.paths_size = sizeof(paths),
	};

	view.layout.code_size = 192;
	view.mappings = calloc(count + 1, sizeof(*view.mappings));
	view.paths = malloc(sizeof(paths));
	assert_non_null(view.mappings);
	assert_non_null(view.paths);
	memcpy(view.paths, paths, sizeof(paths));
	for (uint32_t i = 0; i < count; i++) /* the first two touch, then gaps */
		view.mappings[i] = (struct view_mapping){
			.start = 0x1000 * (i < 2 ? i + 1 : 3ull * i),
			.end = 0x1000 * (i < 2 ? i + 2 : 3ull * i + 1),
			.bias = 0x500 + i,
			.offset = i * 0x1000,
			.object = i,
			.flags = i == 1 ? MAPPING_ANONYMOUS : 0,
			.path = path_of[i % 4],
		};
	return view;
}

static void finds_mappings(void **state)
{
	(void)state;
	for (uint32_t count = 0; count < 12; count++) {
		_cleanup_(process_view_done) struct process_view view = view_of(count);

		for (uint64_t address = 0; address < 0x28000; address += 0x7ff) {
			const struct view_mapping *want = NULL;

			for (uint32_t i = 0; i < count; i++)
				if (address >= view.mappings[i].start &&
				    address < view.mappings[i].end)
					want = &view.mappings[i];
			assert_ptr_equal(process_view_find(&view, address), want);
		}
		for (uint32_t i = 0; i < count; i++) {
			struct view_mapping *m = &view.mappings[i];

			assert_ptr_equal(process_view_find(&view, m->start), m);
			assert_ptr_equal(process_view_find(&view, m->end - 1), m);
			assert_ptr_not_equal(process_view_find(&view, m->end), m);
		}
		assert_null(process_view_find(&view, UINT64_MAX));
	}
}

static void assert_same(const struct process_view *a, const struct process_view *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->has_python, b->has_python);
	assert_int_equal(a->start_ns, b->start_ns);
	assert_int_equal(a->exec_id, b->exec_id);
	assert_string_equal(a->comm, b->comm);
	assert_string_equal(a->version, b->version);
	assert_int_equal(a->code_type, b->code_type);
	assert_memory_equal(&a->layout, &b->layout, sizeof(a->layout));
	assert_int_equal(a->mapping_count, b->mapping_count);
	assert_memory_equal(a->mappings, b->mappings, a->mapping_count * sizeof(*a->mappings));
	assert_int_equal(a->paths_size, b->paths_size);
	assert_memory_equal(a->paths, b->paths, a->paths_size);
}

static void there_and_back(void **state)
{
	static const uint32_t counts[] = {0, 1, MAPPINGS, MAPPINGS_PER_PROCESS_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		_cleanup_(process_view_done) struct process_view view = view_of(counts[i]);
		_cleanup_(process_view_done) struct process_view back = {0};
		_cleanup_(buffer_done) struct buffer bytes = {0};

		process_view_encode(&view, &bytes);
		assert_int_equal(process_view_decode(bytes.data, bytes.size, &back), 0);
		assert_same(&view, &back);
		if (counts[i] > 2)
			assert_string_equal(process_view_path(&back, &back.mappings[2]),
					    "/usr/lib/libc.so.6");
	}
}

static void assert_sane(const struct process_view *view)
{
	assert_non_null(memchr(view->comm, 0, sizeof(view->comm)));
	assert_non_null(memchr(view->version, 0, sizeof(view->version)));
	assert_true(view->mapping_count <= MAPPINGS_PER_PROCESS_MAX);
	for (size_t i = 0; i < view->mapping_count; i++) {
		const struct view_mapping *m = &view->mappings[i];

		assert_true(m->start < m->end);
		if (i)
			assert_true(view->mappings[i - 1].end <= m->start);
		assert_ptr_equal(process_view_find(view, m->start), m);
		/* ends within its memory: ASan watches */
		assert_true(strlen(process_view_path(view, m)) < view->paths_size);
	}
}

/* -EBADMSG, and nothing touched, or a view that keeps its promises. */
static int decode(const uint8_t *bytes, size_t size)
{
	struct process_view untouched, back;
	uint8_t *copy = malloc(size ? size : 1); /* exact: ASan sees a read beyond */
	int err;

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	memset(&back, 0x5a, sizeof(back));
	memset(&untouched, 0x5a, sizeof(untouched));
	err = process_view_decode(copy, size, &back);
	free(copy);
	if (err) {
		assert_int_equal(err, -EBADMSG);
		assert_memory_equal(&back, &untouched, sizeof(back));
		return err;
	}
	assert_sane(&back);
	process_view_done(&back);
	return 0;
}

static void damaged_bytes(void **state)
{
	_cleanup_(process_view_done) struct process_view view = view_of(MAPPINGS);
	_cleanup_(buffer_done) struct buffer bytes = {0};
	size_t refused = 0;

	(void)state;
	process_view_encode(&view, &bytes);
	for (size_t i = 0; i < bytes.size; i++) {
		uint8_t good = bytes.data[i];

		for (int bit = 0; bit < 8; bit++) {
			bytes.data[i] = good ^ (uint8_t)(1 << bit);
			refused += decode(bytes.data, bytes.size) != 0;
		}
		bytes.data[i] = 0;
		decode(bytes.data, bytes.size);
		bytes.data[i] = 0xff;
		decode(bytes.data, bytes.size);
		bytes.data[i] = good;
	}
	assert_true(refused > 100);
	for (size_t size = 0; size < bytes.size; size++)
		assert_int_equal(decode(bytes.data, size), -EBADMSG);
	buffer_u8(&bytes, 0);
	assert_int_equal(decode(bytes.data, bytes.size), -EBADMSG);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		_cleanup_(process_view_done) struct process_view view = view_of(MAPPINGS);         \
		_cleanup_(buffer_done) struct buffer bytes = {0};                                  \
		change;                                                                            \
		process_view_encode(&view, &bytes);                                                \
		assert_int_equal(decode(bytes.data, bytes.size), -EBADMSG);                        \
	} while (0)

static void each_rule(void **state)
{
	(void)state;
	REFUSED(view.mappings[2].end = view.mappings[2].start);
	REFUSED(view.mappings[2].start = view.mappings[1].end - 1);
	REFUSED(view.mappings[3].path = sizeof(paths));
	REFUSED(view.mappings[0].path = UINT32_MAX);
	REFUSED(view.paths[sizeof(paths) - 1] = 'x');
	REFUSED(view.paths_size = 0);
	REFUSED(view.mapping_count = MAPPINGS - 1; view.paths_size = 0);
}

static void too_many_mappings(void **state)
{
	_cleanup_(process_view_done) struct process_view view =
		view_of(MAPPINGS_PER_PROCESS_MAX + 1);
	_cleanup_(buffer_done) struct buffer bytes = {0};

	(void)state;
	process_view_encode(&view, &bytes);
	assert_int_equal(decode(bytes.data, bytes.size), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_mappings),    cmocka_unit_test(there_and_back),
		cmocka_unit_test(damaged_bytes),     cmocka_unit_test(each_rule),
		cmocka_unit_test(too_many_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
