/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What user space knows of a process at a time: its executable mappings and its
 * Python runtime. Made by the follower from a live process, or by replay from a
 * capture; the resolver cannot tell which.
 */
#ifndef MIXPROF_FOLLOW_PROCESS_VIEW_H
#define MIXPROF_FOLLOW_PROCESS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "python/python_runtime.h"

struct view_mapping {
	uint64_t start, end; /* addresses in the process */
	uint64_t bias;	     /* address - elf vaddr */
	uint64_t offset;     /* of start, in the file */
	uint32_t object;     /* object number; 0: no file we read (anonymous, unreadable) */
	uint32_t flags;	     /* enum mapping_flag */
	uint32_t path;	     /* offset in paths, NUL-terminated; "" anonymous */
	uint32_t device;     /* as maps has it; with inode, tells files of one path apart */
	uint64_t inode;
};

struct process_view {
	uint32_t pid;
	uint32_t has_python;	    /* 0: no interpreter; then `python` is all zero */
	uint64_t start_ns, exec_id; /* 0 until the first sample told */
	char comm[16];
	char version[32];
	uint64_t code_type;
	struct python_layout layout;   /* if the Python walk is configured */
	struct view_mapping *mappings; /* owned, ascending */
	size_t mapping_count;
	char *paths; /* owned */
	size_t paths_size;
};

void process_view_done(struct process_view *view);
/* NULL if no mapping covers address. */
const struct view_mapping *process_view_find(const struct process_view *view, uint64_t address);
static inline const char *process_view_path(const struct process_view *view,
					    const struct view_mapping *mapping)
{
	return view->paths + mapping->path;
}
/* For captures. Decoding trusts nothing; -EBADMSG. */
void process_view_encode(const struct process_view *view, struct buffer *out);
int process_view_decode(const void *bytes, size_t size, struct process_view *ret_view);

#endif
