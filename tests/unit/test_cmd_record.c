/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_record and cmd_replay: what scripts rely on when a process is given. Exit
 * statuses, files that appear whole or not at all, messages.
 */
#include "unit/fake_pipeline.h"

#include <pthread.h>

/* --- usage --- */

struct usage_case {
	char *words[6];
	const char *message;
};

static void wrong_usage_is_2(void **state)
{
	static struct usage_case cases[] = {
		{{NULL}, "nothing to profile; give --pid PID, or -- and a command"},
		{{"--"}, "nothing to profile"},
		{{"python3", "x.py"}, "mixprof record -- python3"},
		{{"-p", "1", "--", "true"}, "exclude each other"},
		{{"-p", "1,1"}, "names 1 twice"},
		{{"-p", "3,1,2,1"}, "names 1 twice"},
		{{"-p", "1,x"}, "not \"x\""},
		{{"-p", "1,"}, "not \"\""},
		{{"-p", "0"}, "not \"0\""},
		{{"-p", "-1"}, "not \"-1\""},
		{{"-p", "99999999999"}, "--pid needs"},
		{{"-p"}, "--pid needs a value"},
		{{"-p", ""}, "not an empty word"},
		{{"-p", "1", "-F", "0"}, "above 0"},
		{{"-p", "1", "-F", "many"}, "not \"many\""},
		{{"-p", "1", "-d", "5x"}, "such as 250ms"},
		{{"-p", "1", "-d", "0"}, "such as 250ms"},
		{{"-p", "1", "--frames=all"}, "mixed, python, native, full"},
		{{"-p", "1", "--format", "svg"}, "one of: folded, html"},
		{{"-p", "1", "-o", "x.svg"}, "end it in .folded or .html"},
		{{"-p", "1", "-o", "x.folded", "--stats=x.folded"}, "cannot both go"},
		{{"-p", "1", "--stats", "-"}, "cannot both go"},
		{{"-p", "1", "--capture", "-"}, "--capture a file name"},
		{{"-p", "1", "--durration", "1"}, "did you mean --duration?"},
		{{"-p", "1", "--freq", "1"}, "did you mean --frequency?"},
		{{"-p", "1", "--xyzzy"}, "see \"mixprof record --help\""},
		{{"-p", "1", "-Z"}, "no option -Z"},
		{{"-p", "1", "--no-lines=1"}, "takes no value"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[8] = {"record"};

		memcpy(argv + 1, cases[i].words, sizeof(cases[i].words));
		assert_int_equal(wait_mixprof(start_mixprof(&cmd_record, argv)), 2);
		expect_text(errors, cases[i].message);
		/* One sentence, and nothing was tried. */
		assert_ptr_equal(strchr(errors, '\n'), errors + strlen(errors) - 1);
		assert_null(strstr(errors, "[pids"));
		assert_string_equal(out, "");
		assert_int_equal(count_files(), 0);
	}
}

static void help_is_0(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-p", "1", "--help", "--nonsense"), 0);
	expect_text(out, "Usage: mixprof record");
	expect_text(out, "-d, --duration TIME");
	expect_text(out, "--no-lines");
	assert_string_equal(errors, "");
}

static void no_such_process_is_1(void **state)
{
	pid_t gone = fork();
	char text[16];

	(void)state;
	assert_true(gone >= 0);
	if (gone == 0)
		_exit(0);
	snprintf(text, sizeof(text), "%d", gone);
	/* A zombie first, then nothing. */
	assert_int_equal(waitid(P_PID, (id_t)gone, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(RECORD("-p", text, "-o", "x.folded"), 1);
	expect_text(errors, "already exited");
	waitpid(gone, NULL, 0);
	assert_int_equal(RECORD("-p", text, "-o", "x.folded"), 1);
	expect_text(errors, "there is no process");
	assert_int_equal(count_files(), 0);
}

static void *sleep_in_thread(void *tid)
{
	__atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void thread_id_is_told(void **state)
{
	pid_t tid = 0;
	pthread_t thread;
	char text[16], expected[64];

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, sleep_in_thread, &tid), 0);
	while (!__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	snprintf(text, sizeof(text), "%d", tid);
	snprintf(expected, sizeof(expected), "is a thread of process %d", getpid());
	assert_int_equal(RECORD("-p", text, "-d", "1s"), 1);
	expect_text(errors, expected);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

/* --- results --- */

static void writes_what_was_asked(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-p", target_text(), "-d", "2ms", "-F", "49", "-o", "p.folded",
				"--stats", "s.json", "--capture", "c.bin", "--frames=native",
				"--no-lines"),
			 0);
	expect_file("p.folded", "folded frames=2 no_lines=1 title=snake (77)\n");
	expect_file("s.json", "{\"written\":1}");
	expect_file("c.bin", "captured");
	expect_text(errors, "[pids 1 hz 49]");
	expect_text(errors, "mixprof: wrote p.folded (1 samples)");
	assert_null(strstr(errors, "SUMMARY")); /* not a terminal */
	assert_string_equal(out, "");
	assert_int_equal(count_files(), 3);
	assert_int_equal(RECORD("-qp", target_text(), "-d3ms", "--output=p.html"), 0);
	expect_file("p.html", "html frames=0 no_lines=0");
	assert_null(strstr(errors, "wrote"));
	expect_text(errors, "hz 99]");
	fake.processes = 3;
	assert_int_equal(RECORD("-p", target_text(), "-d3ms", "-op.txt", "--format=html"), 0);
	expect_file("p.txt", "title=snake (79) and 2 more\n");
}

static void standard_output(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms"), 0);
	assert_string_equal(out, "folded frames=0 no_lines=0 title=snake (77)\n");
	assert_null(strstr(errors, "mixprof:"));
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms", "-o", "-", "--format=html",
				"--stats", "s"),
			 0);
	assert_string_equal(out, "html frames=0 no_lines=0 title=snake (77)\n");
	assert_int_equal(count_files(), 1);
}

