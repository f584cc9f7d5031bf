/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of ring records between one producer thread and one consumer
 * thread, without locks. Records lie 8-byte aligned and in one piece, so the
 * consumer reads them in place.
 */
#ifndef MIXPROF_COLLECT_RECORD_QUEUE_H
#define MIXPROF_COLLECT_RECORD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_queue;

#define RECORD_QUEUE_MIN_BYTES 64u
#define RECORD_QUEUE_MAX_BYTES (1u << 30)

/* Records and their 8-byte headers use at most limit_bytes. -EINVAL: limit_bytes out of range. */
int record_queue__new(size_t limit_bytes, struct record_queue **ret_queue);
void record_queue__free(struct record_queue *queue);

/* Producer. False, and nothing is kept: full. A record of at most half the limit always fits an
 * empty queue. */
bool record_queue__push(struct record_queue *queue, uint32_t ring, const void *data, uint32_t size);
/* Producer: bytes in use, headers included; in queues of 4 MB and more also what was read of the
 * last block of 256 KB. */
size_t record_queue__used_bytes(const struct record_queue *queue);

/* Consumer. Gives the memory of the last record back and returns the next one, borrowed until the
 * next call; false: none is queued. */
bool record_queue__next(struct record_queue *queue, uint32_t *ret_ring, uint32_t *ret_size,
			const void **ret_data);
/* Consumer: would __next return one? Gives nothing back. */
bool record_queue__has_next(const struct record_queue *queue);

static inline void record_queue__freep(struct record_queue **queue)
{
	record_queue__free(*queue);
}

#endif
