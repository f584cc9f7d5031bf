/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbol worker: a real child on real files, its death and its silence, and
 * the checks that stand between a child that lies and its parent. This program is
 * the worker too: it is what /proc/self/exe is here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "worker/symbol_worker.h"
#include "worker/worker_protocol.h"
#include "worker/worker_serve.h"

static struct symbol_worker *start_worker(void)
{
	struct symbol_worker *worker = NULL;

	assert_int_equal(symbol_worker__new(&worker), 0);
	assert_true(symbol_worker__pid(worker) > 0);
	return worker;
}

static int open_path(struct symbol_worker *worker, uint32_t object, const char *path,
		     struct object_facts *facts)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return symbol_worker__open_object(worker, object, fd, facts);
}

static int bytes_to_memfd(const void *bytes, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

static __attribute__((noinline)) int local_function(int a)
{
	__asm__ volatile("" ::: "memory");
	return a + 1;
}

static uint64_t vaddr_of(void *address, const char **ret_path)
{
	Dl_info info;

	assert_int_not_equal(dladdr(address, &info), 0);
	if (ret_path)
		*ret_path = info.dli_fname;
	return (uint64_t)(uintptr_t)address - (uint64_t)(uintptr_t)info.dli_fbase;
}

static void expect_name(struct symbol_worker *worker, uint32_t object, uint64_t vaddr,
			const char *expected)
{
	_cleanup_free_ char *name = NULL;

	assert_int_equal(symbol_worker__find_names(worker, object, &vaddr, 1, &name), 0);
	if (!expected) {
		assert_null(name);
		return;
	}
	assert_non_null(name);
	assert_string_equal(name, expected);
}

static void expect_local_function(struct symbol_worker *worker, uint32_t object)
{
	expect_name(worker, object, vaddr_of((void *)(uintptr_t)local_function, NULL),
		    "local_function");
}

static void test_own_program(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	struct object_facts facts;
	uint64_t vaddr = 0;
	uint64_t offset = UINT64_MAX;

	(void)state;
	assert_int_equal(open_path(worker, 7, "/proc/self/exe", &facts), 0);
	assert_true(facts.segment_count >= 2);
	assert_int_equal(facts.build_id_size, 20);
	assert_int_equal(facts.python.eval_range_count, 0);
	for (uint32_t i = 0; i < facts.segment_count; i++)
		if (facts.segments[i].flags & PF_X)
			offset = facts.segments[i].offset;
	assert_true(object_facts_offset_to_vaddr(&facts, offset, &vaddr));
	expect_local_function(worker, 7);
	expect_name(worker, 7, UINT64_MAX, NULL);
	expect_name(worker, 7, 0, NULL);
	assert_int_equal(symbol_worker__restarts(worker), 0);
}

static void test_libc_names_and_table(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	uint64_t vaddr = vaddr_of(dlsym(RTLD_NEXT, "qsort"), NULL);
	struct unwind_table_image image;
	struct object_facts facts;
	const char *path;
	void *memory;
	size_t size;

	(void)state;
	vaddr_of(dlsym(RTLD_NEXT, "qsort"), &path);
	assert_int_equal(open_path(worker, 1, path, &facts), 0);
	expect_name(worker, 1, vaddr, "qsort");
	/* twice: the second time from an image that already has symbols */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(symbol_worker__read_table(worker, 1, &memory, &size, &image), 0);
		assert_true(image.row_count > 1000);
		assert_true(image.rule_count > 10);
		assert_true(mprotect(memory, size, PROT_READ) == 0);
		munmap(memory, size);
	}
	expect_name(worker, 1, vaddr, "qsort");
}

static const char *path_of_library(const char *library)
{
	void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
	struct link_map *map;

	if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map))
		return NULL;
	return map->l_name;
}

