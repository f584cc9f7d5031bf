/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What the sampler knows of CPython: a layout per version and build, and per
 * process where its runtime is. Offsets in bytes. The sampler checks every
 * offset against PY_OFFSET_MAX before use (style.md §B.7).
 */
#ifndef MIXPROF_ABI_PYTHON_ABI_H
#define MIXPROF_ABI_PYTHON_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <stddef.h>
#include <linux/types.h>
#endif

#define PY_LAYOUTS_MAX 256
#define PY_OFFSET_MAX 8192     /* of any field the sampler reads */
#define PY_FRAME_BYTES_MAX 128 /* of _PyInterpreterFrame's fixed part */
#define PY_OFFSET_NONE 0xffff

enum py_frame_chain {
	PY_CHAIN_NONE = 0,
	PY_CHAIN_LEGACY = 1,	  /* PyFrameObject: 2.7, 3.6-3.10 */
	PY_CHAIN_CFRAME = 2,	  /* 3.11: _PyCFrame list, no shim frames */
	PY_CHAIN_CFRAME_SHIM = 3, /* 3.12: tstate->cframe->current_frame, shims */
	PY_CHAIN_SHIM = 4,	  /* 3.13+: tstate->current_frame, shims */
};

enum py_layout_flag {
	PY_LAYOUT_LASTI_UNITS = 1 << 0, /* f_lasti counts 2-byte units (3.10) */
	PY_LAYOUT_FREE_THREADED = 1 << 1,
};

struct py_layout {
	__u32 version;	     /* PY_VERSION_HEX >> 16, e.g. 0x030c */
	__u8 chain;	     /* enum py_frame_chain */
	__u8 owner_shim_min; /* owner >= this is a shim (3) */
	__u16 flags;	     /* enum py_layout_flag */
	/* thread state */
	__u16 tstate_frame; /* frame, cframe or current_frame, as chain says */
	__u16 tstate_thread_id;
	__u16 tstate_interp;
	__u16 tstate_next;
	__u16 tstate_base_frame;      /* 3.15: pointer to the sentinel; NONE elsewhere */
	__u16 tstate_datastack_chunk; /* NONE before 3.11 */
	__u16 cframe_current_frame;   /* 3.11, 3.12 */
	__u16 cframe_previous;
	/* _PyInterpreterFrame, or PyFrameObject in legacy chains */
	__u16 frame_code;
	__u16 frame_previous;
	__u16 frame_instr; /* prev_instr, instr_ptr or f_lasti */
	__u16 frame_owner;
	__u16 frame_is_entry;	   /* 3.11 */
	__u16 frame_tlbc_index;	   /* free-threaded 3.14+ */
	__u16 frame_size;	   /* bytes of one read that covers all of the above */
	__u16 code_firsttraceable; /* _co_firsttraceable; NONE before 3.11 */
	__u16 code_adaptive;	   /* co_code_adaptive */
	__u16 object_type;	   /* ob_type */
	__u32 reserved;		   /* 0 */
};

enum py_tstate_source {
	PY_TSTATE_NONE = 0,
	PY_TSTATE_PTHREAD_KEY = 1, /* glibc pthread_getspecific(key) */
	PY_TSTATE_TLS_OFFSET = 2,  /* *(thread pointer + offset) */
};

/* One CPython runtime in one process. */
struct py_process {
	__u32 layout; /* index of the layout array */
	__u16 source; /* enum py_tstate_source */
	__u16 stop;   /* if not 0, why there will be no Python frames (enum stop_reason) */
	__u32 pthread_key;
	__s32 tls_offset;      /* from the thread pointer */
	__u32 specific_offset; /* of struct pthread's specific[] (glibc: 0x510) */
	__u32 specific_first;  /* of its inline first block (glibc: 0x310) */
	__u64 runtime;	       /* address of _PyRuntime */
	__u64 tstate_current;  /* address of a global that holds the running tstate (3.11), or 0 */
	__u64 code_type;       /* address of PyCode_Type */
	/* The resync point (design.md §2): in the body of the eval function, with `shim` the
	 * address of the segment end kept in its C frame, CFA = shim + resync_delta, and the
	 * caller's rbp and rbx are at CFA + resync_rbp and CFA + resync_rbx (0: not saved there).
	 * 0: no resync. */
	__u32 resync_delta;
	__s16 resync_rbp;
	__s16 resync_rbx;
	__u64 eval_entry; /* address of the eval function */
};

#ifndef __bpf__
static_assert(sizeof(struct py_layout) == 48, "ABI");
static_assert(sizeof(struct py_process) == 64, "ABI");
#endif

#endif
