/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The five line tables of CPython. Takes a table's bytes and an instruction's
 * byte offset; gives the line, as PyCode_Addr2Line of that version does. Pure.
 *
 * - lnotab (2.7, 3.6-3.9; Objects/lnotab_notes.txt): pairs {address step, line
 *   step}; a pair's line holds from its address on. 2.7 has no backward steps.
 * - linetable (3.10; same file): pairs {length, line step}; the step comes before
 *   the range it names; -128 says that the range has no line.
 * - locations (3.11+; Objects/locations.md): entries of one byte 1kkkklll, kind
 *   and length in code units, and what the kind asks for. Bit 7 is set in the
 *   first byte of an entry only, which tells a damaged table.
 *
 * In each one the step of an entry counts also where the entry has no line.
 */
#include "python/line_table.h"

#include <errno.h>
#include <stdbool.h>

#include "base/cursor.h"

#define LINE_NONE_310 (-128)
#define CODE_UNIT_BYTES 2
#define VARINT_SHIFT_MAX 30 /* 6 bits a byte, values of 32 bits */

enum location_kind {			     /* 0..9: short forms on the same line */
		     LOCATION_ONE_LINE = 10, /* 10, 11, 12: that many lines further, less 10 */
		     LOCATION_NO_COLUMNS = 13,
		     LOCATION_LONG = 14,
		     LOCATION_NONE = 15,
};

static int finish(int64_t line, int32_t *ret_line)
{
	if (line < INT32_MIN || line > INT32_MAX)
		return -EBADMSG;
	*ret_line = (int32_t)line;
	return 0;
}

static int resolve_lnotab(struct cursor c, bool is_unsigned, int64_t line, int64_t address,
			  int32_t *ret_line)
{
	int64_t at = 0;

	while (!cursor_done(&c)) {
		uint8_t address_step = cursor_u8(&c), step = cursor_u8(&c);

		at += address_step;
		if (at > address)
			break;
		if (c.failed)
			return -EBADMSG;
		line += is_unsigned ? step : (int8_t)step;
	}
	return finish(line, ret_line);
}

static int resolve_310(struct cursor c, int64_t line, int64_t address, int32_t *ret_line)
{
	int64_t end = 0;

	while (!cursor_done(&c)) {
		uint8_t length = cursor_u8(&c);
		int8_t step = cursor_s8(&c);

		if (c.failed)
			return -EBADMSG;
		end += length;
		if (step != LINE_NONE_310)
			line += step;
		if (end > address)
			return step == LINE_NONE_310 ? -ENOENT : finish(line, ret_line);
	}
	return -ENOENT;
}

static uint32_t read_varint(struct cursor *c)
{
	uint32_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = cursor_u8(c);
		if (byte & 0x80 || shift > VARINT_SHIFT_MAX) {
			c->failed = true;
			return 0;
		}
		value |= (uint32_t)(byte & 0x3f) << shift;
		shift += 6;
	} while (byte & 0x40);
	return value;
}

static int64_t read_signed_varint(struct cursor *c)
{
	uint32_t value = read_varint(c);

	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

static void skip_columns(struct cursor *c, unsigned count)
{
	while (count-- > 0) {
		if (cursor_u8(c) & 0x80)
			c->failed = true;
	}
}

/* Reads what follows an entry's first byte. Returns the line step. */
static int64_t read_location(struct cursor *c, unsigned kind)
{
	int64_t step = 0;

	if (kind == LOCATION_NO_COLUMNS || kind == LOCATION_LONG)
		step = read_signed_varint(c);
	if (kind == LOCATION_LONG) {
		for (int i = 0; i < 3; i++) /* end line, column, end column */
			read_varint(c);
	} else if (kind < LOCATION_ONE_LINE) {
		skip_columns(c, 1);
	} else if (kind < LOCATION_NO_COLUMNS) {
		step = kind - LOCATION_ONE_LINE;
		skip_columns(c, 2);
	}
	return step;
}

static int resolve_locations(struct cursor c, int64_t line, int64_t address, int32_t *ret_line)
{
	int64_t end = 0;

	while (!cursor_done(&c)) {
		uint8_t first = cursor_u8(&c);
		unsigned kind = first >> 3 & 15;

		line += read_location(&c, kind);
		if (c.failed || !(first & 0x80))
			return -EBADMSG;
		end += ((first & 7) + 1) * CODE_UNIT_BYTES;
		if (end > address)
			return kind == LOCATION_NONE ? -ENOENT : finish(line, ret_line);
	}
	return -ENOENT;
}

int line_table_resolve(enum python_line_format format, const uint8_t *table, size_t size,
		       int32_t first_line, int64_t address, int32_t *ret_line)
{
	struct cursor c = cursor_of(table, size);

	if (address < 0)
		return finish(first_line, ret_line);
	switch (format) {
	case PYTHON_LINES_LNOTAB_UNSIGNED:
		return resolve_lnotab(c, true, first_line, address, ret_line);
	case PYTHON_LINES_LNOTAB:
		return resolve_lnotab(c, false, first_line, address, ret_line);
	case PYTHON_LINES_LINETABLE_310:
		return resolve_310(c, first_line, address, ret_line);
	case PYTHON_LINES_LOCATIONS:
		return resolve_locations(c, first_line, address, ret_line);
	}
	return -EOPNOTSUPP;
}