/* The rows in the interpreter's eval ranges carry the mark, and no others do. */
static void test_python_facts_mark_rows(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	const char *path = path_of_library("libpython3.11.so.1.0");
	struct unwind_table_image image;
	struct object_facts facts;
	size_t size, marked = 0;
	void *memory;

	(void)state;
	if (!path) {
		print_message("skipped: no libpython3.11\n");
		skip();
	}
	assert_int_equal(open_path(worker, 1, path, &facts), 0);
	assert_true(facts.python.eval_range_count >= 1);
	assert_int_equal(facts.python.version >> 16, 0x030b);
	assert_int_equal(symbol_worker__read_table(worker, 1, &memory, &size, &image), 0);
	for (uint32_t row = 0; row < image.row_count; row++) {
		uint64_t pc = image.text_start + image.rows[row].pc;
		bool is_eval = false;

		for (uint32_t i = 0; i < facts.python.eval_range_count; i++)
			is_eval |= pc >= facts.python.eval_ranges[i].start &&
				   pc < facts.python.eval_ranges[i].end;
		marked += is_eval;
		if (image.rules[image.rows[row].rule].cfa != UNWIND_CFA_NONE)
			assert_int_equal(
				(image.rules[image.rows[row].rule].flags & UNWIND_RULE_EVAL) != 0,
				is_eval);
	}
	assert_true(marked > 5);
	munmap(memory, size);
}

static void test_vdso(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	const Elf64_Ehdr *vdso = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
	struct object_facts facts;
	uint64_t vaddrs[4096];
	char *names[4096];
	size_t named = 0;
	int fd;

	(void)state;
	if (!vdso) {
		print_message("skipped: this kernel gives no vDSO\n");
		skip();
	}
	fd = bytes_to_memfd(vdso, vdso->e_shoff + (size_t)vdso->e_shnum * vdso->e_shentsize);
	assert_int_equal(symbol_worker__open_object(worker, 1, fd, &facts), 0);
	close(fd);
	for (uint64_t i = 0; i < 4096; i++)
		vaddrs[i] = facts.segments[0].vaddr + i;
	assert_int_equal(symbol_worker__find_names(worker, 1, vaddrs, 4096, names), 0);
	for (size_t i = 0; i < 4096; i++) {
		named += names[i] && !strcmp(names[i], "clock_gettime");
		free(names[i]);
	}
	assert_true(named > 0);
}

/* More addresses than one request holds, and an answer that does not fit a packet. */
static void test_many_names(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	size_t count = 2 * WORKER_ADDRESSES_MAX + 10;
	_cleanup_free_ uint64_t *vaddrs = calloc(count, sizeof(*vaddrs));
	_cleanup_free_ char **names = calloc(count, sizeof(*names));
	uint64_t known = vaddr_of((void *)(uintptr_t)local_function, NULL);
	struct object_facts facts;

	(void)state;
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	for (size_t i = 0; i < count; i++)
		vaddrs[i] = i % 3 ? known : 1;
	assert_int_equal(symbol_worker__find_names(worker, 1, vaddrs, count, names), 0);
	for (size_t i = 0; i < count; i++) {
		if (i % 3)
			assert_string_equal(names[i], "local_function");
		else
			assert_null(names[i]);
		free(names[i]);
	}
	assert_int_equal(symbol_worker__find_names(worker, 1, vaddrs, 0, names), 0);
}

/* Far more objects than the child keeps images of. */
static void test_more_objects_than_images(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	struct object_facts facts;

	(void)state;
	for (uint32_t i = 0; i < 150; i++)
		assert_int_equal(open_path(worker, i, "/proc/self/exe", &facts), 0);
	for (uint32_t i = 0; i < 150; i++)
		expect_local_function(worker, i * 37 % 150);
	assert_int_equal(symbol_worker__restarts(worker), 0);
}

static void test_numbers(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	struct unwind_table_image image;
	struct object_facts facts;
	uint64_t vaddr = 1;
	char *name = (char *)"untouched";
	void *memory;
	size_t size;

	(void)state;
	assert_int_equal(symbol_worker__find_names(worker, 5, &vaddr, 1, &name), -ENOENT);
	assert_null(name);
	assert_int_equal(symbol_worker__read_table(worker, 5, &memory, &size, &image), -ENOENT);
	assert_int_equal(open_path(worker, 5, "/proc/self/exe", &facts), 0);
	assert_int_equal(open_path(worker, 5, "/proc/self/exe", &facts), -EEXIST);
	symbol_worker__close_object(worker, 5);
	symbol_worker__close_object(worker, 5);
	assert_int_equal(symbol_worker__find_names(worker, 5, &vaddr, 1, &name), -ENOENT);
	assert_int_equal(open_path(worker, 5, "/proc/self/exe", &facts), 0);
	expect_local_function(worker, 5);
}

