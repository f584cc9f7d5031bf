/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the command by argv, and writes what is made from the tables alone:
 * the general help, a command's help, and the completion script of bash.
 */
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Standard output may be a full disk or a closed pipe: an answer that was not written is a failure.
 */
static int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_OK;
	log_error("cannot write to standard output: %s", strerror(errno));
	return STATUS_FAILED;
}

static int print_command_help(const struct command *command)
{
	printf("Usage: mixprof %s%s%s\n\n%s.\n", command->name, command->synopsis[0] ? " " : "",
	       command->synopsis, command->summary);
	if (command->options) {
		printf("\nOptions:\n");
		options_print_help(command->options, stdout);
	}
	printf("\nSee mixprof-%s(1).\n", command->name);
	return finish_output();
}

bool command_parse(const struct command *self, void *values, int argc, char **argv,
		   struct operands *ret_operands, int *ret_status)
{
	switch (options_parse(self->options, values, argc, argv, ret_operands)) {
	case OPTIONS_OK:
		return true;
	case OPTIONS_HELP:
		*ret_status = print_command_help(self);
		return false;
	case OPTIONS_WRONG:
		break;
	}
	*ret_status = STATUS_USAGE;
	return false;
}

static void print_general_help(const struct command *const *commands, FILE *to)
{
	fprintf(to, "Usage: mixprof COMMAND [OPTIONS]\n\n"
		    "Kernel, native and Python frames in one stack, of a running process.\n\n"
		    "Commands:\n");
	for (; *commands; commands++)
		if ((*commands)->summary)
			fprintf(to, "  %-10s%s\n", (*commands)->name, (*commands)->summary);
	fprintf(to, "\nExamples:\n"
		    "  sudo mixprof record -p 1234 -d 10s -o profile.html\n"
		    "  sudo mixprof record -o profile.folded -- python3 app.py\n"
		    "\n\"mixprof help COMMAND\" tells more. See mixprof(1).\n");
}

static const char *command_name(const void *context, size_t i)
{
	const struct command *const *commands = context;
	size_t seen = 0;

	for (; *commands; commands++)
		if ((*commands)->summary && seen++ == i)
			return (*commands)->name;
	return NULL;
}

static const struct command *find_command(const struct command *const *commands, const char *name)
{
	for (; *commands; commands++)
		if (strcmp((*commands)->name, name) == 0)
			return *commands;
	return NULL;
}

static int unknown_command(const struct command *const *commands, const char *name)
{
	const char *nearest = options_nearest(name, command_name, commands);

	if (nearest)
		log_error("there is no command \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		log_error("there is no command \"%s\"; see \"mixprof --help\"", name);
	return STATUS_USAGE;
}

static int run_help(const struct command *const *commands, int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_general_help(commands, stdout);
		return finish_output();
	}
	command = find_command(commands, argv[1]);
	if (!command || !command->summary)
		return unknown_command(commands, argv[1]);
	return print_command_help(command);
}

static void print_choices(const struct command *command)
{
	for (const struct option_spec *spec = command->options; spec->name; spec++) {
		if (spec->kind == OPTION_FLAG)
			continue;
		printf("\t\t%s:--%s", command->name, spec->name);
		if (spec->letter)
			printf("|%s:-%c", command->name, spec->letter);
		printf(")");
		if (spec->kind == OPTION_FILE)
			printf("\n\t\t\tCOMPREPLY=($(compgen -f -- \"$word\"))");
		else if (spec->kind == OPTION_CHOICE) {
			printf("\n\t\t\tCOMPREPLY=($(compgen -W \"");
			for (size_t i = 0; spec->choices[i]; i++)
				printf("%s%s", i ? " " : "", spec->choices[i]);
			printf("\" -- \"$word\"))");
		} else if (spec->kind == OPTION_LIST) {
			printf("\n\t\t\tCOMPREPLY=($(compgen -W \"$(cd /proc && echo [0-9]*)\" -- "
			       "\"$word\"))");
		}
		printf("\n\t\t\treturn ;;\n");
	}
}

static void print_completion_of(const struct command *command)
{
	printf("\t%s)\n\t\tif [[ $word == -* ]]; then\n\t\t\tCOMPREPLY=($(compgen -W \"",
	       command->name);
	options_print_names(command->options, stdout);
	printf("\" -- \"$word\"))\n\t\telse\n\t\t\t%s\n\t\tfi ;;\n",
	       command->operand_files ? "COMPREPLY=($(compgen -f -- \"$word\"))" : "COMPREPLY=()");
}

/* Commands and options hold letters, digits and "-" only, so nothing needs quoting. */
static int run_completion(const struct command *const *commands)
{
	printf("# bash completion of mixprof; made by \"mixprof completion bash\"\n"
	       "# shellcheck shell=bash disable=SC2207,SC2012\n"
	       "_mixprof() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} i\n"
	       "\tif ((COMP_CWORD == 1)) || [[ ${COMP_WORDS[1]} == help ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"help");
	for (const struct command *const *c = commands; *c; c++)
		if ((*c)->summary)
			printf(" %s", (*c)->name);
	printf("\" -- \"$word\"))\n\t\treturn\n\tfi\n"
	       "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	       "\t\tif [[ ${COMP_WORDS[i]} == -- ]]; then\n"
	       "\t\t\tdeclare -F _command_offset >/dev/null && _command_offset $((i + 1))\n"
	       "\t\t\treturn\n\t\tfi\n\tdone\n"
	       "\tcase ${COMP_WORDS[1]}:$previous in\n");
	for (const struct command *const *c = commands; *c; c++)
		if ((*c)->summary && (*c)->options)
			print_choices(*c);
	printf("\tesac\n\tcase ${COMP_WORDS[1]} in\n");
	for (const struct command *const *c = commands; *c; c++)
		if ((*c)->summary && (*c)->options)
			print_completion_of(*c);
	printf("\tesac\n}\ncomplete -F _mixprof mixprof\n");
	return finish_output();
}

/*
 * A file that we open must not become one of the three streams because it was closed: messages
 * would go into it. What stands in cannot be written, so a result is not lost there in silence.
 */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int command_main(const struct command *const *commands, int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	fill_standard_streams();
	if (!name) {
		log_error("no command given; see \"mixprof --help\"");
		return STATUS_USAGE;
	}
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return run_help(commands, argc - 1, argv + 1);
	if (strcmp(name, "completion") == 0 && argc == 3 && strcmp(argv[2], "bash") == 0)
		return run_completion(commands);
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	command = find_command(commands, name);
	if (!command)
		return unknown_command(commands, name);
	/* --version too: messages name the command by argv[0]. */
	argv[1] = (char *)command->name;
	return command->run(command, argc - 1, argv + 1);
}
