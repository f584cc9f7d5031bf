/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns a profile into the columns of view_columns.h. Frames are numbered by
 * content, not in order of arrival, and stacks are written in the order of these
 * numbers: equal profiles give equal bytes.
 *
 * A sorted list of paths is a tree walked in preorder, so neither side needs a
 * map from (parent, frame) to node: what a stack shares with the one before it is
 * the whole of the tree's structure.
 */
#include "output/view_columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/sanitize.h"
#include "output/frame_view.h"

#define NAME_BYTES_MAX 16384 /* more is no name; keeps the page small */
#define KIND_THREAD 0

struct row {
	uint8_t kind;
	uint32_t name, file; /* in columns->strings */
	int32_t line;
	uint32_t origin; /* frame id, or comm's string id */
};

struct view_columns {
	const struct profile *profile; /* borrowed */
	struct string_table *strings;
	struct row *rows;
	size_t row_count;
	uint32_t *row_of_frame, *row_of_comm;
	const struct profile_sample **samples; /* by comm, stack, thread */
	size_t sample_count;
	const struct profile_sample **threads; /* one sample of each, by process, tid */
	size_t thread_count;
};

/* A stack of a view: a range of the arena, and the samples that have it. */
struct path {
	size_t at, depth;
	size_t first, end; /* in columns->samples */
};

struct count {
	uint32_t thread;
	uint64_t samples;
};

struct paths {
	uint32_t *arena;
	size_t used, capacity;
	struct path *list;
	size_t count;
};

static void put_number(struct buffer *out, uint64_t value)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (; value >= 32; value >>= 5)
		buffer_u8(out, (uint8_t)digits[32 | (value & 31)]);
	buffer_u8(out, (uint8_t)digits[value]);
}

static int intern_clean(struct view_columns *c, const char *s, size_t size, uint32_t *ret_id)
{
	_cleanup_free_ char *clean = sanitize_name(s, size, NAME_BYTES_MAX);

	if (!clean)
		return -ENOMEM;
	return string_table__intern(c->strings, clean, strlen(clean), ret_id);
}

/* A Python frame's file and line stand in columns of their own; other labels are the name. */
static int name_row(struct view_columns *c, uint32_t id, struct buffer *label, uint32_t *ret_name)
{
	const struct profile_frame *frame = profile__frame(c->profile, id);
	const char *name = string_table__get(profile__strings(c->profile), frame->name);

	buffer_clear(label);
	if (frame->kind == FRAME_PYTHON)
		buffer_string(label, *name ? name : "[unknown]");
	else
		frame_view_label(c->profile, id, true, label);
	if (label->failed)
		return -ENOMEM;
	return intern_clean(c, (const char *)label->data, label->size, ret_name);
}

static int add_frame_rows(struct view_columns *c, bool no_lines)
{
	const struct string_table *strings = profile__strings(c->profile);
	_cleanup_(buffer_done) struct buffer label = {0};
	int err = 0;

	for (uint32_t id = 0; id < profile__frame_count(c->profile) && !err; id++) {
		const struct profile_frame *frame = profile__frame(c->profile, id);
		struct row *row = &c->rows[c->row_count++];
		const char *file = string_table__get(strings, frame->file);
		bool has_line = frame->kind == FRAME_PYTHON && frame->line > 0 && *file;

		*row = (struct row){.kind = frame->kind, .origin = id};
		row->line = has_line && !no_lines ? frame->line : 0;
		err = name_row(c, id, &label, &row->name);
		if (!err)
			err = intern_clean(c, file, strlen(file), &row->file);
	}
	return err;
}

static int add_comm_rows(struct view_columns *c)
{
	const struct string_table *strings = profile__strings(c->profile);
	int err = 0;

	for (size_t i = 0; i < c->sample_count && !err; i++) {
		struct row *row = &c->rows[c->row_count];
		uint32_t comm = c->samples[i]->comm;
		const char *s = string_table__get(strings, comm);

		if (c->row_of_comm[comm] != UINT32_MAX)
			continue;
		c->row_of_comm[comm] = 0;
		*row = (struct row){.kind = KIND_THREAD, .origin = comm};
		err = intern_clean(c, *s ? s : "[unknown]", *s ? strlen(s) : 9, &row->name);
		c->row_count++;
	}
	return err;
}

static int compare_strings(const struct string_table *strings, uint32_t a, uint32_t b)
{
	return a == b ? 0 : strcmp(string_table__get(strings, a), string_table__get(strings, b));
}

static int compare_rows(const void *a, const void *b, void *context)
{
	const struct view_columns *c = context;
	const struct row *x = a, *y = b;
	int order;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	order = compare_strings(c->strings, x->name, y->name);
	if (!order)
		order = compare_strings(c->strings, x->file, y->file);
	if (!order)
		order = (x->line > y->line) - (x->line < y->line);
	return order;
}