/* The number of a closed object, used for another file, gives the other file's names. */
static void test_number_reused(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	uint64_t qsort_vaddr = vaddr_of(dlsym(RTLD_NEXT, "qsort"), NULL);
	struct object_facts facts;
	const char *libc;

	(void)state;
	vaddr_of(dlsym(RTLD_NEXT, "qsort"), &libc);
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	expect_local_function(worker, 1);
	symbol_worker__close_object(worker, 1);
	assert_int_equal(open_path(worker, 1, libc, &facts), 0);
	expect_name(worker, 1, qsort_vaddr, "qsort");
}

static void test_not_elf(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	static const char *const texts[] = {"#!/bin/sh\n", "\x7f\x45LF", "MZ"};
	uint8_t image[8192] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
	_cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int directory = open("/", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC);
	struct object_facts facts;
	int fd;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		fd = bytes_to_memfd(texts[i], strlen(texts[i]));
		assert_int_equal(symbol_worker__open_object(worker, 1, fd, &facts), -ENOEXEC);
		close(fd);
	}
	fd = bytes_to_memfd(image, sizeof(image)); /* e_machine 0 */
	assert_int_equal(symbol_worker__open_object(worker, 1, fd, &facts), -ENOEXEC);
	close(fd);
	assert_int_equal(symbol_worker__open_object(worker, 1, empty, &facts), -ENOEXEC);
	assert_int_equal(symbol_worker__open_object(worker, 1, directory, &facts), -ENOEXEC);
	assert_int_equal(symbol_worker__open_object(worker, 1, -1, &facts), -EBADF);
	assert_int_equal(symbol_worker__restarts(worker), 0);
	assert_int_equal(symbol_worker__open_object(worker, 1, self, &facts), 0);
}

/* A real file cut off, or with bytes changed: an answer or a refusal, and the same child after it.
 */
static void test_damaged_files(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	_cleanup_fclose_ FILE *file = fopen("/proc/self/exe", "re");
	_cleanup_free_ uint8_t *bytes = malloc(4u << 20);
	struct unwind_table_image image;
	struct object_facts facts;
	size_t size, table_size;
	void *memory;

	(void)state;
	size = fread(bytes, 1, 4u << 20, file);
	srand(11);
	for (uint32_t round = 0; round < 60; round++) {
		size_t cut = round % 2 ? size : (size_t)rand() % size;
		int fd = bytes_to_memfd(bytes, cut);
		uint64_t vaddr = vaddr_of((void *)(uintptr_t)local_function, NULL);
		char *name = NULL;

		for (int i = 0; round % 2 && i < 20; i++) {
			uint8_t byte = (uint8_t)rand();
			off_t at = (i < 5 ? rand() % 4096 : rand() % (int)size);

			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
		int err = symbol_worker__open_object(worker, round, fd, &facts);
		assert_true(err == 0 || err == -ENOEXEC || err == -E2BIG);
		if (!err) {
			assert_int_equal(object_facts_check(&facts), 0);
			if (!symbol_worker__find_names(worker, round, &vaddr, 1, &name))
				free(name);
			if (!symbol_worker__read_table(worker, round, &memory, &table_size, &image))
				munmap(memory, table_size);
		}
		close(fd);
	}
	assert_int_equal(symbol_worker__restarts(worker), 0);
}

static void test_killed_between_requests(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	struct object_facts facts;

	(void)state;
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		pid_t old = symbol_worker__pid(worker);

		assert_int_equal(kill(old, SIGKILL), 0);
		expect_local_function(worker, 1);
		assert_int_equal(symbol_worker__restarts(worker), i);
		assert_int_not_equal(symbol_worker__pid(worker), old);
	}
	assert_int_equal(open_path(worker, 2, "/proc/self/exe", &facts), 0);
}

