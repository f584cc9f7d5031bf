/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile of one recording. Owns everything it is given, by value: strings,
 * frames, stacks, processes, samples, each kind in one array whose index is the
 * id, with a map from the content back to it.
 *
 * A stack is a node {frame, parent}, so stacks share what they have in common
 * towards the root and a deep recursion costs one node per level, not per sample.
 */
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash_map.h"
#include "profile/intern.h"

struct stack_node {
	uint32_t frame;
	uint32_t parent;
};

struct sample_key {
	uint32_t stack, process, tid, comm;
};

/* An array of items of one size, and the map from an item's key to its index. */
struct pool {
	struct hash_map *by_key;
	void *items;
	size_t item_size;
	uint32_t count, capacity;
};

struct profile {
	struct string_table *strings;
	struct pool frames, stacks, samples;
	struct pool processes; /* without a map */
	uint64_t total;
};

static int pool_init(struct pool *pool, size_t key_size, size_t item_size)
{
	pool->item_size = item_size;
	return hash_map__new(key_size, &pool->by_key);
}

static void pool_done(struct pool *pool)
{
	hash_map__free(pool->by_key);
	free(pool->items);
}

static void *pool_at(const struct pool *pool, uint32_t index)
{
	return (char *)pool->items + (size_t)index * pool->item_size;
}

static int pool_reserve(struct pool *pool)
{
	uint32_t capacity = pool->capacity ? pool->capacity * 2 : 64;
	void *items;

	if (pool->count < pool->capacity)
		return 0;
	if (capacity <= pool->capacity)
		return -ENOMEM;
	items = realloc(pool->items, capacity * pool->item_size);
	if (!items)
		return -ENOMEM;
	pool->items = items;
	pool->capacity = capacity;
	return 0;
}

/* The index of the key's item; a new one is zeroed and *ret_new set. */
static int pool_add(struct pool *pool, const void *key, uint32_t *ret_index, bool *ret_new)
{
	uint64_t index;
	int err;

	*ret_new = !hash_map__find(pool->by_key, key, &index);
	if (*ret_new) {
		err = pool_reserve(pool);
		if (!err)
			err = hash_map__set(pool->by_key, key, pool->count);
		if (err)
			return err;
		index = pool->count++;
		memset(pool_at(pool, (uint32_t)index), 0, pool->item_size);
	}
	*ret_index = (uint32_t)index;
	return 0;
}

static int add_empty_stack(struct profile *profile)
{
	/* No node has itself as a parent, so this key belongs to no real one. */
	struct stack_node key = {.frame = UINT32_MAX, .parent = UINT32_MAX};
	uint32_t id;
	bool new;

	return pool_add(&profile->stacks, &key, &id, &new);
}

int profile__new(struct profile **ret_profile)
{
	_cleanup_(profile__freep) struct profile *profile = calloc(1, sizeof(*profile));
	int err;

	if (!profile)
		return -ENOMEM;
	profile->processes.item_size = sizeof(struct profile_process);
	err = string_table__new(&profile->strings);
	if (!err)
		err = pool_init(&profile->frames, sizeof(struct profile_frame),
				sizeof(struct profile_frame));
	if (!err)
		err = pool_init(&profile->stacks, sizeof(struct stack_node),
				sizeof(struct stack_node));
	if (!err)
		err = pool_init(&profile->samples, sizeof(struct sample_key),
				sizeof(struct profile_sample));
	if (!err)
		err = add_empty_stack(profile);
	if (err)
		return err;
	*ret_profile = take_ptr(profile);
	return 0;
}

void profile__free(struct profile *profile)
{
	if (!profile)
		return;
	string_table__free(profile->strings);
	pool_done(&profile->frames);
	pool_done(&profile->stacks);
	pool_done(&profile->processes);
	pool_done(&profile->samples);
	free(profile);
}

struct string_table *profile__strings(const struct profile *profile)
{
	return profile->strings;
}

int profile__add_frame(struct profile *profile, const struct profile_frame *frame, uint32_t *ret_id)
{
	struct profile_frame key = *frame;
	uint32_t id;
	bool new;
	int err;

	key.reserved = 0;
	err = pool_add(&profile->frames, &key, &id, &new);
	if (err)
		return err;
	if (new)
		*(struct profile_frame *)pool_at(&profile->frames, id) = key;
	*ret_id = id;
	return 0;
}

