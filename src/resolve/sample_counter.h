/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back half of the pipeline, the same for a recording and its replay: a
 * decoded sample is merged, named, and counted in the profile and the numbers.
 */
#ifndef MIXPROF_RESOLVE_SAMPLE_COUNTER_H
#define MIXPROF_RESOLVE_SAMPLE_COUNTER_H

#include "collect/sample_decode.h"
#include "follow/process_view.h"
#include "merge/stack_merge.h"
#include "profile/profile.h"
#include "profile/run_stats.h"
#include "resolve/name_source.h"

struct sample_counter;

/* source is borrowed; the counter owns its profile. */
int sample_counter__new(const struct name_source *source, struct sample_counter **ret_counter);
void sample_counter__free(struct sample_counter *counter);
/* view: of the sample's process as it was; NULL: not known. *ret_merged (may be NULL) is borrowed
 * until the next call. */
int sample_counter__add(struct sample_counter *counter, const struct sample *sample,
			const struct process_view *view, const struct merged_stack **ret_merged);
struct profile *sample_counter__profile(struct sample_counter *counter);
/* Adds verdicts, roots, stops and decoded to stats. */
void sample_counter__stats(const struct sample_counter *counter, struct run_stats *stats);

static inline void sample_counter__freep(struct sample_counter **counter)
{
	sample_counter__free(*counter);
}

#endif