/* Sorts the rows, makes equal ones one, and notes which row each frame and comm became. */
static void number_rows(struct view_columns *c)
{
	size_t kept = 0;

	qsort_r(c->rows, c->row_count, sizeof(*c->rows), compare_rows, c);
	for (size_t i = 0; i < c->row_count; i++) {
		struct row row = c->rows[i];

		if (!kept || compare_rows(&c->rows[kept - 1], &row, c) != 0)
			c->rows[kept++] = row;
		if (row.kind == KIND_THREAD)
			c->row_of_comm[row.origin] = (uint32_t)kept - 1;
		else
			c->row_of_frame[row.origin] = (uint32_t)kept - 1;
	}
	c->row_count = kept;
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_threads(const void *a, const void *b)
{
	const struct profile_sample *x = *(const struct profile_sample *const *)a;
	const struct profile_sample *y = *(const struct profile_sample *const *)b;
	int order = compare_u32(x->process, y->process);

	return order ? order : compare_u32(x->tid, y->tid);
}

static int compare_samples(const void *a, const void *b)
{
	const struct profile_sample *x = *(const struct profile_sample *const *)a;
	const struct profile_sample *y = *(const struct profile_sample *const *)b;
	int order = compare_u32(x->comm, y->comm);

	if (!order)
		order = compare_u32(x->stack, y->stack);
	return order ? order : compare_threads(a, b);
}

static void collect_threads(struct view_columns *c)
{
	size_t kept = 0;

	memcpy(c->threads, c->samples, c->sample_count * sizeof(*c->threads));
	qsort(c->threads, c->sample_count, sizeof(*c->threads), compare_threads);
	for (size_t i = 0; i < c->sample_count; i++)
		if (!kept || compare_threads(&c->threads[kept - 1], &c->threads[i]) != 0)
			c->threads[kept++] = c->threads[i];
	c->thread_count = kept;
}

static int allocate(struct view_columns *c)
{
	size_t frames = profile__frame_count(c->profile);
	size_t comms = string_table__count(profile__strings(c->profile));

	c->sample_count = profile__sample_count(c->profile);
	c->samples = calloc(c->sample_count + 1, sizeof(*c->samples));
	c->threads = calloc(c->sample_count + 1, sizeof(*c->threads));
	c->rows = calloc(frames + comms + 1, sizeof(*c->rows));
	c->row_of_frame = calloc(frames + 1, sizeof(*c->row_of_frame));
	c->row_of_comm = calloc(comms + 1, sizeof(*c->row_of_comm));
	if (!c->samples || !c->threads || !c->rows || !c->row_of_frame || !c->row_of_comm)
		return -ENOMEM;
	memset(c->row_of_comm, 0xff, (comms + 1) * sizeof(*c->row_of_comm));
	return string_table__new(&c->strings);
}

int view_columns__new(const struct profile *profile, bool no_lines,
		      struct view_columns **ret_columns)
{
	_cleanup_(view_columns__freep) struct view_columns *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->profile = profile;
	err = allocate(c);
	if (err)
		return err;
	for (size_t i = 0; i < c->sample_count; i++)
		c->samples[i] = profile__sample(profile, i);
	qsort(c->samples, c->sample_count, sizeof(*c->samples), compare_samples);
	collect_threads(c);
	err = add_frame_rows(c, no_lines);
	if (!err)
		err = add_comm_rows(c);
	if (err)
		return err;
	number_rows(c);
	*ret_columns = take_ptr(c);
	return 0;
}

void view_columns__free(struct view_columns *c)
{
	if (!c)
		return;
	string_table__free(c->strings);
	free(c->rows);
	free(c->row_of_frame);
	free(c->row_of_comm);
	free(c->samples);
	free(c->threads);
	free(c);
}

const struct string_table *view_columns__strings(const struct view_columns *c)
{
	return c->strings;
}

void view_columns__frames(const struct view_columns *c, struct buffer *out)
{
	for (size_t i = 0; i < c->row_count; i++) {
		put_number(out, c->rows[i].kind);
		put_number(out, c->rows[i].name);
		put_number(out, c->rows[i].file);
		put_number(out, (uint64_t)c->rows[i].line);
	}
}

void view_columns__threads(const struct view_columns *c, struct buffer *out)
{
	for (size_t i = 0; i < c->thread_count; i++) {
		put_number(out, c->threads[i]->process);
		put_number(out, c->threads[i]->tid);
		put_number(out, c->rows[c->row_of_comm[c->threads[i]->comm]].name);
	}
}

static void paths_done(struct paths *paths)
{
	free(paths->arena);
	free(paths->list);
}

/* Room for depth more frames at paths->used. */
static int reserve(struct paths *paths, size_t depth)
{
	size_t capacity = paths->capacity ? paths->capacity : 1024;
	uint32_t *arena;

	if (depth <= paths->capacity - paths->used)
		return 0;
	while (capacity - paths->used < depth)
		capacity *= 2;
	arena = reallocarray(paths->arena, capacity, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	paths->arena = arena;
	paths->capacity = capacity;
	return 0;
}

/* Appends a sample's path to the arena: its comm, then what the view shows of its stack. */
static int add_path(struct paths *paths, const struct view_columns *c, size_t sample,
		    enum frame_selection view)
{
	uint32_t stack = c->samples[sample]->stack;
	size_t depth = profile__stack_frames(c->profile, stack, NULL, 0);
	uint32_t *frames;
	int err = reserve(paths, depth + 1);

	if (err)
		return err;
	frames = paths->arena + paths->used; /* at least one: the arena is there */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	frames[0] = c->row_of_comm[c->samples[sample]->comm];
	profile__stack_frames(c->profile, stack, frames + 1, depth);
	depth = frame_view_select(c->profile, view, frames + 1, depth);
	for (size_t i = 1; i <= depth; i++)
		frames[i] = c->row_of_frame[frames[i]];
	paths->list[paths->count++] = (struct path){
		.at = paths->used, .depth = depth + 1, .first = sample, .end = sample + 1};
	paths->used += depth + 1;
	return 0;
}

static size_t shared_depth(const uint32_t *arena, const struct path *a, const struct path *b)
{
	size_t depth = a->depth < b->depth ? a->depth : b->depth, i = 0;

	while (i < depth && arena[a->at + i] == arena[b->at + i])
		i++;
	return i;
}

static int compare_paths(const void *a, const void *b, void *context)
{
	const uint32_t *arena = context;
	const struct path *x = a, *y = b;
	size_t i = shared_depth(arena, x, y);

	if (i < x->depth && i < y->depth)
		return compare_u32(arena[x->at + i], arena[y->at + i]);
	return (x->depth > y->depth) - (x->depth < y->depth);
}

static int compare_counts(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return compare_u32(x->thread, y->thread);
}

static size_t collect_counts(const struct view_columns *c, const struct path *path,
			     struct count *counts)
{
	size_t count = 0;

	for (size_t i = path->first; i < path->end; i++) {
		const struct profile_sample **thread =
			bsearch(&c->samples[i], c->threads, c->thread_count, sizeof(*c->threads),
				compare_threads);

		counts[count].thread = (uint32_t)(thread - c->threads);
		counts[count++].samples = c->samples[i]->count;
	}
	return count;
}

/* Sorts the counts, and makes those of one thread one. */
static void put_counts(struct count *counts, size_t count, struct buffer *out)
{
	size_t kept = 0;

	qsort(counts, count, sizeof(*counts), compare_counts);
	for (size_t i = 0; i < count; i++) {
		if (kept && counts[kept - 1].thread == counts[i].thread)
			counts[kept - 1].samples += counts[i].samples;
		else
			counts[kept++] = counts[i];
	}
	put_number(out, kept);
	for (size_t i = 0; i < kept; i++) {
		put_number(out, counts[i].thread);
		put_number(out, counts[i].samples);
	}
}

static int find_paths(const struct view_columns *c, enum frame_selection view, struct paths *paths)
{
	int err = 0;

	paths->list = calloc(c->sample_count + 1, sizeof(*paths->list));
	if (!paths->list)
		return -ENOMEM;
	for (size_t i = 0; i < c->sample_count && !err; i++) {
		const struct profile_sample *before = i ? c->samples[i - 1] : NULL;

		if (before && before->stack == c->samples[i]->stack &&
		    before->comm == c->samples[i]->comm)
			paths->list[paths->count - 1].end++;
		else
			err = add_path(paths, c, i, view);
	}
	if (!err)
		qsort_r(paths->list, paths->count, sizeof(*paths->list), compare_paths,
			paths->arena);
	return err;
}

int view_columns__stacks(const struct view_columns *c, enum frame_selection view,
			 struct buffer *out)
{
	_cleanup_free_ struct count *counts = calloc(c->sample_count + 1, sizeof(*counts));
	_cleanup_(paths_done) struct paths paths = {0};
	struct path last = {0};
	int err = counts ? find_paths(c, view, &paths) : -ENOMEM;

	for (size_t i = 0; i < paths.count && !err;) {
		const struct path *path = &paths.list[i];
		size_t shared = shared_depth(paths.arena, &last, path), count = 0;

		put_number(out, last.depth - shared);
		put_number(out, path->depth - shared);
		for (size_t k = shared; k < path->depth; k++)
			put_number(out, paths.arena[path->at + k]);
		/* stacks that differ only in what the view hides */
		do
			count += collect_counts(c, &paths.list[i++], counts + count);
		while (i < paths.count && !compare_paths(path, &paths.list[i], paths.arena));
		put_counts(counts, count, out);
		last = *path;
	}
	return err ? err : out->failed ? -ENOMEM : 0;
}
