/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork now, exec later. One socket pair carries both messages: a byte from the
 * parent says "go"; the errno of a failed exec comes back. Both ends are
 * close-on-exec, so a good exec is seen as end of file, and a parent that dies
 * first as end of file in the child.
 */
#include "cli/held_command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/interrupt.h"

struct held_command {
	pid_t pid;
	int socket;
	bool released;
	bool reaped;
};

static void run_child(int fd, char **argv)
{
	ssize_t size;
	char go;
	int err;

	interrupt_restore();
	do
		size = read(fd, &go, 1);
	while (size < 0 && errno == EINTR);
	if (size != 1)
		_exit(STATUS_COMMAND_FAILED);
	execvp(argv[0], argv);
	err = errno;
	if (send(fd, &err, sizeof(err), MSG_NOSIGNAL) < 0)
		_exit(STATUS_COMMAND_FAILED);
	_exit(err == ENOENT ? STATUS_COMMAND_MISSING : STATUS_COMMAND_REFUSED);
}

int held_command__new(char **argv, struct held_command **ret_command)
{
	_cleanup_free_ struct held_command *command = calloc(1, sizeof(*command));
	int fds[2], err;

	if (!command)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	command->socket = fds[0];
	command->pid = fork();
	if (command->pid < 0) {
		err = -errno;
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (command->pid == 0) {
		close(fds[0]);
		run_child(fds[1], argv);
	}
	close(fds[1]);
	*ret_command = take_ptr(command);
	return 0;
}

pid_t held_command__pid(const struct held_command *command)
{
	return command->pid;
}

int held_command__release(struct held_command *command)
{
	ssize_t size;
	int err = 0;

	if (send(command->socket, "", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	command->released = true;
	do
		size = recv(command->socket, &err, sizeof(err), MSG_WAITALL);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	return size == sizeof(err) ? -err : 0;
}

bool held_command__is_released(const struct held_command *command)
{
	return command->released;
}

bool held_command__has_exited(const struct held_command *command)
{
	siginfo_t info = {0};

	if (command->reaped)
		return true;
	if (waitid(P_PID, (id_t)command->pid, &info, WEXITED | WNOHANG | WNOWAIT))
		return true;
	return info.si_pid == command->pid;
}

void held_command__signal(const struct held_command *command, int number)
{
	if (!command->reaped)
		kill(command->pid, number);
}

int held_command__wait(struct held_command *command)
{
	int status;

	if (waitpid(command->pid, &status, 0) < 0)
		return -errno;
	command->reaped = true;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void held_command__free(struct held_command *command)
{
	int status;

	if (!command)
		return;
	close(command->socket);
	if (!command->released && !command->reaped)
		waitpid(command->pid, &status, 0);
	free(command);
}
