/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a code object. Takes an address in the process and a layout; gives name,
 * file, line table and the header that tells whether the address still holds the
 * same object.
 *
 * The object may be freed or replaced at any moment, and nothing says that the
 * address was ever one: sizes and kinds are checked before they are used, and the
 * header is read again after everything it points to, so that the parts belong
 * to one object. Of the header only what never changes while the object lives is
 * kept: not its refcount, counters, caches, monitoring data and weak references.
 */
#include "python/python_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/sanitize.h"
#include "python/line_table.h"

#define OBJECT_REFCOUNT_BYTES 8
#define OBJECT_HEADER_MAX 72 /* of a str, before its characters */
#define CODE_SIZE_OFFSET 16  /* ob_size: code units */
#define CODE_UNIT_BYTES 2
#define STRING_LENGTH_MAX (1ULL << 40) /* more cannot be in memory */
#define CODE_POINT_MAX 0x10ffff

/* The source of a read: process, memory, layout. */
struct code_reader {
	const struct remote_memory *memory;
	pid_t pid;
	const struct python_layout *layout;
};

static uint64_t load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static int read_remote(const struct code_reader *r, uint64_t address, void *to, size_t size)
{
	return remote_memory_read(r->memory, r->pid, address, to, size);
}

static void append_utf8(struct buffer *out, uint32_t code)
{
	if (code > CODE_POINT_MAX)
		code = 0xfffd;
	if (code < 0x80) {
		buffer_u8(out, (uint8_t)code);
		return;
	}
	if (code < 0x800) {
		buffer_u8(out, (uint8_t)(0xc0 | code >> 6));
	} else {
		if (code < 0x10000) {
			buffer_u8(out, (uint8_t)(0xe0 | code >> 12));
		} else {
			buffer_u8(out, (uint8_t)(0xf0 | code >> 18));
			buffer_u8(out, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
		}
		buffer_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
	}
	buffer_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
}

/* characters: count of them, of `kind` bytes each (1: Latin-1, 2: UCS-2, 4: UCS-4). */
static char *to_name(const uint8_t *characters, size_t count, unsigned kind)
{
	struct buffer utf8 = {0};
	char *name = NULL;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *p = characters + i * kind;

		append_utf8(&utf8, kind == 1   ? *p
				   : kind == 2 ? (uint32_t)(p[0] | p[1] << 8)
					       : load_u32(p));
	}
	if (!utf8.failed)
		name = sanitize_name((char *)utf8.data, utf8.size, PYTHON_NAME_BYTES_MAX);
	buffer_done(&utf8);
	return name;
}

static int read_string(const struct code_reader *r, uint64_t address, char **ret_name)
{
	const struct python_layout *l = r->layout;
	uint8_t header[OBJECT_HEADER_MAX];
	/* one character more than a name can have, so that sanitize_name marks the cut */
	uint8_t characters[(PYTHON_NAME_BYTES_MAX + 1) * 4];
	uint32_t state;
	uint64_t length;
	unsigned kind;
	bool ascii;
	char *name;
	int err;

	err = read_remote(r, address, header, l->unicode_ascii_data);
	if (err)
		return err;
	state = load_u32(header + l->unicode_state);
	length = load_u64(header + l->unicode_length);
	kind = state >> l->unicode_kind_shift & 7;
	ascii = state & l->unicode_ascii_mask;
	if (!(state & l->unicode_compact_mask) || (kind != 1 && kind != 2 && kind != 4) ||
	    (ascii && kind != 1) || length > STRING_LENGTH_MAX)
		return -EBADMSG;
	if (length > PYTHON_NAME_BYTES_MAX + 1)
		length = PYTHON_NAME_BYTES_MAX + 1;
	err = read_remote(r, address + (ascii ? l->unicode_ascii_data : l->unicode_compact_data),
			  characters, length * kind);
	if (err)
		return err;
	name = to_name(characters, length, kind);
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	return 0;
}

static int read_line_table(const struct code_reader *r, uint64_t address, struct python_code *code)
{
	_cleanup_free_ uint8_t *table = NULL;
	uint64_t size;
	int err;

	err = remote_memory_u64(r->memory, r->pid, address + r->layout->bytes_size, &size);
	if (err)
		return err;
	if (size > STRING_LENGTH_MAX)
		return -EBADMSG;
	/* a longer table is kept as far as it goes: lines beyond its end are not known */
	if (size > PYTHON_LINETABLE_BYTES_MAX)
		size = PYTHON_LINETABLE_BYTES_MAX;
	table = malloc(size ? size : 1);
	if (!table)
		return -ENOMEM;
	err = read_remote(r, address + r->layout->bytes_data, table, size);
	if (err)
		return err;
	code->line_table = take_ptr(table);
	code->line_table_size = (uint32_t)size;
	return 0;
}

static void clear(uint8_t *header, size_t size, size_t from, size_t to)
{
	if (from < to && to <= size)
		memset(header + from, 0, to - from);
}

