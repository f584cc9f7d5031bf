/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler in the kernel: open, load, give it tables and processes, arm the
 * events, read its counters. Owns every BPF object and perf event; writes to maps
 * go through mmap where the kernel allows it.
 */
#ifndef MIXPROF_COLLECT_BPF_SESSION_H
#define MIXPROF_COLLECT_BPF_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/process_abi.h"
#include "abi/sample_abi.h"
#include "abi/unwind_abi.h"

struct bpf_session;

struct bpf_session_options {
	uint32_t scope;	   /* enum sample_scope */
	uint32_t hz;	   /* clamped to kernel.perf_event_max_sample_rate */
	size_t ring_bytes; /* per CPU, a power of two and a multiple of the page size */
};

/* Opens and loads. -EPERM, -ENOTSUP (no BTF or kernel too old) and the like; *ret_session
 * untouched. */
int bpf_session__new(const struct bpf_session_options *options, struct bpf_session **ret_session);
/* Opens one event per CPU, disabled. */
int bpf_session__open_events(struct bpf_session *session);
int bpf_session__enable(struct bpf_session *session);
int bpf_session__disable(struct bpf_session *session);
void bpf_session__free(struct bpf_session *session);

/* One ring fd per possible CPU; borrowed. */
size_t bpf_session__rings(const struct bpf_session *session, const int **ret_fds);
const char *bpf_session__event(const struct bpf_session *session); /* "cycles" or "cpu-clock" */
uint32_t bpf_session__hz(const struct bpf_session *session);	   /* after clamping */

/* The arrays, mapped writable: struct mapping[], struct process_config[], struct py_layout[]. */
struct mapping *bpf_session__mappings(struct bpf_session *session, size_t *ret_count);
struct process_config *bpf_session__processes(struct bpf_session *session, size_t *ret_count);
struct py_layout *bpf_session__layouts(struct bpf_session *session);
int bpf_session__set_slot(struct bpf_session *session, uint32_t pid, uint32_t slot);
int bpf_session__clear_slot(struct bpf_session *session, uint32_t pid);

/* For unwind/table_store.h. */
int bpf_session__make_segment(struct bpf_session *session, uint32_t number, void **ret_memory);
int bpf_session__write_table(struct bpf_session *session, uint32_t number,
			     const struct unwind_table *table);
int bpf_session__write_rule(struct bpf_session *session, uint32_t number,
			    const struct unwind_rule *rule);

struct bpf_session_stats {
	uint64_t outcome[RUN_OUTCOME_MAX]; /* over all CPUs */
	uint64_t written_ns;
	uint64_t run_ns[RUN_NS_BUCKETS];
	uint64_t enabled_ns; /* summed over the events: enabled time */
	uint64_t map_bytes;
};
int bpf_session__stats(struct bpf_session *session, struct bpf_session_stats *ret_stats);
/* Lower edge of histogram bucket i, in ns. */
uint64_t run_ns_bucket_start(unsigned int i);

static inline void bpf_session__freep(struct bpf_session **session)
{
	bpf_session__free(*session);
}

#endif
