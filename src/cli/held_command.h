/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The COMMAND of `record -- COMMAND`: a child that waits before its exec until
 * the events are armed, so that its first instruction can be sampled.
 */
#ifndef MIXPROF_CLI_HELD_COMMAND_H
#define MIXPROF_CLI_HELD_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct held_command;

/* argv is NULL-terminated. 0 or negative errno. */
int held_command__new(char **argv, struct held_command **ret_command);
pid_t held_command__pid(const struct held_command *command);
/* Lets it exec. -ENOENT and so on: the exec failed with that errno. */
int held_command__release(struct held_command *command);
/* It did exec, or was about to when it failed. */
bool held_command__is_released(const struct held_command *command);
/* It has exited; it stays a zombie, so that its PID is not given to another. */
bool held_command__has_exited(const struct held_command *command);
void held_command__signal(const struct held_command *command, int number);
/* Waits and reaps. As a shell: the exit status, or 128 + the signal. -EINTR: a signal came to us.
 */
int held_command__wait(struct held_command *command);
/* One that was never released ends without having run; a running one is left alone. */
void held_command__free(struct held_command *command);

static inline void held_command__freep(struct held_command **command)
{
	held_command__free(*command);
}

#endif
