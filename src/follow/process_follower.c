// SPDX-License-Identifier: Apache-2.0
/*
 * One entry per followed process: pidfd, the view (process_view.h), and the slot
 * in the sampler's arrays.
 *
 * How a change reaches the sampler: a new list of mappings is written to a free
 * run of the pool and put in force by one 64-bit store; a walk under way keeps
 * the old run, which rests before it is reused. What is larger than a word (the
 * Python part, the identity) changes under an odd generation, which the sampler
 * takes as "not now".
 */
#include "follow/process_follower.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"
#include "follow/run_pool.h"

#define PROCESSES_FOLLOWED_MAX 4096
#define RUN_GRACE_NS 1000000000ull
#define REFRESH_INTERVAL_MIN_NS 4000000ull
#define REFRESH_INTERVAL_MAX_NS 1000000000ull
/* Equal observations of CFA - shim before the resync point is used. */
#define EVAL_OBSERVATIONS 16

struct followed {
	pid_t pid;
	int pidfd;
	uint32_t slot;
	struct process_view view;
	struct py_process python;   /* as the sampler has it */
	struct object *interpreter; /* the file the Python runtime is in; NULL: none */
	uint64_t interpreter_bias;
	uint64_t run; /* mapping_run in force */
	uint64_t refreshed_ns;
	uint64_t interval_ns; /* until the next refresh may be */
};

struct process_follower {
	struct follower_target target;
	struct object_table *objects;
	const struct remote_memory *memory;
	struct run_pool *pool;
	struct followed *processes[PROCESSES_FOLLOWED_MAX];
	uint32_t count;
	uint32_t layout_count;
};

int process_follower__new(const struct follower_target *target, struct object_table *objects,
			  const struct remote_memory *memory,
			  struct process_follower **ret_follower)
{
	struct process_follower *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->target = *target;
	f->objects = objects;
	f->memory = memory;
	f->layout_count = 1; /* 0 stays empty: "no layout" */
	err = run_pool__new(target->mapping_count, RUN_GRACE_NS, &f->pool);
	if (err) {
		free(f);
		return err;
	}
	*ret_follower = f;
	return 0;
}

static void followed_free(struct followed *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	process_view_done(&p->view);
	free(p);
}

void process_follower__free(struct process_follower *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->count; i++)
		followed_free(f->processes[i]);
	run_pool__free(f->pool);
	free(f);
}

static struct followed *find_followed(const struct process_follower *f, pid_t pid)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->processes[i]->pid == pid)
			return f->processes[i];
	return NULL;
}

static bool is_alive(const struct followed *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};

	return p->pidfd >= 0 && poll(&poll_fd, 1, 0) == 0;
}

static void read_comm(pid_t pid, char comm[static 16])
{
	char path[64];
	_cleanup_fclose_ FILE *f = NULL;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	n = f ? fread(comm, 1, 15, f) : 0;
	comm[n] = '\0';
	if (n && comm[n - 1] == '\n')
		comm[n - 1] = '\0';
}

/* One executable mapping: which file, at what bias. Unreadable ones stay, without an object. */
static void fill_mapping(struct process_follower *f, struct followed *p, const struct proc_map *map,
			 struct view_mapping *to)
{
	struct object *object = NULL; /* stays so where there is none */

	if (strcmp(map->path, "[vdso]") == 0)
		(void)object_table__vdso(f->objects, &object);
	else if (map->inode)
		(void)object_table__of_map(f->objects, p->pid, map, &object);
	to->flags = map->inode || object ? 0 : MAPPING_ANONYMOUS;
	if (!object || !object_facts_bias(&object->facts, map->start, map->offset, &to->bias))
		return;
	to->object = object->number;
	if (object->facts.python.eval_range_count)
		to->flags |= MAPPING_INTERPRETER;
}

/* Reuses what the last view knew of an unchanged mapping, so that a refresh opens no file again. */
static bool copy_known(const struct process_view *old, const struct proc_map *map, const char *path,
		       struct view_mapping *to)
{
	const struct view_mapping *known = process_view_find(old, map->start);

	if (!known || known->start != map->start || known->end != map->end ||
	    known->offset != map->offset || known->inode != to->inode ||
	    known->device != to->device || strcmp(process_view_path(old, known), path) != 0)
		return false;
	to->object = known->object;
	to->bias = known->bias;
	to->flags = known->flags;
	return true;
}

static int build_view(struct process_follower *f, struct followed *p, const struct proc_maps *maps,
		      struct process_view *view)
{
	_cleanup_(buffer_done) struct buffer paths = {0};

