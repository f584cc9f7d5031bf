/* SPDX-License-Identifier: Apache-2.0 */
/* cli/options and cli/command: every way to write an option, operands, help, nearest names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "cli/command.h"

struct values {
	bool flag, other;
	const char *text;
	uint32_t number;
	uint64_t ns;
	int choice;
};

static const char *const choices[] = {"red", "green", NULL};

static const struct option_spec specs[] = {
	OPTION('f', FLAG, "flag", NULL, "a flag", offsetof(struct values, flag), NULL),
	OPTION(0, FLAG, "other-flag", NULL, "another", offsetof(struct values, other), NULL),
	OPTION('t', TEXT, "text", "TEXT", "some text", offsetof(struct values, text), NULL),
	OPTION('n', NUMBER, "number", "N", "a number", offsetof(struct values, number), NULL),
	OPTION('d', DURATION, "duration", "TIME", "a time", offsetof(struct values, ns), NULL),
	OPTION(0, CHOICE, "colour", "WHICH", "a colour", offsetof(struct values, choice), choices),
	{0},
};

static struct values values;
static struct operands operands;

static enum options_result parse(char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	values = (struct values){.number = 7};
	memset(&operands, 0, sizeof(operands));
	return options_parse(specs, &values, argc, argv, &operands);
}

#define PARSE(...) parse((char *[]){"command", ##__VA_ARGS__, NULL})

static void forms(void **state)
{
	(void)state;
	assert_int_equal(PARSE(), OPTIONS_OK);
	assert_int_equal(values.number, 7);
	assert_int_equal(PARSE("--flag", "--text", "a", "--number=3", "--duration=5m"), OPTIONS_OK);
	assert_true(values.flag);
	assert_false(values.other);
	assert_string_equal(values.text, "a");
	assert_int_equal(values.number, 3);
	assert_int_equal(values.ns, 300000000000);
	assert_int_equal(PARSE("-ftb", "-n", "4", "--other-flag"), OPTIONS_OK);
	assert_true(values.flag && values.other);
	assert_string_equal(values.text, "b");
	assert_int_equal(values.number, 4);
	/* A value may look like an option, or hold "=". */
	assert_int_equal(PARSE("-t", "--flag", "--text=a=b"), OPTIONS_OK);
	assert_false(values.flag);
	assert_string_equal(values.text, "a=b");
	assert_int_equal(PARSE("--colour", "green"), OPTIONS_OK);
	assert_int_equal(values.choice, 1);
	/* The last one counts. */
	assert_int_equal(PARSE("-n1", "-n2"), OPTIONS_OK);
	assert_int_equal(values.number, 2);
}

static void operands_are_kept(void **state)
{
	(void)state;
	assert_int_equal(PARSE("a", "-f", "b", "-", "-n1", "c"), OPTIONS_OK);
	assert_int_equal(operands.before_count, 4);
	assert_string_equal(operands.before[0], "a");
	assert_string_equal(operands.before[1], "b");
	assert_string_equal(operands.before[2], "-");
	assert_string_equal(operands.before[3], "c");
	assert_false(operands.has_separator);
	assert_int_equal(PARSE("a", "--", "-f", "--", "b"), OPTIONS_OK);
	assert_int_equal(operands.before_count, 1);
	assert_true(operands.has_separator);
	assert_int_equal(operands.after_count, 3);
	assert_string_equal(operands.after[0], "-f");
	assert_string_equal(operands.after[1], "--");
	assert_null(operands.after[3]);
	assert_false(values.flag);
	assert_int_equal(PARSE("--"), OPTIONS_OK);
	assert_true(operands.has_separator);
	assert_int_equal(operands.after_count, 0);
}

