/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call-frame information to rows: the CFI programs of .eh_frame and .debug_frame
 * (DWARF 5 §6.4, LSB "Exception Frames") are run by our own evaluator, and every
 * row becomes one of the forms of abi/unwind_abi.h. Pure; every byte is read
 * through base/cursor; fuzzed.
 */
#ifndef MIXPROF_UNWIND_CFI_READER_H
#define MIXPROF_UNWIND_CFI_READER_H

#include <stddef.h>
#include <stdint.h>

#include "abi/unwind_abi.h"
#include "object/fde_index.h"

struct cfi_row {
	uint64_t pc; /* elf vaddr; in force up to the next row's pc */
	struct unwind_rule rule;
};

struct cfi_rows {
	struct cfi_row *rows; /* owned; strictly ascending; gaps are rows with UNWIND_CFA_NONE */
	size_t count;
	size_t unsupported; /* rows whose rule has no form */
	size_t malformed;   /* FDEs given up; their range is a gap */
};

/*
 * A range whose rows get extra flags (enum unwind_rule_flag), e.g. eval
 * fragments; [start, end) in elf vaddrs. Rows are split at its edges.
 */
struct cfi_mark {
	uint64_t start;
	uint64_t end;
	uint8_t flags;
};

/* 0 or -ENOMEM. Equal consecutive rules are merged. */
int cfi_read_rows(const struct fde_index *index, const struct frame_section *sections,
		  size_t section_count, const struct cfi_mark *marks, size_t mark_count,
		  struct cfi_rows *ret_rows);
void cfi_rows_done(struct cfi_rows *rows);
/* The first row of one FDE (is it a fragment that starts with a frame set up?). -ENOENT, -EBADMSG.
 */
int cfi_first_rule(const struct fde *fde, const struct frame_section *sections,
		   size_t section_count, struct unwind_rule *ret_rule);

#endif