	view->mappings = calloc(MAPPINGS_PER_PROCESS_MAX, sizeof(*view->mappings));
	if (!view->mappings)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count && view->mapping_count < MAPPINGS_PER_PROCESS_MAX; i++) {
		const struct proc_map *map = &maps->maps[i];
		struct view_mapping *to = &view->mappings[view->mapping_count];

		if (!map->executable || strcmp(map->path, "[vsyscall]") == 0)
			continue;
		*to = (struct view_mapping){.start = map->start,
					    .end = map->end,
					    .offset = map->offset,
					    .path = paths.size,
					    .device = map->device_major << 20 | map->device_minor,
					    .inode = map->inode};
		if (!copy_known(&p->view, map, map->path, to))
			fill_mapping(f, p, map, to);
		buffer_append(&paths, map->path, strlen(map->path) + 1);
		view->mapping_count++;
	}
	buffer_u8(&paths, 0); /* never empty */
	if (paths.failed)
		return -ENOMEM;
	view->paths_size = paths.size;
	view->paths = (char *)take_ptr(paths.data);
	return 0;
}

/* As the kernel counts mm->exec_vm: executable, not writable (mm/mmap.c, is_exec_mapping). */
static uint64_t executable_pages(const struct proc_maps *maps)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < maps->count; i++)
		if (maps->maps[i].executable && !maps->maps[i].writable &&
		    strcmp(maps->maps[i].path, "[vsyscall]") != 0)
			bytes += maps->maps[i].end - maps->maps[i].start;
	return bytes / 4096;
}

static int publish_mappings(struct process_follower *f, struct followed *p,
			    const struct process_view *view, uint64_t now_ns)
{
	struct process_config *config = &f->target.processes[p->slot];
	uint32_t count = view->mapping_count, first = 0;
	uint64_t old = p->run;
	int err = count ? run_pool__take(f->pool, count, now_ns, &first) : 0;

	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		const struct view_mapping *from = &view->mappings[i];
		struct object *object = object_table__find(f->objects, from->object);

		f->target.mappings[first + i] = (struct mapping){
			.start = from->start,
			.end = from->end,
			.bias = from->bias,
			.table = object ? object->table : 0,
			.flags = from->flags,
		};
	}
	p->run = (uint64_t)first << 32 | count;
	__atomic_store_n(&config->mapping_run, p->run, __ATOMIC_RELEASE);
	run_pool__put(f->pool, old >> 32, (uint32_t)old, now_ns);
	return 0;
}

static bool same_mappings(const struct process_view *a, const struct process_view *b)
{
	return a->mappings && a->mapping_count == b->mapping_count &&
	       a->paths_size == b->paths_size &&
	       memcmp(a->mappings, b->mappings, a->mapping_count * sizeof(*a->mappings)) == 0 &&
	       memcmp(a->paths, b->paths, a->paths_size) == 0;
}

/* The layout's number in the sampler's array; equal layouts share one. 0: no room. */
static uint32_t layout_number(struct process_follower *f, const struct py_layout *layout)
{
	for (uint32_t i = 1; i < f->layout_count; i++)
		if (memcmp(&f->target.layouts[i], layout, sizeof(*layout)) == 0)
			return i;
	if (f->layout_count >= PY_LAYOUTS_MAX)
		return 0;
	f->target.layouts[f->layout_count] = *layout;
	return f->layout_count++;
}

/* The mapping that holds the interpreter: the first with an eval function, as the loader orders
 * them. */
static const struct view_mapping *find_interpreter(struct process_follower *f,
						   const struct process_view *view,
						   struct object **ret_object)
{
	for (size_t i = 0; i < view->mapping_count; i++) {
		if (!(view->mappings[i].flags & MAPPING_INTERPRETER))
			continue;
		*ret_object = object_table__find(f->objects, view->mappings[i].object);
		if (*ret_object)
			return &view->mappings[i];
	}
	return NULL;
}

static void fill_resync(const struct object *object, uint64_t bias, struct py_process *python)
{
	if (object->eval.contradicted || object->eval.observations < EVAL_OBSERVATIONS)
		return;
	python->resync_delta = object->eval.delta;
	python->resync_rbp = object->eval.rbp_offset;
	python->resync_rbx = object->eval.rbx_offset;
	python->eval_entry = object->facts.python.eval_entry + bias;
}

/* What the sampler is told of the process's Python; view gets the layout and version. */
static void discover_python(struct process_follower *f, struct followed *p,
			    struct process_view *view, struct py_process *python)
{
	struct python_runtime runtime = {0};
	const struct view_mapping *mapping = find_interpreter(f, view, &p->interpreter);
	int err;

	*python = (struct py_process){.stop = STOP_PY_NOT_PYTHON};
	if (!mapping) {
		p->interpreter = NULL;
		return;
	}
	p->interpreter_bias = mapping->bias;
	err = python_runtime_discover(f->memory, p->pid, &p->interpreter->facts.python,
				      mapping->bias, &runtime);
	memcpy(view->version, runtime.version, sizeof(view->version));
	*python = runtime.config;
	view->has_python = 1;
	if (err) {
		if (!python->stop)
			python->stop =
				err == -EAGAIN ? STOP_PY_NOT_INITIALIZED : STOP_PY_UNSUPPORTED;
		return;
	}
	view->layout = runtime.layout;
	view->code_type = runtime.config.code_type;
	python->layout = layout_number(f, &runtime.layout.walk);
	if (!python->layout)
		python->stop = STOP_PY_BAD_LAYOUT;
	fill_resync(p->interpreter, p->interpreter_bias, python);
}

