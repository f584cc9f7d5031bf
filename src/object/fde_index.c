/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads every FDE of the frame sections and makes of them a sorted list without
 * overlaps. Where ranges overlap (identical code folding, hand-made sections,
 * .debug_frame beside .eh_frame) the entry that was read first keeps the address
 * and the later one is cut to what is left, possibly to several pieces. A piece
 * may therefore start after its FDE's own start: who runs its program begins at
 * the FDE's start and clips.
 */
#include "object/fde_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "object/frame_entry.h"

#define FDES_MAX (4u << 20)
#define CIE_NONE UINT64_MAX

struct fde_list {
	struct fde *fdes;
	size_t count;
	size_t capacity;
};

static int list_push(struct fde_list *list, const struct fde *fde)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 256;
		struct fde *fdes = reallocarray(list->fdes, capacity, sizeof(*fdes));

		if (!fdes)
			return -ENOMEM;
		list->fdes = fdes;
		list->capacity = capacity;
	}
	list->fdes[list->count++] = *fde;
	return 0;
}

/* The CIE that was asked for last: neighbouring FDEs nearly always share theirs. */
struct cie_memo {
	uint64_t offset;
	struct frame_cie cie;
	int err;
};

static const struct frame_cie *memo_read(struct cie_memo *memo, const struct frame_section *section,
					 uint64_t offset)
{
	if (memo->offset != offset) {
		memo->err = frame_cie_read(section, offset, &memo->cie);
		memo->offset = offset;
	}
	return memo->err ? NULL : &memo->cie;
}

static int read_section(const struct frame_section *section, struct fde_list *list,
			size_t *malformed)
{
	struct cie_memo memo = {.offset = CIE_NONE, .err = -EBADMSG};
	struct frame_entry entry;
	uint64_t offset = 0;
	int err;

	while ((err = frame_entry_read(section, offset, &entry)) == 0) {
		const struct frame_cie *cie;
		struct frame_fde range;

		offset = entry.next;
		if (entry.is_cie)
			continue;
		cie = memo_read(&memo, section, entry.cie_offset);
		if (!cie || frame_fde_read(section, &entry, cie, &range)) {
			(*malformed)++;
			continue;
		}
		/* Linkers leave address 0 behind for code they dropped; no code lives there. */
		if (range.start == 0 || range.start >= range.end)
			continue;
		if (list->count == FDES_MAX)
			return -E2BIG;
		err = list_push(list, &(struct fde){
					      .start = range.start,
					      .end = range.end,
					      .fde_offset = entry.offset,
					      .cie_offset = (uint32_t)entry.cie_offset,
					      .is_debug_frame = section->is_debug_frame,
				      });
		if (err)
			return err;
	}
	if (err == -EBADMSG)
		(*malformed)++;
	return 0;
}

/* Negative: a was read before b. */
static int compare_reading(const struct fde *a, const struct fde *b)
{
	if (a->is_debug_frame != b->is_debug_frame)
		return a->is_debug_frame ? 1 : -1;
	return (a->fde_offset > b->fde_offset) - (a->fde_offset < b->fde_offset);
}

static int compare_start(const void *va, const void *vb)
{
	const struct fde *a = va, *b = vb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return compare_reading(a, b);
}

static bool has_order(const struct fde_list *list, bool *ret_overlap)
{
	*ret_overlap = false;
	for (size_t i = 1; i < list->count; i++) {
		if (list->fdes[i].start < list->fdes[i - 1].start)
			return false;
		*ret_overlap |= list->fdes[i].start < list->fdes[i - 1].end;
	}
	return true;
}

/* A binary heap of the FDEs that may cover the current address, first read on top. */
static void heap_push(const struct fde **heap, size_t *count, const struct fde *fde)
{
	size_t i = (*count)++;

	while (i > 0 && compare_reading(fde, heap[(i - 1) / 2]) < 0) {
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = fde;
}

static void heap_pop(const struct fde **heap, size_t *count)
{
	const struct fde *last = heap[--(*count)];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < *count) {
		if (child + 1 < *count && compare_reading(heap[child + 1], heap[child]) < 0)
			child++;
		if (compare_reading(last, heap[child]) <= 0)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
}

static int push_piece(struct fde_list *pieces, const struct fde *fde, uint64_t start, uint64_t end)
{
	struct fde piece = *fde;
	struct fde *last = pieces->count ? &pieces->fdes[pieces->count - 1] : NULL;

	if (last && last->end == start && compare_reading(last, fde) == 0) {
		last->end = end;
		return 0;
	}
	piece.start = start;
	piece.end = end;
	return list_push(pieces, &piece);
}

/* Sweeps the addresses upwards; at most two pieces arise per FDE. */
static int resolve_overlaps(struct fde_list *list)
{
	_cleanup_free_ const struct fde **heap = NULL;
	struct fde_list pieces = {0};
	size_t next = 0, active = 0;
	uint64_t at = 0;
	int err = 0;

	heap = calloc(list->count, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	while (!err && (next < list->count || active)) {
		uint64_t end;

		if (!active && list->fdes[next].start > at)
			at = list->fdes[next].start;
		while (next < list->count && list->fdes[next].start <= at)
			heap_push(heap, &active, &list->fdes[next++]);
		while (active && heap[0]->end <= at)
			heap_pop(heap, &active);
		if (!active)
			continue;
		end = heap[0]->end;
		if (next < list->count && list->fdes[next].start < end)
			end = list->fdes[next].start;
		err = push_piece(&pieces, heap[0], at, end);
		at = end;
	}
	if (err) {
		free(pieces.fdes);
		return err;
	}
	free(list->fdes);
	*list = pieces;
	return 0;
}

int fde_index_read(const struct frame_section *sections, size_t section_count,
		   struct fde_index *ret_index)
{
	struct fde_list list = {0};
	size_t malformed = 0;
	bool overlap;
	int err = 0;

	for (size_t i = 0; i < section_count && !err; i++)
		err = read_section(&sections[i], &list, &malformed);
	if (!err && !has_order(&list, &overlap)) {
		qsort(list.fdes, list.count, sizeof(*list.fdes), compare_start);
		has_order(&list, &overlap);
	}
	if (!err && overlap)
		err = resolve_overlaps(&list);
	if (err) {
		free(list.fdes);
		return err;
	}
	*ret_index = (struct fde_index){
		.fdes = list.fdes,
		.count = list.count,
		.malformed = malformed,
	};
	return 0;
}

void fde_index_done(struct fde_index *index)
{
	free(index->fdes);
	*index = (struct fde_index){0};
}

const struct fde *fde_index_find(const struct fde_index *index, uint64_t vaddr)
{
	size_t low = 0, high = index->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (index->fdes[middle].end <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == index->count || index->fdes[low].start > vaddr)
		return NULL;
	return &index->fdes[low];
}
