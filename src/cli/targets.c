/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --pid. A thread's id opens /proc/TID as a process's does, so the leader is
 * compared: who gives a thread is told the process it belongs to.
 */
#include "cli/targets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static int parse_one(const char *word, pid_t *ret_pid)
{
	uint32_t value;

	if (parse_u32(word, &value) || value == 0 || value > INT32_MAX) {
		log_error("--pid needs process numbers such as 12,345, not \"%s\"", word);
		return STATUS_USAGE;
	}
	*ret_pid = (pid_t)value;
	return STATUS_OK;
}

static int refuse_duplicates(const struct targets *targets)
{
	for (size_t i = 1; i < targets->count; i++) {
		if (targets->pids[i - 1] == targets->pids[i]) {
			log_error("--pid names %d twice; give each PID once", targets->pids[i]);
			return STATUS_USAGE;
		}
	}
	return STATUS_OK;
}

int targets_parse(const char *text, struct targets *ret_targets)
{
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_free_ pid_t *pids = calloc(strlen(text) + 1, sizeof(*pids));
	struct targets targets = {.pids = pids};
	char *rest = copy, *word;
	int status;

	if (!copy || !pids) {
		log_error("out of memory");
		return STATUS_FAILED;
	}
	while ((word = strsep(&rest, ","))) {
		status = parse_one(word, &pids[targets.count++]);
		if (status)
			return status;
	}
	qsort(pids, targets.count, sizeof(*pids), compare_pids);
	status = refuse_duplicates(&targets);
	if (status)
		return status;
	*ret_targets = targets;
	take_ptr(pids);
	return STATUS_OK;
}

/* Tgid and State of /proc/PID/status. False: no such process. */
static bool read_status(pid_t pid, pid_t *ret_leader, char *ret_state)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[256];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "State: %c", ret_state) == 1)
			continue;
		if (sscanf(line, "Tgid: %d", ret_leader) == 1)
			found = true;
	}
	return found;
}

static int check_one(pid_t pid)
{
	pid_t leader;
	char state = '?';

	if (!read_status(pid, &leader, &state)) {
		log_error("there is no process %d; see \"ps -e\" for those that run", pid);
		return STATUS_FAILED;
	}
	if (leader != pid) {
		log_error("%d is a thread of process %d; profile it with --pid %d", pid, leader,
			  leader);
		return STATUS_FAILED;
	}
	if (state == 'Z' || state == 'X') {
		log_error("process %d has already exited; its parent only has not collected it",
			  pid);
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

int targets_check(const struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		int status = check_one(targets->pids[i]);

		if (status)
			return status;
	}
	return STATUS_OK;
}

void target_comm(pid_t pid, char *comm, size_t size)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	comm[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(comm, (int)size, file))
		comm[strcspn(comm, "\n")] = '\0';
}

void targets_done(struct targets *targets)
{
	free(targets->pids);
	*targets = (struct targets){0};
}