static void publish_rest(struct process_follower *f, struct followed *p)
{
	struct process_config *config = &f->target.processes[p->slot];
	uint32_t generation = config->generation | 1;

	__atomic_store_n(&config->generation, generation, __ATOMIC_SEQ_CST);
	config->start_ns = p->view.start_ns;
	config->exec_id = p->view.exec_id;
	config->python = p->python;
	__atomic_store_n(&config->generation, generation + 1, __ATOMIC_SEQ_CST);
}

/* Reads the process anew. 1: something changed. */
static int reload(struct process_follower *f, struct followed *p, uint64_t start_ns,
		  uint64_t exec_id, uint64_t now_ns)
{
	_cleanup_(process_view_done) struct process_view view = {.pid = p->pid};
	_cleanup_(proc_maps_done) struct proc_maps maps = {0};
	struct py_process python;
	bool changed, same_maps;
	int err = proc_maps_read(p->pid, &maps);

	if (err)
		return err;
	view.start_ns = start_ns;
	view.exec_id = exec_id;
	read_comm(p->pid, view.comm);
	err = build_view(f, p, &maps, &view);
	if (err)
		return err;
	discover_python(f, p, &view, &python);
	same_maps = same_mappings(&p->view, &view);
	if (!same_maps) {
		err = publish_mappings(f, p, &view, now_ns);
		if (err)
			return err;
	}
	/* rights can change where places do not */
	__atomic_store_n(&f->target.processes[p->slot].mm_exec_vm, executable_pages(&maps),
			 __ATOMIC_RELEASE);
	changed = !same_maps || p->view.start_ns != start_ns || p->view.exec_id != exec_id ||
		  memcmp(&p->python, &python, sizeof(python)) != 0;
	process_view_done(&p->view);
	p->view = view;
	memset(&view, 0, sizeof(view));
	p->python = python;
	if (changed)
		publish_rest(f, p);
	return changed;
}

int process_follower__add(struct process_follower *f, pid_t pid)
{
	struct followed *p;
	int err;

	if (find_followed(f, pid))
		return 0;
	if (f->count == PROCESSES_FOLLOWED_MAX || f->count >= f->target.process_count)
		return -ENOSPC;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->slot = f->count;
	p->interval_ns = REFRESH_INTERVAL_MIN_NS;
	p->pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (p->pidfd < 0) {
		err = -errno;
		free(p);
		return err;
	}
	err = reload(f, p, 0, 0, 0);
	if (err < 0) {
		followed_free(p);
		return err;
	}
	f->processes[f->count++] = p;
	return f->target.set_slot(f->target.context, pid, p->slot);
}

int process_follower__refresh(struct process_follower *f, pid_t pid, uint64_t start_ns,
			      uint64_t exec_id, uint64_t now_ns)
{
	struct followed *p = find_followed(f, pid);
	bool new_program;
	int changed;

	if (!p)
		return -ENOENT;
	new_program = p->view.start_ns != start_ns || p->view.exec_id != exec_id;
	if (!new_program && now_ns - p->refreshed_ns < p->interval_ns)
		return 0;
	if (!is_alive(p)) /* its pid may be another's by now */
		return -ESRCH;
	p->refreshed_ns = now_ns;
	changed = reload(f, p, start_ns, exec_id, now_ns);
	if (changed < 0)
		return changed;
	p->interval_ns = changed ? REFRESH_INTERVAL_MIN_NS : p->interval_ns * 2;
	if (p->interval_ns > REFRESH_INTERVAL_MAX_NS)
		p->interval_ns = REFRESH_INTERVAL_MAX_NS;
	return changed;
}

const struct process_view *process_follower__view(const struct process_follower *f, pid_t pid)
{
	struct followed *p = find_followed(f, pid);

	return p ? &p->view : NULL;
}

void process_follower__observe_eval(struct process_follower *f, pid_t pid, uint64_t pc,
				    uint64_t delta)
{
	struct followed *p = find_followed(f, pid);
	const struct view_mapping *mapping = p ? process_view_find(&p->view, pc) : NULL;
	struct object *object = mapping ? object_table__find(f->objects, mapping->object) : NULL;

	if (!object || object != p->interpreter || object->eval.contradicted)
		return;
	if (object->eval.observations && object->eval.delta != delta)
		object->eval.contradicted = true;
	object->eval.delta = delta;
	object->eval.observations++;
	if (p->python.resync_delta || object->eval.contradicted) {
		if (object->eval.contradicted && p->python.resync_delta) {
			p->python.resync_delta = 0;
			publish_rest(f, p);
		}
		return;
	}
	fill_resync(object, p->interpreter_bias, &p->python);
	if (p->python.resync_delta)
		publish_rest(f, p);
}

bool process_follower__all_gone(struct process_follower *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (is_alive(f->processes[i]))
			return false;
	return true;
}
