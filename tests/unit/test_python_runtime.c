/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery on hand-made processes of 3.12 and 3.11: what is proven, and what is not believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "abi/stop_reasons.h"
#include "debug_offsets_sample.h"
#include "fake_memory.h"
#include "python/python_runtime.h"

#define BIAS 0x1000ULL
#define RUNTIME (FAKE_BASE + 0x2000)
#define CODE_TYPE (FAKE_BASE + 0x8000)
#define CODE_TYPE_NAME (FAKE_BASE + 0x9000)
#define INTERPRETER (FAKE_BASE + 0x10000)
#define TSTATES (FAKE_BASE + 0x20000)
#define PTHREADS (FAKE_BASE + 0x40000)
#define SECOND_BLOCK (FAKE_BASE + 0x80000)
#define FRAME (FAKE_BASE + 0x90000)
#define THREADS 3

struct process {
	struct fake_memory fake;
	struct remote_memory memory;
	struct python_layout layout;
	struct python_facts facts;
	struct python_runtime found;
};

static uint64_t tstate_of(int thread)
{
	return TSTATES + 0x1000ULL * (unsigned)thread;
}

static uint64_t self_of(int thread)
{
	return PTHREADS + 0x1000ULL * (unsigned)thread;
}

static void put_slot(struct process *p, int thread, uint32_t key, uint64_t value)
{
	uint64_t block = self_of(thread) + 0x310;

	if (key >= 32) {
		block = SECOND_BLOCK + 0x1000ULL * (unsigned)thread;
		fake_u64(&p->fake, self_of(thread) + 0x510 + 8ULL * (key / 32), block);
	}
	fake_u64(&p->fake, block + 16ULL * (key % 32) + 8, value);
}

static void put_key(struct process *p, uint32_t key)
{
	fake_u32(&p->fake, RUNTIME + p->layout.runtime_autotss_key, 1);
	fake_u32(&p->fake, RUNTIME + p->layout.runtime_autotss_key + 4, key);
	for (int i = 0; i < THREADS; i++)
		put_slot(p, i, key, tstate_of(i));
}

static void put_threads(struct process *p)
{
	const struct py_layout *w = &p->layout.walk;

	fake_u64(&p->fake, RUNTIME + p->layout.runtime_interpreters_head, INTERPRETER);
	fake_u64(&p->fake, INTERPRETER + p->layout.interp_threads_head, tstate_of(0));
	for (int i = 0; i < THREADS; i++) {
		uint64_t cframe = tstate_of(i) + 0x400;

		fake_u64(&p->fake, tstate_of(i) + w->tstate_interp, INTERPRETER);
		fake_u64(&p->fake, tstate_of(i) + w->tstate_next,
			 i + 1 < THREADS ? tstate_of(i + 1) : 0);
		fake_u64(&p->fake, tstate_of(i) + w->tstate_thread_id, self_of(i));
		if (w->chain == PY_CHAIN_SHIM)
			fake_u64(&p->fake, tstate_of(i) + w->tstate_frame, FRAME);
		else
			fake_u64(&p->fake, tstate_of(i) + w->tstate_frame, cframe);
		fake_u64(&p->fake, cframe + w->cframe_current_frame % 4096, FRAME);
	}
}

static void put_code_type(struct process *p, uint64_t basicsize)
{
	fake_u64(&p->fake, CODE_TYPE + 24, CODE_TYPE_NAME);
	fake_u64(&p->fake, CODE_TYPE + 32, basicsize);
	fake_put(&p->fake, CODE_TYPE_NAME, "code", 5);
}

static int set_up(void **state, uint32_t version)
{
	struct process *p = calloc(1, sizeof(*p));

	p->memory = fake_memory_new(&p->fake);
	p->layout = *python_layout_find(version);
	p->facts = (struct python_facts){.eval_range_count = 1,
					 .version = version,
					 .eval_entry = 0x500000,
					 .runtime = RUNTIME - BIAS,
					 .code_type = CODE_TYPE - BIAS};
	put_code_type(p, p->layout.type_basicsize);
	put_threads(p);
	put_key(p, 1);
	*state = p;
	return 0;
}

static int set_up_3_12(void **state)
{
	return set_up(state, 0x030c01f0);
}

static int set_up_3_11(void **state)
{
	return set_up(state, 0x030b07f0);
}

static int tear_down(void **state)
{
	struct process *p = *state;

	free(p->fake.bytes);
	free(p);
	return 0;
}

