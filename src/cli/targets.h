/* SPDX-License-Identifier: Apache-2.0 */
/* The PIDs of --pid, checked before anything is loaded. */
#ifndef MIXPROF_CLI_TARGETS_H
#define MIXPROF_CLI_TARGETS_H

#include <stddef.h>
#include <sys/types.h>

struct targets {
	pid_t *pids; /* owned */
	size_t count;
};

/* "1,22,333": 0, or an exit status after a message. */
int targets_parse(const char *text, struct targets *ret_targets);
/* Every one is a live process: 0, or an exit status after a message. */
int targets_check(const struct targets *targets);
/* The comm of a process, "" if it cannot be read. */
void target_comm(pid_t pid, char *comm, size_t size);
void targets_done(struct targets *targets);

#endif
