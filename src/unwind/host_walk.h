/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler's walk, compiled for user space: the same code over the same
 * tables, with someone else's memory behind it. For oracles, replayed walks and
 * `dump`. The only door from src/ to bpf/.
 */
#ifndef MIXPROF_UNWIND_HOST_WALK_H
#define MIXPROF_UNWIND_HOST_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "abi/process_abi.h"
#include "abi/sample_abi.h"
#include "abi/unwind_abi.h"

struct host_walk {
	const struct mapping *mappings; /* ascending */
	uint32_t mapping_count;
	const struct unwind_table *tables; /* by number */
	uint32_t table_count;
	const struct unwind_rule *rules;
	uint32_t rule_count;
	void *const *segments; /* UNWIND_SEGMENT_BYTES each */
	uint32_t segment_count;
	struct py_process python; /* python.stop set: no Python walk */
	struct py_layout layout;
	uint64_t registers[UNWIND_REGISTERS]; /* by enum unwind_register */
	uint64_t thread_pointer;
	/* 0, or negative when the bytes cannot be read */
	int (*read)(void *context, uint64_t address, void *to, size_t size);
	/* Each chunk as the sampler would send it. */
	int (*chunk)(void *context, const struct chunk_record *chunk);
	void *context;
};

/* Walks; *ret_record is the record that closes the sample (no kernel stack, no identity). */
int host_walk(const struct host_walk *walk, struct sample_record *ret_record);

#endif
