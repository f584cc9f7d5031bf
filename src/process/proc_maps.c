/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings of a process as the kernel prints them. Takes a PID or recorded
 * text; gives an ascending list without overlaps. The kernel walks the mappings
 * anew for every page of text it hands out, so a process that maps meanwhile can
 * make a later line overlap an earlier one: such a read is torn and done again.
 */
#include "process/proc_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define MAPS_TEXT_MAX (64u << 20) /* bytes; vm.max_map_count's default gives at most 8 MB */
#define MAPS_READ_TRIES 4
#define MAPS_READ_BYTES (64u << 10)

static const char deleted_suffix[] = " (deleted)";

/* A number in the given base, of at most max; the character after it must be `end`. */
static bool parse_number(char **position, unsigned base, uint64_t max, char end,
			 uint64_t *ret_value)
{
	uint64_t value = 0;
	char *p = *position;

	for (;; p++) {
		unsigned digit = *p >= '0' && *p <= '9'	  ? (unsigned)(*p - '0')
				 : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
							  : 16;
		if (digit >= base)
			break;
		if (value > (max - digit) / base)
			return false;
		value = value * base + digit;
	}
	if (p == *position || *p != end)
		return false;
	*position = p + (end != '\0');
	*ret_value = value;
	return true;
}

static bool parse_permission(char **position, char letter, char other, bool *ret_set)
{
	char c = **position;

	if (c != letter && c != other)
		return false;
	*ret_set = c == letter;
	(*position)++;
	return true;
}

/* The kernel prints a newline in a path as \012, and nothing else escaped. */
static void unescape_newlines(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to = '\n';
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static void parse_path(char *p, struct proc_map *map)
{
	size_t length, suffix = sizeof(deleted_suffix) - 1;

	while (*p == ' ')
		p++;
	length = strlen(p);
	if (p[0] == '/' && length > suffix && strcmp(p + length - suffix, deleted_suffix) == 0) {
		p[length - suffix] = '\0';
		map->deleted = true;
	}
	unescape_newlines(p);
	map->path = p;
}

/* line: NUL-terminated, without its newline. */
static bool parse_line(char *line, struct proc_map *ret_map)
{
	struct proc_map map = {0};
	uint64_t major, minor;
	char *p = line;

	if (!parse_number(&p, 16, UINT64_MAX, '-', &map.start) ||
	    !parse_number(&p, 16, UINT64_MAX, ' ', &map.end) || map.start >= map.end)
		return false;
	if (!parse_permission(&p, 'r', '-', &map.readable) ||
	    !parse_permission(&p, 'w', '-', &map.writable) ||
	    !parse_permission(&p, 'x', '-', &map.executable) ||
	    !parse_permission(&p, 's', 'p', &map.shared) || *p++ != ' ')
		return false;
	if (!parse_number(&p, 16, UINT64_MAX, ' ', &map.offset) ||
	    !parse_number(&p, 16, UINT32_MAX, ':', &major) ||
	    !parse_number(&p, 16, UINT32_MAX, ' ', &minor))
		return false;
	/* anonymous mappings end with the inode, most kernels print a blank after it */
	if (!parse_number(&p, 10, UINT64_MAX, ' ', &map.inode) &&
	    !parse_number(&p, 10, UINT64_MAX, '\0', &map.inode))
		return false;
	map.device_major = (uint32_t)major;
	map.device_minor = (uint32_t)minor;
	parse_path(p, &map);
	*ret_map = map;
	return true;
}

static size_t count_lines(const char *text, size_t size)
{
	size_t lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	return lines;
}

/* *ret_torn: lines left out because they overlap earlier ones. */
static int parse_text(char *text, size_t size, struct proc_maps *ret_maps, size_t *ret_torn)
{
	_cleanup_free_ char *owned = text;
	_cleanup_free_ struct proc_map *maps = NULL;
	char *end = text + size;
	size_t count = 0, torn = 0;

	if (size > MAPS_TEXT_MAX)
		return -E2BIG;
	if (memchr(text, '\0', size))
		return -EBADMSG;
	maps = calloc(count_lines(text, size), sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	for (char *line = text; line < end;) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		struct proc_map map;

		if (newline)
			*newline = '\0';
		if (!parse_line(line, &map))
			return -EBADMSG;
		if (count && map.start < maps[count - 1].end)
			torn++;
		else
			maps[count++] = map;
		line = newline ? newline + 1 : end;
	}
	ret_maps->maps = take_ptr(maps);
	ret_maps->count = count;
	ret_maps->text = take_ptr(owned);
	*ret_torn = torn;
	return 0;
}

int proc_maps_parse(char *text, size_t size, struct proc_maps *ret_maps)
{
	size_t torn;

	return parse_text(text, size, ret_maps, &torn);
}

static int read_all(int fd, struct buffer *text)
{
	for (;;) {
		void *room = buffer_reserve(text, MAPS_READ_BYTES);
		ssize_t got;

		if (!room)
			return -ENOMEM;
		got = read(fd, room, MAPS_READ_BYTES);
		text->size -= MAPS_READ_BYTES - (got > 0 ? (size_t)got : 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		if (text->size > MAPS_TEXT_MAX)
			return -E2BIG;
	}
}

static int read_text(pid_t pid, struct buffer *text)
{
	_cleanup_close_ int fd = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return read_all(fd, text);
}

int proc_maps_read(pid_t pid, struct proc_maps *ret_maps)
{
	for (int tries = 1;; tries++) {
		struct buffer text = {0};
		struct proc_maps maps;
		size_t torn, size;
		int err = read_text(pid, &text);

		buffer_u8(&text, 0);
		if (err == 0 && text.failed)
			err = -ENOMEM;
		if (err) {
			buffer_done(&text);
			return err;
		}
		size = text.size - 1;
		err = parse_text((char *)take_ptr(text.data), size, &maps, &torn);
		if (err)
			return err;
		if (torn == 0 || tries == MAPS_READ_TRIES) {
			*ret_maps = maps;
			return 0;
		}
		proc_maps_done(&maps);
	}
}

void proc_maps_done(struct proc_maps *maps)
{
	free(maps->maps);
	free(maps->text);
	*maps = (struct proc_maps){0};
}

const struct proc_map *proc_maps_find(const struct proc_maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (address >= maps->maps[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == maps->count || address < maps->maps[low].start)
		return NULL;
	return &maps->maps[low];
}
