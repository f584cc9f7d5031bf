/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the sampler's picture of each followed process true: its executable
 * mappings, the tables of their files, its Python runtime.
 */
#ifndef MIXPROF_FOLLOW_PROCESS_FOLLOWER_H
#define MIXPROF_FOLLOW_PROCESS_FOLLOWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/process_abi.h"
#include "follow/object_table.h"
#include "follow/process_view.h"
#include "process/remote_memory.h"

struct process_follower;

/* The sampler's side (pipeline.c gives collect/bpf_session.h's). */
struct follower_target {
	struct mapping *mappings;
	size_t mapping_count;
	struct process_config *processes;
	size_t process_count;
	struct py_layout *layouts; /* PY_LAYOUTS_MAX */
	int (*set_slot)(void *context, uint32_t pid, uint32_t slot);
	int (*clear_slot)(void *context, uint32_t pid);
	void *context;
};

int process_follower__new(const struct follower_target *target, struct object_table *objects,
			  const struct remote_memory *memory,
			  struct process_follower **ret_follower);
void process_follower__free(struct process_follower *follower);

/* Starts to follow a process. -ESRCH. */
int process_follower__add(struct process_follower *follower, pid_t pid);
/*
 * A sample said that the picture is missing or stale. Reads the maps again, at most every few ms,
 * less often while that brings nothing new. identity: of the sample (start_boottime, self_exec_id).
 * 1: the view changed; 0: it did not, or it was too early; -ESRCH and the like.
 */
int process_follower__refresh(struct process_follower *follower, pid_t pid, uint64_t start_ns,
			      uint64_t exec_id, uint64_t now_ns);
/* The current view, or NULL if the process is not followed. Borrowed until the next refresh. */
const struct process_view *process_follower__view(const struct process_follower *follower,
						  pid_t pid);
/* Tells one observation of CFA - shim, from an exact sample whose eval frame lies at pc. */
void process_follower__observe_eval(struct process_follower *follower, pid_t pid, uint64_t pc,
				    uint64_t delta);
/* True when no followed process is alive. */
bool process_follower__all_gone(struct process_follower *follower);

static inline void process_follower__freep(struct process_follower **follower)
{
	process_follower__free(*follower);
}

#endif
