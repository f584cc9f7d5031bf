/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow/process_follower on this very process, with arrays in place of the
 * sampler's maps and the real symbol worker (this program is the worker, too).
 * What the sampler is told must be what /proc/self says.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"
#include "follow/process_follower.h"

#define MAPPINGS 8192
#define PROCESSES 4
#define MS 1000000ull

struct arrays { /* the sampler's */
	struct mapping mappings[MAPPINGS];
	struct process_config processes[PROCESSES];
	struct py_layout layouts[PY_LAYOUTS_MAX];
	struct unwind_table tables[UNWIND_TABLES_MAX];
	struct unwind_rule rules[UNWIND_RULES_MAX];
	void *segments[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count;
	uint32_t slot_pid[PROCESSES];
	struct symbol_worker *worker;
	struct table_store *store;
	struct object_table *objects;
	struct process_follower *follower;
};

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	struct arrays *a = context;

	a->segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	assert_non_null(a->segments[number]);
	a->segment_count++;
	*ret_memory = a->segments[number];
	return 0;
}

static int write_table(void *context, uint32_t number, const struct unwind_table *table)
{
	((struct arrays *)context)->tables[number] = *table;
	return 0;
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	((struct arrays *)context)->rules[number] = *rule;
	return 0;
}

static int set_slot(void *context, uint32_t pid, uint32_t slot)
{
	assert_in_range(slot, 0, PROCESSES - 1);
	((struct arrays *)context)->slot_pid[slot] = pid;
	return 0;
}

static int clear_slot(void *context, uint32_t pid)
{
	(void)context, (void)pid;
	return 0;
}

static struct arrays *arrays_new_of(size_t mapping_count)
{
	struct arrays *a = calloc(1, sizeof(*a));
	struct table_store_ops ops = {make_segment, write_table, write_rule, a};
	struct follower_target target;

	assert_non_null(a);
	target = (struct follower_target){.mappings = a->mappings,
					  .mapping_count = mapping_count,
					  .processes = a->processes,
					  .process_count = PROCESSES,
					  .layouts = a->layouts,
					  .set_slot = set_slot,
					  .clear_slot = clear_slot,
					  .context = a};
	assert_int_equal(symbol_worker__new(&a->worker), 0);
	assert_int_equal(table_store__new(&ops, 64 << 20, &a->store), 0);
	assert_int_equal(object_table__new(a->worker, a->store, &a->objects), 0);
	assert_int_equal(
		process_follower__new(&target, a->objects, &remote_memory_live, &a->follower), 0);
	return a;
}

static struct arrays *arrays_new(void)
{
	return arrays_new_of(MAPPINGS);
}

static void arrays_free(struct arrays *a)
{
	process_follower__free(a->follower);
	object_table__free(a->objects);
	table_store__free(a->store);
	symbol_worker__free(a->worker);
	for (uint32_t i = 0; i < a->segment_count; i++)
		free(a->segments[i]);
	free(a);
}
DEFINE_CLEANUP(struct arrays *, arrays_freep, arrays_free)

/* mm->exec_vm in pages, by the kernel's own sum: VmLib = exec_vm - VmExe. */
static uint64_t exec_pages(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	uint64_t kb = 0, part;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmExe: %lu", &part) == 1 ||
		    sscanf(line, "VmLib: %lu", &part) == 1)
			kb += part;
	return kb / 4;
}

