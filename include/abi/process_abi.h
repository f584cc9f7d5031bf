/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What the sampler knows of a process: its executable mappings, and its Python
 * runtime. Written by src/process/process_config.c, read by bpf/.
 *
 * Mappings are sorted runs inside one pool (array map `mappings`). A new list is
 * written to free slots of the pool and put in force by one store of
 * process_config.mapping_run; the old run is reused only after a grace period.
 */
#ifndef MIXPROF_ABI_PROCESS_ABI_H
#define MIXPROF_ABI_PROCESS_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <stddef.h>
#include <linux/types.h>
#endif

#include "abi/python_abi.h"

#define MAPPINGS_PER_PROCESS_MAX 4096

enum mapping_flag {
	MAPPING_ANONYMOUS = 1 << 1,   /* no file: JIT code and the like; frame pointers */
	MAPPING_INTERPRETER = 1 << 2, /* the file holds a CPython eval function */
};

struct mapping {
	__u64 start; /* addresses in the process */
	__u64 end;
	__u64 bias;  /* address in process - elf vaddr */
	__u32 table; /* index of the table array; 0: none */
	__u32 flags; /* enum mapping_flag */
};

struct process_config {
	__u64 mapping_run;  /* first << 32 | count */
	__u64 start_ns;	    /* identity: group leader's start_boottime, */
	__u64 exec_id;	    /* and self_exec_id; the sampler compares both */
	__u64 mm_exec_vm;   /* as the mappings were read; 0: not known */
	__u32 mm_map_count; /* 0: not known */
	__u32 generation;   /* odd while being changed; 0: slot empty */
	struct py_process python;
};

/* How a sample is selected. */
enum sample_scope {
	SCOPE_PROCESSES = 1, /* processes in the `process_slots` map */
	SCOPE_ALL = 2,
};

#ifndef __bpf__
static_assert(sizeof(struct mapping) == 32, "ABI");
static_assert(sizeof(struct process_config) == 104, "ABI");
#endif

#endif
