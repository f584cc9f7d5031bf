/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a process that does not exist: one region, written by the test, unreadable outside. */
#ifndef MIXPROF_TESTS_FAKE_MEMORY_H
#define MIXPROF_TESTS_FAKE_MEMORY_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "process/remote_memory.h"

#define FAKE_BASE 0x7f0000000000ULL
#define FAKE_BYTES (1u << 20)

struct fake_memory {
	uint8_t *bytes; /* FAKE_BYTES from FAKE_BASE on */
	size_t reads;
	uint64_t dead; /* reads of this address fail; 0: none */
};

static int fake_memory_read(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct fake_memory *m = context;

	(void)pid;
	m->reads++;
	if (size > REMOTE_READ_MAX)
		return -E2BIG;
	if (address < FAKE_BASE || address - FAKE_BASE > FAKE_BYTES ||
	    size > FAKE_BYTES - (address - FAKE_BASE) || (m->dead && address == m->dead))
		return -EFAULT;
	memcpy(to, m->bytes + (address - FAKE_BASE), size);
	return 0;
}

static inline struct remote_memory fake_memory_new(struct fake_memory *m)
{
	*m = (struct fake_memory){.bytes = calloc(1, FAKE_BYTES)};
	return (struct remote_memory){.read = fake_memory_read, .context = m};
}

static inline void fake_put(struct fake_memory *m, uint64_t address, const void *from, size_t size)
{
	memcpy(m->bytes + (address - FAKE_BASE), from, size);
}

static inline void fake_u64(struct fake_memory *m, uint64_t address, uint64_t value)
{
	fake_put(m, address, &value, sizeof(value));
}

static inline void fake_u32(struct fake_memory *m, uint64_t address, uint32_t value)
{
	fake_put(m, address, &value, sizeof(value));
}

#endif
