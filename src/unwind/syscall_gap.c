// SPDX-License-Identifier: Apache-2.0
/* See the header. sysdeps/unix/sysv/linux/x86_64/clone.S and clone3.S, glibc 2.34-2.43. */
#include "unwind/syscall_gap.h"

#define GAP_BYTES_MAX 64 /* the real ones are 8 to 40 */

static const struct unwind_rule gap_rule = {
	.cfa = UNWIND_CFA_REGISTER,
	.cfa_register = UNWIND_RSP,
	.cfa_offset = 8,
	.ra_offset = -8,
	.flags = UNWIND_RULE_ENTRY | UNWIND_RULE_THREAD_START,
};

void cfi_fill_syscall_gaps(struct cfi_rows *rows,
			   const uint8_t *(*bytes_at)(void *context, uint64_t vaddr, size_t size),
			   void *context)
{
	for (size_t i = 0; i + 1 < rows->count; i++) {
		struct cfi_row *row = &rows->rows[i];
		const uint8_t *code;

		if (row->rule.cfa != UNWIND_CFA_NONE || row->rule.flags ||
		    rows->rows[i + 1].pc - row->pc > GAP_BYTES_MAX)
			continue;
		code = bytes_at(context, row->pc, 2);
		if (code && code[0] == 0x0f && code[1] == 0x05) /* syscall */
			row->rule = gap_rule;
	}
}
