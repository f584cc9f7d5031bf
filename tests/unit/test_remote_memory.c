/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/remote_memory.h"

static int read_here(const void *address, void *to, size_t size)
{
	return remote_memory_read(&remote_memory_live, getpid(), (uintptr_t)address, to, size);
}

static void reads_exactly(void **state)
{
	static const char text[] = "sixteen bytes ok";
	char copy[sizeof(text)] = "";
	uint64_t word = 0;
	uint32_t half = 0;

	(void)state;
	assert_int_equal(read_here(text, copy, sizeof(copy)), 0);
	assert_string_equal(copy, text);
	assert_int_equal(read_here(text, copy, 0), 0);
	assert_int_equal(remote_memory_u64(&remote_memory_live, getpid(), (uintptr_t)text, &word),
			 0);
	assert_memory_equal(&word, text, 8);
	assert_int_equal(remote_memory_u32(&remote_memory_live, getpid(), (uintptr_t)text, &half),
			 0);
	assert_memory_equal(&half, text, 4);
}

static void half_mapped_is_unreadable(void **state)
{
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char to[16];
	uint64_t word = 5;

	(void)state;
	assert_ptr_not_equal(two, MAP_FAILED);
	assert_int_equal(munmap(two + page, (size_t)page), 0);
	assert_int_equal(read_here(two + page - 16, to, 16), 0);
	assert_int_equal(read_here(two + page - 8, to, 16), -EFAULT);
	assert_int_equal(remote_memory_u64(&remote_memory_live, getpid(),
					   (uintptr_t)two + (size_t)page - 4, &word),
			 -EFAULT);
	assert_int_equal(word, 5);
	munmap(two, (size_t)page);
}

static void nonsense_addresses(void **state)
{
	uint64_t word = 5;

	(void)state;
	assert_int_equal(remote_memory_u64(&remote_memory_live, getpid(), 0, &word), -EFAULT);
	assert_int_equal(remote_memory_u64(&remote_memory_live, getpid(), UINT64_MAX - 3, &word),
			 -EFAULT);
	assert_int_equal(remote_memory_u64(&remote_memory_live, getpid(), 1ULL << 63, &word),
			 -EFAULT);
	assert_int_equal(word, 5);
}

static void too_large(void **state)
{
	char *to = malloc(REMOTE_READ_MAX + 1);

	(void)state;
	assert_int_equal(read_here(to, to, REMOTE_READ_MAX + 1), -E2BIG);
	free(to);
}

static void gone(void **state)
{
	pid_t child = fork();
	uint64_t word;

	(void)state;
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(remote_memory_u64(&remote_memory_live, child, (uintptr_t)&word, &word),
			 -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_exactly),
		cmocka_unit_test(half_mapped_is_unreadable),
		cmocka_unit_test(nonsense_addresses),
		cmocka_unit_test(too_large),
		cmocka_unit_test(gone),
	};

	return cmocka_run_group_tests_name("remote_memory", tests, NULL, NULL);
}
