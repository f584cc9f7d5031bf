/* SPDX-License-Identifier: Apache-2.0 */
/* A subcommand, and the choice of one by argv. */
#ifndef MIXPROF_CLI_COMMAND_H
#define MIXPROF_CLI_COMMAND_H

#include <stdbool.h>

#include "cli/options.h"

/* Exit statuses: shared contract with scripts, see mixprof(1). */
enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_SYSTEM = 3,	     /* this system cannot; doctor tells the same */
	STATUS_NOTHING = 4,	     /* nothing was recorded */
	STATUS_COMMAND_FAILED = 125, /* as env(1) and timeout(1): mixprof failed, not COMMAND */
	STATUS_COMMAND_REFUSED = 126,
	STATUS_COMMAND_MISSING = 127,
};

struct command {
	const char *name;		   /* NULL ends a table */
	const char *summary;		   /* NULL: hidden */
	const char *synopsis;		   /* what follows the name */
	const struct option_spec *options; /* NULL: takes its words as they are */
	const char *operand_files; /* non-NULL: operands are files of this kind (completion) */
	int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command cmd_record, cmd_replay, cmd_doctor, cmd_version, cmd_symbol_worker;

/* Parses by the command's table. False: *ret_status is the exit status (help shown, or wrong
 * usage). */
bool command_parse(const struct command *self, void *values, int argc, char **argv,
		   struct operands *ret_operands, int *ret_status);
/* Runs the command that argv names; returns the exit status. */
int command_main(const struct command *const *commands, int argc, char **argv);

#endif
