/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where functions begin in a file that does not name them: the ranges of its FDEs,
 * kept after the sections they came from are gone.
 */
#ifndef MIXPROF_OBJECT_FRAGMENT_LIST_H
#define MIXPROF_OBJECT_FRAGMENT_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "object/fde_index.h"

struct fragment {
	uint64_t start, end; /* elf vaddrs */
};

struct fragment_list {
	struct fragment *fragments; /* owned; ascending */
	size_t count;
};

int fragment_list_copy(const struct fde_index *index, struct fragment_list *ret_list);
void fragment_list_done(struct fragment_list *list);
/* The start of the fragment that covers vaddr; 0 if none does. */
uint64_t fragment_list_start(const struct fragment_list *list, uint64_t vaddr);

#endif
