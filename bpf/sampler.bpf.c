// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * The sampler: one program, run by a perf event in whatever context the timer or
 * PMU interrupts (possibly NMI, so only the operations of design.md §4.1).
 * Filter, kernel stack, Python walk, native walk, record. The Python chain comes
 * first because its shims tell the native walk where to go on when it is lost.
 *
 * Accounting: a run ends in exactly one outcome (enum run_outcome).
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "maps.bpf.h"
#include "walk/native_walk.h"
#include "walk/python_frames.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set before load. */
const volatile struct {
	__u32 scope; /* enum sample_scope */
	__u32 ring_bytes;
	__u32 abi_version;
	__u32 self_pid; /* mixprof itself: counted as filtered under SCOPE_ALL */
} config = {.scope = SCOPE_PROCESSES, .ring_bytes = 4096, .abi_version = SAMPLE_ABI_VERSION};

#define WAKEUP_INTERVAL_NS 5000000ULL /* at most one forced wakeup in this time per CPU */

struct sample_context { /* what the entry program learns before it walks */
	struct task_struct *task;
	struct process_config *process;
	__u64 start_ns;
};

static __always_inline void run_count(struct run_counters *counters, __u32 outcome)
{
	counters->outcome[outcome & (RUN_OUTCOME_MAX - 1)]++;
}

static __always_inline void run_time(struct run_counters *counters, __u64 ns)
{
	__u32 e = 0, bucket;
	__u64 v = ns | 4;

	if (v >> 32)
		v = 0xffffffff;
	if (v >> 16) {
		v >>= 16;
		e += 16;
	}
	if (v >> 8) {
		v >>= 8;
		e += 8;
	}
	if (v >> 4) {
		v >>= 4;
		e += 4;
	}
	if (v >> 2) {
		v >>= 2;
		e += 2;
	}
	if (v >> 1)
		e += 1;
	v = ns | 4;
	bucket = 4 * e + ((v >> (e - 2)) & 3);
	counters->written_ns += ns;
	if (bucket < RUN_NS_BUCKETS)
		counters->run_ns[bucket]++;
}

/* clang-format off */
#define EACH_REGISTER(X) \
	X(RAX, rax) X(RDX, rdx) X(RCX, rcx) X(RBX, rbx) X(RSI, rsi) X(RDI, rdi) X(RBP, rbp) X(RSP, rsp) \
	X(R8, r8) X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12) X(R13, r13) X(R14, r14) X(R15, r15) X(RIP, rip)
/* clang-format on */

static __always_inline void load_registers(struct walk_state *s, const struct pt_regs *r)
{
#define LOAD(NAME, field) s->regs[UNWIND_##NAME] = r->field;
	EACH_REGISTER(LOAD)
#undef LOAD
	s->known = (1u << UNWIND_REGISTERS) - 1;
}

/* The context's registers can only be loaded one by one, at constant offsets: it is no memory to
 * copy. volatile keeps clang from joining these loads with those of load_registers. */
static __always_inline void load_context_registers(struct walk_state *s,
						   volatile struct bpf_perf_event_data *ctx)
{
#define LOAD(NAME, field) s->regs[UNWIND_##NAME] = ctx->regs.field;
	EACH_REGISTER(LOAD)
#undef LOAD
	s->known = (1u << UNWIND_REGISTERS) - 1;
}

static __always_inline void state_reset(struct walk_state *s, __u32 cpu, __u64 sample_id)
{
	s->exact_pc = 1;
	s->mapping.start = s->mapping.end = 0;
	s->mapping_first = s->mapping_count = 0;
	s->native_frames = s->native_words = 0;
	s->native_stop = STOP_NONE;
	s->root_reached = 0;
	s->needs_refresh = 0;
	s->failed = 0;
	s->window_bytes = 0;
	s->window_start = 0;
	s->tstate = 0;
	s->base_frame = 0;
	s->frame = 0;
	s->cframe = s->cframe_previous = s->cframe_previous_frame = 0;
	s->datastack_low = s->datastack_high = 0;
	s->py_window_bytes = 0;
	s->py_window_start = 0;
	s->python_frames = s->python_words = 0;
	s->python_stop = STOP_PY_NOT_PYTHON;
	s->python_complete = 0;
	s->entering = 0;
	s->shim_count = s->shim_next = 0;
	s->chunk_words = 0;
	s->cpu = cpu;
	s->sample_id = sample_id;
}

