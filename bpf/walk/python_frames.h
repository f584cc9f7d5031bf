/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The chain of _PyInterpreterFrame, 3.11 and later, innermost first.
 *
 * 3.12+: each native entry into the eval loop keeps a shim frame (owner >= 3) in
 * its own C frame; the shim's address ends the segment of frames before it.
 * 3.11: no shims; the eval keeps a _PyCFrame there, and tstate->cframe lists
 * them. The list is walked beside the frames: the frames of a _PyCFrame end
 * where the next one's current_frame begins. is_entry is not used: it stays set
 * on frames that gen.throw() linked without an eval of their own.
 *
 * Frames of one thread are contiguous in its datastack chunk, so they are read
 * through a window; generators and shims lie elsewhere and are read alone.
 */
#ifndef MIXPROF_WALK_PYTHON_FRAMES_H
#define MIXPROF_WALK_PYTHON_FRAMES_H

#include "walk/python_state.h"
#include "walk/word_stream.h"

#define PY_POINTER_TAG_MASK 7ULL /* 3.14+ tagged f_executable; objects are 16-aligned */
#define PY_BUFFER_WORDS (PY_BUFFER_BYTES / 8)
#define PY_DATASTACK_SPAN (1u << 20) /* CPython grows chunks by doubling from 16 KB; plenty */

WALK_INLINE void py_put_end(struct walk_state *s, __u64 address)
{
	struct walk_chunk *chunk = walk_chunk_buffer();

	if (!chunk || stream_room(s))
		return;
	stream_put(s, chunk, (address & ADDRESS_MASK) | PY_TAG_SEGMENT_END << PY_TAG_SHIFT);
	s->python_words++;
	if (s->shim_count < SHIMS_MAX) {
		s->shims[s->shim_count & (SHIMS_MAX - 1)] = address;
		s->shim_count++;
	}
}

WALK_INLINE void py_put_frame(struct walk_state *s, __u64 code, __u64 instr)
{
	struct walk_chunk *chunk = walk_chunk_buffer();

	if (!chunk || stream_room(s))
		return;
	stream_put(s, chunk, (code & ADDRESS_MASK) | PY_TAG_FRAME << PY_TAG_SHIFT);
	stream_put(s, chunk, instr);
	s->python_words += 2;
	s->python_frames++;
}

/* Reads a _PyCFrame: the frame it runs and the one before it. */
WALK_INLINE int py_cframe_read(struct walk_state *s, __u64 cframe, __u64 *ret_frame,
			       __u64 *ret_previous)
{
	return py_read(cframe + s->layout.cframe_current_frame, ret_frame) ||
	       py_read(cframe + s->layout.cframe_previous, ret_previous);
}

/*
 * 3.11/3.12 store tstate->cframe before cframe.current_frame, which holds stack
 * garbage for a few instructions: a frame whose code is no code object is such.
 */
WALK_INLINE int py_frame_is_garbage(struct walk_state *s, __u64 frame)
{
	__u64 code = 0, type = 0;

	if (!frame)
		return 0;
	if (frame & 7 || py_read(frame + s->layout.frame_code, &code) ||
	    py_read((code & ~PY_POINTER_TAG_MASK) + s->layout.object_type, &type))
		return 1;
	return type != s->python.code_type;
}

/* The top frame of 3.11 and 3.12. */
WALK_STEP int py_cframe_start(struct walk_state *s)
{
	__u64 cframe = 0, previous = 0, frame = 0;

	if (!s || py_read(s->tstate + s->layout.tstate_frame, &cframe))
		return STOP_PY_STATE_UNREADABLE;
	if (py_cframe_read(s, cframe, &frame, &previous))
		return STOP_PY_STATE_UNREADABLE;
	if (previous && s->python.code_type && py_frame_is_garbage(s, frame)) {
		s->entering = 1;
		cframe = previous;
		previous = 0;
		if (py_cframe_read(s, cframe, &frame, &previous))
			return STOP_PY_STATE_UNREADABLE;
	}
	s->frame = frame;
	if (s->layout.chain == PY_CHAIN_CFRAME_SHIM)
		return 0;
	s->cframe = cframe;
	s->cframe_previous = previous;
	s->cframe_previous_frame = 0;
	if (previous &&
	    py_read(previous + s->layout.cframe_current_frame, &s->cframe_previous_frame))
		return STOP_PY_STATE_UNREADABLE;
	return 0;
}

/* Finds the innermost frame and the datastack's bounds. 0, or the stop reason. */
WALK_STEP int py_start(struct walk_state *s)
{
	__u64 chunk[2] = {};
	int stop;

	if (!s)
		return STOP_PY_STATE_UNREADABLE;
	if (!py_layout_sane(&s->layout))
		return STOP_PY_BAD_LAYOUT;
	stop = py_tstate_find(s);
	if (stop)
		return stop;
	if (s->layout.tstate_base_frame != PY_OFFSET_NONE &&
	    py_read(s->tstate + s->layout.tstate_base_frame, &s->base_frame))
		return STOP_PY_STATE_UNREADABLE;
	if (s->layout.chain == PY_CHAIN_SHIM) {
		if (py_read(s->tstate + s->layout.tstate_frame, &s->frame))
			return STOP_PY_STATE_UNREADABLE;
	} else {
		stop = py_cframe_start(s);
		if (stop)
			return stop;
	}
	if (s->layout.tstate_datastack_chunk != PY_OFFSET_NONE &&
	    !py_read(s->tstate + s->layout.tstate_datastack_chunk, &chunk[0]) && chunk[0] &&
	    !py_read(chunk[0] + 8, &chunk[1])) { /* _PyStackChunk {previous, size, ...} */
		s->datastack_low = chunk[0];
		s->datastack_high = chunk[0] + chunk[1];
	}
	return 0;
}

