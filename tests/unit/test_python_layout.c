/* SPDX-License-Identifier: Apache-2.0 */
/* Layout tables are sane for the sampler; _Py_DebugOffsets is read right and not believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "debug_offsets_sample.h"
#include "python/python_layout.h"

static void assert_usable(const struct python_layout *l)
{
	const struct py_layout *w = &l->walk;

	assert_true(w->tstate_frame <= PY_OFFSET_MAX && w->tstate_thread_id <= PY_OFFSET_MAX);
	assert_true(w->tstate_next <= PY_OFFSET_MAX && w->tstate_interp <= PY_OFFSET_MAX);
	assert_true(w->frame_size <= PY_FRAME_BYTES_MAX);
	assert_true(w->frame_code + 8 <= w->frame_size && w->frame_previous + 8 <= w->frame_size);
	assert_true(w->frame_instr + 8 <= w->frame_size && w->frame_owner < w->frame_size);
	assert_int_equal(w->owner_shim_min, 3);
	assert_int_equal(l->code_size, w->code_adaptive);
	assert_int_equal(l->type_basicsize, w->code_adaptive);
	assert_int_equal(w->code_firsttraceable + 16, w->code_adaptive);
	assert_int_equal(w->reserved, 0);
}

static void tables_by_version(void **state)
{
	const struct python_layout *l;

	(void)state;
	l = python_layout_find(0x030b02f0);
	assert_non_null(l);
	assert_int_equal(l->walk.version, 0x030b);
	assert_int_equal(l->walk.chain, PY_CHAIN_CFRAME);
	assert_usable(l);
	l = python_layout_find(0x030c01f0);
	assert_non_null(l);
	assert_int_equal(l->walk.version, 0x030c);
	assert_int_equal(l->walk.chain, PY_CHAIN_CFRAME_SHIM);
	assert_usable(l);
	assert_null(python_layout_find(0x030a0df0));
	assert_null(python_layout_find(0x030d00f0)); /* describes itself */
	assert_null(python_layout_find(0));
	assert_null(python_layout_find(UINT32_MAX));
}

static void debug_offsets_of_3_13(void **state)
{
	uint8_t bytes[SAMPLE_BYTES];
	struct python_layout l;

	(void)state;
	SAMPLE_FILL(bytes, sample_3_13);
	assert_int_equal(python_layout_from_debug_offsets(bytes, 584, &l), 0);
	assert_usable(&l);
	assert_int_equal(l.walk.version, 0x030d);
	assert_int_equal(l.walk.chain, PY_CHAIN_SHIM);
	assert_int_equal(l.walk.frame_size, 80);
	assert_int_equal(l.walk.frame_owner, 70);
	assert_int_equal(l.walk.frame_instr, 56);
	assert_int_equal(l.walk.tstate_frame, 72);
	assert_int_equal(l.walk.tstate_thread_id, 152);
	assert_int_equal(l.walk.tstate_datastack_chunk, 232);
	assert_int_equal(l.walk.tstate_base_frame, PY_OFFSET_NONE);
	assert_int_equal(l.walk.code_adaptive, 200);
	assert_int_equal(l.code_qualname, 128);
	assert_int_equal(l.code_linetable, 136);
	assert_int_equal(l.code_firstlineno, 68);
	assert_int_equal(l.unicode_ascii_data, 40);
	assert_int_equal(l.unicode_compact_data, 56);
	assert_int_equal(l.runtime_interpreters_head, 632);
	assert_int_equal(l.runtime_autotss_key, 2160);
	assert_int_equal(l.runtime_finalizing, 608);
	assert_int_equal(l.interp_next, 7264);
	assert_int_equal(l.interp_threads_head, 7344);
}

