/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of slots in the sampler's mapping pool. A freed run rests for a grace
 * period before it is handed out again: a walk that began with it is over by then.
 */
#ifndef MIXPROF_FOLLOW_RUN_POOL_H
#define MIXPROF_FOLLOW_RUN_POOL_H

#include <stdint.h>

struct run_pool;

int run_pool__new(uint32_t slots, uint64_t grace_ns, struct run_pool **ret_pool);
void run_pool__free(struct run_pool *pool);
/* -ENOSPC when no run of that length is free now. */
int run_pool__take(struct run_pool *pool, uint32_t length, uint64_t now_ns, uint32_t *ret_first);
void run_pool__put(struct run_pool *pool, uint32_t first, uint32_t length, uint64_t now_ns);

static inline void run_pool__freep(struct run_pool **pool)
{
	run_pool__free(*pool);
}

#endif
