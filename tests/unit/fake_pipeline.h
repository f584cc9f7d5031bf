/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of cli/: a fake pipeline, profile and exporters, and running a
 * command of mixprof in a child process in a directory of its own. Definitions, not
 * declarations: a test is one file and includes this once.
 */
#ifndef MIXPROF_TESTS_UNIT_FAKE_PIPELINE_H
#define MIXPROF_TESTS_UNIT_FAKE_PIPELINE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* For the test, and for commands, to wait for; never by time, for the machine may be busy. */
static inline void leave_mark(const char *path)
{
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static inline void wait_for_mark(const char *path)
{
	for (unsigned int i = 0; i < 2000 && access(path, F_OK); i++)
		usleep(5000);
	assert_int_equal(access(path, F_OK), 0);
}

/* At the beginning of a shell command: until a sample has been taken. */
#define UNTIL_SAMPLED "until test -e ../running; do sleep 0.01; done;"

int pipeline__run(struct pipeline *pipeline, unsigned int timeout_ms)
{
	if (pipeline->runs++ == 0)
		leave_mark("../running");
	pipeline->samples += !fake.nothing;
	if (usleep(timeout_ms * 1000) && errno == EINTR)
		return -EINTR;
	return fake.run_err;
}

int pipeline__stop(struct pipeline *pipeline, struct pipeline_error *error)
{
	(void)pipeline;
	leave_mark("../stopping");
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
	unlink("../running");
	unlink("../stopping");
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

static inline void expect_file(const char *path, const char *part)
{
	char text[512];

	assert_int_equal(access(path, F_OK), 0);
	read_file(path, text, sizeof(text));
	expect_text(text, part);
}

static inline unsigned int count_files(void)
{
	DIR *here = opendir(".");
	unsigned int files = 0;

	assert_non_null(here);
	for (struct dirent *entry; (entry = readdir(here));)
		files += entry->d_name[0] != '.';
	closedir(here);
	return files;
}

static inline char *target_text(void)
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
