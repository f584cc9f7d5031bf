/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing byte buffer. Owns its memory, doubles it when full; everything is
 * appended through buffer_reserve(), so `failed` has one origin per cause.
 */
#include "base/buffer.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_MIN 64

void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
	b->size = 0;
	b->failed = false;
}

static bool grow(struct buffer *b, size_t size)
{
	size_t capacity = b->capacity ? b->capacity : BUFFER_BYTES_MIN;
	size_t wanted;
	uint8_t *data;

	if (__builtin_add_overflow(b->size, size, &wanted))
		return false;
	while (capacity < wanted)
		if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
			capacity = wanted;
	if (capacity == b->capacity)
		return true;
	data = realloc(b->data, capacity);
	if (!data)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

void *buffer_reserve(struct buffer *b, size_t size)
{
	void *room;

	if (b->failed)
		return NULL;
	if (!grow(b, size)) {
		b->failed = true;
		return NULL;
	}
	room = b->data + b->size;
	b->size += size;
	return room;
}

void buffer_append(struct buffer *b, const void *bytes, size_t size)
{
	void *room;

	if (size == 0)
		return;
	room = buffer_reserve(b, size);
	if (room)
		memcpy(room, bytes, size);
}

void buffer_string(struct buffer *b, const char *s)
{
	buffer_append(b, s, strlen(s));
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args, again;
	int length;
	char *room;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	/* vsnprintf writes a NUL as well: reserve it, then give it back. */
	room = length < 0 ? NULL : buffer_reserve(b, (size_t)length + 1);
	if (room) {
		vsnprintf(room, (size_t)length + 1, format, again);
		b->size--;
	} else {
		b->failed = true;
	}
	va_end(again);
	va_end(args);
}

void buffer_u8(struct buffer *b, uint8_t v)
{
	buffer_append(b, &v, sizeof(v));
}

void buffer_u16(struct buffer *b, uint16_t v)
{
	v = htole16(v);
	buffer_append(b, &v, sizeof(v));
}

void buffer_u32(struct buffer *b, uint32_t v)
{
	v = htole32(v);
	buffer_append(b, &v, sizeof(v));
}

void buffer_u64(struct buffer *b, uint64_t v)
{
	v = htole64(v);
	buffer_append(b, &v, sizeof(v));
}
