/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table_store with memory in place of BPF maps. Tables are read back only from
 * what went through the callbacks, the way the sampler sees them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unwind/table_store.h"

#define MB (1ull << 20)

/* The maps: what the sampler would see. */
struct maps {
	uint8_t *segments[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count;
	struct unwind_rule rules[UNWIND_RULES_MAX];
	uint32_t rules_written;
	struct unwind_table tables[UNWIND_TABLES_MAX];
	int segment_error, rule_error, table_error; /* to be returned */
};

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	struct maps *maps = context;

	if (maps->segment_error)
		return maps->segment_error;
	assert_int_equal(number, maps->segment_count); /* once each, ascending */
	assert_true(number < UNWIND_SEGMENTS_MAX);
	maps->segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	assert_non_null(maps->segments[number]);
	maps->segment_count++;
	*ret_memory = maps->segments[number];
	return 0;
}

static int write_table(void *context, uint32_t table, const struct unwind_table *descriptor)
{
	struct maps *maps = context;

	assert_in_range(table, 1, UNWIND_TABLES_MAX - 1);
	assert_int_equal(maps->tables[table].generation, 0); /* nobody's slot */
	if (maps->table_error)
		return maps->table_error;
	maps->tables[table] = *descriptor;
	return 0;
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	struct maps *maps = context;

	assert_in_range(number, 1, UNWIND_RULES_MAX - 1);
	if (maps->rule_error)
		return maps->rule_error;
	maps->rules[number] = *rule;
	maps->rules_written++;
	return 0;
}

static struct maps *maps_new(void)
{
	struct maps *maps = calloc(1, sizeof(*maps));

	assert_non_null(maps);
	return maps;
}

static void maps_free(struct maps *maps)
{
	for (uint32_t i = 0; i < maps->segment_count; i++)
		free(maps->segments[i]);
	free(maps);
}
DEFINE_CLEANUP(struct maps *, maps_freep, maps_free)

static struct table_store *store_new(struct maps *maps, uint64_t budget_bytes)
{
	const struct table_store_ops ops = {make_segment, write_table, write_rule, maps};
	struct table_store *store = NULL;

	assert_int_equal(table_store__new(&ops, budget_bytes, &store), 0);
	return store;
}

/* A table of `count` rows `step` bytes apart, whose CFA offsets go round from `first_offset`. */
struct table_source {
	struct buffer blob;
	struct unwind_table_image image;
};

static struct unwind_rule source_rule(uint32_t offset)
{
	return (struct unwind_rule){
		.cfa = UNWIND_CFA_REGISTER,
		.cfa_register = UNWIND_RBP,
		.cfa_offset = (int32_t)offset,
		.ra_offset = -8,
	};
}

static void source_init(struct table_source *source, uint64_t start, uint32_t count, uint32_t step,
			uint32_t first_offset, uint32_t offsets)
{
	struct cfi_rows rows = {.rows = calloc(count, sizeof(*rows.rows)), .count = count};

	*source = (struct table_source){0};
	assert_non_null(rows.rows);
	for (uint32_t i = 0; i < count; i++)
		rows.rows[i] = (struct cfi_row){start + (uint64_t)i * step,
						source_rule(first_offset + i % offsets)};
	assert_int_equal(unwind_table_build(&rows, &source->blob), 0);
	free(rows.rows);
	assert_int_equal(unwind_table_parse(source->blob.data, source->blob.size, &source->image),
			 0);
}

static void source_done(struct table_source *source)
{
	buffer_done(&source->blob);
}

static const void *unit_at(const struct maps *maps, uint64_t position)
{
	uint64_t segment = position / UNWIND_SEGMENT_ROWS;

	assert_true(segment < maps->segment_count);
	return maps->segments[segment] + position % UNWIND_SEGMENT_ROWS * 8;
}

/* The installed table says what the image says, in words of the sampler's maps. */
static void assert_installed(const struct maps *maps, uint32_t table,
			     const struct unwind_table_image *image)
{
	const struct unwind_table *t = &maps->tables[table];
	uint64_t index_bytes = ((uint64_t)t->pages + 1) * 4;

	assert_int_equal(t->flags, 0);
	assert_int_not_equal(t->generation, 0);
	assert_int_equal(t->text_start, image->text_start);
	assert_int_equal(t->pages, image->pages);
	assert_int_equal(t->rows, image->row_count);
	assert_true(t->index_position % UNWIND_SEGMENT_ROWS * 8 + index_bytes <=
		    UNWIND_SEGMENT_BYTES);
	assert_memory_equal(unit_at(maps, t->index_position), image->page_index, index_bytes);
	for (uint32_t i = 0; i < t->rows; i++) {
		struct unwind_row row;

		memcpy(&row, unit_at(maps, (uint64_t)t->row_position + i), sizeof(row));
		assert_int_equal(row.pc, image->rows[i].pc);
		assert_memory_equal(&maps->rules[row.rule], &image->rules[image->rows[i].rule],
				    sizeof(struct unwind_rule));
	}
}

