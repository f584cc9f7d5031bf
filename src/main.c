/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and nothing else: a command is one cmd_*.c and one line here. */
#include "cli/command.h"

static const struct command *const commands[] = {
	&cmd_record, &cmd_replay, &cmd_doctor, &cmd_version, &cmd_symbol_worker, NULL,
};

int main(int argc, char **argv)
{
	return command_main(commands, argc, argv);
}
