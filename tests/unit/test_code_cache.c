/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve/code_cache over a made-up process: one read per code object, one check
 * per epoch, a new version when the address holds another object, and what was
 * known stays when the process is gone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/cleanup.h"
#include "resolve/code_cache.h"
#include "unit/fake_code.h"

#define CODE (FAKE_BASE + 0x1000)

struct fixture {
	struct fake_memory *m;
	struct remote_memory remote;
	struct process_view view;
	struct code_cache *cache;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = fake_memory_new();
	f->remote = fake_remote(f->m);
	f->view = fake_python_view();
	assert_int_equal(code_cache__new(&f->remote, &f->cache), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	code_cache__free(f->cache);
	free(f->m);
	free(f);
	return 0;
}

static struct cached_code find(struct fixture *f, uint32_t process, uint64_t code, uint32_t epoch)
{
	struct cached_code cached = {0};

	assert_int_equal(code_cache__find(f->cache, &f->view, process, code, epoch, &cached), 0);
	assert_true((cached.code != NULL) == (cached.error == 0));
	return cached;
}

static void read_once_an_epoch(void **state)
{
	struct fixture *f = *state;
	struct cached_code first, again;
	uint32_t reads;

	fake_code(f->m, CODE, "/app/a.py", "C.method", 10);
	first = find(f, 0, CODE, 1);
	assert_non_null(first.code);
	assert_string_equal(first.code->name, "C.method");
	assert_string_equal(first.code->filename, "/app/a.py");
	assert_int_equal(first.code->first_line, 10);
	reads = f->m->reads;
	for (int i = 0; i < 100; i++)
		again = find(f, 0, CODE, 1);
	assert_int_equal(f->m->reads, reads);
	assert_ptr_equal(again.code, first.code);
	again = find(f, 0, CODE, 2); /* the header, once */
	find(f, 0, CODE, 2);
	assert_int_equal(f->m->reads, reads + 1);
	assert_int_equal(again.version, first.version);
	assert_string_equal(again.code->name, "C.method");
}

/* Reference counts and caches of a living object change: it is the same one. */
static void living_object_is_the_same(void **state)
{
	struct fixture *f = *state;
	uint32_t version;

	fake_code(f->m, CODE, "a.py", "f", 1);
	version = find(f, 0, CODE, 1).version;
	fake_put(f->m, CODE, 77, 8);
	fake_put(f->m, CODE + 144, 0x1234, 8); /* co_weakreflist */
	assert_int_equal(find(f, 0, CODE, 2).version, version);
}

static void another_object_is_another_version(void **state)
{
	struct fixture *f = *state;
	struct cached_code before, now;

	fake_code(f->m, CODE, "a.py", "f", 1);
	before = find(f, 0, CODE, 1);
	fake_code(f->m, CODE, "b.py", "g", 50);
	now = find(f, 0, CODE, 1); /* not seen within the epoch */
	assert_int_equal(now.version, before.version);
	assert_string_equal(now.code->name, "f");
	now = find(f, 0, CODE, 2);
	assert_true(now.version > before.version);
	assert_string_equal(now.code->name, "g");
	assert_string_equal(now.code->filename, "b.py");
	assert_int_equal(find(f, 0, CODE, 3).version, now.version);
}

static void kept_when_the_process_is_gone(void **state)
{
	struct fixture *f = *state;
	uint32_t version;

	fake_code(f->m, CODE, "a.py", "f", 1);
	version = find(f, 0, CODE, 1).version;
	f->m->gone = true;
	for (uint32_t epoch = 2; epoch < 5; epoch++) {
		struct cached_code cached = find(f, 0, CODE, epoch);

		assert_int_equal(cached.version, version);
		assert_string_equal(cached.code->name, "f");
	}
	assert_int_equal(find(f, 0, CODE + 0x400, 5).error, -ESRCH); /* never met while it lived */
}

static void unreadable_is_tried_again(void **state)
{
	struct fixture *f = *state;
	struct cached_code cached;
	uint32_t reads;

	fake_code(f->m, CODE, "a.py", "f", 1);
	f->m->hole = CODE & ~4095ull;
	cached = find(f, 0, CODE, 1);
	assert_null(cached.code);
	assert_int_equal(cached.error, -EFAULT);
	reads = f->m->reads;
	f->m->hole = 0;
	assert_int_equal(find(f, 0, CODE, 1).error, -EFAULT); /* never twice in an epoch */
	assert_int_equal(f->m->reads, reads);
	cached = find(f, 0, CODE, 2);
	assert_string_equal(cached.code->name, "f");
	/* its page goes and comes back: the same object, the same version */
	f->m->hole = CODE & ~4095ull;
	assert_int_equal(find(f, 0, CODE, 3).version, cached.version);
	f->m->hole = 0;
	assert_int_equal(find(f, 0, CODE, 4).version, cached.version);
}

static void not_a_code_object(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	fake_put(f->m, CODE + 8, FAKE_CODE_TYPE + 16, 8);
	assert_int_equal(find(f, 0, CODE, 1).error, -EBADMSG);
}

/* The sample may have met the old object or its successor: it gets no name rather than a guess. */
static void no_name_once_it_is_something_else(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	assert_string_equal(find(f, 0, CODE, 1).code->name, "f");
	fake_put(f->m, CODE + 8, FAKE_CODE_TYPE + 16, 8);
	assert_null(find(f, 0, CODE, 2).code);
	assert_int_equal(find(f, 0, CODE, 2).error, -EBADMSG);
}

/* One address in two processes, or in two programs under one pid: two objects. */
static void processes_are_apart(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	assert_string_equal(find(f, 0, CODE, 1).code->name, "f");
	fake_code(f->m, CODE, "b.py", "g", 1);
	assert_string_equal(find(f, 1, CODE, 1).code->name, "g");
	assert_string_equal(find(f, 0, CODE, 1).code->name, "f");
}

static void many_objects(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		fake_code(f->m, CODE + 256ull * i, "a.py", name, i);
	}
	for (uint32_t epoch = 1; epoch < 4; epoch++)
		for (uint32_t i = 0; i < 2000; i++) {
			snprintf(name, sizeof(name), "f%u", i);
			assert_string_equal(find(f, 0, CODE + 256ull * i, epoch).code->name, name);
		}
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(read_once_an_epoch),
		WITH_FIXTURE(living_object_is_the_same),
		WITH_FIXTURE(another_object_is_another_version),
		WITH_FIXTURE(kept_when_the_process_is_gone),
		WITH_FIXTURE(unreadable_is_tried_again),
		WITH_FIXTURE(not_a_code_object),
		WITH_FIXTURE(no_name_once_it_is_something_else),
		WITH_FIXTURE(processes_are_apart),
		WITH_FIXTURE(many_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
