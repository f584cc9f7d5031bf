/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of one file in the shape that the worker sends and the sampler reads:
 * rows with file-local rule numbers, the file's distinct rules, a page index.
 * build in the worker, validate in the privileged process.
 */
#ifndef MIXPROF_UNWIND_UNWIND_TABLE_H
#define MIXPROF_UNWIND_UNWIND_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "abi/unwind_abi.h"
#include "base/buffer.h"
#include "unwind/cfi_reader.h"

struct unwind_table_image {
	uint64_t text_start; /* elf vaddr, page aligned */
	uint32_t pages;
	uint32_t row_count;
	uint32_t rule_count;	    /* rules[0] is UNWIND_RULE_NONE's */
	const uint32_t *page_index; /* pages + 1 */
	const struct unwind_row *rows;
	const struct unwind_rule *rules;
};

/* Serialises rows into out, appended. -E2BIG if the file has more rows or text than the ABI allows.
 */
int unwind_table_build(const struct cfi_rows *rows, struct buffer *out);
/* Checks everything (order, bounds, closed set of rules, page index) and points into bytes.
 * -EBADMSG. */
int unwind_table_parse(const void *bytes, size_t size, struct unwind_table_image *ret_image);

#endif
