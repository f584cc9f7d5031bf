/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code objects of all processes by (process, address), read once and checked
 * again once per epoch: an address can be another function's by then.
 */
#ifndef MIXPROF_RESOLVE_CODE_CACHE_H
#define MIXPROF_RESOLVE_CODE_CACHE_H

#include <stdint.h>

#include "follow/process_view.h"
#include "process/remote_memory.h"
#include "python/python_code.h"

struct code_cache;

struct cached_code {
	const struct python_code
		*code;	  /* borrowed until the next __find; NULL: could not be read */
	int error;	  /* why: -EFAULT, -EBADMSG, -ESRCH */
	uint32_t version; /* grows when the address is found to hold another object */
};

int code_cache__new(const struct remote_memory *memory, struct code_cache **ret_cache);
void code_cache__free(struct code_cache *cache);
/* process: the profile's index, so that reused pids differ. epoch: see frame_resolver. */
int code_cache__find(struct code_cache *cache, const struct process_view *view, uint32_t process,
		     uint64_t code, uint32_t epoch, struct cached_code *ret_code);

static inline void code_cache__freep(struct code_cache **cache)
{
	code_cache__free(*cache);
}

#endif