/* A stopped child is one that hangs: the object is given up, the others live on. */
static void test_deadline(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	uint64_t vaddr = 1;
	struct object_facts facts;
	char *name;

	(void)state;
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	assert_int_equal(open_path(worker, 2, "/proc/self/exe", &facts), 0);
	symbol_worker__set_deadline_ms(worker, 50);
	assert_int_equal(kill(symbol_worker__pid(worker), SIGSTOP), 0);
	assert_int_equal(symbol_worker__find_names(worker, 1, &vaddr, 1, &name), -EIO);
	assert_null(name);
	assert_int_equal(symbol_worker__pid(worker), 0);
	symbol_worker__set_deadline_ms(worker, 0);
	assert_int_equal(symbol_worker__find_names(worker, 1, &vaddr, 1, &name), -EIO);
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), -EIO);
	assert_int_equal(symbol_worker__restarts(worker), 0); /* nobody needed it yet */
	expect_local_function(worker, 2);
	assert_int_equal(symbol_worker__restarts(worker), 1);
	symbol_worker__close_object(worker, 1);
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	expect_local_function(worker, 1);
}

static void *kill_soon(void *pid)
{
	usleep(30 * 1000);
	kill(*(pid_t *)pid, SIGKILL);
	return NULL;
}

/* Killed in the middle of a request (the child is stopped, so that it is the middle). */
static void test_killed_in_request(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	pid_t pid = symbol_worker__pid(worker);
	struct object_facts facts;
	pthread_t thread;

	(void)state;
	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(pthread_create(&thread, NULL, kill_soon, &pid), 0);
	expect_local_function(worker, 1);
	pthread_join(thread, NULL);
	assert_int_equal(symbol_worker__restarts(worker), 1);
}

static size_t count_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_no_descriptor_leaks(void **state)
{
	size_t before = count_descriptors();

	(void)state;
	test_libc_names_and_table(state);
	test_deadline(state);
	test_killed_between_requests(state);
	test_not_elf(state);
	assert_int_equal(count_descriptors(), before);
	/* nor children that nobody waited for */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void read_status(pid_t pid, const char *key, char *value, size_t size)
{
	char path[64], line[256];
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key))) {
			snprintf(value, size, "%s", line + strlen(key) + 2);
			value[strcspn(value, "\n")] = '\0';
			return;
		}
	}
	fail_msg("no %s in %s", key, path);
}

static void test_rights_of_the_child(void **state)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	pid_t pid = symbol_worker__pid(worker);
	char value[128];

	(void)state;
	read_status(pid, "NoNewPrivs", value, sizeof(value));
	assert_string_equal(value, "1");
	read_status(pid, "CapEff", value, sizeof(value));
	assert_string_equal(value, "0000000000000000");
	read_status(pid, "CapPrm", value, sizeof(value));
	assert_string_equal(value, "0000000000000000");
	if (geteuid() == 0) {
		read_status(pid, "Uid", value, sizeof(value));
		assert_string_equal(value, "65534\t65534\t65534\t65534");
		read_status(pid, "Groups", value, sizeof(value));
		assert_string_equal(value, " ");
	}
}

/* The child's loop in a thread: sanitizers then see its leaks, which SIGKILL hides. */
static void *serve_in_thread(void *socket)
{
	return (void *)(intptr_t)worker_serve(*(int *)socket);
}

static void exchange(int socket, uint32_t kind, uint32_t object, int fd, const void *payload,
		     size_t size, struct worker_packet *packet)
{
	struct worker_header header = {
		.magic = WORKER_MAGIC, .kind = kind, .request = 3, .object = object, .size = size};

	assert_int_equal(worker_send(socket, &header, payload, fd), 0);
	packet->fd = -1;
	assert_int_equal(worker_receive(socket, packet), 0);
	assert_int_equal(packet->header.kind, kind);
	assert_int_equal(packet->header.request, 3);
	assert_int_equal(packet->header.object, object);
}

