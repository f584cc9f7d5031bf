/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where names come from: the symbol worker, kallsyms and the process's memory
 * while recording; a capture in replay. The resolver cannot tell which.
 */
#ifndef MIXPROF_RESOLVE_NAME_SOURCE_H
#define MIXPROF_RESOLVE_NAME_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "process/remote_memory.h"

struct name_source {
	/* names[i] is malloc'ed, or NULL where no symbol covers vaddrs[i]; starts[i] is then where
	 * its function begins, 0 if that is not known either. Both arrays come zeroed. */
	int (*native_names)(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			    char **names, uint64_t *starts);
	/* Borrowed; NULL if unknown. *ret_module is set with it. */
	const char *(*kernel_name)(void *context, uint64_t address, const char **ret_module);
	struct remote_memory memory;
	void *context;
};

#endif
