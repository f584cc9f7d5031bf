/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C, SIGTERM and SIGHUP: the first asks for a clean end, the second gives up. */
#ifndef MIXPROF_CLI_INTERRUPT_H
#define MIXPROF_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);
/* Even the first gives up: for work that writes nothing before its end. */
void interrupt_give_up_at_once(void);
int interrupt_signal(void); /* the signal that came; 0: none */
/* It came from a process, not from the terminal: a command in our process group did not get it. */
bool interrupt_was_sent(void);
/* In a forked child: signals as mixprof found them. */
void interrupt_restore(void);

#endif
