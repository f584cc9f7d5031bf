/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * One tiny program per kernel feature the sampler stands on. src/collect/system_probe.c
 * loads each on its own, so that a refusal names the feature. None is ever attached.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct {
	int tgid;
};
#pragma clang attribute pop

struct inner_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, struct inner_ring);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[16]);
} scratch SEC(".maps");

static __u64 *scratch_words(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&scratch, &key);
}

SEC("?perf_event")
int kernel_stack(struct bpf_perf_event_data *context)
{
	__u64 *words = scratch_words();

	return words ? bpf_get_stack(context, words, sizeof(__u64[16]), 0) > 0 : 0;
}

SEC("?perf_event")
int per_cpu_rings(struct bpf_perf_event_data *context)
{
	__u32 key = 0;
	void *ring = bpf_map_lookup_elem(&rings, &key);
	__u64 value = 1;

	return ring ? bpf_ringbuf_output(ring, &value, sizeof(value), BPF_RB_NO_WAKEUP) != 0 : 0;
}

SEC("?perf_event")
int user_registers(struct bpf_perf_event_data *context)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return bpf_task_pt_regs(task) != 0;
}

SEC("?perf_event")
int task_fields(struct bpf_perf_event_data *context)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, tgid) != 0;
}

struct step {
	__u64 left;
};

__attribute__((noinline)) int one_step(struct step *step)
{
	if (!step || step->left == 0)
		return 0;
	step->left--;
	return 1;
}

SEC("?perf_event")
int global_functions(struct bpf_perf_event_data *context)
{
	struct step step = {.left = (__u64)context->sample_period};
	int steps = 0;

	for (int i = 0; i < 2048; i++) {
		if (!one_step(&step))
			break;
		steps++;
	}
	return steps & 1;
}

SEC("?perf_event")
int user_memory(struct bpf_perf_event_data *context)
{
	__u64 *words = scratch_words();

	return words ? bpf_probe_read_user(words, 64, (void *)context->sample_period) != 0 : 0;
}

SEC("?perf_event")
int boot_clock(struct bpf_perf_event_data *context)
{
	return (int)(bpf_ktime_get_boot_ns() & 1);
}

SEC("?perf_event")
int cgroup_id(struct bpf_perf_event_data *context)
{
	return (int)(bpf_get_current_cgroup_id() & 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
