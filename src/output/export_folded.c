/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folded lines (shared/cli.md): `comm;root;...;leaf COUNT`. Takes a profile,
 * writes lines that are sorted as `LC_ALL=C sort` does, equal ones merged.
 *
 * Lines are kept as a tree of labels, not as text: with a recursion of 1,000 a
 * line is 40 KB, and thousands of them share nearly all of it. The children of a
 * node sort by what follows in the line, which is `;` or ` COUNT`, so walking the
 * tree gives the lines in order.
 *
 * flamegraph.pl reads `leaf 7 120` as two counts. So where a label ends in a
 * space and a number that space becomes `_`, at any depth: one function has one
 * label. A thread's comm is a frame like others only when it stands alone.
 */
#include "output/exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/hash_map.h"
#include "base/sanitize.h"
#include "output/frame_view.h"
#include "profile/intern.h"

struct node_key {
	uint32_t parent;
	uint32_t label; /* under node 0: of comms; else of labels */
};

struct node {
	struct node_key key;
	uint64_t count; /* of the line that ends here */
};

struct line_tree {
	struct frame_labels *labels;
	struct string_table *comms;
	struct hash_map *by_key;
	struct node *nodes; /* node 0 is the root */
	uint32_t count, capacity;
	size_t depth_max;
};

