/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Records of the per-CPU ring buffers, from bpf/sampler.bpf.c to
 * src/collect/sample_decode.c.
 *
 * One sample is: zero or more STACK_CHUNK records (Python words first, then
 * native words), then exactly one SAMPLE record that closes it. All of them are
 * written by one run on one CPU, so they are contiguous in that CPU's ring. If
 * any of them did not fit, the closing SAMPLE is not written, the run is counted
 * as ring_full and the reader drops the orphaned chunks without counting.
 *
 * A stack travels as a stream of 64-bit words. The top byte of a word is its
 * tag, the low 56 bits an address:
 *
 *   native  [ pc | tag ]                         leaf first
 *           [ pc | tag|EVAL ] [ sp ] [ cfa ]     a frame inside an eval range
 *   Python  [ code | PY_FRAME ] [ instr ]        innermost first
 *           [ addr | PY_SEGMENT_END ]            closes the frames since the last
 *                                                end: they ran in the native eval
 *                                                frame with sp <= addr < cfa
 */
#ifndef MIXPROF_ABI_SAMPLE_ABI_H
#define MIXPROF_ABI_SAMPLE_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <stddef.h>
#include <linux/types.h>
#endif

#define SAMPLE_ABI_VERSION 1

enum record_kind {
	RECORD_SAMPLE = 1,
	RECORD_STACK_CHUNK = 2,
};

struct record_header {
	__u32 size;    /* of the whole record, this header included; multiple of 8 */
	__u16 kind;    /* enum record_kind */
	__u16 version; /* SAMPLE_ABI_VERSION */
};

enum chunk_part {
	CHUNK_NATIVE = 1,
	CHUNK_PYTHON = 2,
};

struct chunk_record {
	struct record_header header;
	__u64 sample_id; /* that of the closing SAMPLE */
	__u16 part;	 /* enum chunk_part */
	__u16 reserved;	 /* 0 */
	__u32 words;	 /* that follow this struct */
};

/* Tags of native words (bits 56..63). */
#define NATIVE_TAG_SHIFT 56
#define NATIVE_TAG_EXACT_PC 0x01ULL	 /* an interrupted pc, not a return address */
#define NATIVE_TAG_EVAL 0x02ULL		 /* pc lies in an eval range; sp and cfa follow */
#define NATIVE_TAG_FRAME_POINTER 0x04ULL /* left by its frame pointer, not by a row */
#define NATIVE_TAG_RESYNC 0x08ULL	 /* found by a shim; frames before it are missing */

/* Tags of Python words. */
#define PY_TAG_SHIFT 56
#define PY_TAG_FRAME 0x01ULL	   /* code object; the next word is instr */
#define PY_TAG_SEGMENT_END 0x02ULL /* address inside the segment's eval frame */
#define PY_TAG_INCOMPLETE                                                                          \
	0x04ULL /* with FRAME: pushed, not yet at its first traceable instruction */
#define PY_TAG_THREAD_STATE 0x08ULL /* address of a thread state; its chain follows */

#define ADDRESS_MASK 0x00ffffffffffffffULL

enum sample_flag {
	SAMPLE_USER_MODE = 1 << 0, /* the interrupt hit user mode */
	SAMPLE_KERNEL_THREAD = 1 << 1,
	SAMPLE_ROOT_REACHED = 1 << 2,	 /* the native walk ended at the thread's root */
	SAMPLE_PYTHON_COMPLETE = 1 << 3, /* the Python chain was walked to its end */
	SAMPLE_PYTHON_ENTERING = 1 << 4, /* 3.11/3.12: the newest _PyCFrame held no frame yet */
	SAMPLE_NEEDS_REFRESH = 1 << 5,	 /* the process's configuration is missing or stale */
};

struct sample_record {
	struct record_header header;
	__u64 sample_id; /* run number of this CPU << 16 | cpu */
	__u64 time_ns;	 /* CLOCK_BOOTTIME */
	__u32 pid;	 /* tgid, host namespace */
	__u32 tid;
	__u64 start_ns; /* group leader's start_boottime */
	__u64 exec_id;	/* task->self_exec_id */
	__u64 cgroup_id;
	__u64 mm_exec_vm; /* pages; with map_count the staleness check of design.md §4.6 */
	__u32 mm_map_count;
	__u32 config_generation; /* process_config.generation at the start of the walk, 0: none */
	__u64 user_ip;		 /* user registers at the interrupt or system call */
	__u64 user_sp;
	__u64 user_bp;
	__u64 thread_pointer; /* fs base */
	__u32 cpu;
	__u32 flags;	   /* enum sample_flag */
	__u16 native_stop; /* enum stop_reason */
	__u16 python_stop;
	__u16 kernel_words; /* kernel return addresses that follow this struct, leaf first */
	__u16 reserved;	    /* 0 */
	__u32 native_words; /* over all chunks of this sample */
	__u32 python_words;
	__u32 native_frames;
	__u32 python_frames;
	__u64 run_ns; /* time of this run until this record was built */
	char comm[16];
};

#define KERNEL_STACK_MAX 127
#define NATIVE_FRAMES_MAX 2048
#define PYTHON_FRAMES_MAX 2048

/* Fates of a run, one counter each per CPU: runs = sum of the others, always. */
enum run_outcome {
	RUN_TOTAL = 0,
	RUN_FILTERED = 1, /* not in scope */
	RUN_IDLE = 2,	  /* the idle task */
	RUN_WRITTEN = 3,
	RUN_RING_FULL = 4,
	RUN_NO_SCRATCH = 5, /* a map lookup that cannot fail failed */
	RUN_OUTCOME_MAX = 8,
};

/* Histogram of a run's time, four buckets per octave: bucket 4 * e + m counts runs of
 * [(4 + m) << (e - 2), (5 + m) << (e - 2)) ns, for e >= 2. */
#define RUN_NS_BUCKETS 128

/* The per-CPU value of map run_counters. */
struct run_counters {
	__u64 outcome[RUN_OUTCOME_MAX]; /* by enum run_outcome */
	__u64 written_ns;		/* time of all written runs */
	__u64 run_ns[RUN_NS_BUCKETS];	/* of written runs */
	__u64 last_wakeup_ns;
	__u64 reserved[7];
};

#ifndef __bpf__
static_assert(sizeof(struct record_header) == 8, "ABI");
static_assert(sizeof(struct chunk_record) == 24, "ABI");
static_assert(offsetof(struct sample_record, user_ip) == 72, "ABI");
static_assert(offsetof(struct sample_record, native_stop) == 112, "ABI");
static_assert(offsetof(struct sample_record, comm) == 144, "ABI");
static_assert(sizeof(struct sample_record) == 160, "ABI");
#endif

#endif
