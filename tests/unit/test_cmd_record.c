/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_record and cmd_replay with a fake pipeline, profile and exporters: what
 * scripts rely on (exit statuses, files, messages), the holding of a command, and
 * signals. Each case runs the command in a child process in a directory of its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/command.h"
#include "merge/stack_merge.h"
#include "output/exporter.h"
#include "pipeline.h"
#include "profile/intern.h"

/* --- the fakes: what they shall do is set before the fork --- */

static struct {
	int new_err, start_err, run_err, stop_err, replay_err, write_err;
	bool system_cannot;
	bool nothing, check_hold;  /* no sample, ever */
	unsigned int gone_after;   /* runs until the targets are gone; 0: never */
	unsigned int stop_seconds; /* how long stopping takes */
	uint64_t lost;
	size_t processes;
} fake;

struct pipeline {
	struct pipeline_options options;
	pid_t first;
	uint64_t samples;
	unsigned int runs;
};

static struct profile_process fake_processes[3];

static int fail_with(int err, const char *what, struct pipeline_error *error)
{
	if (!err)
		return 0;
	error->code = err;
	error->system_cannot = fake.system_cannot;
	snprintf(error->message, sizeof(error->message), "fake %s failed; try another", what);
	return err;
}

/* Which program the target runs: this test while held, another after exec. */
static bool runs_this_program(pid_t pid)
{
	char path[64], theirs[256] = "", ours[256] = "";

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, theirs, sizeof(theirs) - 1) > 0 &&
	       readlink("/proc/self/exe", ours, sizeof(ours) - 1) > 0 && strcmp(theirs, ours) == 0;
}

int pipeline__new(const struct pipeline_options *options, struct pipeline **ret_pipeline,
		  struct pipeline_error *error)
{
	int err = fail_with(fake.new_err, "new", error);
	struct pipeline *pipeline;

	if (err)
		return err;
	pipeline = calloc(1, sizeof(*pipeline));
	pipeline->options = *options;
	pipeline->first = options->pids[0];
	fprintf(stderr, "[pids %zu hz %u]", options->pid_count, options->hz);
	*ret_pipeline = pipeline;
	return 0;
}

int pipeline__start(struct pipeline *pipeline, struct pipeline_error *error)
{
	if (fake.check_hold) {
		usleep(30000); /* time enough to exec, were it not held */
		fprintf(stderr, "[%s]", runs_this_program(pipeline->first) ? "held" : "not held");
	}
	if (pipeline->options.capture_fd >= 0 &&
	    write(pipeline->options.capture_fd, "captured", 8) != 8)
		return -EIO;
	return fail_with(fake.start_err, "start", error);
}

int pipeline__run(struct pipeline *pipeline, unsigned int timeout_ms)
{
	if (usleep(timeout_ms * 1000) && errno == EINTR)
		return -EINTR;
	pipeline->runs++;
	pipeline->samples += !fake.nothing;
	return fake.run_err;
}

int pipeline__stop(struct pipeline *pipeline, struct pipeline_error *error)
{
	(void)pipeline;
	for (unsigned int i = 0; i < fake.stop_seconds * 100; i++)
		usleep(10000);
	return fail_with(fake.stop_err, "stop", error);
}

void pipeline__free(struct pipeline *pipeline)
{
	free(pipeline);
}

int pipeline__replay(int capture_fd, struct pipeline **ret_pipeline, struct pipeline_error *error)
{
	int err = fail_with(fake.replay_err, "replay", error);
	char bytes[16] = "";

	if (err)
		return err;
	assert_true(read(capture_fd, bytes, sizeof(bytes) - 1) > 0);
	*ret_pipeline = calloc(1, sizeof(**ret_pipeline));
	(*ret_pipeline)->samples = strtoull(bytes, NULL, 10);
	return 0;
}

struct profile *pipeline__profile(struct pipeline *pipeline)
{
	return (struct profile *)pipeline;
}

void pipeline__stats(struct pipeline *pipeline, struct run_stats *ret_stats)
{
	*ret_stats = (struct run_stats){.written = pipeline->samples, .lost_ring_full = fake.lost};
	ret_stats->verdicts[VERDICT_EXACT] = pipeline->samples;
}

