/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock-free queue for one producer and one consumer. The memory is a power of
 * two, so positions are plain 64-bit counters that never wrap; `written` belongs
 * to the producer, `released` to the consumer, each on its own cache line.
 *
 * An entry is {u32 ring, u32 size} and the record, padded to 8 bytes. One that
 * would cross the end of the memory starts at its beginning instead, behind a
 * SKIP header; everything is a multiple of 8, so a header always fits.
 *
 * A large queue that is mostly empty still walks through all of its memory. So it
 * is given back to the system block by block, before the producer may have the
 * block: the queue's resident size is what is queued, not what could be.
 */
#include "collect/record_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_BYTES (256u << 10)
#define BLOCKS_MIN 16 /* in smaller queues every byte counts and none is worth a system call */
#define SKIP_SIZE UINT32_MAX
#define CACHE_LINE 64

struct entry_header {
	uint32_t ring;
	uint32_t size; /* of the record; SKIP_SIZE: go on at the beginning of the memory */
};

struct record_queue {
	_Alignas(CACHE_LINE) _Atomic uint64_t written;
	_Alignas(CACHE_LINE) _Atomic uint64_t released;
	uint64_t read; /* consumer only: behind the record it lent out */
	_Alignas(CACHE_LINE) size_t limit_bytes;
	size_t memory_bytes;
	uint8_t *memory;
};

int record_queue__new(size_t limit_bytes, struct record_queue **ret_queue)
{
	struct record_queue *queue;
	size_t memory_bytes = RECORD_QUEUE_MIN_BYTES;

	if (limit_bytes < RECORD_QUEUE_MIN_BYTES || limit_bytes > RECORD_QUEUE_MAX_BYTES)
		return -EINVAL;
	while (memory_bytes < limit_bytes)
		memory_bytes *= 2;
	queue = aligned_alloc(CACHE_LINE, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	memset(queue, 0, sizeof(*queue));
	queue->memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (queue->memory == MAP_FAILED) {
		free(queue);
		return -ENOMEM;
	}
	queue->memory_bytes = memory_bytes;
	queue->limit_bytes = limit_bytes;
	*ret_queue = queue;
	return 0;
}

void record_queue__free(struct record_queue *queue)
{
	if (!queue)
		return;
	munmap(queue->memory, queue->memory_bytes);
	free(queue);
}

static uint64_t entry_bytes(uint32_t size)
{
	return sizeof(struct entry_header) + (((uint64_t)size + 7) & ~7ULL);
}

static uint8_t *memory_at(const struct record_queue *queue, uint64_t position)
{
	return queue->memory + (position & (queue->memory_bytes - 1));
}

static uint64_t bytes_to_end(const struct record_queue *queue, uint64_t position)
{
	return queue->memory_bytes - (position & (queue->memory_bytes - 1));
}

size_t record_queue__used_bytes(const struct record_queue *queue)
{
	return atomic_load_explicit(&queue->written, memory_order_relaxed) -
	       atomic_load_explicit(&queue->released, memory_order_acquire);
}

bool record_queue__push(struct record_queue *queue, uint32_t ring, const void *data, uint32_t size)
{
	uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed);
	struct entry_header header = {.ring = ring, .size = size};
	uint64_t need = entry_bytes(size);
	uint64_t skip = bytes_to_end(queue, written);

	if (size == SKIP_SIZE)
		return false;
	if (skip >= need)
		skip = 0;
	if (record_queue__used_bytes(queue) + skip + need > queue->limit_bytes)
		return false;
	if (skip > 0) {
		const struct entry_header over = {.size = SKIP_SIZE};

		memcpy(memory_at(queue, written), &over, sizeof(over));
		written += skip;
	}
	memcpy(memory_at(queue, written), &header, sizeof(header));
	if (size > 0)
		memcpy(memory_at(queue, written) + sizeof(header), data, size);
	atomic_store_explicit(&queue->written, written + need, memory_order_release);
	return true;
}

bool record_queue__has_next(const struct record_queue *queue)
{
	return atomic_load_explicit(&queue->written, memory_order_acquire) != queue->read;
}

/* Lets the producer have what was read; of large queues whole blocks, emptied first. */
static void release(struct record_queue *queue)
{
	uint64_t released = atomic_load_explicit(&queue->released, memory_order_relaxed);

	if (queue->memory_bytes < BLOCKS_MIN * BLOCK_BYTES)
		released = queue->read;
	while (queue->read - released >= BLOCK_BYTES) {
		(void)madvise(memory_at(queue, released), BLOCK_BYTES, MADV_DONTNEED);
		released += BLOCK_BYTES;
	}
	atomic_store_explicit(&queue->released, released, memory_order_release);
}

bool record_queue__next(struct record_queue *queue, uint32_t *ret_ring, uint32_t *ret_size,
			const void **ret_data)
{
	struct entry_header header;

	release(queue);
	if (!record_queue__has_next(queue))
		return false;
	memcpy(&header, memory_at(queue, queue->read), sizeof(header));
	if (header.size == SKIP_SIZE) { /* never the last: it is published with its record */
		queue->read += bytes_to_end(queue, queue->read);
		memcpy(&header, memory_at(queue, queue->read), sizeof(header));
	}
	*ret_ring = header.ring;
	*ret_size = header.size;
	*ret_data = memory_at(queue, queue->read) + sizeof(header);
	queue->read += entry_bytes(header.size);
	return true;
}
