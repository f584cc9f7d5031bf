/* SPDX-License-Identifier: Apache-2.0 */
/* Where and how record and replay write their profile: the options they share, and the writing. */
#ifndef MIXPROF_CLI_RESULT_H
#define MIXPROF_CLI_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "output/exporter.h"
#include "pipeline.h"

struct result_options {
	const char *path; /* -o */
	const char *format;
	const char *stats_path;
	int frames; /* enum frame_selection */
	bool no_lines;
	bool quiet, verbose;
};

extern const char *const frame_selection_names[];

/* The rows of an option table for a struct that holds a struct result_options as `member`. */
#define RESULT_OPTIONS(type, member)                                                               \
	OPTION('o', FILE, "output", "FILE", "write the profile to FILE; - is standard output",     \
	       offsetof(type, member.path), NULL),                                                 \
		OPTION(0, TEXT, "format", "FORMAT",                                                \
		       "folded or html, whatever FILE's extension says",                           \
		       offsetof(type, member.format), NULL),                                       \
		OPTION(0, CHOICE, "frames", "WHICH", "mixed, python, native or full",              \
		       offsetof(type, member.frames), frame_selection_names),                      \
		OPTION(0, FLAG, "no-lines", NULL, "leave the line numbers of Python frames out",   \
		       offsetof(type, member.no_lines), NULL),                                     \
		OPTION(0, FILE, "stats", "FILE",                                                   \
		       "write the recording's numbers to FILE, as JSON; - is standard output",     \
		       offsetof(type, member.stats_path), NULL),                                   \
		OPTION('q', FLAG, "quiet", NULL, "errors only", offsetof(type, member.quiet),      \
		       NULL),                                                                      \
		OPTION('v', FLAG, "verbose", NULL, "tell more", offsetof(type, member.verbose),    \
		       NULL)

struct result;

/* Chooses the format and opens the files. name goes into mixprof-NAME-DATE.html, which is made
 * when standard output is a terminal and no -o is given. 0, or an exit status after a message. */
int result__open(const struct result_options *options, const char *name,
		 struct result **ret_result);
/* Writes the pipeline's profile and numbers. 0, or an exit status after a message. */
int result__write(struct result *result, struct pipeline *pipeline);
/* What was not written leaves nothing behind. */
void result__free(struct result *result);

/* -q and -v. */
void result_set_log_level(const struct result_options *options);

static inline void result__freep(struct result **result)
{
	result__free(*result);
}

#endif
