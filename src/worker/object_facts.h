/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker tells of one ELF file, in one answer: plain data, checked with
 * object_facts_check() before anyone sees it.
 */
#ifndef MIXPROF_WORKER_OBJECT_FACTS_H
#define MIXPROF_WORKER_OBJECT_FACTS_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/python_object.h"

#define OBJECT_SEGMENTS_MAX 32

struct object_segment { /* PT_LOAD */
	uint64_t vaddr, offset, file_size, memory_size;
	uint32_t flags; /* PF_* */
	uint32_t reserved;
};

struct object_facts {
	uint8_t build_id[32];
	uint32_t build_id_size;
	uint32_t segment_count;
	struct object_segment segments[OBJECT_SEGMENTS_MAX];
	uint32_t is_executable; /* ET_EXEC */
	uint32_t reserved;
	struct python_facts python;
};

/* -EBADMSG unless every count, range and address is sane: counts within their arrays, segments
 * without overflow, eval ranges ascending and within executable segments. */
int object_facts_check(const struct object_facts *facts);

/* The elf vaddr of a file offset; false if no segment holds it. */
static inline bool object_facts_offset_to_vaddr(const struct object_facts *facts, uint64_t offset,
						uint64_t *ret_vaddr)
{
	for (uint32_t i = 0; i < facts->segment_count; i++) {
		const struct object_segment *s = &facts->segments[i];

		if (offset >= s->offset && offset - s->offset < s->file_size) {
			*ret_vaddr = s->vaddr + (offset - s->offset);
			return true;
		}
	}
	return false;
}

/*
 * Address - elf vaddr of an executable mapping that begins at the file's map_offset. The kernel
 * rounds a segment's offset down to a page, so with segments that are not page aligned (lld) the
 * offset in maps may lie in the segment before: it is matched against rounded offsets, executable
 * ones only.
 */
static inline bool object_facts_bias(const struct object_facts *facts, uint64_t map_start,
				     uint64_t map_offset, uint64_t *ret_bias)
{
	for (uint32_t i = 0; i < facts->segment_count; i++) {
		const struct object_segment *s = &facts->segments[i];
		uint64_t first = s->offset & ~(uint64_t)4095;

		if (!(s->flags & PF_X) || map_offset < first ||
		    map_offset >= s->offset + s->file_size)
			continue;
		*ret_bias = map_start - (s->vaddr - s->offset + map_offset);
		return true;
	}
	return false;
}

#endif
