/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this system lets the sampler do. Each check takes what it looks at from
 * struct system_probe_inputs, so that every failure can be shown in a test.
 */
#ifndef MIXPROF_COLLECT_SYSTEM_PROBE_H
#define MIXPROF_COLLECT_SYSTEM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/perf_event.h>

enum probe_status {
	PROBE_OK,
	PROBE_INFO,    /* works, in another way than the usual one */
	PROBE_WARNING, /* works, with less: the finding says what is missing */
	PROBE_FAILED,  /* cannot record */
};

struct probe_result {
	const char *name; /* stable: "kernel", "btf", "bpf:ring_buffer" */
	enum probe_status status;
	int code; /* PROBE_FAILED: negative errno */
	char finding[128];
	char remedy[128]; /* "" when there is nothing to do */
};

struct system_probe_inputs {
	const char *root;	    /* prefix of /proc and /sys: "" but in tests */
	const char *kernel_release; /* uname -r */
	uint64_t capabilities;	    /* effective, a bit per CAP_* */
	uint64_t memlock_bytes;	    /* RLIMIT_MEMLOCK; UINT64_MAX: unlimited */
	/* Opens a CPU-wide event: 0 or negative errno. */
	int (*try_event)(struct perf_event_attr *attr);
	/* Loads one program of bpf/feature_probe.bpf.c: 0 or negative errno. */
	int (*try_program)(const char *program);
};

#define SYSTEM_PROBE_RESULTS_MAX 32

/* This machine and this process. */
void system_probe_inputs_init(struct system_probe_inputs *inputs);
/* All checks; returns their number, at most SYSTEM_PROBE_RESULTS_MAX. */
size_t system_probe_run(const struct system_probe_inputs *inputs, struct probe_result *results);
/* The first check that failed; NULL: mixprof can record. */
const struct probe_result *system_probe_failure(const struct probe_result *results, size_t count);
/* Of this machine: 0, or -EPERM, -ENOTSUP with one sentence: what is wrong, and what to do. */
int system_probe_first_failure(char *message, size_t size);

const char *probe_status_name(enum probe_status status);

#endif
