/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python stacks of a process by src/python alone, for live_check.py:
 *
 *	layout_tool PID [WATCH_ROUNDS]
 *	layout_tool start COMMAND...
 *
 * Stops each thread with ptrace, goes from its fs base to its thread state and
 * along the frame chain by a plain walk of its own (not bpf/walk), and prints
 *
 *	python VERSION key KEY ranges START+SIZE ...
 *	thread TID
 *	frame LINE <tab> NAME <tab> FILE       innermost first; LINE may be "none"
 *
 * With WATCH_ROUNDS it walks that often, 5 ms apart, keeps every code object it
 * meets and counts how often one no longer passes for itself:
 *	watched CHECKS objects N stale N walks N strays N
 * A stray is a walk that came to something that is no code object.
 *
 * `start` runs the command 20 times and asks for its runtime from the first moment
 * on, again and again: "starts N early N wrong N". Wrong is any answer but "later"
 * before the right one.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "object/fde_index.h"
#include "process/proc_maps.h"
#include "process/remote_memory.h"
#include "python/python_code.h"
#include "python/python_object.h"
#include "python/python_runtime.h"
#include "unwind/cfi_reader.h"

#define FRAMES_MAX 4096
#define KNOWN_MAX 65536
#define STARTS 20

struct sections {
	struct frame_section list[2];
	size_t count;
};

struct target {
	pid_t pid;
	struct python_runtime runtime;
	struct python_code *known[KNOWN_MAX];
	uint64_t known_address[KNOWN_MAX];
	size_t known_count;
	size_t walks, strays;
	bool watching;
};

static int starts_like_function(void *context, const struct fde *fde)
{
	const struct sections *s = context;
	struct unwind_rule rule;
	int err = cfi_first_rule(fde, s->list, s->count, &rule);

	return err ? err : (rule.flags & UNWIND_RULE_ENTRY) != 0;
}

static void load_sections(struct elf_image *image, struct sections *s)
{
	static const char *const names[] = {".eh_frame", ".debug_frame"};
	struct elf_section section;

	s->count = 0;
	for (int i = 0; i < 2; i++) {
		if (elf_image__find_section(image, names[i], &section) == 0 && section.data)
			s->list[s->count++] = (struct frame_section){
				section.data, section.data_size, section.vaddr, i == 1};
	}
}

static int read_facts(pid_t pid, const struct proc_map *map, bool fragments,
		      struct python_facts *facts, uint64_t *bias)
{
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	_cleanup_close_ int fd = -1;
	struct fde_index fdes = {0};
	struct sections s = {0};
	uint64_t vaddr;
	int err = proc_map_open(pid, map, &fd);

	if (!err)
		err = elf_image__open(fd, &image);
	if (err)
		return err;
	if (fragments)
		load_sections(image, &s);
	err = fde_index_read(s.list, s.count, &fdes);
	if (!err) {
		const struct python_object_input input = {image, &fdes, starts_like_function, &s};

		err = python_object_read(&input, facts);
	}
	fde_index_done(&fdes);
	if (!elf_image__offset_to_vaddr(image, map->offset, &vaddr))
		return -EBADMSG;
	*bias = map->start - vaddr;
	return err;
}

static int find_python(struct target *t)
{
	static struct python_facts facts;
	struct proc_maps maps;
	uint64_t bias;
	int err = proc_maps_read(t->pid, &maps);

	if (err)
		return err;
	err = -ENOENT;
	for (size_t i = 0; i < maps.count; i++) {
		const struct proc_map *map = &maps.maps[i];

		if (!map->executable || read_facts(t->pid, map, true, &facts, &bias) ||
		    !facts.eval_range_count)
			continue;
		err = python_runtime_discover(&remote_memory_live, t->pid, &facts, bias,
					      &t->runtime);
		printf("python %s key %u stop %u err %d ranges", t->runtime.version,
		       t->runtime.config.pthread_key, t->runtime.config.stop, err);
		for (uint32_t r = 0; r < facts.eval_range_count; r++)
			printf(" %s%#llx+%llu",
			       facts.eval_ranges[r].start == facts.eval_entry ? "*" : "",
			       (unsigned long long)facts.eval_ranges[r].start,
			       (unsigned long long)(facts.eval_ranges[r].end -
						    facts.eval_ranges[r].start));
		printf("\n");
		if (!err)
			break;
	}
	proc_maps_done(&maps);
	return err;
}

/* Facts of the first mapped file that holds an interpreter; without fragments, for speed. */
static bool find_facts(pid_t pid, struct python_facts *facts, uint64_t *bias)
{
	struct proc_maps maps;
	bool found = false;

	if (proc_maps_read(pid, &maps))
		return false;
	for (size_t i = 0; i < maps.count && !found; i++)
		found = maps.maps[i].executable && strstr(maps.maps[i].path, "python") &&
			read_facts(pid, &maps.maps[i], false, facts, bias) == 0 &&
			facts->eval_range_count;
	proc_maps_done(&maps);
	return found;
}

/* 0 once discovered; counts the answers before. */
static int watch_one_start(pid_t pid, size_t *early, size_t *wrong)
{
	static struct python_facts facts;
	struct python_runtime runtime;
	time_t end = time(NULL) + 10;
	uint64_t bias;
	int err;

	while (!find_facts(pid, &facts, &bias)) {
		if (time(NULL) > end)
			return -ETIMEDOUT;
	}
	while ((err = python_runtime_discover(&remote_memory_live, pid, &facts, bias, &runtime))) {
		*early += err == -EAGAIN;
		*wrong += err != -EAGAIN;
		if (time(NULL) > end)
			return -ETIMEDOUT;
	}
	return 0;
}