static void expect(struct process *p, int err, enum stop_reason stop)
{
	assert_int_equal(python_runtime_discover(&p->memory, 1, &p->facts, BIAS, &p->found), err);
	assert_int_equal(p->found.config.stop, stop);
}

static void all_in_place(void **state)
{
	struct process *p = *state;

	expect(p, 0, STOP_NONE);
	assert_string_equal(p->found.version,
			    p->found.version_hex >> 16 == 0x030b ? "3.11.7" : "3.12.1");
	assert_int_equal(p->found.config.source, PY_TSTATE_PTHREAD_KEY);
	assert_int_equal(p->found.config.pthread_key, 1);
	assert_int_equal(p->found.config.specific_offset, 0x510);
	assert_int_equal(p->found.config.specific_first, 0x310);
	assert_int_equal(p->found.config.runtime, RUNTIME);
	assert_int_equal(p->found.config.code_type, CODE_TYPE);
	assert_int_equal(p->found.config.eval_entry, 0x500000 + BIAS);
	assert_int_equal(p->found.config.layout, 0);
	assert_int_equal(p->found.config.tstate_current,
			 p->layout.runtime_tstate_current == UINT32_MAX ? 0 : RUNTIME + 576);
}

static void key_in_the_second_block(void **state)
{
	struct process *p = *state;

	for (int i = 0; i < THREADS; i++)
		put_slot(p, i, 1, 0);
	put_key(p, 70);
	expect(p, 0, STOP_NONE);
	assert_int_equal(p->found.config.pthread_key, 70);
}

/* The key's offset moved: what the table points at is no key, or the wrong one. */
static void moved_key_is_searched(void **state)
{
	struct process *p = *state;
	uint64_t at = RUNTIME + p->layout.runtime_autotss_key;

	fake_u32(&p->fake, at, 0);
	expect(p, 0, STOP_NONE);
	assert_int_equal(p->found.config.pthread_key, 1);
	fake_u32(&p->fake, at, 1);
	fake_u32(&p->fake, at + 4, 9);
	expect(p, 0, STOP_NONE);
	assert_int_equal(p->found.config.pthread_key, 1);
	fake_u32(&p->fake, at + 4, UINT32_MAX);
	expect(p, 0, STOP_NONE);
	assert_int_equal(p->found.config.pthread_key, 1);
}

/* A thread state in the slot that names another thread proves nothing. */
static void another_threads_state_is_no_proof(void **state)
{
	struct process *p = *state;

	for (int i = 0; i < THREADS; i++)
		put_slot(p, i, 1, tstate_of((i + 1) % THREADS));
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
	assert_int_equal(p->found.config.source, PY_TSTATE_NONE);
	put_slot(p, 2, 1, tstate_of(2)); /* one thread is proof */
	expect(p, 0, STOP_NONE);
}

static void moved_head_is_searched(void **state)
{
	struct process *p = *state;

	fake_u64(&p->fake, RUNTIME + p->layout.runtime_interpreters_head, FAKE_BASE + 0xa0008);
	fake_u64(&p->fake, FAKE_BASE + 0xa0008 + p->layout.interp_threads_head, FAKE_BASE + 8);
	fake_u64(&p->fake, RUNTIME + 0x168, INTERPRETER);
	expect(p, 0, STOP_NONE);
	assert_int_equal(p->found.config.pthread_key, 1);
	assert_int_equal(p->found.config.tstate_current, 0); /* its offset moved too */
	fake_u64(&p->fake, RUNTIME + 0x168, 0);
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
}

static void start_up(void **state)
{
	struct process *p = *state;

	for (int i = 0; i < THREADS; i++) {
		put_slot(p, i, 1, 0);
		fake_u64(&p->fake, tstate_of(i) + p->layout.walk.tstate_frame, 0);
	}
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED); /* no key yet, and no Python runs */
	fake_u64(&p->fake, INTERPRETER + p->layout.interp_threads_head, 0);
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED); /* no thread */
	fake_u64(&p->fake, RUNTIME + p->layout.runtime_interpreters_head, 0);
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED); /* no interpreter */
}

/* ld.so maps the file as a whole first, then its parts, then relocates them. */
static void before_the_dynamic_linker_is_done(void **state)
{
	struct process *p = *state;

	fake_u64(&p->fake, CODE_TYPE + 24, 0x1234);
	fake_u64(&p->fake, CODE_TYPE + 32, 77);
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED);
	p->facts.code_type = 8 - BIAS;
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED);
}