static void test_served_in_thread(void **state)
{
	_cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ struct worker_packet *packet = malloc(sizeof(*packet));
	uint64_t vaddrs[] = {vaddr_of((void *)(uintptr_t)local_function, NULL), 0};
	int sockets[2];
	pthread_t thread;
	void *status;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_in_thread, &sockets[1]), 0);
	assert_int_equal(worker_receive(sockets[0], packet), 0);
	assert_int_equal(packet->header.kind, WORKER_HELLO);
	exchange(sockets[0], WORKER_READ_FACTS, 1, self, NULL, 0, packet);
	assert_int_equal(packet->header.status, 0);
	assert_int_equal(packet->header.size, sizeof(struct object_facts));
	exchange(sockets[0], WORKER_FIND_NAMES, 1, self, vaddrs, sizeof(vaddrs), packet);
	assert_int_equal(packet->header.size, 2 + strlen("local_function") + 2);
	assert_memory_equal(packet->payload + 2, "local_function", strlen("local_function"));
	exchange(sockets[0], WORKER_FIND_NAMES, 1, self, vaddrs, 7, packet);
	assert_int_equal(packet->header.status, -EINVAL);
	exchange(sockets[0], WORKER_READ_TABLE, 2, self, NULL, 0, packet);
	assert_int_equal(packet->header.status, 0);
	assert_true(packet->fd >= 0);
	close(packet->fd);
	exchange(sockets[0], WORKER_READ_FACTS, 3, -1, NULL, 0, packet);
	assert_int_equal(packet->header.status, -EBADF);
	exchange(sockets[0], 99, 3, -1, NULL, 0, packet);
	assert_int_equal(packet->header.status, -EINVAL);
	close(sockets[0]);
	pthread_join(thread, &status);
	assert_int_equal((intptr_t)status, 0);
	close(sockets[1]);
}

/* A child that lies: which lie is in a file named after its parent, for it gets no environment. */
enum lie {
	LIE_NONE,
	LIE_OTHER_REQUEST,
	LIE_OTHER_OBJECT,
	LIE_OTHER_KIND,
	LIE_POSITIVE_STATUS,
	LIE_SHORT_ANSWER,
	LIE_BAD_FACTS,
	LIE_MEMFD_WITHOUT_FD,
	LIE_FD_WITHOUT_MEMFD,
	LIE_UNSEALED,
	LIE_SEALED_GARBAGE,
	LIE_NO_PACKET,
	LIE_EXIT,
	LIE_COUNT,
};

static void lie_path(pid_t parent, char path[64])
{
	snprintf(path, 64, "/tmp/mixprof-test-lie-%d", parent);
}

static void set_lie(enum lie lie)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	lie_path(getpid(), path);
	unlink(path);
	if (lie == LIE_NONE)
		return;
	file = fopen(path, "wxe");
	assert_non_null(file);
	fprintf(file, "%d", lie);
}

static enum lie read_lie(void)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];
	int lie = LIE_NONE;

	lie_path(getppid(), path);
	file = fopen(path, "re");
	return file && fscanf(file, "%d", &lie) == 1 ? (enum lie)lie : LIE_NONE;
}

static int answer_with_lie(int socket, enum lie lie, struct worker_packet *packet)
{
	struct worker_header *h = &packet->header;
	uint8_t garbage[sizeof(struct object_facts)];
	int fd = -1;

	memset(garbage, 0xff, sizeof(garbage));
	h->size = lie == LIE_SHORT_ANSWER ? 3 : sizeof(garbage);
	/* the right answer, "no name", so that nothing but the lie is wrong */
	if (h->kind == WORKER_FIND_NAMES && lie != LIE_SHORT_ANSWER && lie != LIE_BAD_FACTS &&
	    lie != LIE_SEALED_GARBAGE)
		h->size = 2;
	h->request += lie == LIE_OTHER_REQUEST;
	h->object += lie == LIE_OTHER_OBJECT;
	h->kind += lie == LIE_OTHER_KIND;
	h->status = lie == LIE_POSITIVE_STATUS;
	h->in_memfd =
		lie == LIE_MEMFD_WITHOUT_FD || lie == LIE_UNSEALED || lie == LIE_SEALED_GARBAGE;
	if (lie == LIE_UNSEALED || lie == LIE_FD_WITHOUT_MEMFD)
		fd = bytes_to_memfd(garbage, h->size);
	if (lie == LIE_SEALED_GARBAGE && worker_seal(garbage, h->size, &fd))
		return 1;
	if (lie == LIE_NO_PACKET)
		return send(socket, garbage, sizeof(garbage), 0) < 0;
	return worker_send(socket, h, garbage, fd);
}

