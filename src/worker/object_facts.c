/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of what a worker says about a file. The worker may have been taken
 * over by that file, so nothing is believed that the parent would use as an index,
 * a size or an address: those that pass are consistent with each other, though not
 * necessarily true.
 */
#include <elf.h>
#include <errno.h>

#include "worker/object_facts.h"

#define RUNTIME_BYTES_MAX (16u << 20) /* _PyRuntime of 3.12, the largest: 460 KB */
#define TLS_BYTES_MAX (1u << 30)

/* [start, start + size) lies within one segment whose flags have `flags`. */
static bool is_within(const struct object_facts *facts, uint64_t start, uint64_t size,
		      uint32_t flags)
{
	for (uint32_t i = 0; i < facts->segment_count; i++) {
		const struct object_segment *s = &facts->segments[i];

		if ((s->flags & flags) == flags && start >= s->vaddr &&
		    start - s->vaddr < s->memory_size &&
		    size <= s->memory_size - (start - s->vaddr))
			return true;
	}
	return false;
}

static bool segment_is_sane(const struct object_segment *s)
{
	uint64_t end;

	return s->file_size <= s->memory_size &&
	       (s->flags & ~(uint32_t)(PF_R | PF_W | PF_X)) == 0 && s->reserved == 0 &&
	       !__builtin_add_overflow(s->vaddr, s->memory_size, &end) &&
	       !__builtin_add_overflow(s->offset, s->file_size, &end);
}

static bool eval_ranges_are_sane(const struct object_facts *facts)
{
	const struct python_facts *p = &facts->python;
	uint64_t last_end = 0;

	if (p->eval_range_count > PYTHON_EVAL_RANGES_MAX)
		return false;
	for (uint32_t i = 0; i < p->eval_range_count; i++) {
		const struct vaddr_range *range = &p->eval_ranges[i];

		if (range->start >= range->end || range->start < last_end ||
		    !is_within(facts, range->start, range->end - range->start, PF_X))
			return false;
		last_end = range->end;
	}
	return true;
}

static bool python_is_sane(const struct object_facts *facts)
{
	const struct python_facts *p = &facts->python;
	uint32_t major = p->version >> 24;

	return eval_ranges_are_sane(facts) && (p->version == 0 || major == 2 || major == 3) &&
	       p->runtime_size <= RUNTIME_BYTES_MAX &&
	       (p->runtime == 0 || is_within(facts, p->runtime, p->runtime_size, 0)) &&
	       (p->code_type == 0 || is_within(facts, p->code_type, 0, 0)) &&
	       p->tls_block_bytes <= TLS_BYTES_MAX && p->is_executable <= 1 &&
	       p->debug_offsets_size <= PYTHON_DEBUG_OFFSETS_MAX;
}

int object_facts_check(const struct object_facts *facts)
{
	if (facts->build_id_size > sizeof(facts->build_id) ||
	    facts->segment_count > OBJECT_SEGMENTS_MAX || facts->is_executable > 1 ||
	    facts->reserved != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < facts->segment_count; i++)
		if (!segment_is_sane(&facts->segments[i]))
			return -EBADMSG;
	return python_is_sane(facts) ? 0 : -EBADMSG;
}
