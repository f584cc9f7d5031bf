/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_table_resolve as a filter, for check_lines.py. Standard input: records
 * {u32 format, i32 first_line, u32 table_bytes, u32 address_count}, the table,
 * the addresses as i32. Standard output: one i32 per address, the line, or
 * INT32_MIN where the table gives none, INT32_MIN + 1 for any other error.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "python/line_table.h"

#define RECORD_BYTES_MAX (16u << 20)

struct record_head {
	uint32_t format;
	int32_t first_line;
	uint32_t table_bytes;
	uint32_t address_count;
};

static int read_exactly(void *to, size_t size)
{
	return fread(to, 1, size, stdin) == size ? 0 : -EIO;
}

static int resolve_record(const struct record_head *head)
{
	_cleanup_free_ uint8_t *table = malloc(head->table_bytes + 1u);
	_cleanup_free_ int32_t *values = malloc(head->address_count * sizeof(*values) + 1u);

	if (!table || !values)
		return -ENOMEM;
	if (read_exactly(table, head->table_bytes) ||
	    read_exactly(values, head->address_count * sizeof(*values)))
		return -EIO;
	for (uint32_t i = 0; i < head->address_count; i++) {
		int32_t line;
		int err = line_table_resolve(head->format, table, head->table_bytes,
					     head->first_line, values[i], &line);

		values[i] = err == 0 ? line : err == -ENOENT ? INT32_MIN : INT32_MIN + 1;
	}
	if (fwrite(values, sizeof(*values), head->address_count, stdout) != head->address_count ||
	    fflush(stdout) != 0)
		return -EIO;
	return 0;
}

int main(void)
{
	struct record_head head;

	while (read_exactly(&head, sizeof(head)) == 0) {
		if (head.table_bytes > RECORD_BYTES_MAX || head.address_count > RECORD_BYTES_MAX ||
		    resolve_record(&head)) {
			fprintf(stderr, "line_table_tool: bad record\n");
			return EXIT_FAILURE;
		}
	}
	return feof(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