static int watch_starts(char **command)
{
	size_t starts = 0, early = 0, wrong = 0;

	for (int i = 0; i < STARTS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			execvp(command[0], command);
			_exit(127);
		}
		starts += pid > 0 && watch_one_start(pid, &early, &wrong) == 0;
		if (pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
	printf("starts %zu early %zu wrong %zu\n", starts, early, wrong);
	return starts == STARTS && !wrong ? 0 : 1;
}

static uint64_t word(const struct target *t, uint64_t address)
{
	uint64_t value = 0;

	remote_memory_u64(&remote_memory_live, t->pid, address, &value);
	return value;
}

/* The thread state by the pthread key; 0 if the thread has none. */
static uint64_t thread_state(const struct target *t, uint64_t self)
{
	const struct py_process *c = &t->runtime.config;
	uint64_t block = self + c->specific_first, current;

	if (c->tstate_current) {
		current = word(t, c->tstate_current);
		if (current && word(t, current + t->runtime.layout.walk.tstate_thread_id) == self)
			return current;
	}
	if (c->pthread_key >= 32)
		block = word(t, self + c->specific_offset + 8ULL * (c->pthread_key / 32));
	return word(t, block + 16ULL * (c->pthread_key % 32) + 8);
}

static struct python_code *find_known(const struct target *t, uint64_t address)
{
	for (size_t i = t->known_count; i-- > 0;) {
		if (t->known_address[i] == address)
			return t->known[i];
	}
	return NULL;
}

static int print_frame(struct target *t, uint64_t address, uint64_t instr)
{
	struct python_code *code = find_known(t, address);
	int32_t line = 0;
	int err;

	if (!code) {
		err = python_code_read(&remote_memory_live, t->pid, &t->runtime.layout, address,
				       t->runtime.config.code_type, &code);
		if (err && t->watching) {
			t->strays++;
			return err;
		}
		if (err) {
			printf("bad code %#llx: %s\n", (unsigned long long)address, strerror(-err));
			return err;
		}
		if (t->known_count == KNOWN_MAX)
			return -E2BIG;
		t->known_address[t->known_count] = address;
		t->known[t->known_count++] = code;
	}
	if (code->is_init_shim || t->watching)
		return 0;
	err = python_code_line(code, &t->runtime.layout, address, instr, &line);
	if (err && err != -ENOENT)
		printf("bad line %#llx: %s\n", (unsigned long long)instr, strerror(-err));
	else if (err)
		printf("frame none\t%s\t%s\n", code->name, code->filename);
	else
		printf("frame %d\t%s\t%s\n", line, code->name, code->filename);
	return 0;
}

static void print_thread(struct target *t, pid_t tid, uint64_t self)
{
	const struct py_layout *walk = &t->runtime.layout.walk;
	uint64_t tstate = thread_state(t, self), frame;

	if (!t->watching)
		printf("thread %d\n", (int)tid);
	if (!tstate || word(t, tstate + walk->tstate_thread_id) != self)
		return;
	frame = word(t, tstate + walk->tstate_frame);
	if (walk->chain != PY_CHAIN_SHIM)
		frame = word(t, frame + walk->cframe_current_frame);
	t->walks++;
	for (int i = 0; frame && i < FRAMES_MAX; i++) {
		uint64_t owner =
			word(t, (frame + walk->frame_owner) & ~7ULL) >> (walk->frame_owner % 8 * 8);

		if ((walk->chain == PY_CHAIN_CFRAME || (owner & 255) < walk->owner_shim_min) &&
		    print_frame(t, word(t, frame + walk->frame_code) & ~7ULL,
				word(t, frame + walk->frame_instr)))
			break;
		frame = word(t, frame + walk->frame_previous);
	}
}

static void walk_thread(struct target *t, pid_t tid)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_SEIZE, tid, 0, 0))
		return;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, &status, __WALL) == tid &&
	    ptrace(PTRACE_GETREGS, tid, 0, &regs) == 0)
		print_thread(t, tid, regs.fs_base);
	ptrace(PTRACE_DETACH, tid, 0, 0);
}

static int walk_threads(struct target *t)
{
	struct dirent *entry;
	char path[32];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] != '.')
			walk_thread(t, atoi(entry->d_name));
	}
	closedir(tasks);
	return 0;
}

static void watch(struct target *t, int rounds)
{
	size_t stale = 0, checked = 0;

	t->watching = true;
	for (int i = 0; i < rounds && walk_threads(t) == 0; i++) {
		for (size_t k = 0; k < t->known_count; k++, checked++)
			stale += !python_code_is_current(&remote_memory_live, t->pid,
							 t->known_address[k], t->known[k]);
		usleep(5000);
	}
	printf("watched %zu objects %zu stale %zu walks %zu strays %zu\n", checked, t->known_count,
	       stale, t->walks, t->strays);
}

int main(int argc, char **argv)
{
	static struct target t;
	int err;

	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "start") == 0 && argc > 2)
		return watch_starts(argv + 2);
	t.pid = atoi(argv[1]);
	err = find_python(&t);
	if (err) {
		printf("no python: %s\n", strerror(-err));
		return 1;
	}
	walk_threads(&t);
	if (argc > 2)
		watch(&t, atoi(argv[2]));
	for (size_t i = 0; i < t.known_count; i++)
		python_code_free(t.known[i]);
	return 0;
}
