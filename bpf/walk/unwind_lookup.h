/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * From a program counter to its rule: mapping (last hit, else binary search),
 * page index, then at most 12 steps over 8-byte rows (abi/unwind_abi.h). The
 * bounds of the searches live in the state, not in registers: see walk_state.h.
 */
#ifndef MIXPROF_WALK_UNWIND_LOOKUP_H
#define MIXPROF_WALK_UNWIND_LOOKUP_H

#include "walk/access.h"

#define SEGMENT_UNITS (UNWIND_SEGMENT_BYTES / 8)

/* Makes s->mapping (and table) those of address. 0, or the stop reason. */
WALK_STEP int mapping_find(struct walk_state *s, __u64 address)
{
	struct unwind_table *table;
	struct mapping *m;
	int i;

	if (!s)
		return STOP_UNWIND_NO_MAPPING;
	if (address - s->mapping.start < s->mapping.end - s->mapping.start)
		return 0;
	s->search_low = 0;
	s->search_high = s->mapping_count;
	/* the first mapping that ends above address */
	for (i = 0; i < 13; i++) {
		__u32 low = s->search_low, high = s->search_high;
		__u32 middle = low + ((high - low) >> 1);

		if (low >= high)
			break;
		m = walk_mapping(s->mapping_first + middle);
		if (!m)
			return STOP_UNWIND_NO_MAPPING;
		if (address < m->end)
			s->search_high = middle;
		else
			s->search_low = middle + 1;
	}
	if (s->search_low >= s->mapping_count)
		return STOP_UNWIND_NO_MAPPING;
	m = walk_mapping(s->mapping_first + s->search_low);
	if (!m || address < m->start || address >= m->end)
		return STOP_UNWIND_NO_MAPPING;
	s->mapping = *m;
	s->table.rows = 0;
	s->table.flags = 0;
	if (m->table) {
		table = walk_table(m->table);
		if (table)
			s->table = *table;
	}
	return 0;
}

/* Narrows [search_low, search_high), global row positions, to one segment. */
WALK_INLINE void rows_within_segment(struct walk_state *s)
{
	__u32 last = s->search_high - 1;
	__u32 boundary = last & ~(SEGMENT_UNITS - 1);
	__u8 *segment;

	if (((s->search_low ^ last) & ~(SEGMENT_UNITS - 1)) == 0)
		return;
	segment = walk_segment(boundary / SEGMENT_UNITS);
	if (!segment)
		return;
	if (((struct unwind_row *)segment)->pc <= s->search_key)
		s->search_low = boundary;
	else
		s->search_high = boundary;
}

/* Leaves in s->rule_number the rule of the last row with row.pc <= search_key. 0, or the stop
 * reason. */
WALK_STEP int row_search(struct walk_state *s)
{
	__u8 *segment;
	__u32 n;
	int i;

	if (!s || s->search_low >= s->search_high)
		return STOP_UNWIND_NO_ROW;
	rows_within_segment(s);
	segment = walk_segment(s->search_low / SEGMENT_UNITS);
	if (!segment)
		return STOP_UNWIND_NO_TABLE;
	for (i = 0; i < 13; i++) {
		__u32 low = s->search_low, high = s->search_high;
		__u32 middle = low + ((high - low) >> 1);
		struct unwind_row *row;

		if (high - low <= 1)
			break;
		row = (struct unwind_row *)segment + (middle & (SEGMENT_UNITS - 1));
		if (row->pc <= s->search_key)
			s->search_low = middle;
		else
			s->search_high = middle;
	}
	n = s->search_low & (SEGMENT_UNITS - 1);
	if (((struct unwind_row *)segment)[n].pc > s->search_key)
		return STOP_UNWIND_NO_ROW;
	s->rule_number = ((struct unwind_row *)segment)[n].rule;
	return 0;
}

/* Finds the rule at address, which lies in s->mapping. 0, or the stop reason. */
WALK_STEP int rule_find(struct walk_state *s, __u64 address)
{
	__u32 page, entry, first, next;
	__u64 relative;
	__u8 *segment;

	if (!s)
		return STOP_UNWIND_NO_TABLE;
	s->rule_number = UNWIND_RULE_NONE;
	if (s->table.rows == 0) {
		if (s->table.flags & UNWIND_TABLE_OVER_BUDGET)
			return STOP_UNWIND_OVER_BUDGET;
		return STOP_UNWIND_NO_TABLE;
	}
	relative = address - s->mapping.bias - s->table.text_start;
	page = relative >> UNWIND_PAGE_SHIFT;
	if (relative >> 32 || page >= s->table.pages)
		return STOP_UNWIND_NO_ROW;
	segment = walk_segment(s->table.index_position / SEGMENT_UNITS);
	if (!segment)
		return STOP_UNWIND_NO_TABLE;
	entry = (s->table.index_position & (SEGMENT_UNITS - 1)) * 2 + page;
	first = ((__u32 *)segment)[entry & (SEGMENT_UNITS * 2 - 1)];
	next = ((__u32 *)segment)[(entry + 1) & (SEGMENT_UNITS * 2 - 1)];
	if (first > next || next > s->table.rows)
		return STOP_UNWIND_NO_TABLE;
	if (first) /* the row in force at the page's start may lie before it */
		first--;
	s->search_low = s->table.row_position + first;
	s->search_high = s->table.row_position + next;
	s->search_key = relative;
	return row_search(s);
}

#endif