static void usual_mode(void **state)
{
	mode_t old = umask(027);
	struct stat st;

	(void)state;
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms", "-o", "p.folded"), 0);
	umask(old);
	assert_int_equal(stat("p.folded", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void nothing_recorded_is_4(void **state)
{
	(void)state;
	fake.nothing = true;
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms", "-o", "p.folded", "--stats",
				"s.json", "--capture", "c.bin"),
			 4);
	expect_text(errors, "nothing was recorded: the process did not run");
	assert_int_equal(count_files(), 0);
	fake.gone_after = 1;
	assert_int_equal(RECORD("-p", target_text()), 4);
	expect_text(errors, "nothing was recorded: the process ended");
	assert_string_equal(out, "");
}

static void failures_leave_nothing(void **state)
{
	static const struct {
		int *where, err, status;
		bool system_cannot;
		const char *message;
	} cases[] = {
		{&fake.new_err, -EPERM, 3, true, "fake new failed; try another"},
		{&fake.new_err, -ESRCH, 1, false, "fake new failed"},
		{&fake.start_err, -EIO, 1, false, "fake start failed"},
		{&fake.run_err, -EIO, 1, false, "broke off: Input/output error"},
		{&fake.stop_err, -ENOMEM, 1, false, "fake stop failed"},
		{&fake.write_err, -ENOSPC, 1, false, "cannot write \"p.folded\": No space"},
	};
	FILE *old = fopen("p.folded", "w");

	(void)state;
	assert_non_null(old);
	fputs("old", old);
	fclose(old);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*cases[i].where = cases[i].err;
		fake.system_cannot = cases[i].system_cannot;
		assert_int_equal(RECORD("-p", target_text(), "-d", "3ms", "-o", "p.folded",
					"--stats", "s.json"),
				 cases[i].status);
		expect_text(errors, cases[i].message);
		expect_file("p.folded", "old");
		assert_int_equal(count_files(), 1);
		/* mixprof itself failed, not the command; and no command outlives that. */
		assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", UNTIL_SAMPLED), 125);
		expect_file("p.folded", "old");
		*cases[i].where = 0;
	}
}

static void odd_output_files(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(
		RECORD("-p", target_text(), "-d", "3ms", "-o", "/dev/null", "--format", "folded"),
		0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(mkdir("sub", 0700), 0);
	assert_int_equal(symlink("sub/real", "link.folded"), 0);
	fclose(fopen("sub/real", "w"));
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms", "-o", "link.folded"), 0);
	assert_int_equal(lstat("link.folded", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	expect_file("sub/real", "folded frames");
	assert_int_equal(RECORD("-p", target_text(), "-o", "sub", "--format=folded"), 1);
	expect_text(errors, "cannot write \"sub\": Is a directory");
	assert_int_equal(RECORD("-p", target_text(), "-o", "no/such/p.folded"), 1);
	expect_text(errors, "cannot write \"no/such/p.folded\": No such file");
	assert_null(strstr(errors, "[pids")); /* found out before recording */
	assert_int_equal(
		RECORD("-p", target_text(), "-d", "3ms", "-o", "/dev/full", "--format=folded"), 1);
	expect_text(errors, "cannot write \"/dev/full\": No space");
}

static void losses_are_told(void **state)
{
	(void)state;
	fake.lost = 9;
	assert_int_equal(RECORD("-p", target_text(), "-d", "3ms"), 0);
	expect_text(errors, "9 of 10 samples were lost; a lower --frequency");
}

static void targets_gone_ends(void **state)
{
	(void)state;
	fake.gone_after = 3;
	assert_int_equal(RECORD("-p", target_text(), "--stats=s"), 0);
	expect_file("s", "{\"written\":3}");
}

/* --- replay --- */

static void replays(void **state)
{
	FILE *capture = fopen("c", "w");

	(void)state;
	assert_non_null(capture);
	fputs("12\n", capture);
	fclose(capture);
	assert_int_equal(REPLAY("c", "-o", "p.folded", "--frames", "full", "--stats=s"), 0);
	expect_file("p.folded", "folded frames=3 no_lines=0 title=snake (77)");
	expect_file("s", "{\"written\":12}");
	assert_int_equal(REPLAY("c"), 0);
	assert_string_equal(out, "folded frames=0 no_lines=0 title=snake (77)\n");
	assert_int_equal(REPLAY("--", "c"), 0);
	assert_int_equal(REPLAY("-q"), 2);
	assert_int_equal(REPLAY("c", "d"), 2);
	expect_text(errors, "one capture file");
	assert_int_equal(REPLAY("nowhere", "-o", "q.folded"), 1);
	expect_text(errors, "cannot read \"nowhere\": No such file");
	fake.replay_err = -EBADMSG;
	assert_int_equal(REPLAY("c", "-o", "q.folded"), 1);
	expect_text(errors, "fake replay failed");
	fake.replay_err = 0;
	capture = fopen("c", "w");
	fputs("0\n", capture);
	fclose(capture);
	assert_int_equal(REPLAY("c", "-o", "q.folded"), 4);
	assert_int_equal(count_files(), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(wrong_usage_is_2),
		CASE(help_is_0),
		CASE(no_such_process_is_1),
		CASE(thread_id_is_told),
		CASE(writes_what_was_asked),
		CASE(standard_output),
		CASE(usual_mode),
		CASE(nothing_recorded_is_4),
		CASE(failures_leave_nothing),
		CASE(odd_output_files),
		CASE(losses_are_told),
		CASE(targets_gone_ends),
		CASE(replays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
