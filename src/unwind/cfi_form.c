/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a row of call-frame information to the walker's closed set of rules. Only
 * expressions of known shape are taken; all shapes seen on x86-64 Linux are:
 *   breg off [; plus_uconst n]            CFA is a register after all
 *   breg off; deref [; constant; plus]    stack realigned by gcc, switched by asm
 *   breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus    the linker's .plt
 *   breg7 160; deref                      CFA of the signal return trampoline, where
 *                                         rsp points to the kernel's ucontext
 * Fields a form does not use are zero, so that equal rules are equal bytes.
 */
#include "unwind/cfi_form.h"

#include <string.h>

#include "base/cursor.h"

enum {
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S = 0x09,
	OP_CONST2U = 0x0a,
	OP_CONST2S = 0x0b,
	OP_CONST4U = 0x0c,
	OP_CONST4S = 0x0d,
	OP_CONSTU = 0x10,
	OP_CONSTS = 0x11,
	OP_AND = 0x1a,
	OP_MINUS = 0x1c,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_GE = 0x2a,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
};

/* Longer ones have no form. Every row that one is in force for looks at it again. */
#define EXPRESSION_BYTES_MAX 32

/* struct ucontext of x86-64 Linux: uc_mcontext.gregs[] begins at 40 */
enum {
	UCONTEXT_RBP = 120,
	UCONTEXT_RBX = 128,
	UCONTEXT_RSP = 160,
	UCONTEXT_RIP = 168,
};

static bool fits_s8(int64_t v)
{
	return v >= INT8_MIN && v <= INT8_MAX;
}

static bool fits_s16(int64_t v)
{
	return v >= INT16_MIN && v <= INT16_MAX;
}

static bool fits_s32(int64_t v)
{
	return v >= INT32_MIN && v <= INT32_MAX;
}

/* bregN or bregx. */
static bool read_breg(struct cursor *c, uint64_t *ret_register, int64_t *ret_offset)
{
	uint8_t op = cursor_u8(c);

	if (op >= OP_BREG0 && op <= OP_BREG31)
		*ret_register = (uint64_t)(op - OP_BREG0);
	else if (op == OP_BREGX)
		*ret_register = cursor_uleb128(c);
	else
		return false;
	*ret_offset = cursor_sleb128(c);
	return !c->failed;
}

static bool read_constant(struct cursor *c, uint8_t op, int64_t *ret_value)
{
	uint64_t value;

	if (op >= OP_LIT0 && op <= OP_LIT31)
		value = (uint64_t)(op - OP_LIT0);
	else if (op == OP_CONST1U)
		value = cursor_u8(c);
	else if (op == OP_CONST1S)
		value = (uint64_t)(int64_t)cursor_s8(c);
	else if (op == OP_CONST2U)
		value = cursor_u16(c);
	else if (op == OP_CONST2S)
		value = (uint64_t)(int64_t)cursor_s16(c);
	else if (op == OP_CONST4U)
		value = cursor_u32(c);
	else if (op == OP_CONST4S)
		value = (uint64_t)(int64_t)cursor_s32(c);
	else if (op == OP_CONSTU)
		value = cursor_uleb128(c);
	else if (op == OP_CONSTS)
		value = (uint64_t)cursor_sleb128(c);
	else
		return false;
	*ret_value = (int64_t)value;
	return !c->failed;
}

/* Adds what follows in the forms "plus_uconst n" and "constant; plus|minus" to *sum, up to
 * another operation. */
static bool read_sums(struct cursor *c, int64_t *sum)
{
	while (!cursor_done(c)) {
		const struct cursor before = *c;
		uint8_t op = cursor_u8(c);
		int64_t value;

		if (op == OP_PLUS_UCONST) {
			uint64_t n = cursor_uleb128(c);

			if (c->failed || n > INT32_MAX)
				return false;
			value = (int64_t)n;
		} else if (read_constant(c, op, &value)) {
			op = cursor_u8(c);
			if (op == OP_MINUS && value != INT64_MIN)
				value = -value;
			else if (op != OP_PLUS)
				return false;
		} else {
			*c = before;
			return true;
		}
		if (__builtin_add_overflow(*sum, value, sum))
			return false;
	}
	return !c->failed;
}

/* "breg n": an address at a fixed distance of one register. */
static bool match_register_sum(struct cfi_expression e, uint64_t *ret_register, int64_t *ret_offset)
{
	struct cursor c = cursor_of(e.bytes, e.size);

	return e.size <= EXPRESSION_BYTES_MAX && read_breg(&c, ret_register, ret_offset) &&
	       read_sums(&c, ret_offset) && cursor_left(&c) == 0;
}

static bool match_deref(struct cfi_expression e, uint64_t *ret_register, int64_t *ret_offset,
			int64_t *ret_deref_offset)
{
	struct cursor c = cursor_of(e.bytes, e.size);

	*ret_deref_offset = 0;
	return e.size <= EXPRESSION_BYTES_MAX && read_breg(&c, ret_register, ret_offset) &&
	       read_sums(&c, ret_offset) && cursor_u8(&c) == OP_DEREF &&
	       read_sums(&c, ret_deref_offset) && cursor_left(&c) == 0;
}