int profile__add_stack(struct profile *profile, const uint32_t *frame_ids, size_t count,
		       uint32_t *ret_stack)
{
	uint32_t stack = 0;

	for (size_t i = 0; i < count; i++) {
		struct stack_node key = {.frame = frame_ids[i], .parent = stack};
		bool new;
		int err;

		if (frame_ids[i] >= profile->frames.count)
			return -EINVAL;
		err = pool_add(&profile->stacks, &key, &stack, &new);
		if (err)
			return err;
		if (new)
			*(struct stack_node *)pool_at(&profile->stacks, stack) = key;
	}
	*ret_stack = stack;
	return 0;
}

int profile__add_process(struct profile *profile, uint32_t pid, uint32_t comm, uint32_t *ret_index)
{
	struct pool *pool = &profile->processes;
	int err = pool_reserve(pool);

	if (err)
		return err;
	*(struct profile_process *)pool_at(pool, pool->count) =
		(struct profile_process){.pid = pid, .comm = comm};
	*ret_index = pool->count++;
	return 0;
}

struct profile_process *profile__process(const struct profile *profile, uint32_t index)
{
	return index < profile->processes.count ? pool_at(&profile->processes, index) : NULL;
}

size_t profile__process_count(const struct profile *profile)
{
	return profile->processes.count;
}

static int compare_processes(const void *a, const void *b)
{
	const struct profile_process *x = *(const struct profile_process *const *)a;
	const struct profile_process *y = *(const struct profile_process *const *)b;

	if (x->samples != y->samples)
		return x->samples > y->samples ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x < y ? -1 : x > y; /* both in the one array */
}

int profile__rank_processes(const struct profile *profile,
			    const struct profile_process ***ret_ranked)
{
	size_t count = profile->processes.count;
	const struct profile_process **ranked = calloc(count + 1, sizeof(*ranked));

	if (!ranked)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		ranked[i] = pool_at(&profile->processes, i);
	qsort(ranked, count, sizeof(*ranked), compare_processes);
	*ret_ranked = ranked;
	return 0;
}

int profile__add_sample(struct profile *profile, uint32_t stack, uint32_t process, uint32_t tid,
			uint32_t comm, uint64_t count)
{
	struct sample_key key = {.stack = stack, .process = process, .tid = tid, .comm = comm};
	struct profile_sample *sample;
	uint32_t index;
	bool new;
	int err;

	if (process >= profile->processes.count || stack >= profile->stacks.count)
		return -EINVAL;
	err = pool_add(&profile->samples, &key, &index, &new);
	if (err)
		return err;
	sample = pool_at(&profile->samples, index);
	sample->stack = stack;
	sample->process = process;
	sample->tid = tid;
	sample->comm = comm;
	sample->count += count;
	profile->total += count;
	return 0;
}

size_t profile__sample_count(const struct profile *profile)
{
	return profile->samples.count;
}

const struct profile_sample *profile__sample(const struct profile *profile, size_t index)
{
	return index < profile->samples.count ? pool_at(&profile->samples, (uint32_t)index) : NULL;
}

size_t profile__frame_count(const struct profile *profile)
{
	return profile->frames.count;
}

const struct profile_frame *profile__frame(const struct profile *profile, uint32_t id)
{
	return id < profile->frames.count ? pool_at(&profile->frames, id) : NULL;
}

void profile__stack(const struct profile *profile, uint32_t stack, uint32_t *ret_frame,
		    uint32_t *ret_parent)
{
	const struct stack_node *node = pool_at(&profile->stacks, stack);

	*ret_frame = node->frame;
	*ret_parent = node->parent;
}

size_t profile__stack_frames(const struct profile *profile, uint32_t stack, uint32_t *frame_ids,
			     size_t capacity)
{
	const struct stack_node *nodes = profile->stacks.items;
	size_t depth = 0, at;

	for (uint32_t id = stack; id; id = nodes[id].parent)
		depth++;
	if (depth > capacity)
		return depth;
	at = depth;
	for (uint32_t id = stack; id; id = nodes[id].parent)
		frame_ids[--at] = nodes[id].frame;
	return depth;
}

uint64_t profile__total(const struct profile *profile)
{
	return profile->total;
}
