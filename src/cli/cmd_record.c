/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mixprof record`: says what to profile and for how long, drives the pipeline,
 * writes the result, and ends with the status that scripts expect. Everything
 * that can be wrong with the wishes is found before the system is touched.
 *
 * The order at the end matters: the profile is written before a command is told
 * to end, since names are read from its memory.
 */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/held_command.h"
#include "cli/interrupt.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/targets.h"

#define DEFAULT_HZ 99
#define WAIT_MS 50
#define PROGRESS_NS UINT64_C(500000000)

struct record_options {
	const char *pids;
	uint64_t duration_ns; /* 0: until the end, or Ctrl-C */
	uint32_t hz;
	const char *capture_path;
	struct result_options result;
};

static const struct option_spec options[] = {
	OPTION('p', LIST, "pid", "PID[,PID...]", "profile these processes, new threads included",
	       offsetof(struct record_options, pids), NULL),
	OPTION('d', DURATION, "duration", "TIME",
	       "end after TIME (250ms, 10s, 5m); else at Ctrl-C or the end of the processes",
	       offsetof(struct record_options, duration_ns), NULL),
	OPTION('F', NUMBER, "frequency", "HZ", "samples per second and CPU (99)",
	       offsetof(struct record_options, hz), NULL),
	RESULT_OPTIONS(struct record_options, result),
	OPTION(0, FILE, "capture", "FILE", "keep the raw recording in FILE, for mixprof replay",
	       offsetof(struct record_options, capture_path), NULL),
	{0},
};

/* Why a recording ended. */
enum ending { ENDED_BY_TARGETS, ENDED_BY_DURATION, ENDED_BY_SIGNAL };

struct recording {
	const struct record_options *wanted; /* borrowed */
	struct targets targets;
	struct held_command *command; /* NULL: --pid was given */
	struct result *result;
	struct output_file *capture; /* NULL: not asked for */
	struct pipeline *pipeline;
	enum ending ending;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int fail(const struct pipeline_error *error)
{
	progress_clear();
	log_error("%s", error->message[0] ? error->message : strerror(-error->code));
	return error->system_cannot ? STATUS_SYSTEM : STATUS_FAILED;
}

static int open_pipeline(struct recording *recording)
{
	struct pipeline_options wanted = {
		.pids = recording->targets.pids,
		.pid_count = recording->targets.count,
		.hz = recording->wanted->hz,
		.capture_fd = recording->capture ? output_file__fd(recording->capture) : -1,
	};
	struct pipeline_error error = {0};

	if (pipeline__new(&wanted, &recording->pipeline, &error))
		return fail(&error);
	return STATUS_OK;
}

static bool is_over(struct recording *recording, uint64_t elapsed_ns)
{
	uint64_t duration_ns = recording->wanted->duration_ns;

	if (interrupt_signal())
		recording->ending = ENDED_BY_SIGNAL;
	else if (recording->command ? held_command__has_exited(recording->command)
				    : pipeline__targets_gone(recording->pipeline))
		recording->ending = ENDED_BY_TARGETS;
	else if (duration_ns && elapsed_ns >= duration_ns)
		recording->ending = ENDED_BY_DURATION;
	else
		return false;
	return true;
}

static unsigned int wait_ms(const struct recording *recording, uint64_t elapsed_ns)
{
	uint64_t duration_ns = recording->wanted->duration_ns;

	if (duration_ns && duration_ns - elapsed_ns < WAIT_MS * UINT64_C(1000000))
		return (unsigned int)((duration_ns - elapsed_ns) / 1000000) + 1;
	return WAIT_MS;
}

static void show_progress(struct recording *recording, uint64_t elapsed_ns)
{
	struct run_stats stats;

	pipeline__stats(recording->pipeline, &stats);
	progress_show(&stats, (double)elapsed_ns / 1e9);
}

static int run_pipeline(struct recording *recording)
{
	bool wants_progress = progress_is_wanted();
	uint64_t start_ns = now_ns(), elapsed_ns = 0, shown_ns = 0;
	int err;

	while (!is_over(recording, elapsed_ns)) {
		err = pipeline__run(recording->pipeline, wait_ms(recording, elapsed_ns));
		if (err && err != -EINTR) {
			progress_clear();
			log_error("the recording broke off: %s", strerror(-err));
			return STATUS_FAILED;
		}
		elapsed_ns = now_ns() - start_ns;
		if (wants_progress && elapsed_ns - shown_ns >= PROGRESS_NS) {
			show_progress(recording, elapsed_ns);
			shown_ns = elapsed_ns;
		}
	}
	progress_clear();
	return STATUS_OK;
}

static int start_command(struct recording *recording, const char *name)
{
	int err = recording->command ? held_command__release(recording->command) : 0;

	if (!err)
		return STATUS_OK;
	log_error("cannot run \"%s\": %s", name, strerror(-err));
	return err == -ENOENT ? STATUS_COMMAND_MISSING : STATUS_COMMAND_REFUSED;
}

static int explain_nothing(const struct recording *recording)
{
	if (recording->ending == ENDED_BY_TARGETS)
		log_error("nothing was recorded: %s ended before a sample was taken; "
			  "a higher --frequency samples sooner",
			  recording->command ? "the command" : "the process");
	else
		log_error("nothing was recorded: the process did not run on a CPU; "
			  "record for longer, or while it works");
	return STATUS_NOTHING;
}

static int commit_capture(struct output_file *capture)
{
	int err = capture ? output_file__commit(capture) : 0;

	if (!err)
		return STATUS_OK;
	log_error("cannot write \"%s\": %s", output_file__path(capture), strerror(-err));
	return STATUS_FAILED;
}

/* name is the command's, for messages. */
static int record(struct recording *recording, const char *name)
{
	struct pipeline_error error = {0};
	int status;

	status = open_pipeline(recording);
	if (status)
		return status;
	if (pipeline__start(recording->pipeline, &error))
		return fail(&error);
	status = start_command(recording, name);
	if (status)
		return status;
	status = run_pipeline(recording);
	if (status)
		return status;
	if (pipeline__stop(recording->pipeline, &error))
		return fail(&error);
	if (profile__total(pipeline__profile(recording->pipeline)) == 0)
		return explain_nothing(recording);
	status = commit_capture(recording->capture);
	if (status)
		return status;
	return result__write(recording->result, recording->pipeline);
}

/* Waits for the command; a signal that only we got is handed on. A second one ends us in its
 * handler. */
static int wait_for(struct held_command *command)
{
	int status;

	while ((status = held_command__wait(command)) == -EINTR)
		if (interrupt_signal() && interrupt_was_sent())
			held_command__signal(command, interrupt_signal());
	return status < 0 ? STATUS_COMMAND_FAILED : status;
}

/* The status of `record -- COMMAND`, given that of the recording. */
static int end_command(struct recording *recording, int status)
{
	bool is_ended_by_us = false;
	int command_status;

	if (status == STATUS_COMMAND_MISSING || status == STATUS_COMMAND_REFUSED)
		return status;
	if (!held_command__is_released(recording->command))
		return STATUS_COMMAND_FAILED;
	if (recording->ending == ENDED_BY_SIGNAL) {
		if (interrupt_was_sent())
			held_command__signal(recording->command, interrupt_signal());
	} else if (!held_command__has_exited(recording->command)) {
		held_command__signal(recording->command, SIGTERM);
		is_ended_by_us = true;
	}
	command_status = wait_for(recording->command);
	if (status == STATUS_NOTHING)
		return command_status ? command_status : STATUS_NOTHING;
	if (status)
		return STATUS_COMMAND_FAILED;
	return is_ended_by_us && command_status == 128 + SIGTERM ? STATUS_OK : command_status;
}

static int open_outputs(struct recording *recording, const char *name)
{
	const char *path = recording->wanted->capture_path;
	int err, status;

	status = result__open(&recording->wanted->result, name, &recording->result);
	if (status || !path)
		return status;
	err = output_file__open(path, &recording->capture);
	if (!err)
		return STATUS_OK;
	log_error("cannot write \"%s\": %s", path, strerror(-err));
	return STATUS_FAILED;
}

static int record_pids(struct recording *recording)
{
	char comm[32];
	int status;

	status = targets_parse(recording->wanted->pids, &recording->targets);
	if (!status)
		status = targets_check(&recording->targets);
	if (status)
		return status;
	target_comm(recording->targets.pids[0], comm, sizeof(comm));
	status = open_outputs(recording, comm);
	return status ? status : record(recording, NULL);
}

static int record_command(struct recording *recording, char **argv)
{
	_cleanup_free_ char *copy = strdup(argv[0]);
	int err, status;

	status = copy ? open_outputs(recording, basename(copy)) : STATUS_FAILED;
	if (status)
		return status == STATUS_USAGE ? status : STATUS_COMMAND_FAILED;
	recording->targets.pids = calloc(1, sizeof(pid_t));
	err = recording->targets.pids ? held_command__new(argv, &recording->command) : -ENOMEM;
	if (err) {
		log_error("cannot start \"%s\": %s", argv[0], strerror(-err));
		return STATUS_COMMAND_FAILED;
	}
	recording->targets.pids[0] = held_command__pid(recording->command);
	recording->targets.count = 1;
	return end_command(recording, record(recording, argv[0]));
}

static void recording_done(struct recording *recording)
{
	pipeline__free(recording->pipeline);
	result__free(recording->result);
	output_file__free(recording->capture);
	held_command__free(recording->command);
	targets_done(&recording->targets);
}

static int check_wishes(const struct record_options *wanted, const struct operands *operands)
{
	if (operands->before_count) {
		log_error("\"%s\" is no option; to profile a command put -- before it: "
			  "mixprof record -- %s",
			  operands->before[0], operands->before[0]);
		return STATUS_USAGE;
	}
	if (wanted->pids && operands->has_separator) {
		log_error("--pid and a command exclude each other; give one of them");
		return STATUS_USAGE;
	}
	if (!wanted->pids && !operands->after_count) {
		log_error("nothing to profile; give --pid PID, or -- and a command");
		return STATUS_USAGE;
	}
	if (wanted->capture_path && strcmp(wanted->capture_path, "-") == 0) {
		log_error("a capture cannot go to standard output; give --capture a file name");
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
	struct record_options wanted = {.hz = DEFAULT_HZ};
	_cleanup_(recording_done) struct recording recording = {.wanted = &wanted};
	struct operands operands;
	int status;

	if (!command_parse(self, &wanted, argc, argv, &operands, &status))
		return status;
	result_set_log_level(&wanted.result);
	status = check_wishes(&wanted, &operands);
	if (status)
		return status;
	interrupt_install();
	return wanted.pids ? record_pids(&recording) : record_command(&recording, operands.after);
}

const struct command cmd_record = {
	.name = "record",
	.summary = "Profile processes, or a command, and write a flame graph or folded stacks",
	.synopsis = "[OPTIONS] -p PID[,PID...]\n       mixprof record [OPTIONS] -- COMMAND "
		    "[ARGUMENT...]",
	.options = options,
	.run = run,
};
