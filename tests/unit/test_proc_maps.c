/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/proc_maps.h"

static int parse(const char *text, struct proc_maps *maps)
{
	return proc_maps_parse(strdup(text), strlen(text), maps);
}

static void every_field(void **state)
{
	struct proc_maps maps;

	(void)state;
	assert_int_equal(
		parse("00400000-00500000 r-xp 00001000 fd:1a 4711                  /usr/bin/a b\n"
		      "7f0000000000-7f0000001000 rw-s 00000000 00:05 12 /dev/zero (deleted)\n"
		      "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0          [stack]\n"
		      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 \n",
		      &maps),
		0);
	assert_int_equal(maps.count, 4);
	assert_int_equal(maps.maps[0].start, 0x400000);
	assert_int_equal(maps.maps[0].end, 0x500000);
	assert_int_equal(maps.maps[0].offset, 0x1000);
	assert_int_equal(maps.maps[0].device_major, 0xfd);
	assert_int_equal(maps.maps[0].device_minor, 0x1a);
	assert_int_equal(maps.maps[0].inode, 4711);
	assert_true(maps.maps[0].readable && maps.maps[0].executable);
	assert_false(maps.maps[0].writable || maps.maps[0].shared || maps.maps[0].deleted);
	assert_string_equal(maps.maps[0].path, "/usr/bin/a b");
	assert_true(maps.maps[1].shared && maps.maps[1].deleted && maps.maps[1].writable);
	assert_string_equal(maps.maps[1].path, "/dev/zero");
	assert_string_equal(maps.maps[2].path, "[stack]");
	assert_string_equal(maps.maps[3].path, "");
	assert_int_equal(maps.maps[3].start, 0xffffffffff600000);
	proc_maps_done(&maps);
	assert_null(maps.maps);
}

static void hostile_paths(void **state)
{
	struct proc_maps maps;

	(void)state;
	assert_int_equal(parse("1000-2000 r-xp 0 0:0 1 /a\\012 (deleted)/b (deleted) (deleted)\n"
			       "2000-3000 r-xp 0 0:0 1 /x\\0123000-4000 rwxp 0 0:0 1 /etc/y\n"
			       "3000-4000 r-xp 0 0:0 1  (deleted)\n"
			       "4000-5000 r-xp 0 0:0 1 /\\01",
			       &maps),
			 0);
	assert_int_equal(maps.count, 4);
	assert_string_equal(maps.maps[0].path, "/a\n (deleted)/b (deleted)");
	assert_true(maps.maps[0].deleted);
	assert_string_equal(maps.maps[1].path, "/x\n3000-4000 rwxp 0 0:0 1 /etc/y");
	assert_string_equal(maps.maps[2].path, "(deleted)");
	assert_false(maps.maps[2].deleted);
	assert_string_equal(maps.maps[3].path, "/\\01");
	proc_maps_done(&maps);
}

static void wrong_lines(void **state)
{
	static const char *const wrong[] = {
		"\n",
		"1000-2000\n",
		"2000-1000 r-xp 0 0:0 1 /a\n",
		"1000-1000 r-xp 0 0:0 1 /a\n",
		"1000-2000 r-xq 0 0:0 1 /a\n",
		"1000-2000 r-x",
		"1000-2000 rwxp 0 0 1 /a\n",
		"1000-2000 rwxp 0 0:0 1f /a\n",
		"1000-2000 rwxp 0 100000000:0 1 /a\n",
		"10000000000000000-20000000000000000 rwxp 0 0:0 1 /a\n",
		"g000-2000 rwxp 0 0:0 1 /a\n",
		"1000-2000 rwxp 0 0:0 99999999999999999999 /a\n",
	};
	char *nul = malloc(8);

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct proc_maps maps;

		if (parse(wrong[i], &maps) != -EBADMSG)
			fail_msg("accepted: %s", wrong[i]);
	}
	memcpy(nul, "1000\0002\n", 8);
	assert_int_equal(proc_maps_parse(nul, 7, &(struct proc_maps){0}), -EBADMSG);
}

static void torn_reads_do_not_overlap(void **state)
{
	struct proc_maps maps;

	(void)state;
	assert_int_equal(parse("1000-3000 r-xp 0 0:0 1 /a\n2000-4000 r-xp 0 0:0 1 /b\n"
			       "3000-4000 r-xp 0 0:0 1 /c\n1000-2000 r-xp 0 0:0 1 /d\n",
			       &maps),
			 0);
	assert_int_equal(maps.count, 2);
	assert_string_equal(maps.maps[1].path, "/c");
	proc_maps_done(&maps);
	assert_int_equal(parse("", &maps), 0);
	assert_int_equal(maps.count, 0);
	assert_null(proc_maps_find(&maps, 0x1000));
	proc_maps_done(&maps);
}

