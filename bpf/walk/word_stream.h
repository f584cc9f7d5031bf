/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* Writes the words of a sample into chunks (abi/sample_abi.h) and sends full ones. */
#ifndef MIXPROF_WALK_WORD_STREAM_H
#define MIXPROF_WALK_WORD_STREAM_H

#include "walk/access.h"

/* Sends what is in the chunk, if anything. A failure sticks: the sample is lost as a whole. */
WALK_STEP int stream_flush(struct walk_state *s)
{
	struct walk_chunk *chunk = walk_chunk_buffer();
	__u32 words, bytes;

	if (!s || !chunk)
		return 1;
	words = s->chunk_words;
	if (words == 0)
		return 0;
	if (words > CHUNK_WORDS)
		return 1;
	bytes = sizeof(struct chunk_record) + words * 8;
	chunk->record.header.size = bytes;
	chunk->record.header.kind = RECORD_STACK_CHUNK;
	chunk->record.header.version = SAMPLE_ABI_VERSION;
	chunk->record.sample_id = s->sample_id;
	chunk->record.part = s->chunk_part;
	chunk->record.reserved = 0;
	chunk->record.words = words;
	s->chunk_words = 0;
	walk_opaque(bytes);
	if (bytes > sizeof(struct walk_chunk))
		return 1;
	if (walk_submit_chunk(s, chunk, bytes))
		s->failed = 1;
	return 0;
}

/* Makes room for a frame of up to three words. */
WALK_INLINE int stream_room(struct walk_state *s)
{
	if (s->chunk_words > CHUNK_WORDS - 3)
		return stream_flush(s);
	return 0;
}

WALK_INLINE void stream_put(struct walk_state *s, struct walk_chunk *chunk, __u64 word)
{
	__u32 n = s->chunk_words;

	s->chunk_words = n + 1;
	walk_opaque(n);
	chunk->words[n & (CHUNK_WORDS - 1)] = word;
}

#endif