static int lie_to_parent(int socket, enum lie lie)
{
	struct worker_header hello = {.magic = WORKER_MAGIC, .kind = WORKER_HELLO};
	struct worker_packet *packet = malloc(sizeof(*packet));

	if (worker_send(socket, &hello, NULL, -1))
		return 1;
	while (!worker_receive(socket, packet)) {
		if (lie == LIE_EXIT)
			_exit(1);
		if (packet->header.kind != WORKER_CLOSE && answer_with_lie(socket, lie, packet))
			_exit(1);
		close(packet->fd);
	}
	_exit(0);
}

static void expect_lie_found(enum lie lie, uint32_t kind)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = start_worker();
	struct unwind_table_image image;
	struct object_facts facts;
	uint64_t vaddr = 1;
	char *name = NULL;
	void *memory;
	size_t size;
	int err;

	assert_int_equal(open_path(worker, 1, "/proc/self/exe", &facts), 0);
	assert_int_equal(open_path(worker, 2, "/proc/self/exe", &facts), 0);
	set_lie(lie);
	kill(symbol_worker__pid(worker), SIGKILL);
	if (kind == WORKER_READ_FACTS)
		err = open_path(worker, 3, "/proc/self/exe", &facts);
	else if (kind == WORKER_READ_TABLE)
		err = symbol_worker__read_table(worker, 1, &memory, &size, &image);
	else
		err = symbol_worker__find_names(worker, 1, &vaddr, 1, &name);
	assert_int_equal(err, -EIO);
	assert_null(name);
	assert_int_equal(symbol_worker__pid(worker), 0);
	set_lie(LIE_NONE);
	expect_local_function(worker, 2);
	if (kind != WORKER_READ_FACTS)
		assert_int_equal(symbol_worker__find_names(worker, 1, &vaddr, 1, &name), -EIO);
	else
		assert_int_equal(open_path(worker, 3, "/proc/self/exe", &facts), -EIO);
}

static void test_lies(void **state)
{
	size_t before = count_descriptors();

	(void)state;
	for (enum lie lie = LIE_NONE + 1; lie < LIE_COUNT; lie++)
		for (uint32_t kind = WORKER_READ_FACTS; kind <= WORKER_FIND_NAMES; kind++)
			expect_lie_found(lie, kind);
	assert_int_equal(count_descriptors(), before);
}

static int forget_lie(void **state)
{
	(void)state;
	set_lie(LIE_NONE);
	return 0;
}

static struct object_facts sane_facts(void)
{
	struct object_facts f = {
		.build_id_size = 20,
		.segment_count = 2,
		.segments = {{0x1000, 0x1000, 0x5000, 0x5000, PF_R | PF_X, 0},
			     {0x8000, 0x6000, 0x1000, 0x2000, PF_R | PF_W, 0}},
		.python = {.eval_range_count = 2,
			   .version = 0x030c01f0,
			   .eval_ranges = {{0x1000, 0x2000}, {0x3000, 0x3100}},
			   .runtime = 0x8000,
			   .runtime_size = 0x1000,
			   .code_type = 0x9ff0,
			   .tls_block_bytes = 64,
			   .debug_offsets_size = 1024},
	};

	return f;
}

#define EXPECT_REFUSED(change)                                                                     \
	do {                                                                                       \
		struct object_facts f = sane_facts();                                              \
		change;                                                                            \
		assert_int_equal(object_facts_check(&f), -EBADMSG);                                \
	} while (0)