/* The view and the sampler's run are the executable lines of /proc/PID/maps, all of them. */
static void expect_maps(struct arrays *a, pid_t pid, uint32_t slot)
{
	const struct process_view *view = process_follower__view(a->follower, pid);
	const struct process_config *config = &a->processes[slot];
	const struct mapping *run = &a->mappings[config->mapping_run >> 32];
	char path[64], line[512];
	uint32_t count = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(view);
	assert_int_equal(view->pid, pid);
	assert_int_equal((uint32_t)config->mapping_run, view->mapping_count);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end, offset, inode;
		char rights[5], name[256] = "";
		const struct view_mapping *m = &view->mappings[count];

		assert_true(sscanf(line, "%lx-%lx %4s %lx %*s %lu %255[^\n]", &start, &end, rights,
				   &offset, &inode, name) >= 5);
		if (rights[2] != 'x' || strcmp(name, "[vsyscall]") == 0)
			continue;
		assert_in_range(count, 0, view->mapping_count - 1);
		assert_int_equal(m->start, start);
		assert_int_equal(m->end, end);
		assert_int_equal(m->offset, offset);
		assert_string_equal(process_view_path(view, m), name);
		assert_int_equal(!!(m->flags & MAPPING_ANONYMOUS),
				 !inode && strcmp(name, "[vdso]"));
		assert_int_equal(m->object != 0, inode || strcmp(name, "[vdso]") == 0);
		assert_int_equal(run[count].start, start);
		assert_int_equal(run[count].end, end);
		assert_int_equal(run[count].bias, m->bias);
		assert_int_equal(run[count].flags, m->flags);
		assert_int_equal(run[count].table != 0, m->object != 0);
		count++;
	}
	fclose(f);
	assert_int_equal(count, view->mapping_count);
	assert_int_equal(config->mm_exec_vm, exec_pages(pid));
}

static struct arrays *following_self(void)
{
	struct arrays *a = arrays_new();

	assert_int_equal(process_follower__add(a->follower, getpid()), 0);
	assert_int_equal(a->slot_pid[0], getpid());
	return a;
}

static void self_is_followed(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	const struct process_view *view = process_follower__view(a->follower, getpid());
	const struct process_config *config = &a->processes[0];

	(void)state;
	expect_maps(a, getpid(), 0);
	assert_int_equal(view->has_python, 0);
	assert_int_equal(view->start_ns, 0);
	assert_int_equal(config->python.stop, STOP_PY_NOT_PYTHON);
	assert_int_not_equal(config->generation, 0);
	assert_int_equal(config->generation & 1, 0);
	assert_int_equal(process_follower__add(a->follower, getpid()), 0); /* once more: nothing */
	assert_int_equal(config->mapping_run >> 32, 0);
	assert_false(process_follower__all_gone(a->follower));
}

/* bias: address - elf vaddr, checked where the dynamic loader knows the answer. */
static void biases(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	const struct process_view *view = process_follower__view(a->follower, getpid());
	void *functions[] = {(void *)(uintptr_t)biases, dlsym(RTLD_DEFAULT, "qsort"),
			     dlsym(RTLD_DEFAULT, "dlopen")};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct view_mapping *m =
			process_view_find(view, (uint64_t)(uintptr_t)functions[i]);
		Dl_info info;

		assert_non_null(m);
		assert_int_not_equal(dladdr(functions[i], &info), 0);
		assert_int_equal(m->bias, (uint64_t)(uintptr_t)info.dli_fbase);
	}
}

static void *new_library(void)
{
	/* any that this program does not have; all of glibc or of its friends */
	static const char *const names[] = {"libanl.so.1", "libnss_compat.so.2", "libresolv.so.2",
					    "libutil.so.1", "libthread_db.so.1"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!dlopen(names[i], RTLD_NOW | RTLD_NOLOAD)) {
			void *library = dlopen(names[i], RTLD_NOW);

			if (library)
				return library;
		}
	return NULL;
}

static void library_appears(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	struct process_config *config = &a->processes[0];
	uint64_t first_run = config->mapping_run, now = 1000 * MS;
	uint32_t generation = config->generation;
	struct mapping *before;
	void *library;

	(void)state;
	/* the first sample tells the identity */
	assert_int_equal(process_follower__refresh(a->follower, getpid(), 11, 22, now), 1);
	assert_int_equal(config->start_ns, 11);
	assert_int_equal(config->exec_id, 22);
	assert_int_equal(config->mapping_run, first_run);
	assert_int_equal(config->generation, generation + 2);
	before = malloc((uint32_t)first_run * sizeof(*before));
	assert_non_null(before);
	memcpy(before, a->mappings, (uint32_t)first_run * sizeof(*before));
	library = new_library();
	assert_non_null(library);
	assert_int_equal(process_follower__refresh(a->follower, getpid(), 11, 22, now + MS), 0);
	now += 100 * MS;
	assert_int_equal(process_follower__refresh(a->follower, getpid(), 11, 22, now), 1);
	assert_int_equal((uint32_t)config->mapping_run, (uint32_t)first_run + 1);
	expect_maps(a, getpid(), 0);
	/* a walk that began with the old run still finds it */
	assert_memory_equal(before, a->mappings + (first_run >> 32),
			    (uint32_t)first_run * sizeof(*before));
	free(before);
	dlclose(library);
}

