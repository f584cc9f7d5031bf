/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign bytes to a name that is safe to show. Takes any bytes; gives valid
 * UTF-8. A wrong sequence becomes one U+FFFD per maximal prefix of a right one
 * (the Unicode recommendation, and what Python's errors="replace" does), except
 * that an encoded surrogate, which CPython strings do hold, becomes exactly one.
 */
#include "base/sanitize.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";
static const char ellipsis[] = "...";

static bool is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* How many bytes the lead byte asks for, and which second bytes it allows; 0: no lead byte. */
static size_t lead_length(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	*ret_high = lead == 0xf4 ? 0x8f : 0xbf;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if ((lead & 0xf0) == 0xe0)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0;
}

/* Bytes to take from p (at least 1), and whether they are one well-formed character *ret_code. */
static size_t decode(const unsigned char *p, size_t size, bool *ret_valid, uint32_t *ret_code)
{
	unsigned char low, high;
	size_t length, have = 1;
	uint32_t code;

	*ret_valid = p[0] < 0x80;
	*ret_code = p[0];
	if (*ret_valid)
		return 1;
	length = lead_length(p[0], &low, &high);
	if (length == 0 || size < 2 || p[1] < low || p[1] > high)
		return 1;
	code = p[0] & (0x7f >> length);
	for (; have < length; have++) {
		if (have == size || !is_continuation(p[have]))
			return have;
		code = code << 6 | (p[have] & 0x3f);
	}
	*ret_valid = true;
	*ret_code = code;
	return length;
}

static bool is_shown(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false; /* C0, DEL, C1 */
	if (code >= 0xd800 && code <= 0xdfff)
		return false; /* surrogates */
	/* Bidirectional embeddings, overrides and isolates reorder the text around them. */
	return !(code >= 0x202a && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

char *sanitize_name(const char *bytes, size_t size, size_t max_bytes)
{
	const unsigned char *p = (const unsigned char *)bytes;
	/* No character grows to more than three times its size. */
	size_t capacity = size < max_bytes / 3 ? size * 3 : max_bytes;
	size_t room = max_bytes >= sizeof(ellipsis) - 1 ? max_bytes - (sizeof(ellipsis) - 1) : 0;
	size_t out = 0, cut = 0;
	char *name = malloc(capacity + 1);

	if (!name)
		return NULL;
	for (size_t i = 0; i < size;) {
		const char *from = (const char *)p + i;
		uint32_t code;
		bool valid;
		size_t taken = decode(p + i, size - i, &valid, &code);
		size_t length = taken;

		if (!valid || !is_shown(code)) {
			from = replacement;
			length = sizeof(replacement) - 1;
		}
		if (length > max_bytes - out) {
			out = cut;
			if (max_bytes >= sizeof(ellipsis) - 1) {
				memcpy(name + out, ellipsis, sizeof(ellipsis) - 1);
				out += sizeof(ellipsis) - 1;
			}
			break;
		}
		memcpy(name + out, from, length);
		out += length;
		if (out <= room)
			cut = out;
		i += taken;
	}
	name[out] = '\0';
	return name;
}
