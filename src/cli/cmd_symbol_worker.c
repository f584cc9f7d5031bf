/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mixprof symbol-worker FD`, hidden: the child process that worker/symbol_worker.c
 * starts. Ctrl-C on a terminal reaches it as well as its parent, which still needs
 * it to name the frames; it ends when its parent closes the socket.
 */
#include <limits.h>
#include <signal.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "worker/symbol_worker.h"

static int run(const struct command *self, int argc, char **argv)
{
	uint32_t fd;

	(void)self;
	if (argc != 2 || parse_u32(argv[1], &fd) || fd > INT_MAX) {
		log_error("symbol-worker is started by mixprof itself");
		return STATUS_USAGE;
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	return symbol_worker_main((int)fd);
}

const struct command cmd_symbol_worker = {.name = "symbol-worker", .run = run};