/* Each change takes a new run; within the grace period none is one of the last second's. */
static void old_runs_rest(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	struct process_config *config = &a->processes[0];
	uint64_t runs[60], put_ns[60], now = 1000 * MS;
	void *code = NULL;

	(void)state;
	process_follower__refresh(a->follower, getpid(), 1, 1, now);
	for (int i = 0; i < 60; i++) {
		runs[i] = config->mapping_run;
		if (code)
			munmap(code, 4096);
		code = code ? NULL
			    : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);
		now += 50 * MS;
		put_ns[i] = now;
		assert_int_equal(process_follower__refresh(a->follower, getpid(), 1, 1, now), 1);
		expect_maps(a, getpid(), 0);
		for (int n = 0; n <= i; n++) {
			uint64_t first = config->mapping_run >> 32;
			uint64_t end = first + (uint32_t)config->mapping_run;
			uint64_t old = runs[n] >> 32, old_end = old + (uint32_t)runs[n];

			if (now - put_ns[n] < 1000 * MS)
				assert_true(end <= old || old_end <= first);
		}
	}
	assert_true(config->mapping_run >> 32 < 40 * (uint32_t)runs[0]); /* they are reused */
	if (code)
		munmap(code, 4096);
}

/* Rights that change without a mapping's place: the sampler's staleness check must be told. */
static void exec_vm_follows_rights(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = arrays_new();
	void *code = mmap(NULL, 1 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t before;

	(void)state;
	assert_ptr_not_equal(code, MAP_FAILED);
	assert_int_equal(process_follower__add(a->follower, getpid()), 0);
	expect_maps(a, getpid(), 0);
	before = a->processes[0].mm_exec_vm;
	assert_int_equal(mprotect(code, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	assert_int_equal(exec_pages(getpid()), before - 256);
	process_follower__refresh(a->follower, getpid(), 0, 0, 5000 * MS);
	expect_maps(a, getpid(), 0);
	munmap(code, 1 << 20);
}

static void refreshes_grow_rarer(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	uint64_t now = 10000 * MS;

	(void)state;
	process_follower__refresh(a->follower, getpid(), 1, 1, now);
	for (; now < 14000 * MS; now += MS) /* nothing changes */
		assert_int_equal(process_follower__refresh(a->follower, getpid(), 1, 1, now), 0);
	{
		void *code =
			mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint64_t start = now;

		while (process_follower__refresh(a->follower, getpid(), 1, 1, now) == 0 &&
		       now < start + 3000 * MS)
			now += MS;
		assert_true(now - start > 4 * MS); /* it had slowed down */
		assert_true(now - start <= 1000 * MS);
		munmap(code, 4096);
		start = now; /* and is quick again after a change */
		while (process_follower__refresh(a->follower, getpid(), 1, 1, now) == 0 &&
		       now < start + 3000 * MS)
			now += MS;
		assert_int_equal(now - start, 4 * MS);
	}
}

/* The same pid, another program: all is read again at once. */
static void exec_is_another_program(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = arrays_new();
	int to_child[2], from_child[2], status;
	struct process_config *config = &a->processes[0];
	const struct process_view *view;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(to_child), 0);
	assert_int_equal(pipe(from_child), 0);
	pid = fork();
	if (pid == 0) {
		dup2(to_child[0], 0);
		dup2(from_child[1], 1);
		if (read(0, &byte, 1) == 1)
			execl("/bin/cat", "cat", NULL);
		_exit(1);
	}
	assert_int_equal(process_follower__add(a->follower, pid), 0);
	assert_int_equal(process_follower__refresh(a->follower, pid, 5, 1, 1000 * MS), 1);
	expect_maps(a, pid, 0);
	assert_int_equal(write(to_child[1], "xy", 2), 2);
	assert_int_equal(read(from_child[0], &byte, 1), 1); /* cat's echo */
	assert_int_equal(process_follower__refresh(a->follower, pid, 5, 2, 1000 * MS + 1), 1);
	expect_maps(a, pid, 0);
	view = process_follower__view(a->follower, pid);
	assert_string_equal(view->comm, "cat");
	assert_int_equal(view->exec_id, 2);
	assert_int_equal(config->exec_id, 2);
	assert_false(process_follower__all_gone(a->follower));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(process_follower__all_gone(a->follower));
	assert_int_equal(process_follower__refresh(a->follower, pid, 5, 3, 9000 * MS), -ESRCH);
	assert_non_null(process_follower__view(a->follower, pid)); /* its samples may still come */
	assert_int_equal(process_follower__add(a->follower, pid), 0); /* still followed */
	for (int i = 0; i < 2; i++) {
		close(to_child[i]);
		close(from_child[i]);
	}
}

static void refusals(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = arrays_new();
	_cleanup_(arrays_freep) struct arrays *small = arrays_new_of(2);
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	waitpid(pid, &status, 0);
	assert_int_equal(process_follower__add(a->follower, pid), -ESRCH);
	assert_null(process_follower__view(a->follower, pid));
	assert_int_equal(process_follower__refresh(a->follower, getpid(), 1, 1, 1), -ENOENT);
	assert_true(process_follower__all_gone(a->follower));
	/* no room for the mappings: nothing in force, and the next process fits */
	assert_int_equal(process_follower__add(small->follower, getpid()), -ENOSPC);
	assert_null(process_follower__view(small->follower, getpid()));
	assert_int_equal(small->processes[0].mapping_run, 0);
	assert_int_equal(small->processes[0].generation, 0);
}

/* --- Python --- */

static pid_t start_python(void)
{
	int out[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		close(2);
		execlp("python3", "python3", "-c",
		       "print(1, flush=True); import time; time.sleep(60)", NULL);
		_exit(1);
	}
	close(out[1]);
	if (read(out[0], &byte, 1) != 1)
		pid = 0;
	close(out[0]);
	return pid;
}

static const struct view_mapping *interpreter_of(const struct process_view *view)
{
	for (size_t i = 0; i < view->mapping_count; i++)
		if (view->mappings[i].flags & MAPPING_INTERPRETER)
			return &view->mappings[i];
	return NULL;
}

/* Sixteen equal observations, and the sampler is told; one that differs, and it never is again. */
static void resync_is_learned(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = arrays_new();
	const struct py_process *python = &a->processes[0].python;
	const struct process_view *view;
	const struct view_mapping *m;
	const struct object *object;
	pid_t pid = start_python();
	uint64_t pc;

	(void)state;
	if (!pid) {
		print_message("there is no python3 here\n");
		skip();
	}
	assert_int_equal(process_follower__add(a->follower, pid), 0);
	expect_maps(a, pid, 0);
	view = process_follower__view(a->follower, pid);
	m = interpreter_of(view);
	assert_non_null(m);
	object = object_table__find(a->objects, m->object);
	if (python->stop) { /* a version without a layout */
		assert_true(python->stop >= 64);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		print_message("python3 is of a version that is not supported yet\n");
		skip();
	}
	assert_int_not_equal(view->has_python, 0);
	assert_memory_equal(&a->layouts[python->layout], &view->layout.walk,
			    sizeof(view->layout.walk));
	pc = object->facts.python.eval_entry + m->bias + 16;
	for (int i = 0; i < 15; i++)
		process_follower__observe_eval(a->follower, pid, pc, 0x150);
	assert_int_equal(python->resync_delta, 0);
	process_follower__observe_eval(a->follower, pid, 0x1000, 0x999); /* nowhere */
	process_follower__observe_eval(a->follower, pid, pc, 0x150);
	assert_int_equal(python->resync_delta, 0x150);
	assert_int_equal(python->eval_entry, object->facts.python.eval_entry + m->bias);
	assert_int_equal(python->resync_rbp, object->eval.rbp_offset);
	assert_int_not_equal(object->eval.rbp_offset, 0); /* no build leaves rbp alone */
	assert_int_equal(a->processes[0].generation & 1, 0);
	/* a refresh keeps what was learned */
	process_follower__refresh(a->follower, pid, 1, 1, 1000 * MS);
	assert_int_equal(python->resync_delta, 0x150);
	process_follower__observe_eval(a->follower, pid, pc, 0x158);
	assert_int_equal(python->resync_delta, 0);
	for (int i = 0; i < 100; i++)
		process_follower__observe_eval(a->follower, pid, pc, 0x158);
	process_follower__refresh(a->follower, pid, 1, 2, 2000 * MS);
	assert_int_equal(python->resync_delta, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- objects --- */

static void file_is_one_object(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = following_self();
	const struct process_view *view = process_follower__view(a->follower, getpid());
	_cleanup_(proc_maps_done) struct proc_maps maps = {0};
	struct table_store_stats before, after;
	struct object *object = NULL, *vdso = NULL, *again = NULL;

	(void)state;
	table_store__stats(a->store, &before);
	assert_int_equal(proc_maps_read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps.count; i++) {
		const struct view_mapping *m = process_view_find(view, maps.maps[i].start);

		if (!maps.maps[i].inode || !m)
			continue;
		assert_int_equal(object_table__of_map(a->objects, getpid(), &maps.maps[i], &object),
				 0);
		assert_int_equal(object->number, m->object);
		assert_ptr_equal(object_table__find(a->objects, m->object), object);
		assert_int_not_equal(object->table, 0);
		assert_int_not_equal(a->tables[object->table].rows, 0);
	}
	assert_int_equal(object_table__vdso(a->objects, &vdso), 0);
	assert_int_equal(object_table__vdso(a->objects, &again), 0);
	assert_ptr_equal(vdso, again);
	table_store__stats(a->store, &after);
	assert_int_equal(before.tables, after.tables); /* nothing was read twice */
	assert_null(object_table__find(a->objects, 0));
	assert_null(object_table__find(a->objects, 100000));
}

static void text_is_no_object(void **state)
{
	_cleanup_(arrays_freep) struct arrays *a = arrays_new();
	char path[] = "/tmp/mixprof-test-XXXXXX";
	int fd = mkstemp(path);
	_cleanup_(proc_maps_done) struct proc_maps maps = {0};
	const struct proc_map *map;
	struct object *object = NULL;
	void *memory;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	memory = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	unlink(path);
	if (memory == MAP_FAILED) { /* /tmp is mounted noexec */
		close(fd);
		print_message("/tmp is mounted noexec\n");
		skip();
	}
	assert_int_equal(process_follower__add(a->follower, getpid()), 0);
	assert_int_equal(proc_maps_read(getpid(), &maps), 0);
	map = proc_maps_find(&maps, (uint64_t)(uintptr_t)memory);
	assert_non_null(map);
	for (int i = 0; i < 2; i++) /* remembered */
		assert_int_equal(object_table__of_map(a->objects, getpid(), map, &object), -ENOENT);
	assert_null(object);
	{
		const struct process_view *view = process_follower__view(a->follower, getpid());
		const struct view_mapping *m = process_view_find(view, (uint64_t)(uintptr_t)memory);

		assert_non_null(m); /* it stays, without an object, and is not anonymous */
		assert_int_equal(m->object, 0);
		assert_int_equal(m->flags, 0);
	}
	munmap(memory, 8192);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_is_followed),	   cmocka_unit_test(biases),
		cmocka_unit_test(library_appears),	   cmocka_unit_test(old_runs_rest),
		cmocka_unit_test(exec_vm_follows_rights),  cmocka_unit_test(refreshes_grow_rarer),
		cmocka_unit_test(exec_is_another_program), cmocka_unit_test(refusals),
		cmocka_unit_test(resync_is_learned),	   cmocka_unit_test(file_is_one_object),
		cmocka_unit_test(text_is_no_object),
	};

	if (argc == 3 && strcmp(argv[1], "symbol-worker") == 0)
		return symbol_worker_main(atoi(argv[2]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
