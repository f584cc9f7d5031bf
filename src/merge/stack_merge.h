/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plaits native and Python frames by address (design.md §2): a Python segment
 * belongs to the native eval frame with sp <= segment end < cfa. A pure function
 * of its inputs; never guesses: what does not match says so in the verdict.
 */
#ifndef MIXPROF_MERGE_STACK_MERGE_H
#define MIXPROF_MERGE_STACK_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/sample_decode.h"

enum verdict {
	VERDICT_EXACT = 0, /* every segment has its eval frame and every eval frame its segment */
	/* as exact, but the innermost eval has not linked its frame yet, or has unlinked it */
	VERDICT_ENTERING = 1,
	/* native frames are missing between two known ones; the order is right */
	VERDICT_RESYNCED = 2,
	VERDICT_TRUNCATED = 3, /* the native stack ends before the root; what is shown is right */
	VERDICT_PARTIAL = 4,   /* Python frames are missing, or could not be placed */
	VERDICT_NATIVE = 5, /* a thread without Python thread state: no Python frames to expect */
	VERDICT_COUNT = 6,
};

const char *verdict_name(enum verdict verdict);

enum merged_kind { MERGED_NATIVE = 1, MERGED_PYTHON = 2, MERGED_KERNEL = 3 };

struct merged_frame { /* leaf first */
	uint8_t kind; /* enum merged_kind */
	bool is_eval; /* native: this eval frame runs the Python frames that come right before it */
	bool has_segment; /* eval frames: a Python segment, maybe an empty one, was matched to it */
	uint32_t index;	  /* into sample->native, ->python or ->kernel */
};

struct merged_stack {
	struct merged_frame *frames; /* owned, reused by the next merge */
	size_t count;
	size_t capacity;
	enum verdict verdict;
	/*
	 * enum stop_reason: why not complete. Set with root_reached too: STOP_UNWIND_LOST when
	 * resynced, the Python walk's stop when partial; STOP_NONE when exact or entering.
	 */
	uint16_t stop;
	bool root_reached; /* of the native stack; true for kernel threads, which have none */
	uint32_t unmatched_segments, unmatched_evals;
};

/* 0 or -ENOMEM. Every frame of the sample appears exactly once, each kind in its own order. */
int stack_merge(const struct sample *sample, struct merged_stack *stack);
void merged_stack_done(struct merged_stack *stack);

#endif
