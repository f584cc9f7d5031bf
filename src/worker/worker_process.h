/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as a process: start, liveness, certain death. Part of symbol_worker. */
#ifndef MIXPROF_WORKER_WORKER_PROCESS_H
#define MIXPROF_WORKER_WORKER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKERS_ABANDONED_MAX 4

struct worker_process {
	pid_t pid;  /* 0: none */
	int socket; /* -1: none */
	/* Killed, but still in the kernel (a read that hangs): to be reaped later. */
	pid_t abandoned[WORKERS_ABANDONED_MAX];
};

void worker_process_init(struct worker_process *process);
/* Starts the child; it has not greeted yet. -EAGAIN: too many abandoned ones still hang. */
int worker_process_start(struct worker_process *process);
bool worker_process_is_alive(const struct worker_process *process);
/* SIGKILL, and waits for at most a second. Does nothing if none runs. */
void worker_process_kill(struct worker_process *process);
/* Waits for a packet to arrive: 0, -ETIMEDOUT, -ECONNRESET. */
int worker_process_wait(const struct worker_process *process, uint64_t deadline_ns);
uint64_t worker_clock_ns(void);

#endif
