/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A result that appears whole or not at all: written to a temporary name beside
 * its own and renamed on commit. "-" is standard output; what is not a regular
 * file (/dev/null, a FIFO) is written as it is, and never replaced.
 */
#ifndef MIXPROF_CLI_OUTPUT_FILE_H
#define MIXPROF_CLI_OUTPUT_FILE_H

#include <stdio.h>

struct output_file;

/* 0 or negative errno. Opened now, so that a recording is not made in vain. */
int output_file__open(const char *path, struct output_file **ret_file);
FILE *output_file__stream(struct output_file *file);	       /* borrowed */
int output_file__fd(struct output_file *file);		       /* borrowed */
const char *output_file__path(const struct output_file *file); /* as given */
/* Flushes and renames. 0 or negative errno; either way only __free is left to do. */
int output_file__commit(struct output_file *file);
/* Without a commit nothing is left behind. */
void output_file__free(struct output_file *file);
/* Removes the temporary files of every open output; async-signal-safe. */
void output_file_abandon_all(void);

static inline void output_file__freep(struct output_file **file)
{
	output_file__free(*file);
}

#endif
