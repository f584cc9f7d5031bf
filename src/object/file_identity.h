/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tells one file from another: caches are keyed by this, never by path or
 * build-id (design.md §5). Taken from fstat of the descriptor that is read.
 */
#ifndef MIXPROF_OBJECT_FILE_IDENTITY_H
#define MIXPROF_OBJECT_FILE_IDENTITY_H

#include <stdint.h>

struct file_identity {
	uint64_t device;
	uint64_t inode;
	uint64_t ctime_ns;
	uint64_t size; /* bytes */
};

int file_identity_of_fd(int fd, struct file_identity *ret_identity);

#endif