/* Makes the frame at s->frame readable in py_buffer; *ret_byte is where it begins. */
WALK_STEP int py_frame_load(struct walk_state *s)
{
	__u64 address, start;
	__u32 size;

	if (!s)
		return -1;
	address = s->frame;
	size = s->layout.frame_size;
	if (address & 7)
		return -1;
	if (address >= s->py_window_start &&
	    address + size <= s->py_window_start + s->py_window_bytes)
		return (address - s->py_window_start) & (PY_WINDOW_BYTES - 1);
	if (address >= s->datastack_low && address < s->datastack_high) {
		start = address + size - PY_WINDOW_BYTES;
		if (start < s->datastack_low)
			start = s->datastack_low;
		s->py_window_start = start;
		s->py_window_bytes = PY_WINDOW_BYTES;
		if (walk_read_user(s->py_buffer, PY_WINDOW_BYTES, start) == 0)
			return (address - start) & (PY_WINDOW_BYTES - 1);
		s->py_window_bytes = 0;
	}
	walk_opaque(size);
	if (size > PY_FRAME_BYTES_MAX)
		return -1;
	if (walk_read_user(s->py_buffer + PY_WINDOW_BYTES / 8, size, address))
		return -1;
	return PY_WINDOW_BYTES;
}

WALK_INLINE __u64 py_word(struct walk_state *s, __u32 byte)
{
	return s->py_buffer[(byte / 8) & (PY_BUFFER_WORDS - 1)];
}

WALK_INLINE __u32 py_byte(struct walk_state *s, __u32 byte)
{
	return py_word(s, byte) >> (8 * (byte & 7)) & 0xff;
}

/* 3.11: ends the segment where the next older _PyCFrame's frame begins. */
WALK_INLINE int py_cframe_advance(struct walk_state *s, __u64 previous)
{
	__u64 older = 0;

	if (!s->cframe_previous || previous != s->cframe_previous_frame)
		return 0;
	py_put_end(s, s->cframe);
	s->cframe = s->cframe_previous;
	if (py_read(s->cframe + s->layout.cframe_previous, &older))
		return STOP_PY_FRAME_UNREADABLE;
	s->cframe_previous = older;
	s->cframe_previous_frame = 0;
	if (older && py_read(older + s->layout.cframe_current_frame, &s->cframe_previous_frame))
		return STOP_PY_FRAME_UNREADABLE;
	return 0;
}

/* Walks one frame. Nonzero ends the walk: python_stop tells why, or python_complete is set. */
WALK_STEP int py_step(struct walk_state *s)
{
	__u64 code, previous;
	int at, stop;

	if (!s)
		return 1;
	if (!s->frame || s->frame == s->base_frame) {
		s->python_complete = 1;
		return 1;
	}
	at = py_frame_load(s);
	if (at < 0) {
		s->python_stop = STOP_PY_FRAME_UNREADABLE;
		return 1;
	}
	code = py_word(s, at + s->layout.frame_code) & ~PY_POINTER_TAG_MASK;
	previous = py_word(s, at + s->layout.frame_previous);
	if (s->layout.chain != PY_CHAIN_CFRAME &&
	    py_byte(s, at + s->layout.frame_owner) >= s->layout.owner_shim_min) {
		py_put_end(s, s->frame);
		s->frame = previous;
		return 0;
	}
	if (!code || code >> 48) {
		s->python_stop = STOP_PY_BAD_FRAME;
		return 1;
	}
	/* a frame outside of the chunk we know may be in an older chunk: its neighbours are below
	 * it */
	if (at == PY_WINDOW_BYTES && s->layout.frame_owner < s->layout.frame_size &&
	    py_byte(s, at + s->layout.frame_owner) == 0) {
		s->datastack_high = s->frame;
		s->datastack_low = s->frame - PY_DATASTACK_SPAN;
	}
	py_put_frame(s, code, py_word(s, at + s->layout.frame_instr));
	s->frame = previous;
	if (s->layout.chain == PY_CHAIN_CFRAME) {
		stop = py_cframe_advance(s, previous);
		if (stop) {
			s->python_stop = stop;
			return 1;
		}
	}
	return 0;
}

WALK_STEP int py_burst(struct walk_state *s)
{
	int i;

	for (i = 0; i < BURST_FRAMES; i++)
		if (py_step(s))
			return 1;
	return 0;
}

/* The whole chain under s->python and s->layout. python_complete, or python_stop tells why not. */
WALK_INLINE void py_walk(struct walk_state *s)
{
	int i;

	s->chunk_part = CHUNK_PYTHON;
	s->python_stop = py_start(s);
	if (s->python_stop)
		return;
	for (i = 0; i < PYTHON_FRAMES_MAX / BURST_FRAMES; i++)
		if (py_burst(s))
			break;
	if (i == PYTHON_FRAMES_MAX / BURST_FRAMES)
		s->python_stop = STOP_PY_DEPTH;
	stream_flush(s);
}

#endif
