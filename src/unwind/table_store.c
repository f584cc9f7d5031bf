/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives tables their place in the segments, which form one space of 8-byte
 * units: position / UNWIND_SEGMENT_ROWS is the segment, the rest the place in it.
 * Places are only ever handed out upwards. Rows may cross from one segment to
 * the next; a page index may not, so the space it would not fit into is left
 * over, unless the rows can go there first.
 *
 * Nothing is in force before the descriptor is written, which is last: a sampler
 * that runs meanwhile never sees half a table. Segments are counted against the
 * budget as a whole when they are made.
 */
#include "unwind/table_store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash_map.h"

#define UNIT_BYTES 8
#define FIRST_GENERATION 1 /* slots are not reused yet */

struct table_store {
	struct table_store_ops ops;
	uint64_t budget_bytes;
	struct hash_map *rule_numbers;		/* owned; rule -> number in the rule array */
	uint8_t *segments[UNWIND_SEGMENTS_MAX]; /* borrowed from make_segment */
	uint32_t segment_count;
	uint64_t next_position; /* everything below is handed out */
	struct table_store_stats stats;
};

struct placement {
	uint64_t index_position;
	uint64_t row_position;
	uint64_t end;
};

int table_store__new(const struct table_store_ops *ops, uint64_t budget_bytes,
		     struct table_store **ret_store)
{
	static const struct unwind_rule none;
	_cleanup_(table_store__freep) struct table_store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	store->ops = *ops;
	store->budget_bytes = budget_bytes;
	err = hash_map__new(sizeof(struct unwind_rule), &store->rule_numbers);
	if (!err) /* the rule array is zero where nothing was written */
		err = hash_map__set(store->rule_numbers, &none, UNWIND_RULE_NONE);
	if (err)
		return err;
	store->stats.rules = 1;
	*ret_store = take_ptr(store);
	return 0;
}

void table_store__free(struct table_store *store)
{
	if (!store)
		return;
	hash_map__free(store->rule_numbers);
	free(store);
}

static uint64_t index_units(const struct unwind_table_image *image)
{
	return (((uint64_t)image->pages + 1) * sizeof(uint32_t) + UNIT_BYTES - 1) / UNIT_BYTES;
}

/* The first position from `position` on where `units` lie within one segment. */
static uint64_t fit_in_segment(uint64_t position, uint64_t units)
{
	uint64_t place = position % UNWIND_SEGMENT_ROWS;

	if (place + units <= UNWIND_SEGMENT_ROWS)
		return position;
	return position - place + UNWIND_SEGMENT_ROWS;
}

/* Index then rows, or rows then index: whichever ends first. */
static struct placement place_table(uint64_t position, const struct unwind_table_image *image)
{
	uint64_t units = index_units(image);
	struct placement index_first, rows_first;

	index_first.index_position = fit_in_segment(position, units);
	index_first.row_position = index_first.index_position + units;
	index_first.end = index_first.row_position + image->row_count;

	rows_first.row_position = position;
	rows_first.index_position = fit_in_segment(position + image->row_count, units);
	rows_first.end = rows_first.index_position + units;

	return index_first.end <= rows_first.end ? index_first : rows_first;
}

static uint64_t segments_up_to(uint64_t position)
{
	return (position + UNWIND_SEGMENT_ROWS - 1) / UNWIND_SEGMENT_ROWS;
}

static bool within_budget(const struct table_store *store, const struct placement *placement)
{
	uint64_t segments = segments_up_to(placement->end);

	return segments <= UNWIND_SEGMENTS_MAX &&
	       segments * UNWIND_SEGMENT_BYTES <= store->budget_bytes;
}

static bool rules_fit(const struct table_store *store, const struct unwind_table_image *image)
{
	uint32_t count = store->stats.rules;

	uint64_t number;

	for (uint32_t i = 0; i < image->rule_count; i++)
		count += !hash_map__find(store->rule_numbers, &image->rules[i], &number);
	return count <= UNWIND_RULES_MAX;
}

static int make_segments(struct table_store *store, uint64_t count)
{
	while (store->segment_count < count) {
		void *memory;
		int err =
			store->ops.make_segment(store->ops.context, store->segment_count, &memory);

		if (err)
			return err;
		store->segments[store->segment_count++] = memory;
		store->stats.bytes_allocated += UNWIND_SEGMENT_BYTES;
	}
	return 0;
}

