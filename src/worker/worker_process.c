/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the child process of the symbol worker and the socket to it.
 *
 * The start is posix_spawn(), which neither copies a large parent's page tables nor
 * runs our code between fork and exec. A killed child may yet not die, if it sleeps
 * in a read of a file system that hangs; it is then left behind and reaped later,
 * up to a number after which no more are started.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "worker/worker_process.h"

#define CHILD_SOCKET 3
#define DEATH_WAIT_MS 1000
#define NS_PER_MS 1000000ull
#define ENVIRONMENT_MAX 8

void worker_process_init(struct worker_process *process)
{
	*process = (struct worker_process){.socket = -1};
}

uint64_t worker_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* What the dynamic linker and the sanitizers need; the rest may hold secrets. */
static void choose_environment(char *chosen[static ENVIRONMENT_MAX + 1])
{
	static const char *const wanted[] = {
		"LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS="};
	size_t count = 0;

	for (char **variable = environ; variable && *variable; variable++)
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (count < ENVIRONMENT_MAX &&
			    !strncmp(*variable, wanted[i], strlen(wanted[i])))
				chosen[count++] = *variable;
	chosen[count] = NULL;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	err = posix_spawnattr_setsigmask(attributes, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(attributes, &all);
	/* a group of its own: ^C at the terminal is the parent's to handle */
	if (!err)
		err = posix_spawnattr_setpgroup(attributes, 0);
	if (!err)
		err = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
								   POSIX_SPAWN_SETSIGDEF |
								   POSIX_SPAWN_SETPGROUP);
	return -err;
}

/* Standard error stays: it carries nothing but a sanitizer's report or a libc abort message. */
static int set_files(posix_spawn_file_actions_t *files, int socket)
{
	int err = posix_spawn_file_actions_adddup2(files, socket, CHILD_SOCKET);

	if (!err)
		err = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	return -err;
}

static int spawn(int socket, pid_t *ret_pid)
{
	char *arguments[] = {"mixprof", "symbol-worker", "3", NULL};
	char *environment[ENVIRONMENT_MAX + 1];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int err;

	choose_environment(environment);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	err = set_attributes(&attributes);
	if (!err)
		err = set_files(&files, socket);
	if (!err)
		err = -posix_spawn(ret_pid, "/proc/self/exe", &files, &attributes, arguments,
				   environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return err;
}

/* False: four of them hang in the kernel, and a fifth would too. */
static bool reap_abandoned(struct worker_process *process)
{
	bool has_room = false;

	for (size_t i = 0; i < WORKERS_ABANDONED_MAX; i++) {
		pid_t *pid = &process->abandoned[i];

		if (*pid != 0 && waitpid(*pid, NULL, WNOHANG) != 0)
			*pid = 0;
		has_room |= *pid == 0;
	}
	return has_room;
}

int worker_process_start(struct worker_process *process)
{
	int sockets[2];
	int err;

	if (!reap_abandoned(process))
		return -EAGAIN;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	err = spawn(sockets[1], &process->pid);
	close(sockets[1]);
	if (err) {
		close(sockets[0]);
		process->pid = 0;
		return err;
	}
	process->socket = sockets[0];
	return 0;
}

bool worker_process_is_alive(const struct worker_process *process)
{
	/* also what nobody asked for shows a worker that is not to be trusted any more */
	struct pollfd wait = {.fd = process->socket, .events = POLLIN};

	return process->pid != 0 && poll(&wait, 1, 0) == 0;
}

/*
 * True once the child is reaped. By asking again and again: a pidfd was seen to poll as readable
 * (6.18) before waitpid() knew of the death.
 */
static bool wait_for_exit(pid_t pid)
{
	uint64_t deadline_ns = worker_clock_ns() + DEATH_WAIT_MS * NS_PER_MS;
	struct timespec pause = {.tv_nsec = 100 * 1000};

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (worker_clock_ns() >= deadline_ns)
			return false;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 10 * 1000 * 1000)
			pause.tv_nsec *= 2;
	}
	return true;
}

static void abandon(struct worker_process *process, pid_t pid)
{
	reap_abandoned(process);
	for (size_t i = 0; i < WORKERS_ABANDONED_MAX; i++) {
		if (process->abandoned[i] == 0) {
			process->abandoned[i] = pid;
			return;
		}
	}
}

void worker_process_kill(struct worker_process *process)
{
	if (process->socket >= 0)
		close(process->socket);
	process->socket = -1;
	if (process->pid == 0)
		return;
	kill(process->pid, SIGKILL);
	if (!wait_for_exit(process->pid))
		abandon(process, process->pid);
	process->pid = 0;
}

int worker_process_wait(const struct worker_process *process, uint64_t deadline_ns)
{
	struct pollfd wait = {.fd = process->socket, .events = POLLIN};

	for (;;) {
		uint64_t now_ns = worker_clock_ns();
		int ready;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		ready = poll(&wait, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready > 0) /* an answer may be there beside the hang-up */
			return wait.revents & POLLIN ? 0 : -ECONNRESET;
	}
}