/* Zeroes what may change while the object lives. */
static void keep_lasting(const struct python_code *code, uint8_t *header)
{
	size_t size = code->header_size;

	clear(header, size, 0, OBJECT_REFCOUNT_BYTES);
	if (code->code_warmup != PY_OFFSET_NONE)
		clear(header, size, code->code_warmup, code->code_warmup + 4u);
	/* co_weakreflist, co_executors, _co_cached, _co_monitoring ..., and co_extra */
	clear(header, size, code->code_linetable + 8u, code->firsttraceable);
	clear(header, size, code->firsttraceable + 4u, code->code_adaptive);
}

/* Where the layout says a header's fields are, they must be. */
static bool is_layout_usable(const struct python_layout *l)
{
	size_t size = l->code_size;

	return size >= CODE_SIZE_OFFSET + 8 && size <= PYTHON_CODE_HEADER_MAX &&
	       l->code_filename + 8u <= size && l->code_name + 8u <= size &&
	       l->code_qualname != PY_OFFSET_NONE && l->code_qualname + 8u <= size &&
	       l->code_linetable + 8u <= size && l->code_firstlineno + 4u <= size &&
	       l->walk.object_type + 8u <= size && l->walk.code_adaptive <= size &&
	       l->walk.code_firsttraceable + 4u <= size &&
	       l->unicode_ascii_data <= OBJECT_HEADER_MAX &&
	       l->unicode_state + 4u <= l->unicode_ascii_data &&
	       l->unicode_length + 8u <= l->unicode_ascii_data;
}

static int read_parts(const struct code_reader *r, const uint8_t *raw, struct python_code *code)
{
	const struct python_layout *l = r->layout;
	uint64_t filename = load_u64(raw + l->code_filename);
	int err;

	err = read_string(r, load_u64(raw + l->code_qualname), &code->name);
	if (err)
		return err;
	err = read_string(r, filename, &code->filename);
	if (err)
		return err;
	/* a null pointer is no object; 3.11 has no such frame and no such code */
	code->is_init_shim = l->walk.version >= 0x030c && filename == load_u64(raw + l->code_name);
	return read_line_table(r, load_u64(raw + l->code_linetable), code);
}

int python_code_read(const struct remote_memory *memory, pid_t pid,
		     const struct python_layout *layout, uint64_t code, uint64_t code_type,
		     struct python_code **ret_code)
{
	_cleanup_(python_code_freep) struct python_code *c = NULL;
	const struct code_reader r = {memory, pid, layout};
	uint8_t raw[PYTHON_CODE_HEADER_MAX];
	int err;

	if (!is_layout_usable(layout))
		return -EBADMSG;
	err = read_remote(&r, code, raw, layout->code_size);
	if (err)
		return err;
	if (code_type && load_u64(raw + layout->walk.object_type) != code_type)
		return -EBADMSG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->first_line = (int32_t)load_u32(raw + layout->code_firstlineno);
	c->header_size = layout->code_size;
	c->line_format = layout->line_format;
	c->code_adaptive = layout->walk.code_adaptive;
	c->code_linetable = layout->code_linetable;
	c->code_warmup = layout->code_warmup;
	c->firsttraceable = layout->walk.code_firsttraceable;
	memcpy(c->header, raw, layout->code_size);
	keep_lasting(c, c->header);
	err = read_parts(&r, raw, c);
	if (err)
		return err;
	if (!python_code_is_current(memory, pid, code, c))
		return -EBADMSG;
	*ret_code = take_ptr(c);
	return 0;
}

void python_code_free(struct python_code *code)
{
	if (!code)
		return;
	free(code->name);
	free(code->filename);
	free(code->line_table);
	free(code);
}

bool python_code_is_current(const struct remote_memory *memory, pid_t pid, uint64_t code,
			    const struct python_code *known)
{
	uint8_t raw[PYTHON_CODE_HEADER_MAX];

	if (remote_memory_read(memory, pid, code, raw, known->header_size))
		return false;
	keep_lasting(known, raw);
	return memcmp(raw, known->header, known->header_size) == 0;
}

int python_code_line(const struct python_code *known, const struct python_layout *layout,
		     uint64_t code, uint64_t instr, int32_t *ret_line)
{
	uint64_t units = load_u64(known->header + CODE_SIZE_OFFSET);
	int64_t traceable = (int32_t)load_u32(known->header + known->firsttraceable);
	int64_t address = (int64_t)(instr - (code + known->code_adaptive));
	bool has_previous = layout->walk.chain != PY_CHAIN_SHIM;
	int err;

	/* prev_instr lies one unit before the bytecode in a frame that has not started */
	if (address == -CODE_UNIT_BYTES && has_previous) {
		*ret_line = known->first_line;
		return 0;
	}
	if (address < 0 || address % CODE_UNIT_BYTES ||
	    (uint64_t)address / CODE_UNIT_BYTES >= units)
		return -EBADMSG;
	err = line_table_resolve(known->line_format, known->line_table, known->line_table_size,
				 known->first_line, address, ret_line);
	/* still making cells or the generator: CPython calls the frame incomplete, it is a real
	 * call */
	if (err == -ENOENT && address < traceable * CODE_UNIT_BYTES) {
		*ret_line = known->first_line;
		return 0;
	}
	return err;
}
