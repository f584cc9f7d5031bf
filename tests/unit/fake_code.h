/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's memory with code objects in it, written from CPython 3.12's
 * Include/cpython/code.h and unicodeobject.h (offsets: facts of 3.12.1), for the
 * tests of resolve/. Each code object has 16 units of bytecode: the first 8 are on
 * line first + 3, the rest on line first + 5.
 */
#ifndef MIXPROF_TESTS_UNIT_FAKE_CODE_H
#define MIXPROF_TESTS_UNIT_FAKE_CODE_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "follow/process_view.h"
#include "process/remote_memory.h"

#define FAKE_BASE 0x7f0000000000ull
#define FAKE_BYTES (1u << 20)
#define FAKE_CODE_TYPE 0x555500001000ull
#define FAKE_PID 4242
#define FAKE_CODE_SIZE 192 /* co_code_adaptive */

struct fake_memory {
	uint8_t bytes[FAKE_BYTES];
	uint64_t next; /* free place for strings and tables */
	bool gone;
	uint64_t hole; /* this 4 KB page cannot be read; 0: all can */
	uint32_t reads;
};

static inline int fake_read(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct fake_memory *m = context;

	m->reads++;
	if (m->gone || pid != FAKE_PID)
		return -ESRCH;
	if (address < FAKE_BASE || size > FAKE_BYTES || address - FAKE_BASE > FAKE_BYTES - size)
		return -EFAULT;
	if (m->hole && address < m->hole + 4096 && address + size > m->hole)
		return -EFAULT;
	memcpy(to, m->bytes + (address - FAKE_BASE), size);
	return 0;
}

static inline void fake_put(struct fake_memory *m, uint64_t address, uint64_t value, size_t size)
{
	assert_true(address >= FAKE_BASE && address - FAKE_BASE + size <= FAKE_BYTES);
	memcpy(m->bytes + (address - FAKE_BASE), &value, size);
}

/* A compact ASCII str. */
static inline uint64_t fake_string(struct fake_memory *m, const char *s)
{
	uint64_t at = FAKE_BASE + m->next;

	m->next += (40 + strlen(s) + 1 + 15) & ~15ull;
	assert_true(m->next < FAKE_BYTES);
	fake_put(m, at + 16, strlen(s), 8);
	fake_put(m, at + 32, 1 << 2 | 0x20 | 0x40, 4);
	memcpy(m->bytes + (at + 40 - FAKE_BASE), s, strlen(s));
	return at;
}

static inline uint64_t fake_line_table(struct fake_memory *m)
{
	/* PY_CODE_LOCATION_INFO_NO_COLUMNS (13), 8 units, line + 3; then line + 2 */
	static const uint8_t table[] = {0x80 | 13 << 3 | 7, 3 << 1, 0x80 | 13 << 3 | 7, 2 << 1};
	uint64_t at = FAKE_BASE + m->next;

	m->next += 48;
	fake_put(m, at + 16, sizeof(table), 8);
	memcpy(m->bytes + (at + 32 - FAKE_BASE), table, sizeof(table));
	return at;
}

static inline void fake_code_of(struct fake_memory *m, uint64_t code, uint64_t filename,
				uint64_t name, uint64_t qualname, uint32_t first_line)
{
	fake_put(m, code, 1, 8);
	fake_put(m, code + 8, FAKE_CODE_TYPE, 8);
	fake_put(m, code + 16, 16, 8);
	fake_put(m, code + 68, first_line, 4);
	fake_put(m, code + 112, filename, 8);
	fake_put(m, code + 120, name, 8);
	fake_put(m, code + 128, qualname, 8);
	fake_put(m, code + 136, fake_line_table(m), 8);
}

static inline void fake_code(struct fake_memory *m, uint64_t code, const char *filename,
			     const char *qualname, uint32_t first_line)
{
	fake_code_of(m, code, fake_string(m, filename), fake_string(m, "x"),
		     fake_string(m, qualname), first_line);
}

/* prev_instr of a frame that executes unit `unit`. */
static inline uint64_t fake_instr(uint64_t code, int32_t unit)
{
	return code + FAKE_CODE_SIZE + 2 * (int64_t)unit;
}

/* Code objects lie in the first half, what they point to in the second. */
static inline struct fake_memory *fake_memory_new(void)
{
	struct fake_memory *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->next = FAKE_BYTES / 2;
	return m;
}

static inline struct remote_memory fake_remote(struct fake_memory *m)
{
	return (struct remote_memory){fake_read, m};
}

static inline struct process_view fake_python_view(void)
{
	struct process_view view = {
		.pid = FAKE_PID,
		.has_python = 1,
		.version = "3.12.1",
		.code_type = FAKE_CODE_TYPE,
	};

	view.layout = *python_layout_find(0x030c01f0);
	return view;
}

#endif
