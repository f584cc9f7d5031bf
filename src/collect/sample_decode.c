/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the records of one CPU's ring (abi/sample_abi.h) into samples. Chunks are
 * kept as words until the SAMPLE record closes them, so where a chunk was cut
 * does not matter; then the words become frames, and every count of the record
 * must agree with what was found.
 *
 * Records come from our own sampler, but through memory and capture files that
 * others can hand us: nothing is believed. Words are copied out, never cast, and
 * all memory is allocated once, at the size of the largest sample (untouched
 * pages cost nothing).
 */
#include "collect/sample_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/stop_reasons.h"
#include "base/cursor.h"

/* A native step may put two frames (the one that was lost, and the eval it resynced at), of at
 * most four words together; a Python step puts at most two ends beside its frame. */
#define NATIVE_WORDS_MAX (4 * NATIVE_FRAMES_MAX)
#define PYTHON_WORDS_MAX (4 * PYTHON_FRAMES_MAX)

#define SAMPLE_FLAGS_KNOWN                                                                         \
	(SAMPLE_USER_MODE | SAMPLE_KERNEL_THREAD | SAMPLE_ROOT_REACHED | SAMPLE_PYTHON_COMPLETE |  \
	 SAMPLE_PYTHON_ENTERING | SAMPLE_NEEDS_REFRESH)

struct sample_decoder {
	struct sample_decoder_stats stats;
	uint64_t pending_id; /* of the chunks kept; meaningless when there are none */
	uint32_t pending_chunks;
	uint32_t native_words, python_words;
	uint64_t native_word[NATIVE_WORDS_MAX];
	uint64_t python_word[PYTHON_WORDS_MAX];
	uint64_t kernel[KERNEL_STACK_MAX];
	struct native_frame native[NATIVE_WORDS_MAX];
	struct python_item python[PYTHON_WORDS_MAX];
};

int sample_decoder__new(struct sample_decoder **ret_decoder)
{
	struct sample_decoder *decoder = calloc(1, sizeof(*decoder));

	if (!decoder)
		return -ENOMEM;
	*ret_decoder = decoder;
	return 0;
}

void sample_decoder__free(struct sample_decoder *decoder)
{
	free(decoder);
}

void sample_decoder__stats(const struct sample_decoder *decoder,
			   struct sample_decoder_stats *ret_stats)
{
	*ret_stats = decoder->stats;
}

static void forget_chunks(struct sample_decoder *decoder)
{
	decoder->pending_chunks = 0;
	decoder->native_words = 0;
	decoder->python_words = 0;
}

static int malformed(struct sample_decoder *decoder)
{
	forget_chunks(decoder);
	decoder->stats.malformed++;
	return -EBADMSG;
}

/* Chunks whose SAMPLE did not fit the ring: the sampler has counted that run as ring_full. */
static void drop_orphans(struct sample_decoder *decoder, uint64_t sample_id)
{
	if (decoder->pending_chunks == 0 || decoder->pending_id == sample_id)
		return;
	decoder->stats.orphan_chunks += decoder->pending_chunks;
	forget_chunks(decoder);
}

static bool keep_words(struct cursor *c, uint32_t count, uint64_t *words, uint32_t *words_kept,
		       uint32_t words_max)
{
	if (count > words_max - *words_kept)
		return false;
	for (uint32_t i = 0; i < count; i++)
		words[(*words_kept)++] = cursor_u64(c);
	return cursor_left(c) == 0 && !c->failed;
}

static int push_chunk(struct sample_decoder *decoder, const void *record, size_t size)
{
	struct cursor c = cursor_of(record, size);
	struct chunk_record chunk;
	bool kept;

	if (size < sizeof(chunk))
		return malformed(decoder);
	memcpy(&chunk, cursor_bytes(&c, sizeof(chunk)), sizeof(chunk));
	if (chunk.reserved != 0 || chunk.words == 0 || cursor_left(&c) / 8 != chunk.words)
		return malformed(decoder);
	drop_orphans(decoder, chunk.sample_id);
	if (chunk.part == CHUNK_NATIVE)
		kept = keep_words(&c, chunk.words, decoder->native_word, &decoder->native_words,
				  NATIVE_WORDS_MAX);
	else if (chunk.part == CHUNK_PYTHON)
		kept = keep_words(&c, chunk.words, decoder->python_word, &decoder->python_words,
				  PYTHON_WORDS_MAX);
	else
		kept = false;
	if (!kept)
		return malformed(decoder);
	decoder->pending_id = chunk.sample_id;
	decoder->pending_chunks++;
	return 0;
}

