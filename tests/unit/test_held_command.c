/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `record -- COMMAND`, signals and terminals: the command is held, its status passes
 * through, Ctrl-C ends cleanly and the second one gives up.
 */
#include "unit/fake_pipeline.h"

#include <pty.h>

/* --- commands --- */

static void command_status_passes_through(void **state)
{
	(void)state;
	fake.check_hold = true;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", UNTIL_SAMPLED "exit 7"), 7);
	expect_text(errors, "[held]");
	fake.check_hold = false;
	expect_file("p.folded", "folded");
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", UNTIL_SAMPLED), 0);
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", UNTIL_SAMPLED "kill -9 $$"),
			 137);
	fake.write_err = -EIO;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", UNTIL_SAMPLED "exit 7"), 125);
}

static void command_that_cannot_run(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-o", "p.folded", "--", "no-such-program"), 127);
	expect_text(errors, "cannot run \"no-such-program\": No such file or directory");
	fclose(fopen("plain", "w"));
	assert_int_equal(chmod("plain", 0600), 0);
	assert_int_equal(RECORD("-o", "p.folded", "--", "./plain"), 126);
	expect_text(errors, "cannot run \"./plain\": Permission denied");
	assert_int_equal(unlink("plain"), 0);
	assert_int_equal(count_files(), 0);
}

static void command_is_not_run_when_loading_fails(void **state)
{
	(void)state;
	fake.new_err = -EPERM;
	fake.system_cannot = true;
	assert_int_equal(RECORD("-o", "p.folded", "--", "touch", "ran"), 125);
	expect_text(errors, "fake new failed");
	assert_int_equal(count_files(), 0);
}

static void command_without_samples(void **state)
{
	(void)state;
	fake.nothing = true;
	assert_int_equal(RECORD("-o", "p.folded", "--", "true"), 4);
	expect_text(errors, "the command ended before a sample was taken");
	assert_int_equal(RECORD("-o", "p.folded", "--", "false"), 1);
	expect_text(errors, "nothing was recorded");
	assert_int_equal(count_files(), 0);
}

static void duration_ends_the_command(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-d", "250ms", "-o", "p.folded", "--", "sleep", "100"), 0);
	expect_file("p.folded", "folded");
	/* One that ends in its own way when asked to has its own status. */
	assert_int_equal(RECORD("-d", "250ms", "-o", "p.folded", "--", "sh", "-c",
				"trap 'exit 5' TERM; while :; do sleep 0.02; done"),
			 5);
}

static void command_words_are_left_alone(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c",
				UNTIL_SAMPLED "echo \"$0|$1|$2\" >words", "-p", "--help", "--"),
			 0);
	expect_file("words", "-p|--help|--\n");
}

/* A line of /proc/self/status as it is now: whoever started the test may have ignored signals. */
static void read_status_line(const char *key, char line[static 64])
{
	FILE *status = fopen("/proc/self/status", "re");

	assert_non_null(status);
	while (fgets(line, 64, status))
		if (strncmp(line, key, strlen(key)) == 0)
			break;
	fclose(status);
	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(strncmp(line, key, strlen(key)), 0);
}

/* The command finds its signals as mixprof did, and none of mixprof's files. */
static void command_inherits_nothing(void **state)
{
	char blocked[64], ignored[64];

	(void)state;
	read_status_line("SigBlk:", blocked);
	read_status_line("SigIgn:", ignored);
	assert_int_equal(RECORD("-o", "p.folded", "--capture", "c", "--", "sh", "-c",
				UNTIL_SAMPLED "grep -E 'SigIgn|SigBlk' /proc/self/status >mask;"
					      "ls /proc/self/fd >fds"),
			 0);
	expect_file("mask", blocked);
	expect_file("mask", ignored);
	/* 0, 1, 2, and the directory that ls reads. */
	expect_file("fds", "2\n3\n");
	assert_int_equal(system("test \"$(tail -n 1 fds)\" = 3"), 0);
}

/* --- signals --- */

static void first_signal_ends_cleanly(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		pid_t pid = start_mixprof(&cmd_record,
					  ARGV("record", "-p", target_text(), "-o", "p.folded"));

		wait_for_mark("../running");
		assert_int_equal(count_files(), 1); /* the temporary file */
		assert_int_not_equal(access("p.folded", F_OK), 0);
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(wait_mixprof(pid), 0);
		expect_file("p.folded", "folded");
		assert_int_equal(count_files(), 1);
		assert_int_equal(unlink("p.folded"), 0);
	}
}