static void debug_offsets_of_3_14(void **state)
{
	uint8_t bytes[SAMPLE_BYTES];
	struct python_layout l;

	(void)state;
	SAMPLE_FILL(bytes, sample_3_14);
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), 0);
	assert_usable(&l);
	assert_int_equal(l.walk.version, 0x030e);
	assert_int_equal(l.walk.frame_size, 88);
	assert_int_equal(l.walk.frame_owner, 74);
	assert_int_equal(l.walk.code_adaptive, 208);
	assert_int_equal(l.walk.code_firsttraceable, 192);
	assert_int_equal(l.runtime_autotss_key, 2336);
	assert_int_equal(l.interp_next, 7272);
}

static void unsupported_builds(void **state)
{
	static const uint32_t versions[] = {0x030c00f0, 0x030f02f0, 0x040e00f0, 0};
	uint8_t bytes[SAMPLE_BYTES];
	struct python_layout l;

	(void)state;
	SAMPLE_FILL(bytes, sample_3_14);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		sample_set(bytes, 8, versions[i]);
		assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l),
				 -EOPNOTSUPP);
	}
	SAMPLE_FILL(bytes, sample_3_14);
	sample_set(bytes, 8, 0x1030e0af0ULL);
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), -EOPNOTSUPP);
	SAMPLE_FILL(bytes, sample_3_13);
	sample_set(bytes, 16, 1); /* free-threaded */
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), -EOPNOTSUPP);
	bytes[0] = 'X';
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), -EBADMSG);
	assert_int_equal(python_layout_from_debug_offsets(bytes, 0, &l), -EBADMSG);
}

/* Cut anywhere: never read beyond, never accepted. */
static void cut_tables(void **state)
{
	uint8_t bytes[SAMPLE_BYTES];

	(void)state;
	SAMPLE_FILL(bytes, sample_3_14);
	for (size_t size = 0; size < 760; size++) {
		uint8_t *copy = memcpy(test_malloc(size + 1), bytes, size);
		struct python_layout l;

		assert_int_equal(python_layout_from_debug_offsets(copy, size, &l), -EBADMSG);
		test_free(copy);
	}
}

/* Every field in turn gets values that cannot be: refused, or the layout stays in bounds. */
static void field_values_that_cannot_be(void **state)
{
	static const uint64_t values[] = {1,	   4,	       5000,	   65535,	  70000,
					  1 << 30, 1ULL << 32, UINT64_MAX, UINT64_MAX - 7};
	uint8_t bytes[SAMPLE_BYTES];
	size_t refused = 0, tried = 0;

	(void)state;
	for (size_t f = 2; f < sizeof(sample_3_14) / sizeof(sample_3_14[0]); f++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++, tried++) {
			struct python_layout l;
			int err;

			SAMPLE_FILL(bytes, sample_3_14);
			sample_set(bytes, sample_3_14[f].position, values[v]);
			err = python_layout_from_debug_offsets(bytes, sizeof(bytes), &l);
			refused += err == -EBADMSG;
			if (err == 0)
				assert_usable(&l);
			else
				assert_int_equal(err, -EBADMSG);
		}
	}
	assert_true(refused > tried * 8 / 10);
}

/* The positions of one minor version are not those of another: this must be noticed. */
static void wrong_row_is_noticed(void **state)
{
	uint8_t bytes[SAMPLE_BYTES];
	struct python_layout l;

	(void)state;
	SAMPLE_FILL(bytes, sample_3_13);
	sample_set(bytes, 8, 0x030e0af0);
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), -EBADMSG);
	SAMPLE_FILL(bytes, sample_3_14);
	sample_set(bytes, 8, 0x030d12f0);
	assert_int_equal(python_layout_from_debug_offsets(bytes, sizeof(bytes), &l), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_by_version),
		cmocka_unit_test(debug_offsets_of_3_13),
		cmocka_unit_test(debug_offsets_of_3_14),
		cmocka_unit_test(unsupported_builds),
		cmocka_unit_test(cut_tables),
		cmocka_unit_test(field_values_that_cannot_be),
		cmocka_unit_test(wrong_row_is_noticed),
	};

	return cmocka_run_group_tests_name("python_layout", tests, NULL, NULL);
}
