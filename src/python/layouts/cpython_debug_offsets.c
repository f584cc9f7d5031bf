/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts of CPython 3.13 and 3.14 from _Py_DebugOffsets, the table of u64 that
 * _PyRuntime begins with. Takes its bytes, hostile; gives a layout.
 *
 * Positions in the table hold within a minor version only, so there is a row of
 * positions per minor version (pycore_debug_offsets.h of that branch). The table
 * lacks the pthread key, _co_firsttraceable and the bits of unicode state: those
 * come from the row as well. What the table says is refused unless its parts fit
 * each other, so that a wrong row cannot pass for a layout.
 */
#include "python/python_layout.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cursor.h"

#define DEBUG_COOKIE "xdebugpy"
#define CODE_HEADER_MAX 256	  /* of a code object before its bytecode */
#define SIZE_MAX_SANE (64u << 20) /* bytes; no structure of CPython is near it */

/* Positions are those of a structure's first field, the others follow in this file's order. */
struct debug_offsets_row {
	uint32_t minor_version; /* PY_VERSION_HEX >> 16 */
	uint16_t table_bytes;
	uint16_t runtime;     /* size, finalizing, interpreters_head */
	uint16_t interpreter; /* size, id, next, threads_head */
	uint16_t thread; /* size, prev, next, interp, current_frame, thread_id, native, datastack */
	uint16_t frame;	 /* size, previous, executable, instr_ptr, localsplus, owner */
	uint16_t code;	 /* size, filename, name, qualname, linetable, firstlineno */
	uint16_t code_adaptive;
	uint16_t object;  /* size, ob_type */
	uint16_t bytes;	  /* size, ob_size, ob_sval */
	uint16_t unicode; /* size, state, length, asciiobject_size */
	/* values that the table lacks */
	uint32_t runtime_autotss_key;
	uint16_t code_firsttraceable;
};

static const struct debug_offsets_row rows[] = {
	{
		.minor_version = 0x030d,
		.table_bytes = 584,
		.runtime = 24,
		.interpreter = 48,
		.thread = 152,
		.frame = 224,
		.code = 272,
		.code_adaptive = 344,
		.object = 352,
		.bytes = 512,
		.unicode = 536,
		.runtime_autotss_key = 2160,
		.code_firsttraceable = 184,
	},
	{
		.minor_version = 0x030e,
		.table_bytes = 760,
		.runtime = 24,
		.interpreter = 48,
		.thread = 176,
		.frame = 248,
		.code = 312,
		.code_adaptive = 384,
		.object = 400,
		.bytes = 592,
		.unicode = 616,
		.runtime_autotss_key = 2336,
		.code_firsttraceable = 192,
	},
};

static const struct debug_offsets_row *find_row(uint64_t version)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].minor_version == version >> 16)
			return &rows[i];
	}
	return NULL;
}

/* A structure as the table describes it: its size, then offsets of fields in it. */
struct described {
	struct cursor values;
	uint64_t size;
	bool wrong;
};

static struct described describe(const uint8_t *bytes, const struct debug_offsets_row *row,
				 uint16_t position, uint64_t size_max)
{
	struct described d = {.values = cursor_of(bytes + position, row->table_bytes - position)};

	d.size = cursor_u64(&d.values);
	d.wrong = d.size > size_max;
	return d;
}

/* The next field, of `width` bytes; it must lie in the structure, aligned. */
static uint32_t field(struct described *d, unsigned width)
{
	uint64_t offset = cursor_u64(&d->values);

	if (d->size < width || offset > d->size - width || offset % width != 0)
		d->wrong = true;
	return d->wrong ? 0 : (uint32_t)offset;
}

static bool read_runtime(const uint8_t *bytes, const struct debug_offsets_row *row,
			 struct python_layout *l)
{
	struct described runtime = describe(bytes, row, row->runtime, SIZE_MAX_SANE);
	struct described interpreter = describe(bytes, row, row->interpreter, SIZE_MAX_SANE);

	l->runtime_size = (uint32_t)runtime.size;
	l->runtime_finalizing = field(&runtime, 8);
	l->runtime_interpreters_head = field(&runtime, 8);
	l->runtime_autotss_key = row->runtime_autotss_key;
	l->runtime_tstate_current = UINT32_MAX;
	field(&interpreter, 8); /* id */
	l->interp_next = field(&interpreter, 8);
	l->interp_threads_head = field(&interpreter, 8);
	return !runtime.wrong && !interpreter.wrong &&
	       l->runtime_autotss_key + 8 <= l->runtime_size &&
	       l->runtime_interpreters_head >= row->table_bytes;
}

static bool read_thread(const uint8_t *bytes, const struct debug_offsets_row *row,
			struct py_layout *walk)
{
	struct described thread = describe(bytes, row, row->thread, PY_OFFSET_MAX);

	field(&thread, 8); /* prev */
	walk->tstate_next = (uint16_t)field(&thread, 8);
	walk->tstate_interp = (uint16_t)field(&thread, 8);
	walk->tstate_frame = (uint16_t)field(&thread, 8);
	walk->tstate_thread_id = (uint16_t)field(&thread, 8);
	field(&thread, 8); /* native_thread_id */
	walk->tstate_datastack_chunk = (uint16_t)field(&thread, 8);
	return !thread.wrong && walk->tstate_frame != walk->tstate_thread_id;
}

