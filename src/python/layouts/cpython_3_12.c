/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython 3.12, x86-64: facts/cpython-offsets/3.12.1.txt (offsetof under that
 * release's headers, cross-checked with its DWARF). _PyRuntime may shift between
 * patch releases, so python_runtime.c proves these offsets by value.
 */
#include "python/layouts/layouts.h"

const struct python_layout python_layout_3_12 = {
	.walk =
		{
			.version = 0x030c,
			.chain = PY_CHAIN_CFRAME_SHIM,
			.owner_shim_min = 3,
			.tstate_frame = 56, /* cframe */
			.tstate_thread_id = 136,
			.tstate_interp = 16,
			.tstate_next = 8,
			.tstate_base_frame = PY_OFFSET_NONE,
			.tstate_datastack_chunk = 232,
			.cframe_current_frame = 0,
			.cframe_previous = 8,
			.frame_code = 0,
			.frame_previous = 8,
			.frame_instr = 56, /* prev_instr */
			.frame_owner = 70,
			.frame_is_entry = PY_OFFSET_NONE,
			.frame_tlbc_index = PY_OFFSET_NONE,
			.frame_size = 80,
			.code_firsttraceable = 176,
			.code_adaptive = 192,
			.object_type = 8,
		},
	.code_size = 192,
	.code_filename = 112,
	.code_name = 120,
	.code_qualname = 128,
	.code_linetable = 136,
	.code_firstlineno = 68,
	.code_warmup = PY_OFFSET_NONE,
	.bytes_size = 16,
	.bytes_data = 32,
	.unicode_length = 16,
	.unicode_state = 32,
	.unicode_ascii_data = 40,
	.unicode_compact_data = 56,
	.unicode_kind_shift = 2,
	.unicode_compact_mask = 0x20,
	.unicode_ascii_mask = 0x40,
	.line_format = PYTHON_LINES_LOCATIONS,
	.type_basicsize = 192,
	.runtime_interpreters_head = 40,
	.runtime_autotss_key = 1544,
	.runtime_tstate_current = UINT32_MAX,
	.runtime_finalizing = UINT32_MAX,
	.interp_next = 0,
	.interp_threads_head = 72,
};