static void test_facts_check(void **state)
{
	struct object_facts sane = sane_facts();

	(void)state;
	assert_int_equal(object_facts_check(&sane), 0);
	EXPECT_REFUSED(f.build_id_size = 33);
	EXPECT_REFUSED(f.segment_count = OBJECT_SEGMENTS_MAX + 1);
	EXPECT_REFUSED(f.segment_count = UINT32_MAX);
	EXPECT_REFUSED(f.segment_count = 0); /* then nothing holds the eval ranges */
	EXPECT_REFUSED(f.is_executable = 2);
	EXPECT_REFUSED(f.reserved = 1);
	EXPECT_REFUSED(f.segments[1].file_size = 0x2001);
	EXPECT_REFUSED(f.segments[1].flags = 8);
	EXPECT_REFUSED(f.segments[1].memory_size = UINT64_MAX);
	EXPECT_REFUSED(f.segments[1].offset = UINT64_MAX - 10);
	EXPECT_REFUSED(f.python.eval_range_count = PYTHON_EVAL_RANGES_MAX + 1);
	EXPECT_REFUSED(f.python.eval_ranges[0].end = 0x1000);
	EXPECT_REFUSED(f.python.eval_ranges[0].end = 0x3001); /* overlaps the next */
	EXPECT_REFUSED(f.python.eval_ranges[1].end = 0x6001); /* leaves its segment */
	EXPECT_REFUSED(f.python.eval_ranges[1].end = UINT64_MAX);
	EXPECT_REFUSED(f.segments[0].flags = PF_R); /* not code */
	EXPECT_REFUSED(f.python.version = 0x040000f0);
	EXPECT_REFUSED(f.python.runtime = 0x7000);
	EXPECT_REFUSED(f.python.runtime_size = 0x2001);
	EXPECT_REFUSED(f.python.runtime_size = UINT64_MAX);
	EXPECT_REFUSED(f.python.code_type = 0xa000);
	EXPECT_REFUSED(f.python.tls_block_bytes = UINT64_MAX);
	EXPECT_REFUSED(f.python.is_executable = 2);
	EXPECT_REFUSED(f.python.debug_offsets_size = PYTHON_DEBUG_OFFSETS_MAX + 1);
}

/* What passes after random changes has the properties that the parent's code relies on. */
static void test_facts_check_on_mutations(void **state)
{
	size_t passed = 0;

	(void)state;
	srand(3);
	for (int round = 0; round < 50000; round++) {
		struct object_facts f = sane_facts();
		uint8_t *bytes = (uint8_t *)&f;

		for (int i = 0; i <= round % 4; i++)
			bytes[rand() % (int)offsetof(struct object_facts, python.debug_offsets)] =
				(uint8_t)rand();
		if (object_facts_check(&f))
			continue;
		passed++;
		assert_true(f.segment_count <= OBJECT_SEGMENTS_MAX && f.build_id_size <= 32);
		assert_true(f.python.eval_range_count <= PYTHON_EVAL_RANGES_MAX);
		assert_true(f.python.debug_offsets_size <= PYTHON_DEBUG_OFFSETS_MAX);
		for (uint32_t i = 0; i < f.segment_count; i++)
			assert_true(f.segments[i].vaddr + f.segments[i].memory_size >=
				    f.segments[i].vaddr);
		for (uint32_t i = 0; i < f.python.eval_range_count; i++)
			assert_true(f.python.eval_ranges[i].start < f.python.eval_ranges[i].end);
	}
	assert_true(passed > 1000 && passed < 49000);
}

static void test_names_decode(void **state)
{
	struct buffer b = {};
	char *names[3] = {NULL, NULL, NULL};
	char long_name[2000];

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	worker_name_append(&b, "foo");
	worker_name_append(&b, NULL);
	worker_name_append(&b, "b\033[31mad");
	assert_int_equal(worker_names_decode(b.data, b.size, 3, names), 0);
	assert_string_equal(names[0], "foo");
	assert_null(names[1]);
	assert_null(strchr(names[2], '\033')); /* went through the sanitizer */
	free(names[0]);
	free(names[2]);
	names[0] = names[2] = NULL;
	/* every other count and every shorter answer is refused */
	assert_int_equal(worker_names_decode(b.data, b.size, 2, names), -EBADMSG);
	assert_int_equal(worker_names_decode(b.data, b.size, 4, names), -EBADMSG);
	for (size_t size = 0; size < b.size; size++) {
		_cleanup_free_ uint8_t *cut = malloc(size + !size);

		memcpy(cut, b.data, size);
		assert_int_equal(worker_names_decode(cut, size, 3, names), -EBADMSG);
	}
	b.data[3] = '\0';
	assert_int_equal(worker_names_decode(b.data, b.size, 3, names), -EBADMSG);
	assert_null(names[0]);
	buffer_clear(&b);
	buffer_u16(&b, WORKER_NAME_BYTES_MAX + 1);
	buffer_append(&b, long_name, WORKER_NAME_BYTES_MAX + 1);
	assert_int_equal(worker_names_decode(b.data, b.size, 1, names), -EBADMSG);
	buffer_clear(&b);
	worker_name_append(&b, long_name);
	assert_int_equal(worker_names_decode(b.data, b.size, 1, names), 0);
	assert_int_equal(strlen(names[0]), WORKER_NAME_BYTES_MAX);
	free(names[0]);
	buffer_done(&b);
}

