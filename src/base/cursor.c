/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds-checked reader. Takes any bytes, gives integers, strings and
 * sub-ranges. Every read goes through cursor_bytes(), the only place that moves
 * `pos`; a failure also moves `pos` to the end, so a loop on cursor_left() ends.
 */
#include "base/cursor.h"

#include <string.h>

#include <endian.h>

static void fail(struct cursor *c)
{
	c->failed = true;
	c->pos = c->end;
}

struct cursor cursor_of(const void *bytes, size_t size)
{
	static const uint8_t nothing;
	const uint8_t *pos = bytes && size > 0 ? bytes : &nothing;

	return (struct cursor){.pos = pos, .end = pos + (bytes ? size : 0)};
}

size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->pos);
}

bool cursor_done(const struct cursor *c)
{
	return c->failed || c->pos == c->end;
}

const void *cursor_bytes(struct cursor *c, size_t size)
{
	const uint8_t *bytes = c->pos;

	if (c->failed || size > cursor_left(c)) {
		fail(c);
		return NULL;
	}
	c->pos += size;
	return bytes;
}

uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *bytes = cursor_bytes(c, 1);

	return bytes ? *bytes : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
	const void *bytes = cursor_bytes(c, 2);
	uint16_t v = 0;

	if (bytes)
		memcpy(&v, bytes, sizeof(v));
	return le16toh(v);
}

uint32_t cursor_u32(struct cursor *c)
{
	const void *bytes = cursor_bytes(c, 4);
	uint32_t v = 0;

	if (bytes)
		memcpy(&v, bytes, sizeof(v));
	return le32toh(v);
}

uint64_t cursor_u64(struct cursor *c)
{
	const void *bytes = cursor_bytes(c, 8);
	uint64_t v = 0;

	if (bytes)
		memcpy(&v, bytes, sizeof(v));
	return le64toh(v);
}

int8_t cursor_s8(struct cursor *c)
{
	return (int8_t)cursor_u8(c);
}

int16_t cursor_s16(struct cursor *c)
{
	return (int16_t)cursor_u16(c);
}

int32_t cursor_s32(struct cursor *c)
{
	return (int32_t)cursor_u32(c);
}

int64_t cursor_s64(struct cursor *c)
{
	return (int64_t)cursor_u64(c);
}

/* Bits 63.. of the tenth byte must repeat what the type allows; further bytes never may add any. */
uint64_t cursor_uleb128(struct cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = cursor_u8(c);
		if (c->failed)
			return 0;
		if (shift < 63)
			v |= (uint64_t)(byte & 0x7f) << shift;
		else if (shift == 63 && (byte & 0x7f) <= 1)
			v |= (uint64_t)(byte & 0x7f) << 63;
		else if (byte & 0x7f || shift > 1000) {
			fail(c);
			return 0;
		}
		shift += 7;
	} while (byte & 0x80);
	return v;
}

int64_t cursor_sleb128(struct cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = cursor_u8(c);
		if (c->failed)
			return 0;
		if (shift < 63) {
			v |= (uint64_t)(byte & 0x7f) << shift;
		} else if (shift == 63 && ((byte & 0x7f) == 0 || (byte & 0x7f) == 0x7f)) {
			v |= (uint64_t)(byte & 1) << 63;
		} else if ((byte & 0x7f) != ((int64_t)v < 0 ? 0x7f : 0) || shift > 1000) {
			fail(c);
			return 0;
		}
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && byte & 0x40)
		v |= ~UINT64_C(0) << shift;
	return (int64_t)v;
}

const char *cursor_string(struct cursor *c)
{
	size_t left = cursor_left(c);
	const uint8_t *nul = left ? memchr(c->pos, 0, left) : NULL;

	if (!nul) {
		fail(c);
		return NULL;
	}
	return cursor_bytes(c, (size_t)(nul - c->pos) + 1);
}

void cursor_skip(struct cursor *c, size_t size)
{
	cursor_bytes(c, size);
}

struct cursor cursor_sub(struct cursor *c, size_t size)
{
	const void *bytes = cursor_bytes(c, size);
	struct cursor sub = cursor_of(bytes, bytes ? size : 0);

	sub.failed = !bytes;
	return sub;
}