static void installs_and_shares_rules(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_store_stats stats;
	struct table_source a, b;
	uint32_t table_a = 0, table_b = 0;

	(void)state;
	table_store__stats(store, &stats);
	assert_int_equal(stats.bytes_allocated, 0); /* nothing made before it is needed */
	source_init(&a, 0x400000, 1000, 16, 16, 10);
	source_init(&b, 0x7f1234560000, 500, 64, 20, 10); /* 6 of its rules are a's */
	assert_int_equal(table_store__install(store, &a.image, &table_a), 0);
	assert_int_equal(table_store__install(store, &b.image, &table_b), 0);
	assert_int_equal(table_a, 1);
	assert_int_equal(table_b, 2);
	assert_installed(maps, table_a, &a.image);
	assert_installed(maps, table_b, &b.image);
	assert_int_equal(maps->rules_written, 14);
	table_store__stats(store, &stats);
	assert_int_equal(stats.tables, 2);
	assert_int_equal(stats.rules, 15); /* with rule 0 */
	assert_int_equal(stats.rows, 1500);
	assert_int_equal(stats.over_budget, 0);
	assert_int_equal(stats.bytes_allocated, MB);
	/* 4 and 8 pages: indexes of 5 and 9 entries, rounded up to 8 bytes */
	assert_int_equal(stats.bytes_used, 1500 * 8 + 24 + 40);
	source_done(&a);
	source_done(&b);
}

static void rows_span_segments(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_source source;
	uint32_t table = 0;

	(void)state;
	source_init(&source, 0x1000, 3 * UNWIND_SEGMENT_ROWS, 4, 1, 100);
	assert_int_equal(table_store__install(store, &source.image, &table), 0);
	assert_int_equal(maps->segment_count, 4);
	assert_installed(maps, table, &source.image);
	source_done(&source);
}

/* The index of wide tables takes nearly half a segment: two fit, the third must move on. */
static void index_stays_in_one_segment(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 16 * MB);
	struct table_store_stats stats;
	struct table_source sources[5];
	uint32_t tables[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		source_init(&sources[i], 0x1000 * (uint64_t)(i + 1), 30000, 4 * 4096, 1, 5);
		assert_int_equal(table_store__install(store, &sources[i].image, &tables[i]), 0);
	}
	table_store__stats(store, &stats);
	/* 30,000 rows of 8 bytes and 119,998 index entries of 4 each */
	assert_in_range(stats.bytes_used, 5 * 719992ull, 5 * 720000ull);
	assert_true(stats.bytes_allocated <= 5 * MB);
	for (int i = 0; i < 5; i++) {
		assert_installed(maps, tables[i], &sources[i].image);
		source_done(&sources[i]);
	}
}

/* At the end of a segment: an index of 10 units meets 1 to 12 that are left. */
static void index_at_the_edge(void **state)
{
	(void)state;
	for (uint32_t left = 1; left <= 12; left++) {
		_cleanup_(maps_freep) struct maps *maps = maps_new();
		_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
		struct table_source first, second;
		uint32_t table;

		source_init(&first, 0x1000, UNWIND_SEGMENT_ROWS - 17 - left, 1, 1, 5);
		source_init(&second, 0x1000, 20, 0x1000 - 210, 1, 5);
		assert_int_equal(first.image.pages, 32); /* 33 entries: 17 units */
		assert_int_equal(second.image.pages, 19);
		assert_int_equal(table_store__install(store, &first.image, &table), 0);
		assert_int_equal(table_store__install(store, &second.image, &table), 0);
		assert_installed(maps, 1, &first.image);
		assert_installed(maps, 2, &second.image);
		source_done(&first);
		source_done(&second);
	}
}

/* Rows go where the index does not fit, and save a segment here. */
static void rows_may_come_first(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_source first, second;
	uint32_t table;

	(void)state;
	source_init(&first, 0x1000, UNWIND_SEGMENT_ROWS - 60000, 1, 1, 5);
	source_init(&second, 0x1000, 50000, 4 * 4096, 1, 5);
	assert_int_equal(table_store__install(store, &first.image, &table), 0);
	assert_int_equal(table_store__install(store, &second.image, &table), 0);
	assert_int_equal(maps->segment_count, 2);
	assert_installed(maps, 1, &first.image);
	assert_installed(maps, 2, &second.image);
	source_done(&first);
	source_done(&second);
}

/* No two tables share a byte. */
static void tables_do_not_overlap(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 64 * MB);
	struct table_source sources[40];
	uint32_t tables[40];

	(void)state;
	srandom(11);
	for (int i = 0; i < 40; i++) {
		source_init(&sources[i], (uint64_t)random() << 12, 1 + (uint32_t)random() % 40000,
			    1 + (uint32_t)random() % 5000, (uint32_t)random() % 50, 20);
		assert_int_equal(table_store__install(store, &sources[i].image, &tables[i]), 0);
	}
	for (int i = 0; i < 40; i++) {
		assert_installed(maps, tables[i], &sources[i].image);
		source_done(&sources[i]);
	}
}

