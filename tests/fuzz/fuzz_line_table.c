/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line tables from any bytes: {u8 format, i32 first line, i32 address, table}. The
 * answer must not depend on what lies behind the table, and a failure leaves the
 * line alone.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "python/line_table.h"

#define UNTOUCHED 0x5a5a5a5a

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	uint8_t format = cursor_u8(&c);
	int32_t first_line = cursor_s32(&c), address = cursor_s32(&c);
	int32_t line = UNTOUCHED, before = UNTOUCHED;
	int err;

	if (c.failed)
		return 0;
	err = line_table_resolve((enum python_line_format)(format & 7), c.pos, cursor_left(&c),
				 first_line, address, &line);
	if (err && line != UNTOUCHED)
		abort();
	/* one more byte may only tell what a cut table could not */
	if (cursor_left(&c) > 0 &&
	    line_table_resolve((enum python_line_format)(format & 7), c.pos, cursor_left(&c) - 1,
			       first_line, address, &before) == 0 &&
	    (format & 7) == PYTHON_LINES_LOCATIONS && (err || line != before))
		abort();
	return 0;
}
