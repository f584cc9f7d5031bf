/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads every program of BPF objects and prints `OBJECT PROGRAM INSTRUCTIONS`:
 * how many the running kernel's verifier processed, by its own statistics. A
 * program that is refused fails it, with the end of the verifier's log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/cleanup.h"

#define LOG_STATISTICS 4 /* BPF_LOG_STATS of the kernel's bpf_verifier.h */
#define LOG_BYTES (1u << 20)
#define PROGRAMS_MAX 64

static void close_object(struct bpf_object **object)
{
	bpf_object__close(*object);
}

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static int print_program(const char *path, const struct bpf_program *program, const char *log)
{
	const char *statistics = strstr(log, "processed ");
	const char *slash = strrchr(path, '/');

	if (!statistics) {
		fprintf(stderr, "%s: the verifier gave no statistics\n",
			bpf_program__name(program));
		return -1;
	}
	printf("%s %s %lu\n", slash ? slash + 1 : path, bpf_program__name(program),
	       strtoul(statistics + strlen("processed "), NULL, 10));
	return 0;
}

static int load(const char *path)
{
	_cleanup_(close_object) struct bpf_object *object = bpf_object__open_file(path, NULL);
	_cleanup_free_ char *logs = calloc(PROGRAMS_MAX, LOG_BYTES);
	struct bpf_program *program;
	unsigned int count = 0, i = 0;

	if (!object || !logs)
		return -1;
	bpf_object__for_each_program(program, object)
	{
		if (count == PROGRAMS_MAX)
			return -1;
		bpf_program__set_log_level(program, LOG_STATISTICS);
		bpf_program__set_log_buf(program, logs + count * LOG_BYTES, LOG_BYTES);
		bpf_program__set_autoload(program, true);
		count++;
	}
	if (count == 0 || bpf_object__load(object)) {
		for (i = 0; i < count; i++)
			if (logs[i * LOG_BYTES] && !strstr(logs + i * LOG_BYTES, "processed "))
				fprintf(stderr, "%s\n", logs + i * LOG_BYTES);
		fprintf(stderr, "%s: not loaded\n", path);
		return -1;
	}
	bpf_object__for_each_program(
		program,
		object) if (print_program(path, program, logs + i++ * LOG_BYTES)) return -1;
	return 0;
}

int main(int argc, char **argv)
{
	int status = argc > 1 ? 0 : 1;

	libbpf_set_print(silent);
	for (int i = 1; i < argc; i++)
		if (load(argv[i]))
			status = 1;
	return status;
}
