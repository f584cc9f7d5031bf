/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds-checked reading of foreign bytes, little endian. A read past the end
 * returns 0 (or NULL) and sets `failed` for good, so a parser may read a whole
 * structure and ask once. Varints are limited to 64 bits.
 */
#ifndef MIXPROF_BASE_CURSOR_H
#define MIXPROF_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *pos;
	const uint8_t *end;
	bool failed;
};

struct cursor cursor_of(const void *bytes, size_t size);
size_t cursor_left(const struct cursor *c);
bool cursor_done(const struct cursor *c); /* nothing left, or failed */

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
int8_t cursor_s8(struct cursor *c);
int16_t cursor_s16(struct cursor *c);
int32_t cursor_s32(struct cursor *c);
int64_t cursor_s64(struct cursor *c);
uint64_t cursor_uleb128(struct cursor *c);
int64_t cursor_sleb128(struct cursor *c);

/* Borrowed: points into the cursor's bytes. NULL and failed if fewer than size are left. */
const void *cursor_bytes(struct cursor *c, size_t size);
/* A NUL-terminated string, borrowed; NULL and failed if there is no NUL. */
const char *cursor_string(struct cursor *c);
void cursor_skip(struct cursor *c, size_t size);
/* The next `size` bytes as a cursor of their own; the outer one moves past them. */
struct cursor cursor_sub(struct cursor *c, size_t size);

#endif
