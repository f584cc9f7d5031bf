/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child process in which libelf and our DWARF code meet other people's files
 * (design.md §5). Requests go over a SOCK_SEQPACKET pair, files as descriptors,
 * large answers as sealed memfds. The parent validates every answer. A worker
 * that dies or exceeds its deadline is restarted when it is next needed; the
 * object it died on (twice, if it crashed: the first may be somebody's kill)
 * answers -EIO from then on, until it is closed.
 *
 * The worker runs as nobody without capabilities, with no_new_privs and rlimits,
 * and sees no file but those sent to it. Its seccomp filter is issue 6.
 *
 * Calls are synchronous and not thread-safe: one caller thread.
 */
#ifndef MIXPROF_WORKER_SYMBOL_WORKER_H
#define MIXPROF_WORKER_SYMBOL_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/object_facts.h"
#include "unwind/unwind_table.h"

struct symbol_worker;

/* Starts the child: fork, then exec of /proc/self/exe with the hidden command `symbol-worker FD`,
 * so that it shares no memory with its parent; main() hands that to symbol_worker_main().
 * -EIO: the program that was started does not answer as a worker. */
int symbol_worker__new(struct symbol_worker **ret_worker);
void symbol_worker__free(struct symbol_worker *worker); /* ends the child, waits for it */

/* Registers an object under a number of the caller's choice; duplicates fd and keeps it for
 * restarts. ret_facts is filled from the worker's answer. -ENOEXEC: not an ELF we read; -EIO: the
 * worker failed on it. -EEXIST: the number is taken. It stays so after that -EIO, and is free after
 * other failures. */
int symbol_worker__open_object(struct symbol_worker *worker, uint32_t object, int fd,
			       struct object_facts *ret_facts);
/* Rows of an open object as an unwind_table_image over memory that *ret_memory (size
 * *ret_size) owns; the caller munmaps it. -ENOENT: no such object, or it has no unwind
 * information; -E2BIG; -EIO. */
int symbol_worker__read_table(struct symbol_worker *worker, uint32_t object, void **ret_memory,
			      size_t *ret_size, struct unwind_table_image *ret_image);
/* Names for vaddrs of an open object. names[i] is malloc'ed, or NULL where nothing covers it.
 * On failure (-ENOENT: no such object; -EIO) all of names are NULL. */
int symbol_worker__find_names(struct symbol_worker *worker, uint32_t object, const uint64_t *vaddrs,
			      size_t count, char **names);
/* Where the functions begin that cover vaddrs, by their FDEs; 0 where none does. For what has no
 * name. */
int symbol_worker__find_starts(struct symbol_worker *worker, uint32_t object,
			       const uint64_t *vaddrs, size_t count, uint64_t *starts);
void symbol_worker__close_object(struct symbol_worker *worker, uint32_t object);
uint64_t symbol_worker__restarts(const struct symbol_worker *worker);
pid_t symbol_worker__pid(const struct symbol_worker *worker); /* 0: none runs now */
/* For every request, in place of the built-in 5 s (tables: 10 s); 0: back to those. */
void symbol_worker__set_deadline_ms(struct symbol_worker *worker, uint32_t deadline_ms);

/* The child's side: serves requests on fd until it closes; returns an exit status. */
int symbol_worker_main(int fd);

static inline void symbol_worker__freep(struct symbol_worker **worker)
{
	symbol_worker__free(*worker);
}

#endif
