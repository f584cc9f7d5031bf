/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CFI program has said at one address, and its translation to one of the
 * forms of abi/unwind_abi.h. Pure.
 */
#ifndef MIXPROF_UNWIND_CFI_FORM_H
#define MIXPROF_UNWIND_CFI_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/unwind_abi.h"

struct cfi_expression { /* borrowed from the frame section */
	const uint8_t *bytes;
	size_t size;
};

enum cfi_how {
	CFI_UNSPECIFIED = 0,
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_OFFSET,	/* saved at CFA + offset */
	CFI_EXPRESSION, /* saved at the expression's value */
	CFI_OTHER,	/* value rules, other registers: no form has them */
};

struct cfi_column {
	enum cfi_how how;
	int64_t offset; /* INT64_MAX: beyond 64 bits, fits no form */
	struct cfi_expression expression;
};

enum cfi_column_index { /* of the columns that matter to the walker */
			CFI_RBX,
			CFI_RBP,
			CFI_RSP,
			CFI_RETURN,
			CFI_COLUMNS,
};

struct cfi_state {
	bool cfa_is_expression;
	bool is_signal; /* of the CIE */
	uint64_t cfa_register;
	int64_t cfa_offset;
	struct cfi_expression cfa_expression;
	struct cfi_column columns[CFI_COLUMNS];
};

struct unwind_rule cfi_form_of_state(const struct cfi_state *state);

#endif
