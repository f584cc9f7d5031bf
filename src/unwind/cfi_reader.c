/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the call-frame programs (DWARF 5 §6.4.2) of an FDE index and gives the
 * rows of a whole file in address order.
 *
 * A program describes its FDE's code from the FDE's own start. Where the index
 * cut an FDE (overlaps), the program still runs from that start and its rows are
 * clipped to the piece. What a program of foreign bytes may cost is bounded: it
 * is read once, forwards, the state stack is finite, and the initial program of
 * a CIE, which runs anew for FDEs of alternating CIEs, may not be long.
 *
 * Operations are interpreted as gcc's unwinder does where DWARF leaves it open:
 * remember_state includes the CFA, def_cfa_offset under an expression changes
 * nothing but the offset that a later def_cfa_register will use.
 */
#include "unwind/cfi_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "object/frame_entry.h"
#include "unwind/cfi_form.h"

#define STATES_MAX 64				  /* remembered at a time; compilers nest 1 or 2 */
#define CIE_PROGRAM_BYTES_MAX 256		  /* the signal trampoline's has about 130 */
#define ROWS_MAX (UNWIND_ROWS_PER_TABLE_MAX + 1u) /* beyond, the table is refused anyway */

enum {
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
	/* the operand is in the low 6 bits */
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_PRIMARY_MASK = 0xc0,
};

struct row_list {
	struct cfi_row *rows;
	size_t count;
	size_t capacity;
};

