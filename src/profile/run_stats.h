/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of one recording: what --stats prints and the summary tells (shared/cli.md). Plain
 * data. */
#ifndef MIXPROF_PROFILE_RUN_STATS_H
#define MIXPROF_PROFILE_RUN_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/stop_reasons.h"

struct run_stats {
	char kernel[65];
	char arch[16];
	char event[16]; /* "cpu-clock", "cycles" */
	uint32_t hz;
	double seconds;
	bool expected_known; /* false: a PMU's frequency mode */
	uint64_t expected, run, filtered, idle, written, lost_ring_full, lost_queue_full,
		lost_malformed, lost_no_scratch;
	uint64_t decoded;
	uint64_t verdicts[8]; /* by enum verdict */
	uint64_t roots_user, roots_reached;
	uint64_t stops[STOP_REASON_MAX];
	double bpf_ns_mean;
	uint64_t bpf_ns_p50, bpf_ns_p99;
	double cpu_seconds;
	uint64_t rss_peak_bytes, map_bytes;
	int64_t first_sample_ms; /* -1: none */
};

/* run - (filtered + idle + written + all that the sampler lost); 0 unless there is a bug. */
int64_t run_stats_unexplained(const struct run_stats *stats);

#endif
