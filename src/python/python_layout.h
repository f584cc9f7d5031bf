/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where CPython keeps things, per version: a layout is data. Versions before 3.13
 * come from tables (layouts/cpython_3_N.c, facts/cpython.md, checked against the
 * headers of that release); 3.13+ from the process's own _Py_DebugOffsets plus the
 * few values that table lacks.
 */
#ifndef MIXPROF_PYTHON_PYTHON_LAYOUT_H
#define MIXPROF_PYTHON_PYTHON_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "abi/python_abi.h"

enum python_line_format {
	PYTHON_LINES_LNOTAB_UNSIGNED = 1, /* 2.7 */
	PYTHON_LINES_LNOTAB = 2,	  /* 3.6-3.9 */
	PYTHON_LINES_LINETABLE_310 = 3,	  /* 3.10 */
	PYTHON_LINES_LOCATIONS = 4,	  /* 3.11+ */
};

struct python_layout {
	struct py_layout walk; /* what the sampler needs */
	/* user space only; bytes */
	uint16_t code_size; /* read this much of a code object */
	uint16_t code_filename, code_name,
		code_qualname; /* PyObject *; qualname PY_OFFSET_NONE before 3.11 */
	uint16_t code_linetable;
	uint16_t code_firstlineno;
	uint16_t code_warmup; /* 3.11's 4 bytes of counters before co_linetable that change; else
				 NONE */
	uint16_t bytes_size, bytes_data; /* ob_size, ob_sval */
	uint16_t unicode_length, unicode_state, unicode_ascii_data, unicode_compact_data;
	uint8_t unicode_kind_shift;			   /* of state's 3 kind bits */
	uint32_t unicode_compact_mask, unicode_ascii_mask; /* bits of state */
	uint8_t line_format;				   /* enum python_line_format */
	uint16_t type_basicsize; /* PyCode_Type.tp_basicsize's expected value; 0: not checked */
	/* runtime and interpreter, for discovery; offsets may exceed 64 KB */
	uint32_t runtime_interpreters_head;
	uint32_t runtime_autotss_key;	 /* Py_tss_t {int is_initialized; key} ; UINT32_MAX: none
					    (3.15) */
	uint32_t runtime_tstate_current; /* UINT32_MAX from 3.12 on */
	uint32_t runtime_finalizing;	 /* UINT32_MAX: not known */
	uint32_t interp_next;
	uint32_t interp_threads_head;
	uint32_t runtime_size; /* expected size of _PyRuntime, 0: not checked */
};

/* The table of a version (PY_VERSION_HEX); NULL if this version has none or is not supported. */
const struct python_layout *python_layout_find(uint32_t version_hex);
/* From _Py_DebugOffsets bytes (3.13+): validated for self-consistency. -EOPNOTSUPP, -EBADMSG. */
int python_layout_from_debug_offsets(const uint8_t *bytes, size_t size,
				     struct python_layout *ret_layout);

#endif
