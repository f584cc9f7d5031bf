/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring records to samples. Trusts nothing about size, kind, counts or tags
 * (style.md §B.3); fuzzed. One decoder per CPU ring, since a sample's chunks are
 * contiguous only within one ring.
 */
#ifndef MIXPROF_COLLECT_SAMPLE_DECODE_H
#define MIXPROF_COLLECT_SAMPLE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sample_abi.h"

struct native_frame { /* leaf first */
	uint64_t pc;
	uint64_t sp; /* eval frames only, else 0 */
	uint64_t cfa;
	bool is_eval;
	bool exact_pc; /* interrupted here; otherwise pc is a return address: look pc - 1 up */
	bool by_frame_pointer;
	bool resynced; /* frames between this one and the one before it are missing */
};

enum python_item_kind {
	PYTHON_ITEM_FRAME = 1,
	PYTHON_ITEM_SEGMENT_END = 2,
	PYTHON_ITEM_THREAD_STATE = 3,
};

struct python_item {  /* innermost first */
	uint8_t kind; /* enum python_item_kind */
	bool incomplete;
	uint64_t address; /* code object, shim/_PyCFrame address, or thread state */
	uint64_t instr;	  /* frames only */
};

struct sample {
	struct sample_record head; /* as sent, checked */
	const uint64_t *kernel;	   /* head.kernel_words return addresses, leaf first */
	const struct native_frame *native;
	const struct python_item *python;
	uint32_t kernel_count, native_count, python_count;
};

struct sample_decoder;

int sample_decoder__new(struct sample_decoder **ret_decoder);
void sample_decoder__free(struct sample_decoder *decoder);
/*
 * Takes one record. 1: *ret_sample is complete, borrowed until the next call. 0: a chunk was
 * kept. -EBADMSG: the record, or the sample it closes, is malformed and was dropped (counted).
 */
int sample_decoder__push(struct sample_decoder *decoder, const void *record, size_t size,
			 struct sample *ret_sample);
struct sample_decoder_stats {
	uint64_t samples, orphan_chunks, malformed;
};
void sample_decoder__stats(const struct sample_decoder *decoder,
			   struct sample_decoder_stats *ret_stats);

static inline void sample_decoder__freep(struct sample_decoder **decoder)
{
	sample_decoder__free(*decoder);
}

#endif
