/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The state of one walk: registers of the frame being left, the last mapping and
 * table hit, the two read windows, the shims met. One per CPU in BPF, one per
 * walk on the host. What a step learns it keeps here and not in registers: the
 * verifier then sees unknown values at each loop turn and prunes (bpf/README.md).
 */
#ifndef MIXPROF_WALK_STATE_H
#define MIXPROF_WALK_STATE_H

#include "abi/process_abi.h"
#include "abi/sample_abi.h"
#include "abi/stop_reasons.h"
#include "abi/unwind_abi.h"

#define STACK_WINDOW_BYTES 1024
/* The Python window: [0, 2048) of the buffer mirrors the datastack, frames elsewhere are read to
 * [2048, ...). The buffer is twice that so that one mask bounds every access. */
#define PY_WINDOW_BYTES 2048
#define PY_BUFFER_BYTES 4096
#define SHIMS_MAX 256
#define CHUNK_WORDS 1024
/* Frames are walked in bursts: the verifier walks a loop turn by turn, so one loop of 2,048 calls
 * costs it 10,000 instructions where two nested ones cost 400. */
#define BURST_FRAMES 64

struct walk_chunk { /* the record being filled */
	struct chunk_record record;
	__u64 words[CHUNK_WORDS];
};

struct walk_state {
	__u64 regs[32]; /* by enum unwind_register; a power of two for masking */
	__u32 known;	/* bit per register whose value is the frame's */
	__u32 exact_pc; /* regs[RIP] is an interrupted pc, not a return address */

	__u32 mapping_first;
	__u32 mapping_count;
	struct mapping mapping;	   /* of the last pc found; start == end: none yet */
	struct unwind_table table; /* of that mapping */
	__u32 search_low;	   /* of the binary searches */
	__u32 search_high;
	__u64 search_key;
	__u32 rule_number;
	__u32 native_frames;
	__u32 native_words;
	__u16 native_stop; /* enum stop_reason */
	__u16 root_reached;
	__u32 needs_refresh;
	__u32 failed; /* a chunk did not fit the ring */
	__u32 pad3;

	__u64 window_start; /* user stack */
	__u32 window_bytes;
	__u32 pad0;
	__u64 window[STACK_WINDOW_BYTES / 8];

	/* Python */
	struct py_process python;
	struct py_layout layout;
	__u64 thread_pointer;
	__u64 tstate;
	__u64 base_frame;
	__u64 frame;  /* next to read */
	__u64 cframe; /* 3.11: the _PyCFrame that the current segment belongs to */
	__u64 cframe_previous;
	__u64 cframe_previous_frame;
	__u64 datastack_low; /* addresses worth a window refill */
	__u64 datastack_high;
	__u64 py_window_start;
	__u32 py_window_bytes;
	__u32 python_frames;
	__u32 python_words;
	__u16 python_stop;
	__u16 python_complete;
	__u32 entering;
	__u32 shim_count;
	__u32 shim_next; /* first shim that native frames have not passed yet */
	__u32 pad1;
	__u64 next_shim;	/* native_find_shim's answer */
	__u64 call_target;	/* call_target_find's */
	__u64 return_at;	/* native_find_frameless's */
	__u64 shims[SHIMS_MAX]; /* ascending: innermost first */
	__u64 py_buffer[PY_BUFFER_BYTES / 8];

	/* output */
	__u64 sample_id;
	__u32 chunk_words; /* in the chunk being filled */
	__u32 chunk_part;
	__u32 cpu;
	__u32 pad2;
};

#endif
