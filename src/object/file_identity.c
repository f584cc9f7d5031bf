/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of an open file. The descriptor that is read is the one that is
 * asked, so a path that changes between two looks cannot join two files.
 */
#include "object/file_identity.h"

#include <errno.h>
#include <sys/stat.h>

int file_identity_of_fd(int fd, struct file_identity *ret_identity)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;

	*ret_identity = (struct file_identity){
		.device = st.st_dev,
		.inode = st.st_ino,
		.ctime_ns =
			(uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec,
		.size = (uint64_t)st.st_size,
	};
	return 0;
}
