// SPDX-License-Identifier: Apache-2.0
/*
 * A process as plain data, and its form in a capture: the fixed part as it is in
 * memory, then mappings, then paths. A capture is read by the version that wrote
 * it or refused (its META entry says which), so the fixed part needs no schema.
 */
#include "follow/process_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/process_abi.h"
#include "base/cleanup.h"
#include "base/cursor.h"

#define PATHS_BYTES_MAX (4u << 20)

void process_view_done(struct process_view *view)
{
	free(view->mappings);
	free(view->paths);
	memset(view, 0, sizeof(*view));
}

const struct view_mapping *process_view_find(const struct process_view *view, uint64_t address)
{
	size_t low = 0, high = view->mapping_count;

	while (low < high) { /* first mapping that ends above address */
		size_t middle = low + (high - low) / 2;

		if (address < view->mappings[middle].end)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == view->mapping_count || address < view->mappings[low].start)
		return NULL;
	return &view->mappings[low];
}

void process_view_encode(const struct process_view *view, struct buffer *out)
{
	struct process_view fixed = *view;

	fixed.mappings = NULL;
	fixed.paths = NULL;
	buffer_append(out, &fixed, sizeof(fixed));
	buffer_append(out, view->mappings, view->mapping_count * sizeof(*view->mappings));
	buffer_append(out, view->paths, view->paths_size);
}

static bool mappings_are_sane(const struct process_view *view)
{
	for (size_t i = 0; i < view->mapping_count; i++) {
		const struct view_mapping *m = &view->mappings[i];

		if (m->start >= m->end || m->path >= view->paths_size)
			return false;
		if (i && m->start < view->mappings[i - 1].end)
			return false;
	}
	return true;
}

int process_view_decode(const void *bytes, size_t size, struct process_view *ret_view)
{
	struct cursor c = cursor_of(bytes, size);
	const struct process_view *fixed = cursor_bytes(&c, sizeof(*fixed));
	struct process_view view;

	if (!fixed)
		return -EBADMSG;
	memcpy(&view, fixed, sizeof(view));
	view.mappings = NULL;
	view.paths = NULL;
	view.comm[sizeof(view.comm) - 1] = '\0';
	view.version[sizeof(view.version) - 1] = '\0';
	if (view.mapping_count > MAPPINGS_PER_PROCESS_MAX || view.paths_size == 0 ||
	    view.paths_size > PATHS_BYTES_MAX ||
	    cursor_left(&c) != view.mapping_count * sizeof(*view.mappings) + view.paths_size)
		return -EBADMSG;
	view.mappings = calloc(view.mapping_count + 1, sizeof(*view.mappings));
	view.paths = malloc(view.paths_size);
	if (!view.mappings || !view.paths) {
		process_view_done(&view);
		return -ENOMEM;
	}
	memcpy(view.mappings, cursor_bytes(&c, view.mapping_count * sizeof(*view.mappings)),
	       view.mapping_count * sizeof(*view.mappings));
	memcpy(view.paths, cursor_bytes(&c, view.paths_size), view.paths_size);
	if (view.paths[view.paths_size - 1] != '\0' || !mappings_are_sane(&view)) {
		process_view_done(&view);
		return -EBADMSG;
	}
	*ret_view = view;
	return 0;
}