bool pipeline__targets_gone(const struct pipeline *pipeline)
{
	return fake.gone_after && pipeline->runs >= fake.gone_after;
}

uint64_t profile__total(const struct profile *profile)
{
	return ((const struct pipeline *)profile)->samples;
}

size_t profile__process_count(const struct profile *profile)
{
	(void)profile;
	return fake.processes;
}

struct profile_process *profile__process(const struct profile *profile, uint32_t index)
{
	(void)profile;
	assert_true(index < fake.processes);
	fake_processes[index] = (struct profile_process){.pid = 77 + index, .samples = index};
	return &fake_processes[index];
}

struct string_table *profile__strings(const struct profile *profile)
{
	(void)profile;
	return NULL;
}

const char *string_table__get(const struct string_table *table, uint32_t id)
{
	(void)table;
	(void)id;
	return "snake";
}

const char *verdict_name(enum verdict verdict)
{
	return verdict == VERDICT_EXACT ? "exact" : "other";
}

static int write_fake(const char *format, const struct export_options *options, FILE *to)
{
	fprintf(to, "%s frames=%d no_lines=%d title=%s\n", format, options->frames,
		options->no_lines, options->title ? options->title : "none");
	return fake.write_err;
}

int export_folded(const struct profile *profile, const struct run_stats *stats,
		  const struct export_options *options, FILE *to)
{
	(void)profile;
	(void)stats;
	return write_fake("folded", options, to);
}

int export_html(const struct profile *profile, const struct run_stats *stats,
		const struct export_options *options, FILE *to)
{
	(void)profile;
	(void)stats;
	return write_fake("html", options, to);
}

int export_stats_json(const struct profile *profile, const struct run_stats *stats, FILE *to)
{
	(void)profile;
	fprintf(to, "{\"written\":%llu}\n", (unsigned long long)stats->written);
	return 0;
}

int export_summary(const struct profile *profile, const struct run_stats *stats, FILE *to)
{
	(void)profile;
	(void)stats;
	fprintf(to, "SUMMARY\n");
	return 0;
}

static const struct exporter folded = {"folded", ".folded", export_folded};
static const struct exporter html = {"html", ".html", export_html};
const struct exporter *const exporters[] = {&folded, &html, NULL};

const struct exporter *exporter_find(const char *name)
{
	for (size_t i = 0; exporters[i]; i++)
		if (strcmp(exporters[i]->name, name) == 0)
			return exporters[i];
	return NULL;
}

const struct exporter *exporter_for_path(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && exporters[i]; i++)
		if (strcmp(exporters[i]->extension, dot) == 0)
			return exporters[i];
	return NULL;
}

/* --- running mixprof --- */

static char directory[64], home[256];
static char out[4096], errors[4096]; /* what the run wrote */
static pid_t target;		     /* a process that does nothing */

static void read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t length = file ? fread(text, 1, size - 1, file) : 0;

	text[length] = '\0';
	if (file)
		fclose(file);
}

static pid_t start_mixprof(const struct command *command, char **argv)
{
	int argc = 0;
	pid_t pid;

	while (argv[argc])
		argc++;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		close_range(3, ~0u, 0); /* what whoever runs the tests left open */
		dup2(open("../out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDOUT_FILENO);
		dup2(open("../err", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600),
		     STDERR_FILENO);
		exit(command->run(command, argc, argv));
	}
	return pid;
}

static int wait_mixprof(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_file("../out", out, sizeof(out));
	read_file("../err", errors, sizeof(errors));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})
#define RECORD(...) wait_mixprof(start_mixprof(&cmd_record, ARGV("record", __VA_ARGS__)))
#define REPLAY(...) wait_mixprof(start_mixprof(&cmd_replay, ARGV("replay", __VA_ARGS__)))

#define expect_text(text, part)                                                                    \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("\"%s\" is not in \"%s\"", part, text);                           \
	} while (0)

static void expect_file(const char *path, const char *part)
{
	char text[512];

	assert_int_equal(access(path, F_OK), 0);
	read_file(path, text, sizeof(text));
	expect_text(text, part);
}

