/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames of a stack a view shows (--frames=) and what each is called:
 * shared by all exporters, so they cannot differ.
 */
#ifndef MIXPROF_OUTPUT_FRAME_VIEW_H
#define MIXPROF_OUTPUT_FRAME_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "output/exporter.h"
#include "profile/profile.h"

/* Filters frame_ids (root first) in place by the selection; returns the new count. A marker stays
 * in every view. */
size_t frame_view_select(const struct profile *profile, enum frame_selection frames,
			 uint32_t *frame_ids, size_t count);
/* The frames of a stack as a view shows them, root first; zero it once, use it again and again. */
struct frame_list {
	uint32_t *ids; /* owned */
	size_t count, capacity;
};

/* 0 or -ENOMEM. */
int frame_view_stack(const struct profile *profile, enum frame_selection frames, uint32_t stack,
		     struct frame_list *list);
void frame_list_done(struct frame_list *list);

/*
 * Appends the frame's label as a folded line shows it, unescaped: "qualname (file:LINE)", "symbol",
 * "symbol@plt", "symbol_[k]"; "[unknown]" where there is no name.
 */
void frame_view_label(const struct profile *profile, uint32_t frame, bool no_lines,
		      struct buffer *out);

/* The labels of all frames of a profile, each made once; equal labels have equal ids. */
struct frame_labels;

/* escape, which may be NULL, changes a label in place to what the format can hold. */
int frame_labels__new(const struct profile *profile, bool no_lines,
		      void (*escape)(struct buffer *label), struct frame_labels **ret_labels);
void frame_labels__free(struct frame_labels *labels);
uint32_t frame_labels__id(const struct frame_labels *labels, uint32_t frame);	/* below __count */
const char *frame_labels__text(const struct frame_labels *labels, uint32_t id); /* borrowed */
size_t frame_labels__count(const struct frame_labels *labels);

static inline void frame_labels__freep(struct frame_labels **labels)
{
	frame_labels__free(*labels);
}

#endif
