/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarative option tables. One table per command gives parsing, --help and
 * shell completion, so the three cannot differ.
 */
#ifndef MIXPROF_CLI_OPTIONS_H
#define MIXPROF_CLI_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

enum option_kind {
	OPTION_FLAG,	 /* bool */
	OPTION_TEXT,	 /* const char *; borrowed from argv */
	OPTION_FILE,	 /* as OPTION_TEXT; completes file names */
	OPTION_NUMBER,	 /* uint32_t, at least 1 */
	OPTION_DURATION, /* uint64_t, nanoseconds, at least 1 */
	OPTION_CHOICE,	 /* int: index into choices */
	OPTION_LIST,	 /* const char *; checked by the command */
};

struct option_spec {
	char letter; /* '\0': no short form */
	enum option_kind kind;
	const char *name;     /* without "--"; NULL ends a table */
	const char *argument; /* shown in the help; NULL for flags */
	const char *help;
	size_t offset;		    /* of the value in the command's struct */
	const char *const *choices; /* OPTION_CHOICE: NULL-terminated */
};

#define OPTION(letter, kind, name, argument, help, offset, choices)                                \
	{                                                                                          \
		letter, OPTION_##kind, name, argument, help, offset, choices                       \
	}

struct operands {
	char **before; /* operands, options taken out; inside argv */
	int before_count;
	char **after; /* all that follows "--" */
	int after_count;
	int has_separator;
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_HELP,  /* --help or -h was given */
	OPTIONS_WRONG, /* one sentence has been logged */
};

/* argv[0] is the command's name. values receives the options given; the rest keeps its defaults. */
enum options_result options_parse(const struct option_spec *specs, void *values, int argc,
				  char **argv, struct operands *ret_operands);
void options_print_help(const struct option_spec *specs, FILE *to);
/* "--pid -p --output ...", for completion. */
void options_print_names(const struct option_spec *specs, FILE *to);
/* The candidate nearest to word, NULL if none is near. candidate(context, i) is NULL past the last.
 */
const char *options_nearest(const char *word,
			    const char *(*candidate)(const void *context, size_t i),
			    const void *context);

#endif
