/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a recording redraws on a terminal: time, samples, verdict rates, losses. */
#ifndef MIXPROF_CLI_PROGRESS_H
#define MIXPROF_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "profile/run_stats.h"

/* Standard error is a terminal that can redraw a line, and -q was not given. */
bool progress_is_wanted(void);
/* At most size - 1 bytes; no newline. */
void progress_format(const struct run_stats *stats, double seconds, char *line, size_t size);
void progress_show(const struct run_stats *stats, double seconds);
void progress_clear(void);

#endif
