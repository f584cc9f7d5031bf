/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares line_table_resolve with the lines that CPython itself gives:
 *
 *	PYTHON - [--all] < tests/oracle/line_tables/dump_lines.py | line_table_check
 *
 * Standard input: records {u32 format, i32 first_line, u32 table_bytes, u32 count,
 * u32 label_bytes}, the table, count addresses and count lines as i32 (-1: none),
 * the label. A record of format 0 ends it; without one the input was cut.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "python/line_table.h"

#define RECORD_BYTES_MAX (16u << 20)
#define MISMATCHES_SHOWN 10
#define LINE_NONE (-1)

struct record_head {
	uint32_t format;
	int32_t first_line;
	uint32_t table_bytes;
	uint32_t count;
	uint32_t label_bytes;
};

struct totals {
	size_t codes, offsets, without_line, mismatches;
	char last_label[256];
};

static bool read_exactly(void *to, size_t size)
{
	return fread(to, 1, size, stdin) == size;
}

static int resolve(const struct record_head *head, const uint8_t *table, int32_t address)
{
	int32_t line;
	int err = line_table_resolve((enum python_line_format)head->format, table,
				     head->table_bytes, head->first_line, address, &line);

	return err == 0 ? line : err == -ENOENT ? LINE_NONE : INT32_MIN;
}

static void compare(const struct record_head *head, const uint8_t *table, const int32_t *values,
		    struct totals *t)
{
	for (uint32_t i = 0; i < head->count; i++) {
		int32_t expected = values[head->count + i];
		int line = resolve(head, table, values[i]);

		t->offsets++;
		t->without_line += expected == LINE_NONE;
		if (line != expected && t->mismatches++ < MISMATCHES_SHOWN)
			printf("mismatch: %s offset %d: %d, CPython says %d\n", t->last_label,
			       values[i], line, expected);
	}
	t->codes++;
}

static bool check_record(const struct record_head *head, struct totals *t)
{
	_cleanup_free_ uint8_t *table = malloc(head->table_bytes + 1u);
	_cleanup_free_ int32_t *values = malloc(head->count * 2 * sizeof(*values) + 1u);

	if (!table || !values || !read_exactly(table, head->table_bytes) ||
	    !read_exactly(values, head->count * 2 * sizeof(*values)) ||
	    !read_exactly(t->last_label, head->label_bytes))
		return false;
	t->last_label[head->label_bytes] = '\0';
	compare(head, table, values, t);
	return true;
}

int main(void)
{
	struct record_head head;
	struct totals t = {0};

	while (read_exactly(&head, sizeof(head)) && head.format) {
		if (head.table_bytes > RECORD_BYTES_MAX || head.count > RECORD_BYTES_MAX ||
		    head.label_bytes >= sizeof(t.last_label) || !check_record(&head, &t))
			break;
	}
	if (feof(stdin) || head.format) {
		printf("line_table_check: the input was cut after \"%s\"\n", t.last_label);
		return EXIT_FAILURE;
	}
	printf("%zu code objects, %zu offsets (%zu without a line), %zu mismatches\n", t.codes,
	       t.offsets, t.without_line, t.mismatches);
	return t.mismatches || t.offsets == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
