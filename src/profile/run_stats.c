/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one identity between the sampler's counters: each run ended in exactly one
 * way. What user space lost afterwards (queue_full, malformed) had been written
 * and is not taken off again.
 */
#include "profile/run_stats.h"

int64_t run_stats_unexplained(const struct run_stats *stats)
{
	return (int64_t)(stats->run - stats->filtered - stats->idle - stats->written -
			 stats->lost_ring_full - stats->lost_no_scratch);
}
