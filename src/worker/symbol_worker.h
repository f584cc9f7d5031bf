/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child process in which libelf and our DWARF code meet other people's files
 * (design.md §5). Requests go over a SOCK_SEQPACKET pair, files as descriptors,
 * large answers as sealed memfds. The parent validates every answer. A worker
 * that dies or exceeds its deadline is restarted; the object it died on answers
 * -EIO from then on and is counted. Its sandbox is issue 6; the boundary is this.
 *
 * Calls are synchronous and not thread-safe: one caller thread.
 */
#ifndef MIXPROF_WORKER_SYMBOL_WORKER_H
#define MIXPROF_WORKER_SYMBOL_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "worker/object_facts.h"
#include "unwind/unwind_table.h"

struct symbol_worker;

/* Starts the child: fork, then exec of /proc/self/exe with the hidden command `symbol-worker FD`,
 * so that it shares no memory with its parent. */
int symbol_worker__new(struct symbol_worker **ret_worker);
void symbol_worker__free(struct symbol_worker *worker); /* ends the child, waits for it */

/* Registers an object under a number of the caller's choice; duplicates fd and keeps it for restarts.
 * ret_facts is filled from the worker's answer. -ENOEXEC: not an ELF we read; -EIO: the worker failed on it. */
int symbol_worker__open_object(struct symbol_worker *worker, uint32_t object, int fd,
			       struct object_facts *ret_facts);
/* Rows of an open object as an unwind_table_image over memory that *ret_memory (size
 * *ret_size) owns; the caller munmaps it. */
int symbol_worker__read_table(struct symbol_worker *worker, uint32_t object, void **ret_memory,
			      size_t *ret_size, struct unwind_table_image *ret_image);
/* Names for vaddrs of an open object. names[i] is malloc'ed, or NULL where nothing covers it. */
int symbol_worker__find_names(struct symbol_worker *worker, uint32_t object, const uint64_t *vaddrs,
			      size_t count, char **names);
void symbol_worker__close_object(struct symbol_worker *worker, uint32_t object);
uint64_t symbol_worker__restarts(const struct symbol_worker *worker);

/* The child's side: serves requests on fd until it closes; returns an exit status. */
int symbol_worker_main(int fd);

static inline void symbol_worker__freep(struct symbol_worker **worker)
{
	symbol_worker__free(*worker);
}

#endif