static bool rules_equal(const struct unwind_rule *a, const struct unwind_rule *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Appends a row at a higher pc than the last; an equal rule just goes on. */
static int list_put(struct row_list *list, uint64_t pc, const struct unwind_rule *rule)
{
	if (list->count && rules_equal(&list->rows[list->count - 1].rule, rule))
		return 0;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 1024;
		struct cfi_row *rows = reallocarray(list->rows, capacity, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		list->rows = rows;
		list->capacity = capacity;
	}
	list->rows[list->count++] = (struct cfi_row){.pc = pc, .rule = *rule};
	return 0;
}

struct machine {
	const struct frame_section *section;
	const struct frame_cie *cie;
	struct cfi_state state;
	const struct cfi_state *initial; /* NULL while the CIE's own program runs */
	uint64_t loc;
	struct cfi_state remembered[STATES_MAX];
	uint32_t remembered_count;
	/* Where rows go, clipped to [start, end). */
	struct row_list *list; /* NULL: nowhere */
	uint64_t start;
	uint64_t end;
};

/* The present state holds in [loc, next). */
static int emit_row(struct machine *m, uint64_t next)
{
	uint64_t from = m->loc > m->start ? m->loc : m->start;
	uint64_t to = next < m->end ? next : m->end;
	struct unwind_rule rule;

	if (!m->list || from >= to)
		return 0;
	rule = cfi_form_of_state(&m->state);
	return list_put(m->list, from, &rule);
}

static int advance_to(struct machine *m, uint64_t loc)
{
	int err;

	if (!m->initial) /* a CIE's program has no place */
		return 0;
	if (loc < m->loc)
		return -EBADMSG;
	err = emit_row(m, loc);
	m->loc = loc;
	return err;
}

static int advance_by(struct machine *m, uint64_t delta)
{
	uint64_t bytes, loc;

	if (__builtin_mul_overflow(delta, m->cie->code_align, &bytes) ||
	    __builtin_add_overflow(m->loc, bytes, &loc))
		return -EBADMSG;
	return advance_to(m, loc);
}

static int set_loc(struct machine *m, struct cursor *c)
{
	uint64_t loc;
	int err;

	cursor_skip(c, m->cie->segment_bytes);
	err = frame_address_read(m->section, c, m->cie->pointer_encoding, &loc);
	return err ? err : advance_to(m, loc);
}

/* Where a register's rule is kept; NULL for registers that nobody asks for. */
static struct cfi_column *column_of(struct machine *m, uint64_t r)
{
	if (r == m->cie->return_register)
		return &m->state.columns[CFI_RETURN];
	if (r == UNWIND_RBP)
		return &m->state.columns[CFI_RBP];
	if (r == UNWIND_RBX)
		return &m->state.columns[CFI_RBX];
	if (r == UNWIND_RSP)
		return &m->state.columns[CFI_RSP];
	return NULL;
}

static void set_how(struct machine *m, uint64_t r, enum cfi_how how)
{
	struct cfi_column *column = column_of(m, r);

	if (column)
		*column = (struct cfi_column){.how = how};
}

/* An offset beyond what arithmetic can hold becomes one that fits no form. */
static int64_t scaled(int64_t factored, int64_t scale)
{
	int64_t offset;

	return __builtin_mul_overflow(factored, scale, &offset) ? INT64_MAX : offset;
}

static int64_t as_signed(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static void set_offset(struct machine *m, uint64_t r, int64_t factored)
{
	struct cfi_column *column = column_of(m, r);

	if (column)
		*column = (struct cfi_column){
			.how = CFI_OFFSET,
			.offset = scaled(factored, m->cie->data_align),
		};
}

static void restore_column(struct machine *m, uint64_t r)
{
	struct cfi_column *column = column_of(m, r);

	if (!column)
		return;
	if (m->initial)
		*column = m->initial->columns[column - m->state.columns];
	else
		*column = (struct cfi_column){0};
}

static struct cfi_expression read_expression(struct cursor *c)
{
	uint64_t size = cursor_uleb128(c);
	const uint8_t *bytes = cursor_bytes(c, size);

	return (struct cfi_expression){.bytes = bytes, .size = bytes ? size : 0};
}

static void set_expression(struct machine *m, uint64_t r, struct cfi_expression expression)
{
	struct cfi_column *column = column_of(m, r);

	if (column)
		*column = (struct cfi_column){.how = CFI_EXPRESSION, .expression = expression};
}

static void set_cfa(struct machine *m, uint64_t r, int64_t offset)
{
	m->state.cfa_is_expression = false;
	m->state.cfa_register = r;
	m->state.cfa_offset = offset;
}

static int remember_state(struct machine *m)
{
	if (m->remembered_count == STATES_MAX)
		return -EBADMSG;
	m->remembered[m->remembered_count++] = m->state;
	return 0;
}

static int restore_state(struct machine *m)
{
	if (m->remembered_count == 0)
		return -EBADMSG;
	m->state = m->remembered[--m->remembered_count];
	return 0;
}

/* Operations on the CFA. -ENOSYS: not one of them. */
static int run_cfa_operation(struct machine *m, uint8_t op, struct cursor *c)
{
	uint64_t r;

	switch (op) {
	case CFA_DEF_CFA:
		r = cursor_uleb128(c);
		set_cfa(m, r, as_signed(cursor_uleb128(c)));
		return 0;
	case CFA_DEF_CFA_SF:
		r = cursor_uleb128(c);
		set_cfa(m, r, scaled(cursor_sleb128(c), m->cie->data_align));
		return 0;
	case CFA_DEF_CFA_REGISTER:
		set_cfa(m, cursor_uleb128(c), m->state.cfa_offset);
		return 0;
	case CFA_DEF_CFA_OFFSET:
		m->state.cfa_offset = as_signed(cursor_uleb128(c));
		return 0;
	case CFA_DEF_CFA_OFFSET_SF:
		m->state.cfa_offset = scaled(cursor_sleb128(c), m->cie->data_align);
		return 0;
	case CFA_DEF_CFA_EXPRESSION:
		m->state.cfa_is_expression = true;
		m->state.cfa_expression = read_expression(c);
		return 0;
	default:
		return -ENOSYS;
	}
}

/* Operations on one register. -ENOSYS: not one of them. */
static int run_register_operation(struct machine *m, uint8_t op, struct cursor *c)
{
	struct cursor before = *c;
	uint64_t r = cursor_uleb128(c);

	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set_offset(m, r, as_signed(cursor_uleb128(c)));
		return 0;
	case CFA_OFFSET_EXTENDED_SF:
		set_offset(m, r, cursor_sleb128(c));
		return 0;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		set_offset(m, r, -as_signed(cursor_uleb128(c)));
		return 0;
	case CFA_RESTORE_EXTENDED:
		restore_column(m, r);
		return 0;
	case CFA_UNDEFINED:
		set_how(m, r, CFI_UNDEFINED);
		return 0;
	case CFA_SAME_VALUE:
		set_how(m, r, CFI_SAME);
		return 0;
	case CFA_REGISTER:
	case CFA_VAL_OFFSET:
		cursor_uleb128(c);
		set_how(m, r, CFI_OTHER);
		return 0;
	case CFA_VAL_OFFSET_SF:
		cursor_sleb128(c);
		set_how(m, r, CFI_OTHER);
		return 0;
	case CFA_EXPRESSION:
		set_expression(m, r, read_expression(c));
		return 0;
	case CFA_VAL_EXPRESSION:
		read_expression(c);
		set_how(m, r, CFI_OTHER);
		return 0;
	default:
		*c = before;
		return -ENOSYS;
	}
}

static int run_extended(struct machine *m, uint8_t op, struct cursor *c)
{
	int err;

	switch (op) {
	case CFA_NOP:
		return 0;
	case CFA_SET_LOC:
		return set_loc(m, c);
	case CFA_ADVANCE_LOC1:
		return advance_by(m, cursor_u8(c));
	case CFA_ADVANCE_LOC2:
		return advance_by(m, cursor_u16(c));
	case CFA_ADVANCE_LOC4:
		return advance_by(m, cursor_u32(c));
	case CFA_REMEMBER_STATE:
		return remember_state(m);
	case CFA_RESTORE_STATE:
		return restore_state(m);
	case CFA_GNU_ARGS_SIZE:
		cursor_uleb128(c);
		return 0;
	default:
		err = run_cfa_operation(m, op, c);
		if (err == -ENOSYS)
			err = run_register_operation(m, op, c);
		return err == -ENOSYS ? -EBADMSG : err;
	}
}

static int run_program(struct machine *m, struct cursor c)
{
	int err = 0;

	while (!err && !cursor_done(&c)) {
		uint8_t op = cursor_u8(&c);
		uint8_t low = op & (uint8_t)~CFA_PRIMARY_MASK;

		switch (op & CFA_PRIMARY_MASK) {
		case CFA_ADVANCE_LOC:
			err = advance_by(m, low);
			break;
		case CFA_OFFSET:
			set_offset(m, low, as_signed(cursor_uleb128(&c)));
			break;
		case CFA_RESTORE:
			restore_column(m, low);
			break;
		default:
			err = run_extended(m, op, &c);
		}
		if (c.failed)
			err = -EBADMSG;
	}
	return err;
}

/* A CIE and the state its program leaves behind: what every FDE of it starts from. */
struct cie_memo {
	const struct frame_section *section;
	uint32_t offset;
	int err;
	struct frame_cie cie;
	struct cfi_state initial;
};

static int memo_load(struct cie_memo *memo, struct machine *m, const struct frame_section *section,
		     uint32_t offset)
{
	if (memo->section == section && memo->offset == offset)
		return memo->err;
	memo->section = section;
	memo->offset = offset;
	memo->err = frame_cie_read(section, offset, &memo->cie);
	if (memo->err)
		return memo->err;
	if (cursor_left(&memo->cie.program) > CIE_PROGRAM_BYTES_MAX)
		return memo->err = -EBADMSG;
	m->section = section;
	m->cie = &memo->cie;
	m->state = (struct cfi_state){
		.is_signal = memo->cie.is_signal,
		.cfa_register = UNWIND_REGISTERS, /* none said yet: no form */
	};
	m->initial = NULL;
	m->remembered_count = 0;
	memo->err = run_program(m, memo->cie.program);
	memo->initial = m->state;
	return memo->err;
}

static const struct frame_section *section_of(const struct fde *fde,
					      const struct frame_section *sections, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sections[i].is_debug_frame == fde->is_debug_frame)
			return &sections[i];
	return NULL;
}

