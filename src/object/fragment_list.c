// SPDX-License-Identifier: Apache-2.0
/* A copy of what the resolver needs of an FDE index: 16 bytes per function, in the worker. */
#include "object/fragment_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fragment_list_copy(const struct fde_index *index, struct fragment_list *ret_list)
{
	struct fragment_list list = {
		.fragments = calloc(index->count + 1, sizeof(*list.fragments)),
		.count = index->count,
	};

	if (!list.fragments)
		return -ENOMEM;
	for (size_t i = 0; i < index->count; i++)
		list.fragments[i] = (struct fragment){index->fdes[i].start, index->fdes[i].end};
	*ret_list = list;
	return 0;
}

void fragment_list_done(struct fragment_list *list)
{
	free(list->fragments);
	memset(list, 0, sizeof(*list));
}

uint64_t fragment_list_start(const struct fragment_list *list, uint64_t vaddr)
{
	size_t low = 0, high = list->count;

	while (low < high) { /* the first fragment that starts above vaddr */
		size_t middle = low + (high - low) / 2;

		if (list->fragments[middle].start <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low && vaddr < list->fragments[low - 1].end ? list->fragments[low - 1].start : 0;
}
