// SPDX-License-Identifier: Apache-2.0
/*
 * host_walk PID TID: walks one stopped thread with the sampler's own walk,
 * compiled for the host, and prints what it found:
 *
 *	native PC SP CFA	leaf first, hexadecimal; SP and CFA 0 but in eval frames
 *	python CODE INSTR	innermost first
 *	end ADDRESS		closes a Python segment
 *	stop NATIVE PYTHON	stop reasons ("none": the root, the end of the chain)
 *
 * The oracle (tests/e2e/gdb_oracle.py) compares it with gdb over the same memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "collect/sample_decode.h"
#include "follow/process_follower.h"
#include "unwind/host_walk.h"

#define MAPPINGS 16384

struct sampler_memory { /* the sampler's arrays, without a sampler */
	struct mapping mappings[MAPPINGS];
	struct process_config processes[4];
	struct py_layout layouts[PY_LAYOUTS_MAX];
	struct unwind_table tables[UNWIND_TABLES_MAX];
	struct unwind_rule rules[UNWIND_RULES_MAX];
	void *segments[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count;
};

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	struct sampler_memory *m = context;

	m->segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	if (!m->segments[number])
		return -ENOMEM;
	m->segment_count = number + 1;
	*ret_memory = m->segments[number];
	return 0;
}

static int write_table(void *context, uint32_t number, const struct unwind_table *table)
{
	((struct sampler_memory *)context)->tables[number] = *table;
	return 0;
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	((struct sampler_memory *)context)->rules[number] = *rule;
	return 0;
}

static int no_slot(void *context, uint32_t pid, uint32_t slot)
{
	(void)context, (void)pid, (void)slot;
	return 0;
}

static int no_clear(void *context, uint32_t pid)
{
	(void)context, (void)pid;
	return 0;
}

struct reading {
	pid_t pid;
	struct sample_decoder *decoder;
};

static int read_target(void *context, uint64_t address, void *to, size_t size)
{
	struct reading *r = context;

	return remote_memory_read(&remote_memory_live, r->pid, address, to, size);
}

static int take_chunk(void *context, const struct chunk_record *chunk)
{
	struct sample sample;

	return sample_decoder__push(((struct reading *)context)->decoder, chunk, chunk->header.size,
				    &sample);
}

static void take_registers(const struct user_regs_struct *r, struct host_walk *walk)
{
	uint64_t by_number[UNWIND_REGISTERS] = {
		[UNWIND_RAX] = r->rax, [UNWIND_RDX] = r->rdx, [UNWIND_RCX] = r->rcx,
		[UNWIND_RBX] = r->rbx, [UNWIND_RSI] = r->rsi, [UNWIND_RDI] = r->rdi,
		[UNWIND_RBP] = r->rbp, [UNWIND_RSP] = r->rsp, [UNWIND_R8] = r->r8,
		[UNWIND_R9] = r->r9,   [UNWIND_R10] = r->r10, [UNWIND_R11] = r->r11,
		[UNWIND_R12] = r->r12, [UNWIND_R13] = r->r13, [UNWIND_R14] = r->r14,
		[UNWIND_R15] = r->r15, [UNWIND_RIP] = r->rip,
	};

	memcpy(walk->registers, by_number, sizeof(by_number));
	walk->thread_pointer = r->fs_base;
}

static int stop_thread(pid_t tid, struct user_regs_struct *ret_registers)
{
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	if (waitpid(tid, &status, __WALL) != tid)
		return -errno;
	return ptrace(PTRACE_GETREGS, tid, NULL, ret_registers) ? -errno : 0;
}

static const char *stop_name(uint16_t stop)
{
	switch (stop) {
#define STOP(id, NAME, name, sentence)                                                             \
	case id:                                                                                   \
		return name;
#include "abi/stop_reasons.def"
#undef STOP
	default:
		return "unknown";
	}
}

static void print_sample(const struct sample *sample)
{
	for (uint32_t i = 0; i < sample->native_count; i++)
		printf("native %lx %lx %lx\n", sample->native[i].pc, sample->native[i].sp,
		       sample->native[i].cfa);
	for (uint32_t i = 0; i < sample->python_count; i++) {
		const struct python_item *item = &sample->python[i];

		if (item->kind == PYTHON_ITEM_FRAME)
			printf("python %lx %lx\n", item->address, item->instr);
		else
			printf("end %lx\n", item->address);
	}
	printf("stop %s %s\n",
	       sample->head.flags & SAMPLE_ROOT_REACHED ? "none"
							: stop_name(sample->head.native_stop),
	       sample->head.flags & SAMPLE_PYTHON_COMPLETE ? "none"
							   : stop_name(sample->head.python_stop));
}

static int walk_thread(struct sampler_memory *m, pid_t pid, pid_t tid)
{
	const struct process_config *config = &m->processes[0];
	struct reading reading = {.pid = pid};
	struct host_walk walk = {.read = read_target, .chunk = take_chunk, .context = &reading};
	struct user_regs_struct registers;
	struct sample_record record;
	struct sample sample;
	int err = sample_decoder__new(&reading.decoder);

	if (!err)
		err = stop_thread(tid, &registers);
	if (err)
		return err;
	take_registers(&registers, &walk);
	walk.mappings = m->mappings + (config->mapping_run >> 32);
	walk.mapping_count = (uint32_t)config->mapping_run;
	walk.tables = m->tables;
	walk.table_count = UNWIND_TABLES_MAX;
	walk.rules = m->rules;
	walk.rule_count = UNWIND_RULES_MAX;
	walk.segments = m->segments;
	walk.segment_count = m->segment_count;
	walk.python = config->python;
	walk.layout = m->layouts[config->python.layout];
	err = host_walk(&walk, &record);
	if (!err && sample_decoder__push(reading.decoder, &record, sizeof(record), &sample) != 1)
		err = -EBADMSG;
	if (!err)
		print_sample(&sample);
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	sample_decoder__free(reading.decoder);
	return err;
}

static int follow_and_walk(pid_t pid, pid_t tid)
{
	struct sampler_memory *m = calloc(1, sizeof(*m));
	struct table_store_ops ops = {make_segment, write_table, write_rule, m};
	struct follower_target target = {.set_slot = no_slot, .clear_slot = no_clear};
	struct symbol_worker *worker = NULL;
	struct table_store *store = NULL;
	struct object_table *objects = NULL;
	struct process_follower *follower = NULL;
	int err = m ? symbol_worker__new(&worker) : -ENOMEM;

	if (!err)
		err = table_store__new(&ops, 256ull << 20, &store);
	if (!err)
		err = object_table__new(worker, store, &objects);
	if (err)
		return err;
	target.mappings = m->mappings;
	target.mapping_count = MAPPINGS;
	target.processes = m->processes;
	target.process_count = 4;
	target.layouts = m->layouts;
	err = process_follower__new(&target, objects, &remote_memory_live, &follower);
	if (!err)
		err = process_follower__add(follower, pid);
	if (!err)
		err = walk_thread(m, pid, tid);
	process_follower__free(follower);
	object_table__free(objects);
	table_store__free(store);
	symbol_worker__free(worker);
	return err;
}

int main(int argc, char **argv)
{
	int err;

	if (argc == 3 && strcmp(argv[1], "symbol-worker") == 0)
		return symbol_worker_main(atoi(argv[2]));
	if (argc != 3) {
		fprintf(stderr, "usage: host_walk PID TID\n");
		return 2;
	}
	err = follow_and_walk(atoi(argv[1]), atoi(argv[2]));
	if (err)
		fprintf(stderr, "host_walk: %s\n", strerror(-err));
	return err ? 1 : 0;
}