static void over_budget_is_told(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 2 * MB + 5);
	struct table_source big, small;
	struct table_store_stats stats;
	uint32_t table = 0;

	(void)state;
	source_init(&big, 0x1000, 2 * UNWIND_SEGMENT_ROWS, 4, 1, 100);
	source_init(&small, 0x5000, 100, 4, 1, 100);
	assert_int_equal(table_store__install(store, &big.image, &table), 0);
	assert_int_equal(table, 1);
	assert_int_equal(maps->tables[1].flags, UNWIND_TABLE_OVER_BUDGET);
	assert_int_equal(maps->tables[1].rows, 0);
	assert_int_not_equal(maps->tables[1].generation, 0);
	assert_int_equal(maps->segment_count, 0);
	assert_int_equal(maps->rules_written, 0);
	assert_int_equal(table_store__install(store, &small.image, &table), 0);
	assert_int_equal(table, 2);
	assert_installed(maps, 2, &small.image);
	for (int i = 0; i < 5; i++)
		assert_int_equal(table_store__install(store, &big.image, &table), 0);
	table_store__stats(store, &stats);
	assert_int_equal(stats.over_budget, 6);
	assert_int_equal(stats.tables, 7);
	assert_true(stats.bytes_allocated <= 2 * MB);
	source_done(&big);
	source_done(&small);
}

/* A table of 1.2 MB needs 2 MB of segments. */
static void budget_counts_whole_segments(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 3 * MB / 2);
	struct table_source source;
	uint32_t table;

	(void)state;
	source_init(&source, 0x1000, UNWIND_SEGMENT_ROWS / 5 * 6, 4, 1, 5);
	assert_int_equal(table_store__install(store, &source.image, &table), 0);
	assert_int_equal(maps->tables[1].flags, UNWIND_TABLE_OVER_BUDGET);
	assert_int_equal(maps->segment_count, 0);
	source_done(&source);
}

static void rules_run_out(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_source full, other, same;
	uint32_t table = 0;

	(void)state;
	source_init(&full, 0x1000, UNWIND_RULES_MAX - 1, 4, 1, UNWIND_RULES_MAX - 1);
	source_init(&other, 0x1000, 1, 4, 100000, 1);
	source_init(&same, 0x1000, 10, 4, 5, 10);
	assert_int_equal(table_store__install(store, &full.image, &table), 0);
	assert_installed(maps, 1, &full.image);
	assert_int_equal(maps->rules_written, UNWIND_RULES_MAX - 1);
	assert_int_equal(table_store__install(store, &other.image, &table), 0);
	assert_int_equal(maps->tables[2].flags, UNWIND_TABLE_OVER_BUDGET);
	assert_int_equal(table_store__install(store, &same.image, &table), 0);
	assert_installed(maps, 3, &same.image);
	source_done(&full);
	source_done(&other);
	source_done(&same);
}

static void tables_run_out(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_source source;
	uint32_t table = 77;

	(void)state;
	source_init(&source, 0x1000, 1, 4, 1, 1);
	for (uint32_t i = 1; i < UNWIND_TABLES_MAX; i++) {
		assert_int_equal(table_store__install(store, &source.image, &table), 0);
		assert_int_equal(table, i);
	}
	table = 77;
	assert_int_equal(table_store__install(store, &source.image, &table), -ENOSPC);
	assert_int_equal(table, 77);
	source_done(&source);
}

/* A callback that fails leaves the store as it was; the next try succeeds. */
static void failures_leave_no_trace(void **state)
{
	_cleanup_(maps_freep) struct maps *maps = maps_new();
	_cleanup_(table_store__freep) struct table_store *store = store_new(maps, 8 * MB);
	struct table_source source;
	struct table_store_stats stats;
	uint32_t table = 77;

	(void)state;
	source_init(&source, 0x1000, 1000, 4, 1, 10);
	maps->segment_error = -ENOMEM;
	assert_int_equal(table_store__install(store, &source.image, &table), -ENOMEM);
	maps->segment_error = 0;
	maps->rule_error = -E2BIG;
	assert_int_equal(table_store__install(store, &source.image, &table), -E2BIG);
	maps->rule_error = 0;
	maps->table_error = -EPERM;
	assert_int_equal(table_store__install(store, &source.image, &table), -EPERM);
	maps->table_error = 0;
	assert_int_equal(table, 77);
	table_store__stats(store, &stats);
	assert_int_equal(stats.tables, 0);
	assert_int_equal(stats.rows, 0);
	assert_int_equal(table_store__install(store, &source.image, &table), 0);
	assert_int_equal(table, 1);
	assert_installed(maps, 1, &source.image);
	source_done(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(installs_and_shares_rules),
		cmocka_unit_test(rows_span_segments),
		cmocka_unit_test(index_stays_in_one_segment),
		cmocka_unit_test(index_at_the_edge),
		cmocka_unit_test(rows_may_come_first),
		cmocka_unit_test(tables_do_not_overlap),
		cmocka_unit_test(over_budget_is_told),
		cmocka_unit_test(budget_counts_whole_segments),
		cmocka_unit_test(rules_run_out),
		cmocka_unit_test(tables_run_out),
		cmocka_unit_test(failures_leave_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