static int install_rule(struct table_store *store, const struct unwind_rule *rule,
			uint32_t *ret_number)
{
	uint64_t number;
	int err;

	if (hash_map__find(store->rule_numbers, rule, &number)) {
		*ret_number = (uint32_t)number;
		return 0;
	}
	err = store->ops.write_rule(store->ops.context, store->stats.rules, rule);
	if (!err)
		err = hash_map__set(store->rule_numbers, rule, store->stats.rules);
	if (err)
		return err;
	*ret_number = store->stats.rules++;
	return 0;
}

/* *ret_numbers: the number in the rule array of each of the file's rules; the caller frees. */
static int install_rules(struct table_store *store, const struct unwind_table_image *image,
			 uint32_t **ret_numbers)
{
	_cleanup_free_ uint32_t *numbers = calloc(image->rule_count, sizeof(*numbers));

	if (!numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < image->rule_count; i++) {
		int err = install_rule(store, &image->rules[i], &numbers[i]);

		if (err)
			return err;
	}
	*ret_numbers = take_ptr(numbers);
	return 0;
}

static uint8_t *unit_at(const struct table_store *store, uint64_t position)
{
	return store->segments[position / UNWIND_SEGMENT_ROWS] +
	       position % UNWIND_SEGMENT_ROWS * UNIT_BYTES;
}

static void write_rows(struct table_store *store, const struct unwind_table_image *image,
		       uint64_t position, const uint32_t *numbers)
{
	uint32_t done = 0;

	while (done < image->row_count) {
		struct unwind_row *to = (struct unwind_row *)unit_at(store, position + done);
		uint64_t room = UNWIND_SEGMENT_ROWS - (position + done) % UNWIND_SEGMENT_ROWS;
		uint64_t left = image->row_count - done;
		uint32_t count = (uint32_t)(left < room ? left : room);

		for (uint32_t i = 0; i < count; i++) {
			to[i].pc = image->rows[done + i].pc;
			to[i].rule = numbers[image->rows[done + i].rule];
		}
		done += count;
	}
}

/* Writes everything but the descriptor. */
static int write_parts(struct table_store *store, const struct unwind_table_image *image,
		       const struct placement *placement)
{
	_cleanup_free_ uint32_t *numbers = NULL;
	int err;

	err = make_segments(store, segments_up_to(placement->end));
	if (!err)
		err = install_rules(store, image, &numbers);
	if (err)
		return err;
	memcpy(unit_at(store, placement->index_position), image->page_index,
	       ((size_t)image->pages + 1) * sizeof(uint32_t));
	write_rows(store, image, placement->row_position, numbers);
	return 0;
}

int table_store__install(struct table_store *store, const struct unwind_table_image *image,
			 uint32_t *ret_table)
{
	struct unwind_table descriptor = {
		.text_start = image->text_start,
		.generation = FIRST_GENERATION,
	};
	struct placement placement = place_table(store->next_position, image);
	bool fits = within_budget(store, &placement) && rules_fit(store, image);
	uint32_t table = store->stats.tables + 1;
	int err;

	if (table >= UNWIND_TABLES_MAX)
		return -ENOSPC;
	if (fits) {
		err = write_parts(store, image, &placement);
		if (err)
			return err;
		descriptor.pages = image->pages;
		descriptor.rows = image->row_count;
		descriptor.index_position = (uint32_t)placement.index_position;
		descriptor.row_position = (uint32_t)placement.row_position;
	} else {
		descriptor.flags = UNWIND_TABLE_OVER_BUDGET;
	}
	err = store->ops.write_table(store->ops.context, table, &descriptor);
	if (err)
		return err;
	store->stats.tables = table;
	if (fits) {
		store->next_position = placement.end;
		store->stats.rows += image->row_count;
		store->stats.bytes_used += (index_units(image) + image->row_count) * UNIT_BYTES;
	} else {
		store->stats.over_budget++;
	}
	*ret_table = table;
	return 0;
}

void table_store__stats(const struct table_store *store, struct table_store_stats *ret_stats)
{
	*ret_stats = store->stats;
}
