/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction offset to line: the line-table formats of CPython. Pure; fuzzed. */
#ifndef MIXPROF_PYTHON_LINE_TABLE_H
#define MIXPROF_PYTHON_LINE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "python/python_layout.h"

/*
 * address: byte offset of the instruction in the code, as the table counts it; -2 (3.11/3.12 "not
 * started") gives first_line. Returns 0; -ENOENT where the table gives no line for the address;
 * -EBADMSG for a table that ends inside an entry before the address is reached.
 */
int line_table_resolve(enum python_line_format format, const uint8_t *table, size_t size,
		       int32_t first_line, int64_t address, int32_t *ret_line);

#endif
