/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal handling of a recording. A terminal sends Ctrl-C to the whole
 * foreground group (si_code SI_KERNEL), kill(1) to one process: the handler
 * keeps which it was, because only in the second case must it be forwarded.
 */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/output_file.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
#define SIGNAL_COUNT (sizeof(signals) / sizeof(signals[0]))

static struct sigaction found[SIGNAL_COUNT];
static volatile sig_atomic_t came, was_sent;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (came) {
		output_file_abandon_all();
		_exit(128 + number);
	}
	was_sent = info->si_code != SI_KERNEL;
	came = number;
}

void interrupt_install(void)
{
	/* No SA_RESTART: a wait in the pipeline is to end at once. */
	struct sigaction catch = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	came = 0;
	for (size_t i = 0; i < SIGNAL_COUNT; i++) {
		sigaction(signals[i], NULL, &found[i]);
		/* A reader that went away is an error of write(), to be told; nohup stays in force.
		 */
		if (signals[i] == SIGPIPE)
			sigaction(SIGPIPE, &ignore, NULL);
		else if (signals[i] != SIGHUP || found[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &catch, NULL);
	}
}

void interrupt_give_up_at_once(void)
{
	came = SIGINT;
}

int interrupt_signal(void)
{
	return came;
}

bool interrupt_was_sent(void)
{
	return was_sent;
}

void interrupt_restore(void)
{
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		sigaction(signals[i], &found[i], NULL);
}