static bool read_frame(const uint8_t *bytes, const struct debug_offsets_row *row,
		       struct py_layout *walk)
{
	struct described frame = describe(bytes, row, row->frame, PY_FRAME_BYTES_MAX);
	uint32_t localsplus;

	walk->frame_size = (uint16_t)frame.size;
	walk->frame_previous = (uint16_t)field(&frame, 8);
	walk->frame_code = (uint16_t)field(&frame, 8);
	walk->frame_instr = (uint16_t)field(&frame, 8);
	localsplus = field(&frame, 8);
	walk->frame_owner = (uint16_t)field(&frame, 1);
	return !frame.wrong && localsplus + 8 == frame.size && walk->frame_owner < localsplus &&
	       walk->frame_owner >= walk->frame_instr + 8;
}

static bool read_code(const uint8_t *bytes, const struct debug_offsets_row *row,
		      struct python_layout *l)
{
	struct described code = describe(bytes, row, row->code, CODE_HEADER_MAX + 8);
	struct described adaptive = {.values = cursor_of(bytes + row->code_adaptive, 8),
				     .size = code.size};

	l->code_filename = (uint16_t)field(&code, 8);
	l->code_name = (uint16_t)field(&code, 8);
	l->code_qualname = (uint16_t)field(&code, 8);
	l->code_linetable = (uint16_t)field(&code, 8);
	l->code_firstlineno = (uint16_t)field(&code, 4);
	l->code_warmup = PY_OFFSET_NONE;
	l->walk.code_adaptive = (uint16_t)field(&adaptive, 8);
	l->walk.code_firsttraceable = row->code_firsttraceable;
	l->code_size = l->walk.code_adaptive;
	/* sizeof has one unit of bytecode, padded; basicsize ends before it */
	l->type_basicsize = l->walk.code_adaptive;
	return !code.wrong && !adaptive.wrong && code.size == l->walk.code_adaptive + 8u &&
	       l->walk.code_adaptive == row->code_firsttraceable + 16u &&
	       l->code_name == l->code_filename + 8u && l->code_qualname == l->code_name + 8u &&
	       l->code_linetable == l->code_qualname + 8u;
}

static bool read_objects(const uint8_t *bytes, const struct debug_offsets_row *row,
			 struct python_layout *l)
{
	struct described object = describe(bytes, row, row->object, 64);
	struct described string = describe(bytes, row, row->bytes, 64);
	struct described unicode = describe(bytes, row, row->unicode, 128);
	uint64_t ascii_size;

	l->walk.object_type = (uint16_t)field(&object, 8);
	l->bytes_size = (uint16_t)field(&string, 8);
	l->bytes_data = (uint16_t)field(&string, 1);
	l->unicode_state = (uint16_t)field(&unicode, 4);
	l->unicode_length = (uint16_t)field(&unicode, 8);
	ascii_size = cursor_u64(&unicode.values);
	if (object.wrong || string.wrong || unicode.wrong || ascii_size > 64 || ascii_size % 8 ||
	    l->unicode_state + 4u > ascii_size || l->unicode_length < object.size)
		return false;
	l->unicode_ascii_data = (uint16_t)ascii_size;
	l->unicode_compact_data = (uint16_t)(ascii_size + 16); /* utf8_length, utf8 */
	l->unicode_kind_shift = 2;
	l->unicode_compact_mask = 0x20;
	l->unicode_ascii_mask = 0x40;
	return unicode.size == l->unicode_compact_data + 8u;
}

int python_layout_from_debug_offsets(const uint8_t *bytes, size_t size,
				     struct python_layout *ret_layout)
{
	struct cursor c = cursor_of(bytes, size);
	const char *cookie = cursor_bytes(&c, sizeof(DEBUG_COOKIE) - 1);
	uint64_t version = cursor_u64(&c), free_threaded = cursor_u64(&c);
	const struct debug_offsets_row *row;
	struct python_layout l = {
		.walk = {.chain = PY_CHAIN_SHIM,
			 .owner_shim_min = 3,
			 .tstate_base_frame = PY_OFFSET_NONE,
			 .cframe_current_frame = PY_OFFSET_NONE,
			 .cframe_previous = PY_OFFSET_NONE,
			 .frame_is_entry = PY_OFFSET_NONE,
			 .frame_tlbc_index = PY_OFFSET_NONE},
		.line_format = PYTHON_LINES_LOCATIONS,
	};

	if (c.failed || memcmp(cookie, DEBUG_COOKIE, sizeof(DEBUG_COOKIE) - 1) != 0)
		return -EBADMSG;
	row = find_row(version);
	if (!row || free_threaded)
		return -EOPNOTSUPP;
	if (size < row->table_bytes)
		return -EBADMSG;
	l.walk.version = row->minor_version;
	if (!read_runtime(bytes, row, &l) || !read_thread(bytes, row, &l.walk) ||
	    !read_frame(bytes, row, &l.walk) || !read_code(bytes, row, &l) ||
	    !read_objects(bytes, row, &l))
		return -EBADMSG;
	*ret_layout = l;
	return 0;
}
