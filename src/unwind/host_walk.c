// SPDX-License-Identifier: Apache-2.0
/*
 * bpf/walk/ compiled for the host. Its access functions take no context, so the
 * walk under way is a thread-local pointer.
 */
#include "unwind/host_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#include "walk/access.h"
#include "walk/native_walk.h"
#include "walk/python_frames.h"

static __thread const struct host_walk *current_walk;
static __thread struct walk_chunk *current_chunk;

static long walk_read_user(void *to, __u32 size, __u64 address)
{
	return current_walk->read(current_walk->context, address, to, size);
}

static struct mapping *walk_mapping(__u32 n)
{
	return n < current_walk->mapping_count ? (struct mapping *)&current_walk->mappings[n]
					       : NULL;
}

static struct unwind_table *walk_table(__u32 n)
{
	return n < current_walk->table_count ? (struct unwind_table *)&current_walk->tables[n]
					     : NULL;
}

static struct unwind_rule *walk_rule(__u32 n)
{
	return n < current_walk->rule_count ? (struct unwind_rule *)&current_walk->rules[n] : NULL;
}

static __u8 *walk_segment(__u32 n)
{
	return n < current_walk->segment_count ? current_walk->segments[n] : NULL;
}

static struct walk_chunk *walk_chunk_buffer(void)
{
	return current_chunk;
}

static long walk_submit_chunk(struct walk_state *s, struct walk_chunk *chunk, __u32 bytes)
{
	(void)s;
	(void)bytes;
	return current_walk->chunk(current_walk->context, &chunk->record);
}

static void fill_record(const struct walk_state *s, struct sample_record *record)
{
	*record = (struct sample_record){
		.header = {sizeof(*record), RECORD_SAMPLE, SAMPLE_ABI_VERSION},
		.sample_id = s->sample_id,
		.user_ip = 0,
		.native_stop = s->native_stop,
		.python_stop = s->python_stop,
		.native_words = s->native_words,
		.python_words = s->python_words,
		.native_frames = s->native_frames,
		.python_frames = s->python_frames,
		.flags = SAMPLE_USER_MODE | (s->root_reached ? SAMPLE_ROOT_REACHED : 0) |
			 (s->python_complete ? SAMPLE_PYTHON_COMPLETE : 0) |
			 (s->entering ? SAMPLE_PYTHON_ENTERING : 0),
	};
}

int host_walk(const struct host_walk *walk, struct sample_record *ret_record)
{
	_cleanup_free_ struct walk_state *s = calloc(1, sizeof(*s));
	_cleanup_free_ struct walk_chunk *chunk = calloc(1, sizeof(*chunk));

	if (!s || !chunk)
		return -ENOMEM;
	current_walk = walk;
	current_chunk = chunk;
	memcpy(s->regs, walk->registers, sizeof(walk->registers));
	s->known = (1u << UNWIND_REGISTERS) - 1;
	s->exact_pc = 1;
	s->mapping_count = walk->mapping_count;
	s->thread_pointer = walk->thread_pointer;
	s->sample_id = 1;
	s->python = walk->python;
	s->layout = walk->layout;
	s->python_stop = walk->python.stop;
	if (!s->python_stop)
		py_walk(s);
	native_walk(s);
	current_walk = NULL;
	current_chunk = NULL;
	if (s->failed)
		return -EIO;
	fill_record(s, ret_record);
	return 0;
}
