/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile: interned strings -> frames -> stacks (parent pointers) -> counts
 * per (stack, process, thread). What exporters read.
 */
#ifndef MIXPROF_PROFILE_PROFILE_H
#define MIXPROF_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_kind {
	FRAME_NATIVE = 1, /* named native code */
	FRAME_PYTHON = 2,
	FRAME_KERNEL = 3,
	FRAME_INTERPRETER = 4, /* native code of the CPython interpreter itself */
	FRAME_MARKER = 5,      /* [truncated:REASON] and the like */
};

enum frame_flag {
	FRAME_EVAL = 1 << 0, /* an eval frame whose Python frames are its callees */
	FRAME_PLT = 1 << 1,
	FRAME_UNNAMED = 1 << 2, /* name is module+0xOFFSET */
};

struct profile_frame {
	uint8_t kind;  /* enum frame_kind */
	uint8_t flags; /* enum frame_flag */
	uint16_t reserved;
	uint32_t name; /* string id; Python: qualname; native: demangled name or module+0xOFFSET;
			  kernel: name without _[k] */
	uint32_t file; /* string id; Python: co_filename; native: module path; kernel: module or ""
			*/
	int32_t line;  /* Python: executing line; 0: not known */
};

struct profile_process {
	uint32_t pid;
	uint32_t comm;	  /* string id */
	uint32_t runtime; /* string id: "cpython" or "" */
	uint32_t version; /* string id: "3.12.1" or "" */
	uint64_t samples;
	uint64_t verdicts[8];		    /* by enum verdict */
	uint64_t roots_user, roots_reached; /* samples with a user stack; of these, root reached */
};

struct profile_sample {
	uint32_t stack;	  /* stack id, leaf end */
	uint32_t process; /* index */
	uint32_t tid;
	uint32_t comm; /* string id: the thread's comm at sample time */
	uint64_t count;
};

struct profile;

int profile__new(struct profile **ret_profile);
void profile__free(struct profile *profile);

/* Borrowed. A const profile (what exporters get) is only read through it. */
struct string_table *profile__strings(const struct profile *profile);
int profile__add_frame(struct profile *profile, const struct profile_frame *frame,
		       uint32_t *ret_id);
/* frame_ids root first. Stack 0 is the empty stack. */
int profile__add_stack(struct profile *profile, const uint32_t *frame_ids, size_t count,
		       uint32_t *ret_stack);
/* Always a new one: which samples are of one process (pids are reused) is for the caller to know.
 */
int profile__add_process(struct profile *profile, uint32_t pid, uint32_t comm, uint32_t *ret_index);
/* Borrowed until the next add_process. The caller fills the rest, samples included. */
struct profile_process *profile__process(const struct profile *profile, uint32_t index);
size_t profile__process_count(const struct profile *profile);
/* All of them, most samples first; the caller frees the array, its elements are borrowed. */
int profile__rank_processes(const struct profile *profile,
			    const struct profile_process ***ret_ranked);
/* -EINVAL: no such stack or process. */
int profile__add_sample(struct profile *profile, uint32_t stack, uint32_t process, uint32_t tid,
			uint32_t comm, uint64_t count);

size_t profile__sample_count(const struct profile *profile); /* distinct entries */
const struct profile_sample *profile__sample(const struct profile *profile, size_t index);
size_t profile__frame_count(const struct profile *profile);
const struct profile_frame *profile__frame(const struct profile *profile, uint32_t id);
/* The frame and parent of a stack node, which is not 0; parent of a root node is 0. */
void profile__stack(const struct profile *profile, uint32_t stack, uint32_t *ret_frame,
		    uint32_t *ret_parent);
/* Fills frame ids root first; returns the depth, which may exceed capacity (then nothing is
 * filled). */
size_t profile__stack_frames(const struct profile *profile, uint32_t stack, uint32_t *frame_ids,
			     size_t capacity);
uint64_t profile__total(const struct profile *profile); /* sum of counts */

static inline void profile__freep(struct profile **profile)
{
	profile__free(*profile);
}

#endif
