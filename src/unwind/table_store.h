/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where tables live in the sampler's segments: allocation, rule deduplication
 * over all files, the global budget. Knows no BPF: it writes through callbacks
 * (pipeline.c gives those of collect/bpf_session.h; tests give memory).
 */
#ifndef MIXPROF_UNWIND_TABLE_STORE_H
#define MIXPROF_UNWIND_TABLE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "abi/unwind_abi.h"
#include "unwind/unwind_table.h"

struct table_store;

struct table_store_ops {
	/* Makes segment `number` exist and returns its writable memory of
	 * UNWIND_SEGMENT_BYTES. Called once per segment, in ascending order. */
	int (*make_segment)(void *context, uint32_t number, void **ret_memory);
	/* Puts a table descriptor in force; called after its rows are written. */
	int (*write_table)(void *context, uint32_t table, const struct unwind_table *descriptor);
	int (*write_rule)(void *context, uint32_t number, const struct unwind_rule *rule);
	void *context;
};

int table_store__new(const struct table_store_ops *ops, uint64_t budget_bytes,
		     struct table_store **ret_store);
void table_store__free(struct table_store *store);
/*
 * Installs a table and gives its number (>= 1). A file over the budget, or whose
 * rules no longer fit, gets a number whose descriptor says OVER_BUDGET; that is
 * not an error. -ENOSPC when there are UNWIND_TABLES_MAX tables.
 */
int table_store__install(struct table_store *store, const struct unwind_table_image *image,
			 uint32_t *ret_table);
struct table_store_stats {
	uint64_t bytes_used, bytes_allocated;
	uint64_t rows;
	uint32_t tables, rules, over_budget;
};
void table_store__stats(const struct table_store *store, struct table_store_stats *ret_stats);

static inline void table_store__freep(struct table_store **store)
{
	table_store__free(*store);
}

#endif