static void second_signal_gives_up(void **state)
{
	pid_t pid;

	(void)state;
	fake.stop_seconds = 20;
	pid = start_mixprof(&cmd_record, ARGV("record", "-p", target_text(), "-o", "p.folded",
					      "--stats=s", "--capture=c"));
	wait_for_mark("../running");
	assert_int_equal(count_files(), 3);
	kill(pid, SIGINT);
	wait_for_mark("../stopping");
	kill(pid, SIGINT);
	assert_int_equal(wait_mixprof(pid), 130);
	assert_int_equal(count_files(), 0);
}

static void signal_is_handed_to_the_command(void **state)
{
	pid_t pid = start_mixprof(
		&cmd_record,
		ARGV("record", "-o", "p.folded", "--", "sh", "-c",
		     "trap 'test -e p.folded && echo ok >order; exit 9' TERM; touch ready;"
		     "while :; do sleep 0.02; done"));

	(void)state;
	wait_for_mark("../running");
	wait_for_mark("ready");
	kill(pid, SIGTERM);
	assert_int_equal(wait_mixprof(pid), 9);
	expect_file("p.folded", "folded");
	expect_file("order", "ok"); /* the profile was there before the command was told */
	pid = start_mixprof(&cmd_record, ARGV("record", "-o", "p.folded", "--", "sleep", "100"));
	wait_for_mark("../running");
	kill(pid, SIGTERM);
	assert_int_equal(wait_mixprof(pid), 128 + SIGTERM);
}

/* --- terminals --- */

/* Runs on a terminal of its own; out receives what appears there. */
static int run_on_terminal(char **argv, bool type_interrupt)
{
	int argc = 0, status = 0, master;
	size_t used = 0;
	pid_t pid;

	while (argv[argc])
		argc++;
	unlink("../running");
	fflush(NULL);
	pid = forkpty(&master, NULL, NULL, NULL);
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("TERM", "xterm", 1);
		exit(cmd_record.run(&cmd_record, argc, argv));
	}
	if (type_interrupt) {
		wait_for_mark("../running");
		wait_for_mark("ready");
		assert_int_equal(write(master, "\003", 1), 1);
	}
	for (;;) {
		ssize_t size = read(master, out + used, sizeof(out) - 1 - used);

		if (size <= 0)
			break;
		used += (size_t)size;
	}
	out[used] = '\0';
	waitpid(pid, &status, 0);
	close(master);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void terminal_gets_a_file_and_a_summary(void **state)
{
	char name[128] = "";
	FILE *listing;

	(void)state;
	assert_int_equal(run_on_terminal(ARGV("record", "-p", target_text(), "-d", "550ms"), false),
			 0);
	expect_text(out, "SUMMARY");
	expect_text(out, "wrote mixprof-test_held_comma-2");
	expect_text(out, "samples  exact 100.0%  lost 0");
	listing = popen("ls mixprof-test_held_comma-2*-*.html", "r");
	assert_non_null(listing);
	assert_non_null(fgets(name, sizeof(name), listing));
	pclose(listing);
	name[strcspn(name, "\n")] = '\0';
	expect_file(name, "html frames=0");
	assert_int_equal(count_files(), 1);
}

static void quiet_terminal(void **state)
{
	(void)state;
	assert_int_equal(run_on_terminal(ARGV("record", "-q", "-p", target_text(), "-d", "520ms",
					      "-o", "p.folded"),
					 false),
			 0);
	assert_null(strstr(out, "SUMMARY"));
	assert_null(strstr(out, "samples"));
	assert_null(strchr(out, '\033'));
}

static void explicit_file_on_terminal(void **state)
{
	(void)state;
	assert_int_equal(
		run_on_terminal(ARGV("record", "-p", target_text(), "-d", "3ms", "-o", "p.folded"),
				false),
		0);
	expect_text(out, "wrote p.folded");
	expect_text(out, "SUMMARY");
}

/* Ctrl-C reaches the command as well: it must get SIGINT once, and its profile is written. */
static void typed_interrupt(void **state)
{
	(void)state;
	assert_int_equal(
		run_on_terminal(ARGV("record", "-o", "p.folded", "--", "sh", "-c",
				     "trap 'echo hit >>hits' INT; touch ready;"
				     "for i in 1 2 3 4 5 6 7 8; do sleep 0.04; done; exit 3"),
				true),
		3);
	expect_file("p.folded", "folded");
	assert_int_equal(system("test \"$(cat hits)\" = hit"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(command_status_passes_through),
		CASE(command_that_cannot_run),
		CASE(command_is_not_run_when_loading_fails),
		CASE(command_without_samples),
		CASE(duration_ends_the_command),
		CASE(command_words_are_left_alone),
		CASE(command_inherits_nothing),
		CASE(first_signal_ends_cleanly),
		CASE(second_signal_gives_up),
		CASE(signal_is_handed_to_the_command),
		CASE(terminal_gets_a_file_and_a_summary),
		CASE(quiet_terminal),
		CASE(explicit_file_on_terminal),
		CASE(typed_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
