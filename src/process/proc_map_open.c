/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file behind a mapping, opened without trusting its path. Takes a mapping;
 * gives a descriptor of that very file: through /proc/PID/map_files, else by
 * path inside the process's root, inode compared.
 *
 * A read of a file on FUSE or a network file system can hang for ever, and so
 * can the questions one would ask to find that out: statfs and fstat go to the
 * server as well. So the file is held by O_PATH, asked with AT_STATX_DONT_SYNC,
 * and its file system's type looked up in mountinfo, none of which leaves the
 * kernel. A file system that no mountinfo names is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "process/proc_maps.h"

/* Prefixes of file-system types whose files are served by somebody who may not answer. */
static const char *const served_types[] = {"fuse", "nfs",  "9p",     "cifs",
					   "smb",  "ceph", "lustre", "afs"};

static bool is_served_type(const char *type)
{
	for (size_t i = 0; i < sizeof(served_types) / sizeof(served_types[0]); i++) {
		if (strncmp(type, served_types[i], strlen(served_types[i])) == 0)
			return true;
	}
	return false;
}

static int stat_without_io(int fd, struct statx *ret_stat)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, ret_stat))
		return -errno;
	return 0;
}

/* 1: an accepted file system, 0: a served one, -ENOENT: mountinfo does not name the device. */
static int find_mount_type(const char *mountinfo, uint32_t major, uint32_t minor)
{
	_cleanup_fclose_ FILE *f = fopen(mountinfo, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;

	if (!f)
		return -ENOENT;
	while (getline(&line, &capacity, f) > 0) {
		unsigned line_major, line_minor;
		const char *type = strstr(line, " - ");

		if (!type || sscanf(line, "%*u %*u %u:%u", &line_major, &line_minor) != 2)
			continue;
		if (line_major == major && line_minor == minor)
			return !is_served_type(type + 3);
	}
	return -ENOENT;
}

/* memfd and shared anonymous memory live on a mount of the kernel's own. */
static bool is_kernel_memory(uint32_t major, uint32_t minor)
{
	_cleanup_close_ int fd = memfd_create("", MFD_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && major(st.st_dev) == major &&
	       minor(st.st_dev) == minor;
}

static bool is_local_file_system(pid_t pid, const struct statx *st)
{
	char mountinfo[40];
	int found;

	if (st->stx_dev_major != 0)
		return true; /* on a block device */
	found = find_mount_type("/proc/self/mountinfo", st->stx_dev_major, st->stx_dev_minor);
	if (found >= 0)
		return found;
	snprintf(mountinfo, sizeof(mountinfo), "/proc/%d/mountinfo", (int)pid);
	found = find_mount_type(mountinfo, st->stx_dev_major, st->stx_dev_minor);
	if (found >= 0)
		return found;
	return is_kernel_memory(st->stx_dev_major, st->stx_dev_minor);
}

/* From an O_PATH descriptor to one that reads. */
static int reopen_to_read(pid_t pid, int path_fd, const struct statx *st, int *ret_fd)
{
	char path[32];
	int fd;

	if (!S_ISREG(st->stx_mode) || !is_local_file_system(pid, st))
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int open_through_map_files(pid_t pid, const struct proc_map *map, int *ret_fd)
{
	_cleanup_close_ int path_fd = -1;
	struct statx st;
	char path[80];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)pid,
		 (unsigned long long)map->start, (unsigned long long)map->end);
	path_fd = open(path, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	err = stat_without_io(path_fd, &st);
	if (err)
		return err;
	return reopen_to_read(pid, path_fd, &st, ret_fd);
}

/* The device is not compared: on overlayfs the one in maps is not the file's. */
static int open_by_path(pid_t pid, const struct proc_map *map, int *ret_fd)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	_cleanup_close_ int root_fd = -1, path_fd = -1;
	struct statx st;
	char root[32];
	int err;

	if (map->deleted)
		return -ENOENT;
	snprintf(root, sizeof(root), "/proc/%d/root", (int)pid);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	path_fd = (int)syscall(SYS_openat2, root_fd, map->path, &how, sizeof(how));
	if (path_fd < 0)
		return -errno;
	err = stat_without_io(path_fd, &st);
	if (err)
		return err;
	if (st.stx_ino != map->inode)
		return -ESTALE;
	return reopen_to_read(pid, path_fd, &st, ret_fd);
}

int proc_map_open(pid_t pid, const struct proc_map *map, int *ret_fd)
{
	int err;

	if (map->inode == 0 || map->path[0] != '/')
		return -EOPNOTSUPP;
	err = open_through_map_files(pid, map, ret_fd);
	if (err == 0 || err == -EOPNOTSUPP)
		return err;
	/* without the right to follow map_files, or with the mapping split meanwhile */
	return open_by_path(pid, map, ret_fd);
}