static void endless_lists_end(void **state)
{
	struct process *p = *state;

	fake_u64(&p->fake, tstate_of(2) + p->layout.walk.tstate_next, tstate_of(0));
	fake_u64(&p->fake, INTERPRETER + p->layout.interp_next, INTERPRETER);
	expect(p, 0, STOP_NONE);
	assert_true(p->fake.reads < 100000);
}

/* Every word of _PyRuntime leads to an interpreter with a thread list that never ends. */
static void hostile_lists_are_bounded(void **state)
{
	struct process *p = *state;

	for (uint64_t at = 0; at < 0x1000; at += 8)
		fake_u64(&p->fake, RUNTIME + at, INTERPRETER);
	fake_u64(&p->fake, tstate_of(2) + p->layout.walk.tstate_next, tstate_of(0));
	fake_u64(&p->fake, INTERPRETER + p->layout.interp_next, INTERPRETER + 1);
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
	assert_true(p->fake.reads < 100000);
}

static void other_builds(void **state)
{
	struct process *p = *state;

	put_code_type(p, p->layout.type_basicsize + 16u);
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
	p->facts.code_type = 0;
	expect(p, 0, STOP_NONE);
	p->facts.code_type = CODE_TYPE - BIAS;
	fake_u64(&p->fake, CODE_TYPE + 24, 0);
	fake_u64(&p->fake, CODE_TYPE + 40, CODE_TYPE_NAME); /* PyObject has 32 bytes */
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
}

static void other_versions(void **state)
{
	static const struct {
		uint32_t version;
		uint64_t runtime_size;
		const char *text;
	} cases[] = {
		{0x02070000, 0, "2.7"},
		{0x03060000, 0, "3.6"},
		{0, 1520, "3.7"},
		{0, 1464, "3.8"},
		{0, 656, "3.9"},
		{0, 672, "3.10"},
		{0x030f02f0, 0, "3.15.2"},
		{0x030f00a3, 0, "3.15.0a3"},
		{0x030f00c1, 0, "3.15.0rc1"},
		{0, 5, ""},
		{0x030d00f0, 0, "3.13.0"},
	};
	struct process *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p->facts.version = cases[i].version;
		p->facts.runtime_size = cases[i].runtime_size;
		expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
		assert_string_equal(p->found.version, cases[i].text);
	}
	p->facts.eval_range_count = 0;
	expect(p, -EOPNOTSUPP, STOP_PY_NOT_PYTHON);
}

/* 3.13: the layout comes from _Py_DebugOffsets in the facts. */
static void by_debug_offsets(void **state)
{
	struct process *p = *state;

	memset(p->fake.bytes, 0, FAKE_BYTES);
	SAMPLE_FILL(p->facts.debug_offsets, sample_3_13);
	p->facts.debug_offsets_size = SAMPLE_BYTES;
	p->facts.version = 0x030d12f0;
	assert_int_equal(
		python_layout_from_debug_offsets(p->facts.debug_offsets, SAMPLE_BYTES, &p->layout),
		0);
	put_code_type(p, 200);
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED);
	put_threads(p);
	put_key(p, 1);
	expect(p, 0, STOP_NONE);
	assert_string_equal(p->found.version, "3.13.18");
	assert_int_equal(p->found.layout.walk.frame_size, 80);
	assert_int_equal(p->found.config.tstate_current, 0);
	fake_u64(&p->fake, RUNTIME + 608, tstate_of(0)); /* finalizing */
	expect(p, -EAGAIN, STOP_PY_NOT_INITIALIZED);
	sample_set(p->facts.debug_offsets, 272, 209);
	expect(p, -EOPNOTSUPP, STOP_PY_UNSUPPORTED);
}

#define BOTH(test)                                                                                 \
	cmocka_unit_test_setup_teardown(test, set_up_3_11, tear_down),                             \
		cmocka_unit_test_setup_teardown(test, set_up_3_12, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(all_in_place),
		BOTH(key_in_the_second_block),
		BOTH(moved_key_is_searched),
		BOTH(another_threads_state_is_no_proof),
		BOTH(moved_head_is_searched),
		BOTH(start_up),
		BOTH(before_the_dynamic_linker_is_done),
		BOTH(endless_lists_end),
		BOTH(hostile_lists_are_bounded),
		BOTH(other_builds),
		BOTH(other_versions),
		cmocka_unit_test_setup_teardown(by_debug_offsets, set_up_3_12, tear_down),
	};

	return cmocka_run_group_tests_name("python_runtime", tests, NULL, NULL);
}
