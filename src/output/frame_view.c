/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames a view shows, and what they are called. Takes frames of a
 * profile, gives fewer frames and their labels; every exporter goes through here.
 *
 * `mixed` folds the interpreter's machinery away. An interpreter frame has a
 * Python frame rootward of it or is start-up code, which stays. With a Python
 * frame leafward as well it only carries the call. After the last Python frame
 * it carries the call to the C callee if it leads straight there; if the stack
 * ends in it, it is where the time goes (list_sort) and stays.
 */
#include "output/frame_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/intern.h"

#define NO_PYTHON SIZE_MAX

struct frame_labels {
	struct string_table *texts;
	uint32_t *ids; /* by frame */
};

static uint8_t kind_of(const struct profile *profile, uint32_t frame)
{
	return profile__frame(profile, frame)->kind;
}

static size_t select_kinds(const struct profile *profile, uint32_t kinds, uint32_t *frame_ids,
			   size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (kinds >> kind_of(profile, frame_ids[i]) & 1)
			frame_ids[kept++] = frame_ids[i];
	return kept;
}

/* Where the interpreter frames right after the last Python frame end; they fold if one calls on. */
static size_t folded_end(const struct profile *profile, const uint32_t *frame_ids, size_t count,
			 size_t last_python)
{
	size_t end = last_python + 1;

	while (end < count && (kind_of(profile, frame_ids[end]) == FRAME_INTERPRETER ||
			       profile__frame(profile, frame_ids[end])->flags & FRAME_EVAL))
		end++;
	return end < count ? end : last_python + 1;
}

static size_t select_mixed(const struct profile *profile, uint32_t *frame_ids, size_t count)
{
	size_t first = NO_PYTHON, last = 0, end = 0, kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kind_of(profile, frame_ids[i]) != FRAME_PYTHON)
			continue;
		first = first == NO_PYTHON ? i : first;
		last = i;
	}
	if (first != NO_PYTHON)
		end = folded_end(profile, frame_ids, count, last);
	for (size_t i = 0; i < count; i++) {
		const struct profile_frame *frame = profile__frame(profile, frame_ids[i]);
		bool carries = frame->kind == FRAME_INTERPRETER && i > first && i < end;

		if (!carries && !(frame->flags & FRAME_EVAL))
			frame_ids[kept++] = frame_ids[i];
	}
	return kept;
}

size_t frame_view_select(const struct profile *profile, enum frame_selection frames,
			 uint32_t *frame_ids, size_t count)
{
	switch (frames) {
	case FRAMES_MIXED:
		return select_mixed(profile, frame_ids, count);
	case FRAMES_PYTHON:
		return select_kinds(profile, 1u << FRAME_PYTHON | 1u << FRAME_MARKER, frame_ids,
				    count);
	case FRAMES_NATIVE:
		return select_kinds(profile, ~(1u << FRAME_PYTHON), frame_ids, count);
	case FRAMES_FULL:
		break;
	}
	return count;
}

int frame_view_stack(const struct profile *profile, enum frame_selection frames, uint32_t stack,
		     struct frame_list *list)
{
	size_t depth = profile__stack_frames(profile, stack, list->ids, list->capacity);

	if (depth > list->capacity) {
		uint32_t *ids = reallocarray(list->ids, depth, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->capacity = depth;
		profile__stack_frames(profile, stack, ids, depth);
	}
	list->count = frame_view_select(profile, frames, list->ids, depth);
	return 0;
}

void frame_list_done(struct frame_list *list)
{
	free(list->ids);
	*list = (struct frame_list){0};
}

static bool ends_with(const char *s, const char *end)
{
	size_t size = strlen(s), end_size = strlen(end);

	return size >= end_size && strcmp(s + size - end_size, end) == 0;
}

void frame_view_label(const struct profile *profile, uint32_t frame_id, bool no_lines,
		      struct buffer *out)
{
	const struct profile_frame *frame = profile__frame(profile, frame_id);
	const struct string_table *strings = profile__strings(profile);
	const char *name = string_table__get(strings, frame->name);
	const char *file = string_table__get(strings, frame->file);

	buffer_string(out, *name ? name : "[unknown]");
	if (frame->kind == FRAME_PYTHON && *file) {
		buffer_printf(out, " (%s", file);
		if (frame->line > 0 && !no_lines)
			buffer_printf(out, ":%d", (int)frame->line);
		buffer_string(out, ")");
	} else if (frame->kind == FRAME_KERNEL) {
		buffer_string(out, "_[k]");
	} else if (frame->flags & FRAME_PLT && !ends_with(name, "@plt")) {
		buffer_string(out, "@plt");
	}
}

static int add_labels(struct frame_labels *labels, const struct profile *profile, bool no_lines,
		      void (*escape)(struct buffer *label))
{
	_cleanup_(buffer_done) struct buffer label = {0};
	int err = 0;

	for (uint32_t i = 0; i < profile__frame_count(profile) && !err; i++) {
		buffer_clear(&label);
		frame_view_label(profile, i, no_lines, &label);
		if (escape)
			escape(&label);
		if (label.failed)
			return -ENOMEM;
		err = string_table__intern(labels->texts, (const char *)label.data, label.size,
					   &labels->ids[i]);
	}
	return err;
}

int frame_labels__new(const struct profile *profile, bool no_lines,
		      void (*escape)(struct buffer *label), struct frame_labels **ret_labels)
{
	_cleanup_(frame_labels__freep) struct frame_labels *labels = calloc(1, sizeof(*labels));
	int err;

	if (!labels)
		return -ENOMEM;
	labels->ids = calloc(profile__frame_count(profile) + 1, sizeof(*labels->ids));
	err = labels->ids ? string_table__new(&labels->texts) : -ENOMEM;
	if (!err)
		err = add_labels(labels, profile, no_lines, escape);
	if (err)
		return err;
	*ret_labels = take_ptr(labels);
	return 0;
}

void frame_labels__free(struct frame_labels *labels)
{
	if (!labels)
		return;
	string_table__free(labels->texts);
	free(labels->ids);
	free(labels);
}

uint32_t frame_labels__id(const struct frame_labels *labels, uint32_t frame)
{
	return labels->ids[frame];
}

const char *frame_labels__text(const struct frame_labels *labels, uint32_t id)
{
	return string_table__get(labels->texts, id);
}

size_t frame_labels__count(const struct frame_labels *labels)
{
	return string_table__count(labels->texts);
}
