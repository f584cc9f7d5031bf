/* SPDX-License-Identifier: Apache-2.0 */
/* Redraws one line with a carriage return; clears it before any other message is written. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "merge/stack_merge.h"

static bool is_shown;

bool progress_is_wanted(void)
{
	const char *terminal = getenv("TERM");

	return log_get_level() >= LOG_LEVEL_INFO && isatty(STDERR_FILENO) && terminal &&
	       strcmp(terminal, "dumb") != 0;
}

void progress_format(const struct run_stats *stats, double seconds, char *line, size_t size)
{
	uint64_t lost = stats->lost_ring_full + stats->lost_queue_full + stats->lost_malformed +
			stats->lost_no_scratch;
	uint64_t judged = 0;
	size_t used;

	for (size_t i = 0; i < VERDICT_COUNT; i++)
		judged += stats->verdicts[i];
	used = (size_t)snprintf(line, size, "%.1f s  %" PRIu64 " samples", seconds, stats->written);
	for (size_t i = 0; i < VERDICT_COUNT && used < size; i++)
		if (stats->verdicts[i])
			used += (size_t)snprintf(line + used, size - used, "  %s %.1f%%",
						 verdict_name((enum verdict)i),
						 100.0 * (double)stats->verdicts[i] /
							 (double)judged);
	if (used < size)
		snprintf(line + used, size - used, "  lost %" PRIu64, lost);
}

void progress_show(const struct run_stats *stats, double seconds)
{
	char line[256];

	progress_format(stats, seconds, line, sizeof(line));
	/* No wrapping: a line that breaks could not be redrawn. */
	fprintf(stderr, "\r\033[?7l%s\033[K\033[?7h", line);
	fflush(stderr);
	is_shown = true;
}

void progress_clear(void)
{
	if (!is_shown)
		return;
	fprintf(stderr, "\r\033[K");
	fflush(stderr);
	is_shown = false;
}