/* The user registers at the interrupt, or at the entry to the kernel. 0 if there are none. */
static __always_inline int user_registers(struct bpf_perf_event_data *ctx, struct walk_state *s,
					  struct task_struct *task, struct sample_record *record)
{
	struct pt_regs *regs = (struct pt_regs *)s->window; /* the BPF stack is 512 bytes in all */
	__u16 cs;

	if ((ctx->regs.cs & 3) == 3) {
		record->flags |= SAMPLE_USER_MODE;
		cs = ctx->regs.cs;
		load_context_registers(s, ctx);
	} else {
		if (bpf_probe_read_kernel(regs, sizeof(*regs), (void *)bpf_task_pt_regs(task)))
			return 0;
		cs = regs->cs;
		load_registers(s, regs);
	}
	if (cs != USER_CS_64) {
		s->native_stop = STOP_UNWIND_COMPAT;
		return 0;
	}
	record->user_ip = s->regs[UNWIND_RIP];
	record->user_sp = s->regs[UNWIND_RSP];
	record->user_bp = s->regs[UNWIND_RBP];
	return 1;
}

/* Is this still the process that was configured, and are its mappings those we know? */
static __always_inline int process_usable(struct sample_record *record, struct walk_state *s,
					  const struct process_config *p)
{
	/* start_ns 0: user space has not met this process yet, and checks the first record itself
	 */
	if (p->generation == 0 || p->generation & 1 ||
	    (p->start_ns && (p->start_ns != record->start_ns || p->exec_id != record->exec_id))) {
		s->native_stop = STOP_UNWIND_UNCONFIGURED;
		s->python_stop = STOP_PY_NOT_INITIALIZED;
		s->needs_refresh = 1;
		return 0;
	}
	if (p->mm_exec_vm != record->mm_exec_vm)
		s->needs_refresh = 1;
	return 1;
}

static __always_inline void walk_python(struct walk_state *s, const struct process_config *p)
{
	__u32 number = p->python.layout;
	struct py_layout *layout;

	s->python = p->python;
	if (p->python.stop) {
		s->python_stop = p->python.stop;
		if (p->python.stop == STOP_PY_NOT_INITIALIZED)
			s->needs_refresh = 1;
		return;
	}
	layout = bpf_map_lookup_elem(&py_layouts, &number);
	if (!layout || layout->chain == PY_CHAIN_NONE) {
		s->python_stop = STOP_PY_NOT_PYTHON;
		return;
	}
	s->layout = *layout;
	py_walk(s);
}

static __always_inline void walk_user(struct bpf_perf_event_data *ctx, struct walk_state *s,
				      struct task_struct *task, struct sample_record *record,
				      const struct process_config *p)
{
	__u32 generation;

	if (!p) {
		s->native_stop = STOP_UNWIND_UNCONFIGURED;
		s->needs_refresh = 1;
		return;
	}
	if (!process_usable(record, s, p))
		return;
	generation = p->generation;
	record->config_generation = generation;
	s->native_stop = STOP_NONE;
	if (!user_registers(ctx, s, task, record)) {
		if (!s->native_stop)
			s->native_stop = STOP_UNWIND_NO_REGISTERS;
		return;
	}
	s->thread_pointer = record->thread_pointer;
	s->mapping_first = p->mapping_run >> 32;
	s->mapping_count = (__u32)p->mapping_run;
	walk_python(s, p);
	native_walk(s);
	if (p->generation != generation) { /* what was read may be torn: never exact */
		s->native_stop = STOP_UNWIND_STALE;
		s->root_reached = 0;
		s->needs_refresh = 1;
	}
}

static __always_inline void identify(struct sample_record *record, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;

	record->start_ns = task->group_leader->start_boottime;
	record->exec_id = task->self_exec_id;
	record->thread_pointer = task->thread.fsbase;
	record->mm_exec_vm = 0;
	record->mm_map_count = 0;
	if (mm) {
		record->mm_exec_vm = mm->exec_vm;
		record->mm_map_count = mm->map_count;
	} else {
		record->flags |= SAMPLE_KERNEL_THREAD;
	}
	record->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(record->comm, sizeof(record->comm));
}

static __always_inline void finish_record(struct walk_state *s, struct sample_record *record)
{
	if (s->root_reached)
		record->flags |= SAMPLE_ROOT_REACHED;
	if (s->python_complete)
		record->flags |= SAMPLE_PYTHON_COMPLETE;
	if (s->entering)
		record->flags |= SAMPLE_PYTHON_ENTERING;
	if (s->needs_refresh)
		record->flags |= SAMPLE_NEEDS_REFRESH;
	record->native_stop = s->native_stop;
	record->python_stop = s->python_stop;
	record->native_words = s->native_words;
	record->python_words = s->python_words;
	record->native_frames = s->native_frames;
	record->python_frames = s->python_frames;
	record->reserved = 0;
}

