/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a profile of stacks read from standard input and writes it as the
 * exporters do, so that tests can show them any names and know the truth.
 *
 *	html_profile html|folded mixed|python|native|full TITLE <STACKS >OUT
 *
 * One line per stack: COUNT, PID, TID, COMM and then frames, root first, each
 * ended by 0x1e; the parts of a frame, KIND, FLAGS, LINE, FILE, NAME, by 0x1f.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "output/exporter.h"
#include "profile/intern.h"
#include "profile/profile.h"

#define DEPTH_MAX 4096
#define PIDS_MAX 64

static uint32_t pids[PIDS_MAX];

static uint32_t intern(struct profile *profile, const char *s)
{
	uint32_t id = 0;

	if (string_table__intern(profile__strings(profile), s, strlen(s), &id))
		abort();
	return id;
}

static char *part(char **rest, const char *end)
{
	char *p = strsep(rest, end);

	return p ? p : "";
}

static uint32_t process_of(struct profile *profile, uint32_t pid, uint32_t comm)
{
	uint32_t index;

	for (index = 0; index < profile__process_count(profile); index++)
		if (pids[index] == pid)
			return index;
	if (index == PIDS_MAX || profile__add_process(profile, pid, comm, &index))
		abort();
	pids[index] = pid;
	return index;
}

static uint32_t read_frame(struct profile *profile, char *text)
{
	struct profile_frame frame = {0};
	uint32_t id = 0;

	frame.kind = (uint8_t)atoi(part(&text, "\x1f"));
	frame.flags = (uint8_t)atoi(part(&text, "\x1f"));
	frame.line = atoi(part(&text, "\x1f"));
	frame.file = intern(profile, part(&text, "\x1f"));
	frame.name = intern(profile, part(&text, "\x1f"));
	if (profile__add_frame(profile, &frame, &id))
		abort();
	return id;
}

static void read_stack(struct profile *profile, struct run_stats *stats, char *line)
{
	static uint32_t frames[DEPTH_MAX];
	uint64_t samples = strtoull(part(&line, "\x1e"), NULL, 10);
	uint32_t pid = (uint32_t)atoi(part(&line, "\x1e"));
	uint32_t tid = (uint32_t)atoi(part(&line, "\x1e"));
	uint32_t comm = intern(profile, part(&line, "\x1e"));
	uint32_t process = process_of(profile, pid, comm), stack;
	size_t count = 0;

	while (line && *line && count < DEPTH_MAX)
		frames[count++] = read_frame(profile, part(&line, "\x1e"));
	if (profile__add_stack(profile, frames, count, &stack) ||
	    profile__add_sample(profile, stack, process, tid, comm, samples))
		abort();
	profile__process(profile, process)->samples += samples;
	stats->run += samples;
	stats->verdicts[samples % 50 == 7] += samples;
}

static enum frame_selection parse_view(const char *name)
{
	if (strcmp(name, "python") == 0)
		return FRAMES_PYTHON;
	if (strcmp(name, "native") == 0)
		return FRAMES_NATIVE;
	return strcmp(name, "full") == 0 ? FRAMES_FULL : FRAMES_MIXED;
}

int main(int argc, char **argv)
{
	struct run_stats stats = {.kernel = "6.1.0",
				  .arch = "x86_64",
				  .event = "cpu-clock",
				  .hz = 999,
				  .seconds = 10,
				  .expected_known = true};
	_cleanup_(profile__freep) struct profile *profile = NULL;
	_cleanup_free_ char *line = NULL;
	const struct exporter *exporter;
	struct export_options options;
	size_t capacity = 0;
	ssize_t size;

	if (argc != 4 || !(exporter = exporter_find(argv[1])) || profile__new(&profile))
		return 2;
	options = (struct export_options){.frames = parse_view(argv[2]), .title = argv[3]};
	while ((size = getline(&line, &capacity, stdin)) > 0) {
		line[size - 1] = '\0';
		read_stack(profile, &stats, line);
	}
	stats.expected = stats.run;
	stats.written = stats.decoded = stats.roots_user = stats.roots_reached = stats.run;
	return exporter->write(profile, &stats, &options, stdout) ? 1 : 0;
}
