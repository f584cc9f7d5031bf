/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer for writers. A failed allocation sets `failed` for good
 * and later appends do nothing, so a writer asks once, at the end. Little endian.
 */
#ifndef MIXPROF_BASE_BUFFER_H
#define MIXPROF_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data; /* owned; NULL while empty */
	size_t size;
	size_t capacity;
	bool failed;
};

void buffer_done(struct buffer *b);  /* frees; the buffer is empty and usable again */
void buffer_clear(struct buffer *b); /* keeps the memory */
/* Room for size bytes at the end, uninitialised; NULL when out of memory. */
void *buffer_reserve(struct buffer *b, size_t size);
void buffer_append(struct buffer *b, const void *bytes, size_t size);
void buffer_string(struct buffer *b, const char *s); /* without its NUL */
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_u8(struct buffer *b, uint8_t v);
void buffer_u16(struct buffer *b, uint16_t v);
void buffer_u32(struct buffer *b, uint32_t v);
void buffer_u64(struct buffer *b, uint64_t v);

#endif
