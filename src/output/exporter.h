/* SPDX-License-Identifier: Apache-2.0 */
/* One function per output format; each writes a finished profile to a stream. */
#ifndef MIXPROF_OUTPUT_EXPORTER_H
#define MIXPROF_OUTPUT_EXPORTER_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "profile/profile.h"
#include "profile/run_stats.h"

enum frame_selection { FRAMES_MIXED, FRAMES_PYTHON, FRAMES_NATIVE, FRAMES_FULL };

struct export_options {
	enum frame_selection frames;
	bool no_lines;
	const char *title; /* HTML: shown at the top; NULL: none */
};

struct exporter {
	const char *name;      /* "folded" */
	const char *extension; /* ".folded" */
	/* 0 or -errno; checks ferror at the end. */
	int (*write)(const struct profile *profile, const struct run_stats *stats,
		     const struct export_options *options, FILE *to);
};

/* NULL if there is none of that name / for that file name. */
const struct exporter *exporter_find(const char *name);
const struct exporter *exporter_for_path(const char *path);
/* NULL-terminated list of all. */
extern const struct exporter *const exporters[];

/* The end of each exporter: is all of it written? 0 or -errno. */
static inline int exporter_finish(FILE *to)
{
	int err = ferror(to) ? errno : 0; /* every write since the first that failed fails alike */

	errno = 0;
	if (fflush(to) || ferror(to))
		return err ? -err : errno ? -errno : -EIO;
	return 0;
}

int export_folded(const struct profile *profile, const struct run_stats *stats,
		  const struct export_options *options, FILE *to);
int export_html(const struct profile *profile, const struct run_stats *stats,
		const struct export_options *options, FILE *to);
/* --stats FILE: the JSON object of shared/cli.md. */
int export_stats_json(const struct profile *profile, const struct run_stats *stats, FILE *to);
/* The human summary on a terminal: hottest functions, verdicts, losses. */
int export_summary(const struct profile *profile, const struct run_stats *stats, FILE *to);

#endif
