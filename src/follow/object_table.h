/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every ELF file met, once: file identity -> number, facts, unwind table. Shared
 * by all processes that map the file.
 */
#ifndef MIXPROF_FOLLOW_OBJECT_TABLE_H
#define MIXPROF_FOLLOW_OBJECT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/proc_maps.h"
#include "unwind/table_store.h"
#include "worker/symbol_worker.h"

/* The resync point of a file's interpreter (abi/python_abi.h), as its tables tell it. */
struct eval_body {
	int16_t rbp_offset, rbx_offset; /* from the CFA; 0: not saved */
	uint64_t delta;			/* CFA - shim; 0: not learned yet */
	uint32_t observations;		/* of the same delta, from exact samples */
	bool contradicted;		/* two deltas seen: never used */
};

struct object {
	uint32_t number; /* >= 1 */
	uint32_t table;	 /* of table_store; 0: none */
	struct object_facts facts;
	struct eval_body eval;
};

struct object_table;

/* worker and store are borrowed. */
int object_table__new(struct symbol_worker *worker, struct table_store *store,
		      struct object_table **ret_table);
void object_table__free(struct object_table *table);
/* The object a mapping shows, read on first sight. *ret_object is borrowed for the table's life.
 * -ENOENT: not an ELF file we can read (remembered per file). */
int object_table__of_map(struct object_table *table, pid_t pid, const struct proc_map *map,
			 struct object **ret_object);
/* The vDSO, the same for every 64-bit process: read from our own. */
int object_table__vdso(struct object_table *table, struct object **ret_object);
struct object *object_table__find(struct object_table *table, uint32_t number);

static inline void object_table__freep(struct object_table **table)
{
	object_table__free(*table);
}

#endif
