/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect/record_queue: what goes in comes out, in order, whole and aligned,
 * across many wraps and with a consumer on another thread; a full queue refuses
 * and loses nothing that it took. Run under TSan by `make SANITIZE=-fsanitize=thread`.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "collect/record_queue.h"

#define STRESS_RECORDS 200000u
#define RECORD_MAX 512

/* Record n: size and bytes follow from n alone, so the consumer can check them. */
static uint32_t record_size(uint32_t n)
{
	return (n * 2654435761u >> 16) % (RECORD_MAX + 1);
}

static void fill_record(uint32_t n, uint8_t *bytes)
{
	for (uint32_t i = 0; i < record_size(n); i++)
		bytes[i] = (uint8_t)(n * 31 + i * 7);
}

static void check_record(uint32_t n, uint32_t ring, uint32_t size, const void *data)
{
	uint8_t expected[RECORD_MAX];

	fill_record(n, expected);
	assert_int_equal(ring, n % 5);
	assert_int_equal(size, record_size(n));
	assert_int_equal((uintptr_t)data % 8, 0);
	assert_memory_equal(data, expected, size);
}

static void refuses_silly_sizes(void **state)
{
	struct record_queue *queue = NULL;

	(void)state;
	assert_int_equal(record_queue__new(0, &queue), -EINVAL);
	assert_int_equal(record_queue__new((size_t)RECORD_QUEUE_MAX_BYTES + 1, &queue), -EINVAL);
	assert_null(queue);
}

static void full_queue_refuses_and_keeps_the_rest(void **state)
{
	struct record_queue *queue = NULL;
	uint32_t ring, size, taken = 0, given = 0;
	const void *data;
	uint8_t bytes[RECORD_MAX];

	(void)state;
	assert_int_equal(record_queue__new(3000, &queue), 0); /* the memory is 4096 */
	for (; given < 1000; given++) {
		fill_record(given, bytes);
		if (!record_queue__push(queue, given % 5, bytes, record_size(given)))
			break;
		assert_true(record_queue__used_bytes(queue) <= 3000);
	}
	assert_in_range(given, 4, 999);
	while (record_queue__next(queue, &ring, &size, &data))
		check_record(taken++, ring, size, data);
	assert_int_equal(taken, given);
	assert_int_equal(record_queue__used_bytes(queue), 0);
	record_queue__free(queue);
}

static void memory_is_given_back_only_at_the_next_call(void **state)
{
	struct record_queue *queue = NULL;
	uint32_t ring, size;
	const void *data;
	uint8_t ones[40], twos[40];

	(void)state;
	memset(ones, 1, sizeof(ones));
	memset(twos, 2, sizeof(twos));
	assert_int_equal(record_queue__new(64, &queue), 0);
	assert_true(record_queue__push(queue, 0, ones, sizeof(ones)));
	assert_true(record_queue__next(queue, &ring, &size, &data));
	assert_false(record_queue__has_next(queue));
	assert_false(record_queue__push(queue, 0, twos, sizeof(twos)));
	assert_memory_equal(data, ones, sizeof(ones));
	assert_false(record_queue__next(queue, &ring, &size, &data));
	assert_int_equal(record_queue__used_bytes(queue), 0);
	record_queue__free(queue);
}

static void half_of_the_limit_fits_an_empty_queue_at_any_position(void **state)
{
	struct record_queue *queue = NULL;
	uint32_t ring, size;
	const void *data;
	uint8_t bytes[RECORD_MAX] = {0};

	(void)state;
	assert_int_equal(record_queue__new(1024, &queue), 0);
	for (uint32_t n = 0; n < 300; n++) {
		assert_true(record_queue__push(queue, 1, bytes, 8 * (n % 5)));
		assert_true(record_queue__next(queue, &ring, &size, &data));
		assert_false(record_queue__next(queue, &ring, &size, &data));
		assert_true(record_queue__push(queue, 2, bytes, RECORD_MAX - 8));
		assert_true(record_queue__next(queue, &ring, &size, &data));
		assert_int_equal(size, RECORD_MAX - 8);
		assert_int_equal(ring, 2);
		assert_false(record_queue__next(queue, &ring, &size, &data));
	}
	record_queue__free(queue);
}

static void *produce(void *arg)
{
	struct record_queue *queue = arg;
	uint8_t bytes[RECORD_MAX];

	for (uint32_t n = 0; n < STRESS_RECORDS; n++) {
		fill_record(n, bytes);
		while (!record_queue__push(queue, n % 5, bytes, record_size(n)))
			sched_yield();
	}
	return NULL;
}

/* Resident pages of this process. */
static long resident_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long size, resident;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%ld %ld", &size, &resident), 2);
	fclose(statm);
	return resident;
}

/* A queue of 16 MB that never holds more than a record costs a few blocks of 256 KB, not 16 MB. */
static void large_queue_keeps_no_memory_that_it_passed(void **state)
{
	struct record_queue *queue = NULL;
	uint32_t ring, size;
	const void *data;
	uint8_t bytes[RECORD_MAX];
	long before;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("the thread sanitizer keeps a shadow of what was touched\n");
	skip();
#endif
	assert_int_equal(record_queue__new(16u << 20, &queue), 0);
	before = resident_pages();
	for (uint32_t n = 0; n < STRESS_RECORDS; n++) { /* 50 MB: three times round */
		fill_record(n, bytes);
		assert_true(record_queue__push(queue, n % 5, bytes, record_size(n)));
		assert_true(record_queue__next(queue, &ring, &size, &data));
		check_record(n, ring, size, data);
	}
	assert_in_range(resident_pages() - before, 0, 512); /* 2 MB */
	record_queue__free(queue);
}

static void see_every_record_once_in_order(size_t limit_bytes)
{
	struct record_queue *queue = NULL;
	uint32_t ring, size, n = 0;
	const void *data;
	pthread_t producer;

	assert_int_equal(record_queue__new(limit_bytes, &queue), 0);
	assert_int_equal(pthread_create(&producer, NULL, produce, queue), 0);
	while (n < STRESS_RECORDS) {
		if (record_queue__next(queue, &ring, &size, &data))
			check_record(n++, ring, size, data);
		else
			sched_yield();
	}
	assert_int_equal(pthread_join(producer, NULL), 0);
	assert_false(record_queue__next(queue, &ring, &size, &data));
	record_queue__free(queue);
}

static void threads_see_every_record_once_in_order(void **state)
{
	(void)state;
	see_every_record_once_in_order(5000);
}

/* Blocks are emptied while the producer writes on: not one that it may have already. */
static void threads_and_blocks(void **state)
{
	(void)state;
	see_every_record_once_in_order(4u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_silly_sizes),
		cmocka_unit_test(full_queue_refuses_and_keeps_the_rest),
		cmocka_unit_test(memory_is_given_back_only_at_the_next_call),
		cmocka_unit_test(half_of_the_limit_fits_an_empty_queue_at_any_position),
		cmocka_unit_test(threads_see_every_record_once_in_order),
		cmocka_unit_test(large_queue_keeps_no_memory_that_it_passed),
		cmocka_unit_test(threads_and_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
