/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glibc ends clone's and clone3's FDE before their `syscall`, because what follows
 * runs on two stacks: the caller's, and the new thread's. A thread creating or
 * being created is seen there, inside the kernel. The gap gets a rule of its own:
 * nothing is pushed (CFA = rsp + 8), and if what lies there is no return address,
 * this is the new thread's root.
 */
#ifndef MIXPROF_UNWIND_SYSCALL_GAP_H
#define MIXPROF_UNWIND_SYSCALL_GAP_H

#include "unwind/cfi_reader.h"

/* bytes_at: as the file initialises them, NULL where it does not. */
void cfi_fill_syscall_gaps(struct cfi_rows *rows,
			   const uint8_t *(*bytes_at)(void *context, uint64_t vaddr, size_t size),
			   void *context);

#endif
