/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * From a thread to its PyThreadState, with the GIL or without it: the pthread
 * key that PyGILState uses, or a TLS slot; never _Py_tss_tstate, which is NULL
 * while the GIL is released (facts/cpython.md §0.2). The thread state found must
 * name this thread's pthread_self, one read that catches stale keys.
 */
#ifndef MIXPROF_WALK_PYTHON_STATE_H
#define MIXPROF_WALK_PYTHON_STATE_H

#include "walk/access.h"

#define PTHREAD_BLOCK_KEYS 32 /* glibc: PTHREAD_KEY_2NDLEVEL_SIZE, entries of {seq, data} */

WALK_INLINE int py_read(__u64 address, __u64 *ret_value)
{
	return walk_read_user(ret_value, sizeof(*ret_value), address) != 0;
}

/* Offsets come from user space: checked here as well (style.md §B.7). */
WALK_INLINE int py_layout_sane(const struct py_layout *l)
{
	if (l->tstate_frame > PY_OFFSET_MAX || l->tstate_thread_id > PY_OFFSET_MAX)
		return 0;
	if (l->frame_size > PY_FRAME_BYTES_MAX || l->frame_size < 16)
		return 0;
	if (l->frame_code + 8 > l->frame_size || l->frame_previous + 8 > l->frame_size ||
	    l->frame_instr + 8 > l->frame_size)
		return 0;
	if ((l->frame_code | l->frame_previous | l->frame_instr) & 7)
		return 0;
	return l->chain == PY_CHAIN_CFRAME ? l->cframe_previous <= PY_OFFSET_MAX
					   : l->frame_owner < l->frame_size;
}

/* Does the thread state belong to the running thread? */
WALK_INLINE int py_tstate_is_ours(struct walk_state *s, __u64 tstate)
{
	__u64 owner = 0;

	if (py_read(tstate + s->layout.tstate_thread_id, &owner))
		return STOP_PY_STATE_UNREADABLE;
	return owner == s->thread_pointer ? 0 : STOP_PY_STATE_MISMATCH;
}

/* The slot of pthread_getspecific(key) (glibc nptl: struct pthread.specific[][]). */
WALK_INLINE int py_pthread_key(struct walk_state *s, __u64 *ret_tstate)
{
	__u32 key = s->python.pthread_key;
	__u64 block = s->thread_pointer + s->python.specific_first;

	if (key >= PTHREAD_BLOCK_KEYS) {
		if (py_read(s->thread_pointer + s->python.specific_offset +
				    8ULL * (key / PTHREAD_BLOCK_KEYS),
			    &block))
			return STOP_PY_STATE_UNREADABLE;
		if (!block)
			return STOP_PY_NO_THREAD;
	}
	if (py_read(block + 16ULL * (key % PTHREAD_BLOCK_KEYS) + 8, ret_tstate))
		return STOP_PY_STATE_UNREADABLE;
	return 0;
}

/* Sets s->tstate. 0, or the stop reason. */
WALK_STEP int py_tstate_find(struct walk_state *s)
{
	__u64 tstate = 0;
	int stop;

	if (!s)
		return STOP_PY_STATE_UNREADABLE;
	/* 3.11: the running thread state first; in a sub-interpreter the key gives the wrong one */
	if (s->python.tstate_current && !py_read(s->python.tstate_current, &tstate) && tstate &&
	    py_tstate_is_ours(s, tstate) == 0) {
		s->tstate = tstate;
		return 0;
	}
	tstate = 0;
	if (s->python.source == PY_TSTATE_PTHREAD_KEY) {
		stop = py_pthread_key(s, &tstate);
		if (stop)
			return stop;
	} else if (s->python.source == PY_TSTATE_TLS_OFFSET) {
		if (py_read(s->thread_pointer + (__s64)s->python.tls_offset, &tstate))
			return STOP_PY_STATE_UNREADABLE;
	}
	if (!tstate)
		return STOP_PY_NO_THREAD;
	s->tstate = tstate;
	return py_tstate_is_ours(s, tstate);
}

#endif
