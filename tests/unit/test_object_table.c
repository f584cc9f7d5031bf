/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow/object_table apart from a process: files that share bytes, names or
 * inodes, and what a worker that dies leaves of them. (With a process:
 * test_process_follower.) This program is the worker, too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "follow/object_table.h"

struct table { /* with a store that writes nowhere */
	struct symbol_worker *worker;
	struct table_store *store;
	struct object_table *objects;
	void *segments[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count, tables;
	char directory[64];
};

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	struct table *t = context;

	t->segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	assert_non_null(t->segments[number]);
	t->segment_count++;
	*ret_memory = t->segments[number];
	return 0;
}

static int write_table(void *context, uint32_t number, const struct unwind_table *table)
{
	(void)number, (void)table;
	((struct table *)context)->tables++;
	return 0;
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	(void)context, (void)number, (void)rule;
	return 0;
}

static struct table *table_new(void)
{
	struct table *t = calloc(1, sizeof(*t));
	struct table_store_ops ops = {make_segment, write_table, write_rule, t};

	assert_non_null(t);
	assert_int_equal(symbol_worker__new(&t->worker), 0);
	assert_int_equal(table_store__new(&ops, 64 << 20, &t->store), 0);
	assert_int_equal(object_table__new(t->worker, t->store, &t->objects), 0);
	strcpy(t->directory, "/tmp/mixprof-test-XXXXXX");
	assert_non_null(mkdtemp(t->directory));
	return t;
}

static void table_free(struct table *t)
{
	char command[128];

	object_table__free(t->objects);
	table_store__free(t->store);
	symbol_worker__free(t->worker);
	for (uint32_t i = 0; i < t->segment_count; i++)
		free(t->segments[i]);
	snprintf(command, sizeof(command), "rm -rf %s", t->directory);
	assert_int_equal(system(command), 0);
	free(t);
}
DEFINE_CLEANUP(struct table *, table_freep, table_free)

static const char *path_of(const struct table *t, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", t->directory, name);
	return path;
}

/* A copy of this program under a name, with `size` bytes of it. */
static void copy_self(const struct table *t, const char *name, size_t size)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path_of(t, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	static char bytes[16 << 20];
	ssize_t got = read(from, bytes, sizeof(bytes));

	assert_true(got > 0 && to >= 0);
	if ((size_t)got > size)
		got = (ssize_t)size;
	assert_int_equal(write(to, bytes, (size_t)got), got);
	close(from);
	close(to);
}

/* The object of a file by its path, mapped for a moment. */
static int object_of(struct table *t, const char *name, struct object **ret_object)
{
	int fd = open(path_of(t, name), O_RDONLY | O_CLOEXEC);
	_cleanup_(proc_maps_done) struct proc_maps maps = {0};
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	const struct proc_map *map;
	int err;

	assert_true(fd >= 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(proc_maps_read(getpid(), &maps), 0);
	map = proc_maps_find(&maps, (uint64_t)(uintptr_t)memory);
	assert_non_null(map);
	err = object_table__of_map(t->objects, getpid(), map, ret_object);
	munmap(memory, 4096);
	close(fd);
	return err;
}

static void known_by_the_file_itself(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new();
	struct object *first = NULL, *linked = NULL, *copy = NULL, *replaced = NULL;

	(void)state;
	copy_self(t, "a", SIZE_MAX);
	assert_int_equal(object_of(t, "a", &first), 0);
	assert_int_equal(first->number, 1);
	assert_int_not_equal(first->table, 0);
	assert_int_equal(t->tables, 1);
	assert_int_equal(object_of(t, "a", &linked), 0);
	assert_ptr_equal(first, linked);
	/* the same bytes and build-id in another file: another object */
	copy_self(t, "b", SIZE_MAX);
	assert_int_equal(object_of(t, "b", &copy), 0);
	assert_ptr_not_equal(first, copy);
	assert_memory_equal(first->facts.build_id, copy->facts.build_id, 32);
	/* an update under the old name: another object */
	assert_int_equal(unlink(path_of(t, "a")), 0);
	copy_self(t, "a", SIZE_MAX);
	assert_int_equal(object_of(t, "a", &replaced), 0);
	assert_ptr_not_equal(first, replaced);
	assert_int_equal(t->tables, 3);
	for (uint32_t n = 1; n <= 3; n++)
		assert_int_equal(object_table__find(t->objects, n)->number, n);
	assert_null(object_table__find(t->objects, 4));
}

static void unreadable_is_remembered(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new();
	struct object *object = NULL, *after = NULL;

	(void)state;
	copy_self(t, "cut", 40); /* less than a header */
	assert_int_equal(object_of(t, "cut", &object), -ENOENT);
	assert_int_equal(object_of(t, "cut", &object), -ENOENT);
	assert_null(object);
	copy_self(t, "whole", SIZE_MAX);
	assert_int_equal(object_of(t, "whole", &after), 0);
	assert_int_equal(t->tables, 1);
	assert_null(object_table__find(t->objects, after->number - 1));
	assert_ptr_equal(object_table__find(t->objects, after->number), after);
}

/* A worker that is gone is started again, and the objects stay. */
static void worker_dies(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new();
	struct object *first = NULL, *second = NULL, *vdso = NULL;

	(void)state;
	copy_self(t, "a", SIZE_MAX);
	copy_self(t, "b", SIZE_MAX);
	assert_int_equal(object_of(t, "a", &first), 0);
	kill(symbol_worker__pid(t->worker), SIGKILL);
	assert_int_equal(object_of(t, "b", &second), 0);
	assert_int_not_equal(second->table, 0);
	assert_ptr_equal(object_table__find(t->objects, first->number), first);
	kill(symbol_worker__pid(t->worker), SIGKILL);
	assert_int_equal(object_table__vdso(t->objects, &vdso), 0);
	assert_int_not_equal(vdso->table, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_by_the_file_itself),
		cmocka_unit_test(unreadable_is_remembered),
		cmocka_unit_test(worker_dies),
	};

	if (argc == 3 && strcmp(argv[1], "symbol-worker") == 0)
		return symbol_worker_main(atoi(argv[2]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
