/* SPDX-License-Identifier: Apache-2.0 */
/* `mixprof version`: the one line that bug reports and scripts read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/command.h"

static const struct option_spec options[] = {{0}};

static int run(const struct command *self, int argc, char **argv)
{
	struct operands operands;
	int status;

	if (!command_parse(self, NULL, argc, argv, &operands, &status))
		return status;
	if (operands.before_count || operands.after_count) {
		log_error("version takes no operands");
		return STATUS_USAGE;
	}
	if (printf("mixprof %s\n", MIXPROF_VERSION) < 0 || fflush(stdout)) {
		log_error("cannot write to standard output: %s", strerror(errno));
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "Print the version",
	.synopsis = "",
	.options = options,
	.run = run,
};