/* Rows of [fde->start, fde->end) to m->list. -EBADMSG: some may have been put already. */
static int run_fde(struct machine *m, struct cie_memo *memo, const struct fde *fde,
		   const struct frame_section *section)
{
	struct frame_entry entry;
	struct frame_fde range;
	int err;

	if (!section)
		return -EBADMSG;
	err = memo_load(memo, m, section, fde->cie_offset);
	if (err)
		return err;
	if (frame_entry_read(section, fde->fde_offset, &entry) ||
	    frame_fde_read(section, &entry, &memo->cie, &range))
		return -EBADMSG;
	m->section = section;
	m->cie = &memo->cie;
	m->state = memo->initial;
	m->initial = &memo->initial;
	m->remembered_count = 0;
	m->loc = range.start;
	m->start = fde->start;
	m->end = fde->end;
	err = run_program(m, range.program);
	return err ? err : emit_row(m, m->end);
}

/* Every FDE of the index in turn; what none of them covers is a row without a rule. */
static int read_all(const struct fde_index *index, const struct frame_section *sections,
		    size_t section_count, struct row_list *list, size_t *malformed)
{
	static const struct unwind_rule none;
	struct cie_memo memo = {0};
	struct machine m = {.list = list};
	uint64_t covered = 0;
	int err = 0;

	for (size_t i = 0; i < index->count && list->count < ROWS_MAX; i++) {
		const struct fde *fde = &index->fdes[i];
		size_t before;

		if (covered && covered < fde->start)
			err = list_put(list, covered, &none);
		if (err)
			return err;
		before = list->count;
		err = run_fde(&m, &memo, fde, section_of(fde, sections, section_count));
		if (err == -EBADMSG) {
			(*malformed)++;
			list->count = before;
			err = list_put(list, fde->start, &none);
		}
		if (err)
			return err;
		covered = fde->end;
	}
	return covered ? list_put(list, covered, &none) : 0;
}