/* A node seen from its parent: as the end of a line, or as the way to longer ones. */
struct branch {
	uint32_t parent, node;
	const char *text;
	uint64_t count; /* 0: longer lines follow */
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Makes sure that the text cannot be read as one that ends in a count. */
static void guard_count(char *text, size_t size)
{
	size_t start = size;

	while (start > 0 && is_digit(text[start - 1]))
		start--;
	if (start > 1 && text[start - 1] == '.' && is_digit(text[start - 2])) {
		start--;
		while (start > 0 && is_digit(text[start - 1]))
			start--;
	}
	if (start > 0 && start < size && text[start - 1] == ' ')
		text[start - 1] = '_';
}

/* Valid UTF-8 without control characters and `;`. NULL: out of memory. */
static char *clean(const char *text, size_t size)
{
	char *cleaned = sanitize_name(text, size, 3 * size);

	for (char *c = cleaned; c && *c; c++)
		if (*c == ';')
			*c = ':';
	return cleaned;
}

static void escape_label(struct buffer *label)
{
	_cleanup_free_ char *cleaned = NULL;

	if (label->failed)
		return;
	cleaned = clean((const char *)label->data, label->size);
	buffer_clear(label);
	if (!cleaned) {
		label->failed = true;
		return;
	}
	guard_count(cleaned, strlen(cleaned));
	buffer_string(label, cleaned);
}

static int intern_comm(struct line_tree *tree, const char *comm, bool alone, uint32_t *ret_id)
{
	_cleanup_free_ char *cleaned = NULL;
	size_t size;

	comm += strspn(comm, " ");
	size = strlen(comm);
	while (size > 0 && comm[size - 1] == ' ')
		size--;
	cleaned = size ? clean(comm, size) : strdup("[unknown]");
	if (!cleaned)
		return -ENOMEM;
	size = strlen(cleaned);
	if (alone)
		guard_count(cleaned, size);
	return string_table__intern(tree->comms, cleaned, size, ret_id);
}

static int add_node(struct line_tree *tree, struct node_key key, uint32_t *ret_node)
{
	uint64_t node;
	int err;

	if (hash_map__find(tree->by_key, &key, &node)) {
		*ret_node = (uint32_t)node;
		return 0;
	}
	if (tree->count == tree->capacity) {
		uint32_t capacity = tree->capacity ? tree->capacity * 2 : 256;
		struct node *nodes = reallocarray(tree->nodes, capacity, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		tree->nodes = nodes;
		tree->capacity = capacity;
	}
	err = hash_map__set(tree->by_key, &key, tree->count);
	if (err)
		return err;
	tree->nodes[tree->count] = (struct node){.key = key};
	*ret_node = tree->count++;
	return 0;
}

static void tree_done(struct line_tree *tree)
{
	frame_labels__free(tree->labels);
	string_table__free(tree->comms);
	hash_map__free(tree->by_key);
	free(tree->nodes);
}

static int tree_init(struct line_tree *tree, const struct profile *profile, bool no_lines)
{
	struct node_key root = {.parent = UINT32_MAX};
	uint32_t node;
	int err;

	err = frame_labels__new(profile, no_lines, escape_label, &tree->labels);
	if (!err)
		err = string_table__new(&tree->comms);
	if (!err)
		err = hash_map__new(sizeof(struct node_key), &tree->by_key);
	return err ? err : add_node(tree, root, &node);
}

static int add_line(struct line_tree *tree, const char *comm, const struct frame_list *frames,
		    uint64_t count)
{
	struct node_key key = {.parent = 0};
	uint32_t node;
	int err = intern_comm(tree, comm, frames->count == 0, &key.label);

	if (!err)
		err = add_node(tree, key, &node);
	for (size_t i = 0; i < frames->count && !err; i++) {
		key.parent = node;
		key.label = frame_labels__id(tree->labels, frames->ids[i]);
		err = add_node(tree, key, &node);
	}
	if (err)
		return err;
	tree->nodes[node].count += count;
	if (frames->count + 1 > tree->depth_max)
		tree->depth_max = frames->count + 1;
	return 0;
}

static int add_lines(struct line_tree *tree, const struct profile *profile,
		     enum frame_selection selection)
{
	const struct string_table *strings = profile__strings(profile);
	_cleanup_(frame_list_done) struct frame_list frames = {0};

	for (size_t i = 0; i < profile__sample_count(profile); i++) {
		const struct profile_sample *sample = profile__sample(profile, i);
		int err = frame_view_stack(profile, selection, sample->stack, &frames);

		if (!err)
			err = add_line(tree, string_table__get(strings, sample->comm), &frames,
				       sample->count);
		if (err)
			return err;
	}
	return 0;
}

/* What stands after a branch's text in a line. */
static void branch_end(const struct branch *branch, char end[24])
{
	if (branch->count)
		snprintf(end, 24, " %" PRIu64, branch->count);
	else
		snprintf(end, 24, ";");
}

/* Compares end with rest followed by rest_end. */
static int compare_end(const char *end, const char *rest, const char *rest_end)
{
	size_t i = 0;

	while (end[i] && end[i] == rest[i])
		i++;
	return strcmp(end + i, rest[i] ? rest + i : rest_end);
}

static int compare_branches(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;
	char x_end[24], y_end[24];
	size_t i = 0;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	while (x->text[i] && x->text[i] == y->text[i])
		i++;
	if (x->text[i] && y->text[i])
		return (unsigned char)x->text[i] - (unsigned char)y->text[i];
	branch_end(x, x_end);
	branch_end(y, y_end);
	if (x->text[i])
		return -compare_end(y_end, x->text + i, x_end);
	return compare_end(x_end, y->text + i, y_end);
}

/* Sorted branches of all nodes, and for each node where its own begin: first[node] .. first[node +
 * 1]. */
static int sort_branches(const struct line_tree *tree, struct branch **ret_branches,
			 uint32_t **ret_first)
{
	_cleanup_free_ struct branch *branches = calloc(2 * (size_t)tree->count, sizeof(*branches));
	_cleanup_free_ uint32_t *first = calloc((size_t)tree->count + 1, sizeof(*first));
	uint32_t count = 0;

	if (!branches || !first)
		return -ENOMEM;
	for (uint32_t node = 1; node < tree->count; node++) /* nodes with children, marked */
		first[tree->nodes[node].key.parent] = 1;
	for (uint32_t node = 1; node < tree->count; node++) {
		struct node_key key = tree->nodes[node].key;
		struct branch branch = {.parent = key.parent, .node = node};

		branch.text = key.parent ? frame_labels__text(tree->labels, key.label)
					 : string_table__get(tree->comms, key.label);
		if (first[node])
			branches[count++] = branch;
		branch.count = tree->nodes[node].count;
		if (branch.count)
			branches[count++] = branch;
	}
	qsort(branches, count, sizeof(*branches), compare_branches);
	for (uint32_t node = 0, at = 0; node <= tree->count; node++) {
		while (at < count && branches[at].parent < node)
			at++;
		first[node] = at;
	}
	*ret_branches = take_ptr(branches);
	*ret_first = take_ptr(first);
	return 0;
}

struct level {
	uint32_t next, end; /* branches still to be written */
	size_t prefix;	    /* bytes of the line that lead here */
};

static int write_lines(const struct line_tree *tree, const struct branch *branches,
		       const uint32_t *first, FILE *to)
{
	_cleanup_free_ struct level *levels = calloc(tree->depth_max + 1, sizeof(*levels));
	_cleanup_(buffer_done) struct buffer line = {0};
	size_t depth = 1;

	if (!levels)
		return -ENOMEM;
	levels[0] = (struct level){.next = first[0], .end = first[1]};
	while (depth > 0) {
		struct level *level = &levels[depth - 1];
		const struct branch *branch;

		if (level->next == level->end) {
			depth--;
			continue;
		}
		branch = &branches[level->next++];
		line.size = level->prefix;
		buffer_string(&line, branch->text);
		if (branch->count) {
			buffer_printf(&line, " %" PRIu64 "\n", branch->count);
			fwrite(line.data, 1, line.failed ? 0 : line.size, to);
		} else {
			buffer_u8(&line, ';');
			levels[depth++] = (struct level){.next = first[branch->node],
							 .end = first[branch->node + 1],
							 .prefix = line.size};
		}
		if (line.failed)
			return -ENOMEM;
	}
	return 0;
}

int export_folded(const struct profile *profile, const struct run_stats *stats,
		  const struct export_options *options, FILE *to)
{
	_cleanup_(tree_done) struct line_tree tree = {0};
	_cleanup_free_ struct branch *branches = NULL;
	_cleanup_free_ uint32_t *first = NULL;
	int err;

	(void)stats;
	err = tree_init(&tree, profile, options->no_lines);
	if (!err)
		err = add_lines(&tree, profile, options->frames);
	if (!err)
		err = sort_branches(&tree, &branches, &first);
	if (!err)
		err = write_lines(&tree, branches, first, to);
	return err ? err : exporter_finish(to);
}