static void wrong_words(void **state)
{
	(void)state;
	log_set_level((enum log_level) - 1);
	assert_int_equal(PARSE("--nothing"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--fla"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--=x"), OPTIONS_WRONG);
	assert_int_equal(PARSE("-x"), OPTIONS_WRONG);
	assert_int_equal(PARSE("-fx"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--flag=1"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--number"), OPTIONS_WRONG);
	assert_int_equal(PARSE("-n"), OPTIONS_WRONG);
	assert_int_equal(PARSE("-n", "x"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--number="), OPTIONS_WRONG);
	assert_int_equal(PARSE("-d", "1x"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--colour=blue"), OPTIONS_WRONG);
	assert_int_equal(PARSE("--text="), OPTIONS_WRONG);
	log_set_level(LOG_LEVEL_INFO);
}

static void help_wins(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-f", "-h", "--nothing"), OPTIONS_HELP);
	assert_int_equal(PARSE("--help"), OPTIONS_HELP);
	assert_int_equal(PARSE("-fh"), OPTIONS_HELP);
	assert_int_equal(PARSE("--", "--help"), OPTIONS_OK);
}

static void help_names_every_option(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	options_print_help(specs, to);
	options_print_names(specs, to);
	fclose(to);
	assert_non_null(strstr(text, "  -f, --flag "));
	assert_non_null(strstr(text, "      --other-flag "));
	assert_non_null(strstr(text, "-d, --duration TIME "));
	assert_non_null(strstr(text, "a colour\n"));
	assert_non_null(strstr(text, "-h, --help"));
	assert_non_null(strstr(text, "--flag -f --other-flag --text -t"));
	free(text);
}

static const char *spec_name(const void *context, size_t i)
{
	return ((const struct option_spec *)context)[i].name;
}

static void nearest_names(void **state)
{
	(void)state;
	assert_string_equal(options_nearest("falg", spec_name, specs), "flag");
	assert_string_equal(options_nearest("color", spec_name, specs), "colour");
	assert_string_equal(options_nearest("dur", spec_name, specs), "duration");
	assert_string_equal(options_nearest("otherflag", spec_name, specs), "other-flag");
	assert_null(options_nearest("xyzzy", spec_name, specs));
	assert_null(options_nearest("", spec_name, specs));
	assert_null(options_nearest("x", spec_name, specs));
}

/* --- command_main --- */

static int given_argc;

static int run_one(const struct command *self, int argc, char **argv)
{
	assert_string_equal(self->name, argv[0]);
	given_argc = argc;
	return 42;
}

static const struct command one = {"one", "Do one thing", "[OPTIONS]", specs, NULL, run_one};
static const struct command secret = {.name = "secret", .run = run_one};
static const struct command version = {"version", "Print it", "", specs, NULL, run_one};
static const struct command *const commands[] = {&one, &secret, &version, NULL};

/* What command_main writes to standard output. */
static char output[8192];

static int run_main(char **argv)
{
	int argc = 0, saved, status;
	FILE *file = tmpfile();

	while (argv[argc])
		argc++;
	assert_non_null(file);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	status = command_main(commands, argc, argv);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	output[fread(output, 1, sizeof(output) - 1, file)] = '\0';
	fclose(file);
	return status;
}

#define MAIN(...) run_main((char *[]){"mixprof", ##__VA_ARGS__, NULL})

static void chooses_the_command(void **state)
{
	(void)state;
	log_set_level((enum log_level) - 1);
	assert_int_equal(MAIN("one", "-f", "x"), 42);
	assert_int_equal(given_argc, 3);
	assert_int_equal(MAIN("secret"), 42);
	assert_int_equal(MAIN("--version"), 42);
	assert_int_equal(MAIN(), 2);
	assert_int_equal(MAIN("two"), 2);
	assert_int_equal(MAIN("--flag"), 2);
	assert_int_equal(MAIN("help", "two"), 2);
	assert_int_equal(MAIN("help", "secret"), 2);
	assert_string_equal(output, "");
	log_set_level(LOG_LEVEL_INFO);
}

static void general_help(void **state)
{
	(void)state;
	assert_int_equal(MAIN("--help"), 0);
	assert_non_null(strstr(output, "one       Do one thing\n"));
	assert_null(strstr(output, "secret"));
	assert_int_equal(MAIN("help", "one"), 0);
	assert_non_null(strstr(output, "Usage: mixprof one [OPTIONS]\n"));
	assert_non_null(strstr(output, "--colour WHICH"));
}

/* bash takes the script, and completes by it. */
static void completion_works_in_bash(void **state)
{
	char path[] = "/tmp/mixprof-completion-XXXXXX", command[512], answer[256] = "";
	int fd = mkstemp(path);
	FILE *bash;

	(void)state;
	assert_true(fd >= 0);
	if (system("command -v bash >/dev/null")) {
		print_message("there is no bash here\n");
		skip();
	}
	assert_int_equal(MAIN("completion", "bash"), 0);
	assert_int_equal(write(fd, output, strlen(output)), (ssize_t)strlen(output));
	close(fd);
	snprintf(command, sizeof(command),
		 "bash -c '. %s; t() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=();"
		 "_mixprof; echo \"${COMPREPLY[*]};\"; };"
		 "t mixprof o; t mixprof one --c; t mixprof one --colour g;"
		 "t mixprof one --duration 1; t mixprof v' 2>&1",
		 path);
	bash = popen(command, "r");
	assert_non_null(bash);
	answer[fread(answer, 1, sizeof(answer) - 1, bash)] = '\0';
	assert_int_equal(pclose(bash), 0);
	assert_int_equal(unlink(path), 0);
	assert_string_equal(answer, "one;\n--colour;\ngreen;\n;\nversion;\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(operands_are_kept),
		cmocka_unit_test(wrong_words),
		cmocka_unit_test(help_wins),
		cmocka_unit_test(help_names_every_option),
		cmocka_unit_test(nearest_names),
		cmocka_unit_test(chooses_the_command),
		cmocka_unit_test(general_help),
		cmocka_unit_test(completion_works_in_bash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
