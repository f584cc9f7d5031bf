/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile as columns of small numbers for a viewer: frames, threads, and per
 * view its stacks. Numbers are base64 digits of 5 bits, lowest first, 32 = one
 * more follows (alphabet A-Z a-z 0-9 - _), so a column is a JSON string as it is.
 */
#ifndef MIXPROF_OUTPUT_VIEW_COLUMNS_H
#define MIXPROF_OUTPUT_VIEW_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "output/exporter.h"
#include "profile/intern.h"
#include "profile/profile.h"

struct view_columns;

int view_columns__new(const struct profile *profile, bool no_lines,
		      struct view_columns **ret_columns);
void view_columns__free(struct view_columns *columns);

/* The strings that the other columns name by their ids. Borrowed. */
const struct string_table *view_columns__strings(const struct view_columns *columns);
/*
 * Per frame: kind, name, file, line. Ascending by kind, name, file, line, so the frames of
 * one function are neighbours. Kind 0 is no frame_kind: a thread's comm, the root of its stacks.
 */
void view_columns__frames(const struct view_columns *columns, struct buffer *out);
/* Per thread: process (index), tid, comm (string). */
void view_columns__threads(const struct view_columns *columns, struct buffer *out);
/*
 * The stacks of a view, root first, sorted, so that each begins as the last one did: per stack the
 * number of frames to take off the last one, the number to add, these, the number of counts, and
 * per count: thread (index), samples.
 */
int view_columns__stacks(const struct view_columns *columns, enum frame_selection frames,
			 struct buffer *out);

static inline void view_columns__freep(struct view_columns **columns)
{
	view_columns__free(*columns);
}

#endif