static bool match_plt(struct cfi_expression e, int64_t *ret_threshold)
{
	static const uint8_t head[] = {OP_BREG0 + UNWIND_RSP, 8,     OP_BREG0 + UNWIND_RIP, 0,
				       OP_LIT0 + 15,	      OP_AND};
	static const uint8_t tail[] = {OP_GE, OP_LIT0 + 3, OP_SHL, OP_PLUS};

	if (e.size != sizeof(head) + 1 + sizeof(tail) || memcmp(e.bytes, head, sizeof(head)) != 0 ||
	    memcmp(e.bytes + sizeof(head) + 1, tail, sizeof(tail)) != 0)
		return false;
	*ret_threshold = e.bytes[sizeof(head)] - OP_LIT0;
	return *ret_threshold >= 0 && *ret_threshold <= 15;
}

static bool is_saved_at(const struct cfi_column *column, uint64_t base, int64_t distance)
{
	uint64_t r;
	int64_t offset;

	return column->how == CFI_EXPRESSION &&
	       match_register_sum(column->expression, &r, &offset) && r == base &&
	       offset == distance;
}

/* The walker takes all registers from the ucontext, so the row must say where exactly they are. */
static bool is_signal_frame(const struct cfi_state *state)
{
	int64_t offset, deref_offset;
	uint64_t r;

	return state->is_signal && state->cfa_is_expression &&
	       match_deref(state->cfa_expression, &r, &offset, &deref_offset) && r == UNWIND_RSP &&
	       offset == UCONTEXT_RSP && deref_offset == 0 &&
	       is_saved_at(&state->columns[CFI_RETURN], UNWIND_RSP, UCONTEXT_RIP) &&
	       is_saved_at(&state->columns[CFI_RBP], UNWIND_RSP, UCONTEXT_RBP) &&
	       is_saved_at(&state->columns[CFI_RBX], UNWIND_RSP, UCONTEXT_RBX);
}

static bool form_cfa(const struct cfi_state *state, struct unwind_rule *rule)
{
	uint64_t r = state->cfa_register;
	int64_t offset = state->cfa_offset, second = 0;

	rule->cfa = UNWIND_CFA_REGISTER;
	if (state->cfa_is_expression) {
		const struct cfi_expression e = state->cfa_expression;

		if (match_plt(e, &second)) {
			rule->cfa = UNWIND_CFA_PLT;
			r = UNWIND_RSP;
			offset = 8;
		} else if (match_deref(e, &r, &offset, &second)) {
			rule->cfa = UNWIND_CFA_DEREF;
		} else if (!match_register_sum(e, &r, &offset)) {
			return false;
		}
	}
	if (r >= UNWIND_REGISTERS || !fits_s32(offset) || !fits_s16(second))
		return false;
	rule->cfa_register = (uint8_t)r;
	rule->cfa_offset = (int32_t)offset;
	rule->deref_offset = (int16_t)second;
	if (rule->cfa == UNWIND_CFA_REGISTER && r == UNWIND_RSP && offset == 8)
		rule->flags |= UNWIND_RULE_ENTRY;
	return true;
}

/* The caller's rsp is the CFA in every form; a row that says otherwise has none. */
static bool form_return(const struct cfi_state *state, struct unwind_rule *rule)
{
	const struct cfi_column *column = &state->columns[CFI_RETURN];
	enum cfi_how rsp = state->columns[CFI_RSP].how;

	if (column->how == CFI_UNDEFINED) {
		rule->flags |= UNWIND_RULE_END;
		return true;
	}
	if (column->how != CFI_OFFSET || !fits_s8(column->offset))
		return false;
	rule->ra_offset = (int8_t)column->offset;
	return rsp == CFI_UNSPECIFIED || rsp == CFI_SAME || rsp == CFI_UNDEFINED;
}

static enum unwind_saved form_saved(const struct cfi_column *column, int16_t *ret_offset)
{
	int64_t offset;
	uint64_t r;

	switch (column->how) {
	case CFI_UNSPECIFIED:
	case CFI_SAME:
		return UNWIND_SAME;
	case CFI_OFFSET:
		if (!fits_s16(column->offset))
			return UNWIND_UNKNOWN;
		*ret_offset = (int16_t)column->offset;
		return UNWIND_AT_CFA;
	case CFI_EXPRESSION:
		if (!match_register_sum(column->expression, &r, &offset) || r != UNWIND_RBP ||
		    !fits_s16(offset))
			return UNWIND_UNKNOWN;
		*ret_offset = (int16_t)offset;
		return UNWIND_AT_REGISTER;
	default:
		return UNWIND_UNKNOWN;
	}
}

struct unwind_rule cfi_form_of_state(const struct cfi_state *state)
{
	struct unwind_rule rule = {0};
	bool is_end = state->columns[CFI_RETURN].how == CFI_UNDEFINED;

	if (is_signal_frame(state))
		return (struct unwind_rule){.cfa = UNWIND_CFA_SIGNAL};
	if (!form_cfa(state, &rule) || !form_return(state, &rule))
		return (struct unwind_rule){
			.cfa = UNWIND_CFA_UNSUPPORTED,
			.flags = is_end ? UNWIND_RULE_END : 0,
		};
	rule.rbp = form_saved(&state->columns[CFI_RBP], &rule.rbp_offset);
	rule.rbx = form_saved(&state->columns[CFI_RBX], &rule.rbx_offset);
	return rule;
}
