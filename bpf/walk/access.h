/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What the walker's core may touch, in its two homes. In BPF: maps and
 * bpf_probe_read_user. On the host (src/unwind/host_walk.c): an object with the
 * same tables in memory and a reader of someone's memory. Everything in
 * bpf/walk/ is written against these six calls and nothing else.
 *
 *	walk_read_user(to, size, address)	0, or negative on failure
 *	walk_mapping(n)				entry n of the mapping pool, or NULL
 *	walk_table(n) walk_rule(n)		NULL if there is none
 *	walk_segment(n)				UNWIND_SEGMENT_BYTES of memory, or NULL
 *	walk_chunk_buffer()			struct walk_chunk *, or NULL
 *	walk_submit_chunk(state, bytes)		0, or negative if it did not fit
 */
#ifndef MIXPROF_WALK_ACCESS_H
#define MIXPROF_WALK_ACCESS_H

#include "walk/walk_state.h"

#ifdef __bpf__

/* A step is a global function: the verifier checks it once, by itself. */
#define WALK_STEP __attribute__((noinline))
#define WALK_INLINE static __always_inline
/* Keeps clang from folding a bound check away from the value it bounds. */
#define walk_opaque(v) asm volatile("" : "+r"(v))

WALK_INLINE long walk_read_user(void *to, __u32 size, __u64 address)
{
	return bpf_probe_read_user(to, size, (const void *)address);
}

WALK_INLINE struct mapping *walk_mapping(__u32 n)
{
	return bpf_map_lookup_elem(&mappings, &n);
}

WALK_INLINE struct unwind_table *walk_table(__u32 n)
{
	return bpf_map_lookup_elem(&unwind_tables, &n);
}

WALK_INLINE struct unwind_rule *walk_rule(__u32 n)
{
	return bpf_map_lookup_elem(&unwind_rules, &n);
}

WALK_INLINE __u8 *walk_segment(__u32 n)
{
	__u32 zero = 0;
	void *segment = bpf_map_lookup_elem(&unwind_segments, &n);

	return segment ? bpf_map_lookup_elem(segment, &zero) : NULL;
}

WALK_INLINE struct walk_chunk *walk_chunk_buffer(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&chunk_scratch, &zero);
}

WALK_INLINE long walk_submit_chunk(struct walk_state *s, struct walk_chunk *chunk, __u32 bytes)
{
	__u32 cpu = s->cpu;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);

	if (!ring)
		return -1;
	return bpf_ringbuf_output(ring, chunk, bytes, BPF_RB_NO_WAKEUP);
}

#else /* host: defined by the file that includes the walk */

#define WALK_STEP static
#define WALK_INLINE static inline
#define walk_opaque(v) ((void)(v))

static long walk_read_user(void *to, __u32 size, __u64 address);
static struct mapping *walk_mapping(__u32 n);
static struct unwind_table *walk_table(__u32 n);
static struct unwind_rule *walk_rule(__u32 n);
static __u8 *walk_segment(__u32 n);
static struct walk_chunk *walk_chunk_buffer(void);
static long walk_submit_chunk(struct walk_state *s, struct walk_chunk *chunk, __u32 bytes);

#endif

#endif
