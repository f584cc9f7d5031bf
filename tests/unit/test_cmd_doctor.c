/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_doctor as a user without rights runs it: it must refuse, say why and what
 * to do, in both forms. What each check finds is the matter of test_system_probe.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/command.h"

static char output[16384];

/* On a terminal of its own, as nobody; output receives both streams. */
static int run_doctor(char **argv)
{
	int argc = 0, status = 0, master;
	size_t used = 0;
	pid_t pid;

	while (argv[argc])
		argc++;
	fflush(NULL);
	pid = forkpty(&master, NULL, NULL, NULL);
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534))
			_exit(99);
		exit(cmd_doctor.run(&cmd_doctor, argc, argv));
	}
	for (;;) {
		ssize_t size = read(master, output + used, sizeof(output) - 1 - used);

		if (size <= 0)
			break;
		used += (size_t)size;
	}
	output[used] = '\0';
	close(master);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define DOCTOR(...) run_doctor((char *[]){"doctor", ##__VA_ARGS__, NULL})

static void expect_output(const char *part)
{
	if (!strstr(output, part))
		fail_msg("\"%s\" is not in \"%s\"", part, output);
}

static void refuses_in_words(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("NO_COLOR"), 0);
	assert_int_equal(DOCTOR(), 3);
	expect_output("\033[31mfailed  \033[0m capabilities");
	expect_output("CAP_SYS_PTRACE missing; run mixprof as root (sudo)");
	expect_output("mixprof cannot record on this system");
}

static void no_color_is_honoured(void **state)
{
	(void)state;
	assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
	assert_int_equal(DOCTOR(), 3);
	assert_null(strchr(output, '\033'));
	expect_output("failed   capabilities");
	/* Empty counts as not set: no-color.org. */
	assert_int_equal(setenv("NO_COLOR", "", 1), 0);
	assert_int_equal(DOCTOR(), 3);
	assert_non_null(strchr(output, '\033'));
	assert_int_equal(unsetenv("NO_COLOR"), 0);
}

static void refuses_in_json(void **state)
{
	(void)state;
	assert_int_equal(DOCTOR("--json"), 3);
	assert_int_equal(strncmp(output, "{\"mixprof\":\"", 12), 0);
	expect_output("\"can_record\":false,\"checks\":[");
	expect_output(
		"{\"name\":\"capabilities\",\"status\":\"failed\",\"finding\":\"not permitted");
	expect_output("\"remedy\":\"run mixprof as root");
	expect_output("]}");
	assert_null(strchr(output, '\033'));
}

static void wrong_usage(void **state)
{
	(void)state;
	assert_int_equal(DOCTOR("now"), 2);
	expect_output("doctor takes no operands");
	assert_int_equal(DOCTOR("--jsn"), 2);
	expect_output("did you mean --json?");
	assert_int_equal(DOCTOR("--help"), 0);
	expect_output("Usage: mixprof doctor [--json]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_in_words),
		cmocka_unit_test(no_color_is_honoured),
		cmocka_unit_test(refuses_in_json),
		cmocka_unit_test(wrong_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
