/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process's memory, by process_vm_readv: no ptrace stop, nothing
 * written. Takes addresses that may be nonsense; gives all the bytes asked for
 * or an error. The kernel reports a range that is only partly mapped as a short
 * read: that is -EFAULT here, so that no caller sees half a structure.
 */
#include "process/remote_memory.h"

#include <errno.h>
#include <sys/uio.h>

static int read_live(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct iovec local = {.iov_base = to, .iov_len = size};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
	ssize_t got;

	(void)context;
	if (size > REMOTE_READ_MAX)
		return -E2BIG;
	if (address + size < address)
		return -EFAULT;
	if (size == 0)
		return 0;
	got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (got < 0)
		return -errno;
	return (size_t)got == size ? 0 : -EFAULT;
}

const struct remote_memory remote_memory_live = {.read = read_live};

int remote_memory_u64(const struct remote_memory *memory, pid_t pid, uint64_t address,
		      uint64_t *ret_value)
{
	uint64_t value;
	int err = remote_memory_read(memory, pid, address, &value, sizeof(value));

	if (err == 0)
		*ret_value = value;
	return err;
}

int remote_memory_u32(const struct remote_memory *memory, pid_t pid, uint64_t address,
		      uint32_t *ret_value)
{
	uint32_t value;
	int err = remote_memory_read(memory, pid, address, &value, sizeof(value));

	if (err == 0)
		*ret_value = value;
	return err;
}