static int compare_u64(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;

	return (*a > *b) - (*a < *b);
}

static uint8_t flags_at(const struct cfi_mark *marks, size_t count, uint64_t pc)
{
	uint8_t flags = 0;

	for (size_t i = 0; i < count; i++)
		if (pc >= marks[i].start && pc < marks[i].end)
			flags |= marks[i].flags;
	return flags;
}

/* The next row or the next edge of a mark, whichever comes first, until both are used up. */
static int put_marked(const struct row_list *in, const struct cfi_mark *marks, size_t mark_count,
		      const uint64_t *edges, struct row_list *out)
{
	struct unwind_rule rule = {0};
	size_t row = 0, edge = 0, edge_count = mark_count * 2;
	uint8_t flags = 0;

	while (row < in->count || edge < edge_count) {
		uint64_t pc = row < in->count ? in->rows[row].pc : UINT64_MAX;
		struct unwind_rule marked;
		int err;

		if (edge < edge_count && edges[edge] <= pc) {
			pc = edges[edge++];
			flags = flags_at(marks, mark_count, pc);
		}
		if (row < in->count && in->rows[row].pc == pc)
			rule = in->rows[row++].rule;
		marked = rule;
		marked.flags |= flags;
		if (out->count == 0 && marked.cfa == UNWIND_CFA_NONE && !marked.flags)
			continue;
		err = list_put(out, pc, &marked);
		if (err)
			return err;
	}
	return 0;
}

/* Replaces the list by one with the marks' flags, split at their edges. */
static int apply_marks(struct row_list *list, const struct cfi_mark *marks, size_t mark_count)
{
	_cleanup_free_ uint64_t *edges = NULL;
	struct row_list out = {0};
	int err;

	if (mark_count == 0)
		return 0;
	edges = calloc(mark_count, 2 * sizeof(*edges));
	if (!edges)
		return -ENOMEM;
	for (size_t i = 0; i < mark_count; i++) {
		edges[2 * i] = marks[i].start;
		edges[2 * i + 1] = marks[i].end;
	}
	qsort(edges, mark_count * 2, sizeof(*edges), compare_u64);
	err = put_marked(list, marks, mark_count, edges, &out);
	if (err) {
		free(out.rows);
		return err;
	}
	free(list->rows);
	*list = out;
	return 0;
}

int cfi_read_rows(const struct fde_index *index, const struct frame_section *sections,
		  size_t section_count, const struct cfi_mark *marks, size_t mark_count,
		  struct cfi_rows *ret_rows)
{
	struct row_list list = {0};
	size_t malformed = 0, unsupported = 0;
	int err;

	err = read_all(index, sections, section_count, &list, &malformed);
	if (!err)
		err = apply_marks(&list, marks, mark_count);
	if (err) {
		free(list.rows);
		return err;
	}
	for (size_t i = 0; i < list.count; i++)
		unsupported += list.rows[i].rule.cfa == UNWIND_CFA_UNSUPPORTED;
	*ret_rows = (struct cfi_rows){
		.rows = list.rows,
		.count = list.count,
		.unsupported = unsupported,
		.malformed = malformed,
	};
	return 0;
}

void cfi_rows_done(struct cfi_rows *rows)
{
	free(rows->rows);
	*rows = (struct cfi_rows){0};
}

int cfi_first_rule(const struct fde *fde, const struct frame_section *sections,
		   size_t section_count, struct unwind_rule *ret_rule)
{
	const struct frame_section *section = section_of(fde, sections, section_count);
	struct cie_memo memo = {0};
	struct row_list list = {0};
	struct machine m = {.list = &list};
	int err;

	if (!section)
		return -ENOENT;
	err = run_fde(&m, &memo, fde, section);
	if (!err && list.count == 0)
		err = -ENOENT;
	if (!err)
		*ret_rule = list.rows[0].rule;
	free(list.rows);
	return err;
}