static unsigned int count_files(void)
{
	DIR *here = opendir(".");
	unsigned int files = 0;

	assert_non_null(here);
	for (struct dirent *entry; (entry = readdir(here));)
		files += entry->d_name[0] != '.';
	closedir(here);
	return files;
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static char *target_text(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", target);
	return text;
}

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.processes = 1;
	assert_non_null(getcwd(home, sizeof(home)));
	strcpy(directory, "/tmp/mixprof-record-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(chdir("d"), 0);
	fflush(NULL);
	target = fork();
	assert_true(target >= 0);
	if (target == 0)
		for (;;)
			pause();
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	assert_int_equal(chdir(home), 0);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

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
	sleep_ms(50);
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
		sleep_ms(1);
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
		assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", "sleep 0.06"), 125);
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

/* --- commands --- */

static void command_status_passes_through(void **state)
{
	(void)state;
	fake.check_hold = true;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", "sleep 0.06; exit 7"), 7);
	expect_text(errors, "[held]");
	fake.check_hold = false;
	expect_file("p.folded", "folded");
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", "sleep 0.06"), 0);
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", "sleep 0.06; kill -9 $$"), 137);
	fake.write_err = -EIO;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c", "sleep 0.06; exit 7"), 125);
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
	assert_int_equal(RECORD("-d", "60ms", "-o", "p.folded", "--", "sleep", "100"), 0);
	expect_file("p.folded", "folded");
	/* One that ends in its own way when asked to has its own status. */
	assert_int_equal(RECORD("-d", "60ms", "-o", "p.folded", "--", "sh", "-c",
				"trap 'exit 5' TERM; while :; do sleep 0.02; done"),
			 5);
}

static void command_words_are_left_alone(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-o", "p.folded", "--", "sh", "-c",
				"sleep 0.06; echo \"$0|$1|$2\" >words", "-p", "--help", "--"),
			 0);
	expect_file("words", "-p|--help|--\n");
}

/* The command finds its signals as mixprof did, and none of mixprof's files. */
static void command_inherits_nothing(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-o", "p.folded", "--capture", "c", "--", "sh", "-c",
				"sleep 0.06; grep -E 'SigIgn|SigBlk' /proc/self/status >mask;"
				"ls /proc/self/fd >fds"),
			 0);
	expect_file("mask", "SigBlk:\t0000000000000000");
	expect_file("mask", "SigIgn:\t0000000000000000");
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

		sleep_ms(80);
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
	sleep_ms(60);
	assert_int_equal(count_files(), 3);
	kill(pid, SIGINT);
	sleep_ms(30);
	kill(pid, SIGINT);
	assert_int_equal(wait_mixprof(pid), 130);
	assert_int_equal(count_files(), 0);
}

static void signal_is_handed_to_the_command(void **state)
{
	pid_t pid = start_mixprof(&cmd_record,
				  ARGV("record", "-o", "p.folded", "--", "sh", "-c",
				       "trap 'test -e p.folded && echo ok >order; exit 9' TERM;"
				       "while :; do sleep 0.02; done"));

	(void)state;
	sleep_ms(80);
	kill(pid, SIGTERM);
	assert_int_equal(wait_mixprof(pid), 9);
	expect_file("p.folded", "folded");
	expect_file("order", "ok"); /* the profile was there before the command was told */
	pid = start_mixprof(&cmd_record, ARGV("record", "-o", "p.folded", "--", "sleep", "100"));
	sleep_ms(80);
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
	fflush(NULL);
	pid = forkpty(&master, NULL, NULL, NULL);
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("TERM", "xterm", 1);
		exit(cmd_record.run(&cmd_record, argc, argv));
	}
	if (type_interrupt) {
		sleep_ms(150);
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
	expect_text(out, "wrote mixprof-test_cmd_record-2");
	expect_text(out, "samples  exact 100.0%  lost 0");
	listing = popen("ls mixprof-test_cmd_record-2*-*.html", "r");
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
				     "trap 'echo hit >>hits' INT;"
				     "for i in 1 2 3 4 5 6 7 8; do sleep 0.04; done; exit 3"),
				true),
		3);
	expect_file("p.folded", "folded");
	assert_int_equal(system("test \"$(cat hits)\" = hit"), 0);
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
		CASE(replays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
