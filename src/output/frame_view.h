/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames of a stack a view shows (--frames=) and what each is called:
 * shared by all exporters, so they cannot differ.
 */
#ifndef MIXPROF_OUTPUT_FRAME_VIEW_H
#define MIXPROF_OUTPUT_FRAME_VIEW_H

#include <stddef.h>

#include "base/buffer.h"
#include "output/exporter.h"
#include "profile/profile.h"

/* Filters frame_ids (root first) in place by the selection; returns the new count. A marker stays in every view. */
size_t frame_view_select(const struct profile *profile, enum frame_selection frames,
			 uint32_t *frame_ids, size_t count);
/* Appends the frame's label as a folded line shows it, unescaped: "qualname (file:LINE)", "symbol", "symbol_[k]". */
void frame_view_label(const struct profile *profile, uint32_t frame, bool no_lines, struct buffer *out);

#endif
