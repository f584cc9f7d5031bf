/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place that wires the stages and owns their lifetimes. cli/ gives it a
 * recording to make (or a capture to replay) and gets a profile and its numbers.
 */
#ifndef MIXPROF_PIPELINE_H
#define MIXPROF_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "profile/profile.h"
#include "profile/run_stats.h"

struct pipeline_options {
	const pid_t *pids; /* processes to profile; borrowed */
	size_t pid_count;
	uint32_t hz;
	int capture_fd; /* -1: none; a capture is written there */
};

struct pipeline_error {
	int code;	    /* negative errno */
	bool system_cannot; /* exit status 3: not permitted, no BTF, kernel too old, lockdown */
	char message[512];  /* one sentence: what, why, what to do */
};

struct pipeline;

/* Checks the system, loads the sampler, follows the processes, opens events disabled. */
int pipeline__new(const struct pipeline_options *options, struct pipeline **ret_pipeline,
		  struct pipeline_error *error);
/* Arms the events. */
int pipeline__start(struct pipeline *pipeline, struct pipeline_error *error);
/* Handles what has arrived, for a tenth of a second, or waits for it at most timeout_ms. 0, or
 * negative errno when it cannot go on. */
int pipeline__run(struct pipeline *pipeline, unsigned int timeout_ms);
/* Stops the events, drains and resolves everything. */
int pipeline__stop(struct pipeline *pipeline, struct pipeline_error *error);
void pipeline__free(struct pipeline *pipeline);

/* All of a recorded capture. *ret_pipeline then has profile and stats. */
int pipeline__replay(int capture_fd, struct pipeline **ret_pipeline, struct pipeline_error *error);

struct profile *pipeline__profile(struct pipeline *pipeline); /* borrowed */
/* Up to now; complete after __stop. */
void pipeline__stats(struct pipeline *pipeline, struct run_stats *ret_stats);
/* True when every followed process is gone. */
bool pipeline__targets_gone(const struct pipeline *pipeline);

static inline void pipeline__freep(struct pipeline **pipeline)
{
	pipeline__free(*pipeline);
}

#endif
