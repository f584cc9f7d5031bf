/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drains the per-CPU rings on a thread of its own into a bounded queue; nothing
 * else runs there, so a stalled consumer never delays a drain until the queue is
 * full (then records are dropped whole, counted).
 */
#ifndef MIXPROF_COLLECT_RING_READER_H
#define MIXPROF_COLLECT_RING_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring_reader;

/* ring_fds: one BPF_MAP_TYPE_RINGBUF fd per CPU, borrowed for the reader's life. The queue holds at
 * most queue_bytes of records. The thread drains when the kernel wakes it and every interval_ms. */
int ring_reader__new(const int *ring_fds, size_t ring_count, size_t queue_bytes,
		     unsigned int interval_ms, struct ring_reader **ret_reader);
/* Drains what is left, then stops the thread; records stay queued for __next. */
int ring_reader__stop(struct ring_reader *reader);
void ring_reader__free(struct ring_reader *reader);

struct ring_record {
	uint32_t ring; /* index into ring_fds */
	uint32_t size;
	const void *data; /* borrowed until the next call */
};
/* Waits up to timeout_ms (0: does not wait). 1: a record; 0: none within the time. */
int ring_reader__next(struct ring_reader *reader, unsigned int timeout_ms,
		      struct ring_record *ret_record);
/* Readable (poll) when records are queued. Owned by the reader. */
int ring_reader__fd(const struct ring_reader *reader);
struct ring_reader_stats {
	uint64_t records, bytes, dropped_records, queue_peak_bytes, drains;
};
void ring_reader__stats(struct ring_reader *reader, struct ring_reader_stats *ret_stats);

static inline void ring_reader__freep(struct ring_reader **reader)
{
	ring_reader__free(*reader);
}

#endif