/* A wakeup costs 10 us, so: only when the ring fills, or user space must act, and not often. */
static __always_inline __u64 wakeup_flag(void *ring, struct run_counters *counters, int urgent,
					 __u64 now)
{
	if (!urgent && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < config.ring_bytes / 4)
		return BPF_RB_NO_WAKEUP;
	if (now - counters->last_wakeup_ns < WAKEUP_INTERVAL_NS)
		return BPF_RB_NO_WAKEUP;
	counters->last_wakeup_ns = now;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline __u32 submit(struct walk_state *s, struct sample_buffer *buffer,
				    struct run_counters *counters, __u64 start)
{
	struct sample_record *record = &buffer->record;
	__u32 bytes = sizeof(*record) + (record->kernel_words & 127) * 8;
	__u32 cpu = s->cpu;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	__u64 now = bpf_ktime_get_ns();

	if (!ring)
		return RUN_NO_SCRATCH;
	if (s->failed)
		return RUN_RING_FULL;
	record->header.size = bytes;
	record->header.kind = RECORD_SAMPLE;
	record->header.version = SAMPLE_ABI_VERSION;
	record->run_ns = now - start;
	walk_opaque(bytes);
	if (bytes > sizeof(*buffer))
		return RUN_NO_SCRATCH;
	if (bpf_ringbuf_output(ring, record, bytes,
			       wakeup_flag(ring, counters, s->needs_refresh, now)))
		return RUN_RING_FULL;
	return RUN_WRITTEN;
}

static __always_inline __u32 kernel_stack(struct bpf_perf_event_data *ctx,
					  struct sample_buffer *buffer)
{
	long bytes;

	if ((ctx->regs.cs & 3) == 3)
		return 0;
	bytes = bpf_get_stack(ctx, buffer->kernel, KERNEL_STACK_MAX * 8, 0);
	return bytes > 0 ? (__u64)bytes / 8 : 0;
}

static __always_inline __u32 take_sample(struct bpf_perf_event_data *ctx,
					 struct run_counters *counters, __u64 pid_tgid,
					 struct process_config *process, __u64 start)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct walk_state *s = bpf_map_lookup_elem(&walk_scratch, &zero);
	struct sample_buffer *buffer = bpf_map_lookup_elem(&sample_scratch, &zero);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct sample_record *record;

	if (!s || !buffer)
		return RUN_NO_SCRATCH;
	record = &buffer->record;
	record->sample_id = counters->outcome[RUN_TOTAL] << 16 | (cpu & 0xffff);
	record->time_ns = bpf_ktime_get_boot_ns();
	record->pid = pid_tgid >> 32;
	record->tid = (__u32)pid_tgid;
	record->cpu = cpu;
	record->flags = 0;
	record->config_generation = 0;
	record->user_ip = record->user_sp = record->user_bp = 0;
	identify(record, task);
	state_reset(s, cpu, record->sample_id);
	record->kernel_words = kernel_stack(ctx, buffer);
	if (!(record->flags & SAMPLE_KERNEL_THREAD))
		walk_user(ctx, s, task, record, process);
	finish_record(s, record);
	return submit(s, buffer, counters, start);
}

SEC("perf_event")
int mixprof_sample(struct bpf_perf_event_data *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), start = bpf_ktime_get_ns();
	struct process_config *process = NULL;
	struct run_counters *counters;
	__u32 zero = 0, pid = pid_tgid >> 32, *slot, outcome;

	counters = bpf_map_lookup_elem(&run_counters, &zero);
	if (!counters)
		return 0;
	run_count(counters, RUN_TOTAL);
	if (pid == 0) {
		run_count(counters, RUN_IDLE);
		return 0;
	}
	slot = bpf_map_lookup_elem(&process_slots, &pid);
	if (slot) {
		process = bpf_map_lookup_elem(&processes, slot);
	} else if (config.scope == SCOPE_PROCESSES || pid == config.self_pid) {
		run_count(counters, RUN_FILTERED);
		return 0;
	}
	outcome = take_sample(ctx, counters, pid_tgid, process, start);
	run_count(counters, outcome);
	if (outcome == RUN_WRITTEN)
		run_time(counters, bpf_ktime_get_ns() - start);
	return 0;
}