static void find_is_half_open(void **state)
{
	struct proc_maps maps;

	(void)state;
	assert_int_equal(parse("1000-2000 r-xp 0 0:0 0\n2000-3000 r-xp 0 0:0 0 \n"
			       "5000-6000 r-xp 0 0:0 0\n",
			       &maps),
			 0);
	assert_null(proc_maps_find(&maps, 0xfff));
	assert_ptr_equal(proc_maps_find(&maps, 0x1000), &maps.maps[0]);
	assert_ptr_equal(proc_maps_find(&maps, 0x1fff), &maps.maps[0]);
	assert_ptr_equal(proc_maps_find(&maps, 0x2000), &maps.maps[1]);
	assert_null(proc_maps_find(&maps, 0x3000));
	assert_null(proc_maps_find(&maps, 0x4fff));
	assert_ptr_equal(proc_maps_find(&maps, 0x5fff), &maps.maps[2]);
	assert_null(proc_maps_find(&maps, UINT64_MAX));
	proc_maps_done(&maps);
}

static void own_process(void **state)
{
	struct proc_maps maps;
	const struct proc_map *map;
	struct stat opened, exe;
	int fd = -1;

	(void)state;
	assert_int_equal(proc_maps_read(getpid(), &maps), 0);
	map = proc_maps_find(&maps, (uintptr_t)&own_process);
	assert_non_null(map);
	assert_true(map->executable);
	assert_int_equal(proc_map_open(getpid(), map, &fd), 0);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_int_equal(stat("/proc/self/exe", &exe), 0);
	assert_int_equal(opened.st_ino, exe.st_ino);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	for (size_t i = 0; i < maps.count; i++) {
		if (maps.maps[i].path[0] != '/')
			assert_int_equal(proc_map_open(getpid(), &maps.maps[i], &fd), -EOPNOTSUPP);
	}
	proc_maps_done(&maps);
}

/* By path the inode must be the mapping's, and only regular files are opened. */
static void opening_by_path_is_checked(void **state)
{
	char path[] = "/tmp/mixprof-test-maps-XXXXXX", fifo[sizeof(path) + 8];
	int own = mkstemp(path), fd = -1;
	struct proc_map map = {.start = 0x1000, .end = 0x2000, .path = path};
	struct stat st;

	(void)state;
	assert_true(own >= 0);
	assert_int_equal(fstat(own, &st), 0);
	map.inode = st.st_ino;
	assert_int_equal(proc_map_open(getpid(), &map, &fd), 0);
	close(fd);
	map.inode = st.st_ino + 1;
	assert_int_equal(proc_map_open(getpid(), &map, &fd), -ESTALE);
	map.inode = st.st_ino;
	map.deleted = true;
	assert_int_equal(proc_map_open(getpid(), &map, &fd), -ENOENT);
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(stat(fifo, &st), 0);
	map = (struct proc_map){.start = 0x1000, .end = 0x2000, .path = fifo, .inode = st.st_ino};
	assert_int_equal(proc_map_open(getpid(), &map, &fd), -EOPNOTSUPP);
	unlink(fifo);
	unlink(path);
	close(own);
}

/* A deleted file is still opened where map_files may be followed; memfd is a local file too. */
static void memfd_is_a_file(void **state)
{
	int own = memfd_create("mixprof-test", MFD_CLOEXEC), fd = -1, err;
	struct proc_maps maps;
	struct stat a, b;
	void *p;

	(void)state;
	assert_int_equal(ftruncate(own, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, own, 0);
	assert_int_equal(proc_maps_read(getpid(), &maps), 0);
	err = proc_map_open(getpid(), proc_maps_find(&maps, (uintptr_t)p), &fd);
	if (err == 0) {
		assert_int_equal(fstat(own, &a), 0);
		assert_int_equal(fstat(fd, &b), 0);
		assert_int_equal(a.st_ino, b.st_ino);
		close(fd);
	} else {
		assert_int_not_equal(geteuid(), 0); /* map_files needs privilege */
		assert_int_equal(err, -ENOENT);
	}
	proc_maps_done(&maps);
	munmap(p, 4096);
	close(own);
}

static void gone(void **state)
{
	struct proc_maps maps = {.count = 5};
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(proc_maps_read(child, &maps), -ESRCH);
	assert_int_equal(maps.count, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field),
		cmocka_unit_test(hostile_paths),
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(torn_reads_do_not_overlap),
		cmocka_unit_test(find_is_half_open),
		cmocka_unit_test(own_process),
		cmocka_unit_test(opening_by_path_is_checked),
		cmocka_unit_test(memfd_is_a_file),
		cmocka_unit_test(gone),
	};

	return cmocka_run_group_tests_name("proc_maps", tests, NULL, NULL);
}