static void test_only_sealed_memory_is_mapped(void **state)
{
	_cleanup_close_ int sealed = -1;
	_cleanup_close_ int open_memfd = bytes_to_memfd("12345678", 8);
	_cleanup_close_ int half = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_close_ int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *memory = NULL;

	(void)state;
	assert_int_equal(worker_seal("12345678", 8, &sealed), 0);
	assert_int_equal(worker_map_sealed(sealed, 8, 8, &memory), 0);
	assert_memory_equal(memory, "12345678", 8);
	munmap(memory, 8);
	assert_int_equal(write(sealed, "x", 1), -1);
	assert_int_equal(ftruncate(sealed, 0), -1);
	assert_int_equal(worker_map_sealed(sealed, 7, 8, &memory), -EBADMSG);
	assert_int_equal(worker_map_sealed(sealed, 8, 7, &memory), -EBADMSG);
	assert_int_equal(worker_map_sealed(open_memfd, 8, 8, &memory), -EBADMSG);
	assert_int_equal(worker_map_sealed(file, 8, 8, &memory), -EBADMSG);
	assert_int_equal(worker_map_sealed(-1, 8, 8, &memory), -EBADMSG);
	assert_int_equal(write(half, "12345678", 8), 8);
	assert_int_equal(fcntl(half, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(worker_map_sealed(half, 8, 8, &memory), -EBADMSG);
}

static void expect_bad_packet(const void *bytes, size_t size)
{
	_cleanup_free_ struct worker_packet *packet = malloc(sizeof(*packet));
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(send(sockets[0], bytes, size, 0), size);
	assert_int_equal(worker_receive(sockets[1], packet), -EBADMSG);
	close(sockets[0]);
	assert_int_equal(worker_receive(sockets[1], packet), -ECONNRESET);
	close(sockets[1]);
}

static void test_bad_packets(void **state)
{
	struct worker_header good = {.magic = WORKER_MAGIC, .kind = WORKER_FIND_NAMES, .size = 0};
	struct worker_header bad = good;
	_cleanup_free_ uint8_t *large = calloc(1, 64 * 1024);

	(void)state;
	expect_bad_packet(&good, sizeof(good) - 1);
	bad.magic++;
	expect_bad_packet(&bad, sizeof(bad));
	bad = good;
	bad.size = 1;
	expect_bad_packet(&bad, sizeof(bad));
	bad.size = UINT64_MAX;
	expect_bad_packet(&bad, sizeof(bad));
	bad = good;
	bad.in_memfd = 2;
	expect_bad_packet(&bad, sizeof(bad));
	bad = good;
	bad.size = 64 * 1024 - sizeof(bad);
	memcpy(large, &bad, sizeof(bad));
	expect_bad_packet(large, 64 * 1024);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_program),
		cmocka_unit_test(test_libc_names_and_table),
		cmocka_unit_test(test_python_facts_mark_rows),
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_more_objects_than_images),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_number_reused),
		cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_killed_between_requests),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_killed_in_request),
		cmocka_unit_test(test_no_descriptor_leaks),
		cmocka_unit_test(test_rights_of_the_child),
		cmocka_unit_test(test_served_in_thread),
		cmocka_unit_test_teardown(test_lies, forget_lie),
		cmocka_unit_test(test_facts_check),
		cmocka_unit_test(test_facts_check_on_mutations),
		cmocka_unit_test(test_names_decode),
		cmocka_unit_test(test_only_sealed_memory_is_mapped),
		cmocka_unit_test(test_bad_packets),
	};

	if (argc == 3 && !strcmp(argv[1], "symbol-worker")) {
		enum lie lie = read_lie();

		return lie ? lie_to_parent(atoi(argv[2]), lie) : symbol_worker_main(atoi(argv[2]));
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
