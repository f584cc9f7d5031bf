/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The few kernel types the sampler touches, as CO-RE flavours: only the fields
 * we read, relocated against the running kernel's BTF at load. In place of a
 * vmlinux.h of 100,000 lines, so that what we depend on can be read here.
 */
#ifndef MIXPROF_BPF_KERNEL_TYPES_H
#define MIXPROF_BPF_KERNEL_TYPES_H

#include <linux/types.h>
#include <asm/ptrace.h>
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct {
	unsigned long exec_vm; /* pages of executable mappings */
	int map_count;
};

struct thread_struct {
	unsigned long fsbase;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	__u64 start_boottime;
	__u64 self_exec_id;
	struct mm_struct *mm;
	struct thread_struct thread;
};

#pragma clang attribute pop

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define USER_CS_64 0x33	      /* arch/x86/include/asm/segment.h: __USER_CS */

#endif