static bool decode_native(struct sample_decoder *decoder, uint32_t frames)
{
	const uint64_t *word = decoder->native_word;
	uint32_t left = decoder->native_words, count = 0;

	while (left > 0) {
		struct native_frame *frame = &decoder->native[count++];
		uint64_t tag = *word >> NATIVE_TAG_SHIFT;
		uint32_t used = tag & NATIVE_TAG_EVAL ? 3 : 1;

		if (tag & ~(NATIVE_TAG_EXACT_PC | NATIVE_TAG_EVAL | NATIVE_TAG_FRAME_POINTER |
			    NATIVE_TAG_RESYNC) ||
		    used > left)
			return false;
		*frame = (struct native_frame){
			.pc = *word & ADDRESS_MASK,
			.sp = used == 3 ? word[1] : 0,
			.cfa = used == 3 ? word[2] : 0,
			.is_eval = tag & NATIVE_TAG_EVAL,
			.exact_pc = tag & NATIVE_TAG_EXACT_PC,
			.by_frame_pointer = tag & NATIVE_TAG_FRAME_POINTER,
			.resynced = tag & NATIVE_TAG_RESYNC,
		};
		word += used;
		left -= used;
	}
	return count == frames;
}

static uint8_t item_kind(uint64_t tag)
{
	switch (tag) {
	case PY_TAG_FRAME:
	case PY_TAG_FRAME | PY_TAG_INCOMPLETE:
		return PYTHON_ITEM_FRAME;
	case PY_TAG_SEGMENT_END:
		return PYTHON_ITEM_SEGMENT_END;
	case PY_TAG_THREAD_STATE:
		return PYTHON_ITEM_THREAD_STATE;
	default:
		return 0;
	}
}

static bool decode_python(struct sample_decoder *decoder, uint32_t frames, uint32_t *ret_items)
{
	const uint64_t *word = decoder->python_word;
	uint32_t left = decoder->python_words, count = 0, frame_count = 0;

	while (left > 0) {
		uint64_t tag = *word >> PY_TAG_SHIFT;
		uint8_t kind = item_kind(tag);
		uint32_t used = kind == PYTHON_ITEM_FRAME ? 2 : 1;

		if (kind == 0 || used > left)
			return false;
		decoder->python[count++] = (struct python_item){
			.kind = kind,
			.incomplete = tag & PY_TAG_INCOMPLETE,
			.address = *word & ADDRESS_MASK,
			.instr = used == 2 ? word[1] : 0,
		};
		frame_count += kind == PYTHON_ITEM_FRAME;
		word += used;
		left -= used;
	}
	*ret_items = count;
	return frame_count == frames;
}

static bool is_stop_reason(uint16_t value)
{
	switch (value) {
#define STOP(id, NAME, name, sentence) case id:
#include "abi/stop_reasons.def"
#undef STOP
		return true;
	default:
		return false;
	}
}

static bool head_is_valid(const struct sample_record *head, size_t size)
{
	return head->kernel_words <= KERNEL_STACK_MAX &&
	       size == sizeof(*head) + 8 * (size_t)head->kernel_words && head->reserved == 0 &&
	       (head->flags & ~(uint32_t)SAMPLE_FLAGS_KNOWN) == 0 &&
	       is_stop_reason(head->native_stop) && is_stop_reason(head->python_stop);
}

static int push_sample(struct sample_decoder *decoder, const void *record, size_t size,
		       struct sample *ret_sample)
{
	struct cursor c = cursor_of(record, size);
	struct sample_record head;
	uint32_t python_items = 0;

	if (size < sizeof(head))
		return malformed(decoder);
	memcpy(&head, cursor_bytes(&c, sizeof(head)), sizeof(head));
	if (!head_is_valid(&head, size))
		return malformed(decoder);
	drop_orphans(decoder, head.sample_id);
	if (head.native_words != decoder->native_words ||
	    head.python_words != decoder->python_words ||
	    !decode_native(decoder, head.native_frames) ||
	    !decode_python(decoder, head.python_frames, &python_items))
		return malformed(decoder);
	for (uint32_t i = 0; i < head.kernel_words; i++)
		decoder->kernel[i] = cursor_u64(&c);
	head.comm[sizeof(head.comm) - 1] = '\0';
	*ret_sample = (struct sample){
		.head = head,
		.kernel = decoder->kernel,
		.native = decoder->native,
		.python = decoder->python,
		.kernel_count = head.kernel_words,
		.native_count = head.native_frames,
		.python_count = python_items,
	};
	forget_chunks(decoder);
	decoder->stats.samples++;
	return 1;
}

int sample_decoder__push(struct sample_decoder *decoder, const void *record, size_t size,
			 struct sample *ret_sample)
{
	struct record_header header;

	if (size < sizeof(header))
		return malformed(decoder);
	memcpy(&header, record, sizeof(header));
	if (header.size != size || size % 8 != 0 || header.version != SAMPLE_ABI_VERSION)
		return malformed(decoder);
	switch (header.kind) {
	case RECORD_STACK_CHUNK:
		return push_chunk(decoder, record, size);
	case RECORD_SAMPLE:
		return push_sample(decoder, record, size, ret_sample);
	default:
		return malformed(decoder);
	}
}
