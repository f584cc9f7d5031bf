/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython 3.11, x86-64: facts/cpython-offsets/3.11.7.txt (offsetof under that
 * release's headers, cross-checked with its DWARF). Frames have no shims yet; the
 * eval loop keeps a _PyCFrame {use_tracing, current_frame, previous} in its C frame.
 */
#include "python/layouts/layouts.h"

const struct python_layout python_layout_3_11 = {
	.walk =
		{
			.version = 0x030b,
			.chain = PY_CHAIN_CFRAME,
			.owner_shim_min = 3,
			.tstate_frame = 56, /* cframe */
			.tstate_thread_id = 152,
			.tstate_interp = 16,
			.tstate_next = 8,
			.tstate_base_frame = PY_OFFSET_NONE,
			.tstate_datastack_chunk = 296,
			.cframe_current_frame = 8,
			.cframe_previous = 16,
			.frame_code = 32,
			.frame_previous = 48,
			.frame_instr = 56, /* prev_instr */
			.frame_owner = 69,
			.frame_is_entry = 68,
			.frame_tlbc_index = PY_OFFSET_NONE,
			.frame_size = 80,
			.code_firsttraceable = 168,
			.code_adaptive = 184,
			.object_type = 8,
		},
	.code_size = 184,
	.code_filename = 112,
	.code_name = 120,
	.code_qualname = 128,
	.code_linetable = 136,
	.code_firstlineno = 72,
	.code_warmup = 52, /* co_warmup, _co_linearray_entry_size */
	.bytes_size = 16,
	.bytes_data = 32,
	.unicode_length = 16,
	.unicode_state = 32,
	.unicode_ascii_data = 48,
	.unicode_compact_data = 72,
	.unicode_kind_shift = 2,
	.unicode_compact_mask = 0x20,
	.unicode_ascii_mask = 0x40,
	.line_format = PYTHON_LINES_LOCATIONS,
	.type_basicsize = 184,
	.runtime_interpreters_head = 40,
	.runtime_autotss_key = 592,
	.runtime_tstate_current = 576,
	.runtime_finalizing = UINT32_MAX,
	.interp_next = 0,
	.interp_threads_head = 16,
};
