/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps, parsed: hostile paths (newlines, " (deleted)") and torn reads included. */
#ifndef MIXPROF_PROCESS_PROC_MAPS_H
#define MIXPROF_PROCESS_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_map {
	uint64_t start;
	uint64_t end;
	uint64_t offset; /* bytes in the file */
	uint64_t inode;
	uint32_t device_major;
	uint32_t device_minor;
	bool readable, writable, executable, shared;
	const char *path; /* borrowed from the list; "" for anonymous, "[vdso]", "[stack]",
			     "/usr/..."; " (deleted)" kept off, see deleted */
	bool deleted;
};

struct proc_maps {
	struct proc_map *maps; /* ascending by start */
	size_t count;
	char *text; /* owned: the strings' memory */
};

/* -ESRCH if the process is gone, -EACCES, -ENOMEM. */
int proc_maps_read(pid_t pid, struct proc_maps *ret_maps);
/* Parses text of size bytes; takes ownership of text (malloc'ed, NUL-terminated), also on failure.
 */
int proc_maps_parse(char *text, size_t size, struct proc_maps *ret_maps);
void proc_maps_done(struct proc_maps *maps);
const struct proc_map *proc_maps_find(const struct proc_maps *maps, uint64_t address);
/* Opens the mapped file itself: /proc/PID/map_files, else by path through /proc/PID/root
 * (openat2 RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS, regular files only, inode checked).
 * -EOPNOTSUPP for anonymous maps and for files on FUSE/NFS and the like. */
int proc_map_open(pid_t pid, const struct proc_map *map, int *ret_fd);

#endif
