// SPDX-License-Identifier: Apache-2.0
/*
 * First fit over an array of free runs sorted by position; resting runs wait in a
 * queue ordered by time. Few runs, seldom changed: simplicity over speed.
 */
#include "follow/run_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct run {
	uint32_t first, length;
	uint64_t free_at_ns; /* resting runs only */
};

struct runs {
	struct run *items;
	uint32_t count, capacity;
};

struct run_pool {
	uint64_t grace_ns;
	struct runs free;
	struct runs resting;
};

static int runs_insert(struct runs *runs, uint32_t at, struct run run)
{
	if (runs->count == runs->capacity) {
		uint32_t capacity = runs->capacity ? runs->capacity * 2 : 16;
		struct run *grown = reallocarray(runs->items, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		runs->items = grown;
		runs->capacity = capacity;
	}
	memmove(runs->items + at + 1, runs->items + at, (runs->count - at) * sizeof(run));
	runs->items[at] = run;
	runs->count++;
	return 0;
}

static void runs_remove(struct runs *runs, uint32_t at)
{
	runs->count--;
	memmove(runs->items + at, runs->items + at + 1, (runs->count - at) * sizeof(*runs->items));
}

int run_pool__new(uint32_t slots, uint64_t grace_ns, struct run_pool **ret_pool)
{
	struct run_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->grace_ns = grace_ns;
	if (runs_insert(&pool->free, 0, (struct run){.first = 0, .length = slots})) {
		free(pool);
		return -ENOMEM;
	}
	*ret_pool = pool;
	return 0;
}

void run_pool__free(struct run_pool *pool)
{
	if (!pool)
		return;
	free(pool->free.items);
	free(pool->resting.items);
	free(pool);
}

/* Back to the free runs, joined with its neighbours. */
static void give_back(struct run_pool *pool, struct run run)
{
	struct runs *free_runs = &pool->free;
	uint32_t at = 0;

	while (at < free_runs->count && free_runs->items[at].first < run.first)
		at++;
	if (at < free_runs->count && run.first + run.length == free_runs->items[at].first) {
		run.length += free_runs->items[at].length;
		runs_remove(free_runs, at);
	}
	if (at && free_runs->items[at - 1].first + free_runs->items[at - 1].length == run.first) {
		free_runs->items[at - 1].length += run.length;
		return;
	}
	(void)runs_insert(free_runs, at, run); /* out of memory: the run is lost, nothing breaks */
}

static void end_rests(struct run_pool *pool, uint64_t now_ns)
{
	while (pool->resting.count && pool->resting.items[0].free_at_ns <= now_ns) {
		struct run run = pool->resting.items[0];

		runs_remove(&pool->resting, 0);
		give_back(pool, run);
	}
}

int run_pool__take(struct run_pool *pool, uint32_t length, uint64_t now_ns, uint32_t *ret_first)
{
	end_rests(pool, now_ns);
	for (uint32_t i = 0; i < pool->free.count; i++) {
		struct run *run = &pool->free.items[i];

		if (run->length < length)
			continue;
		*ret_first = run->first;
		run->first += length;
		run->length -= length;
		if (run->length == 0)
			runs_remove(&pool->free, i);
		return 0;
	}
	return -ENOSPC;
}

void run_pool__put(struct run_pool *pool, uint32_t first, uint32_t length, uint64_t now_ns)
{
	struct run run = {first, length, now_ns + pool->grace_ns};

	if (length)
		(void)runs_insert(&pool->resting, pool->resting.count, run);
}
