/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded reads of another process's memory; the sole caller of
 * process_vm_readv. Everything read is hostile. The source of the bytes is an
 * interface, so that replay (collect/capture.h) and tests serve recorded memory.
 */
#ifndef MIXPROF_PROCESS_REMOTE_MEMORY_H
#define MIXPROF_PROCESS_REMOTE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct remote_memory {
	/* Reads exactly size bytes or fails: -EFAULT unreadable, -ESRCH gone, -E2BIG. */
	int (*read)(void *context, pid_t pid, uint64_t address, void *to, size_t size);
	void *context;
};

#define REMOTE_READ_MAX (1u << 20) /* bytes; larger reads are -E2BIG */

/* The live source. */
extern const struct remote_memory remote_memory_live;

static inline int remote_memory_read(const struct remote_memory *memory, pid_t pid,
				     uint64_t address, void *to, size_t size)
{
	return memory->read(memory->context, pid, address, to, size);
}
int remote_memory_u64(const struct remote_memory *memory, pid_t pid, uint64_t address,
		      uint64_t *ret_value);
int remote_memory_u32(const struct remote_memory *memory, pid_t pid, uint64_t address,
		      uint32_t *ret_value);

#endif
