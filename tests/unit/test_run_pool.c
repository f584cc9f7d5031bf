/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow/run_pool against a model that keeps one word per slot: until when it is
 * taken, or rests. A run handed out must be free there, slot by slot, and a
 * refusal is only right when no run of that length is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "follow/run_pool.h"

#define SLOTS 64
#define GRACE 1000
#define TAKEN UINT64_MAX

static uint64_t random_state = 88172645463325252ull;

static uint32_t below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state % limit);
}

static struct run_pool *pool_of(uint32_t slots)
{
	struct run_pool *pool = NULL;

	assert_int_equal(run_pool__new(slots, GRACE, &pool), 0);
	return pool;
}

static uint32_t take(struct run_pool *pool, uint32_t length, uint64_t now)
{
	uint32_t first = UINT32_MAX;

	assert_int_equal(run_pool__take(pool, length, now, &first), 0);
	return first;
}

static void refuse(struct run_pool *pool, uint32_t length, uint64_t now)
{
	uint32_t first = 12345;

	assert_int_equal(run_pool__take(pool, length, now, &first), -ENOSPC);
	assert_int_equal(first, 12345);
}

static void grace_period(void **state)
{
	_cleanup_(run_pool__freep) struct run_pool *pool = pool_of(10);
	uint32_t first = take(pool, 10, 0);

	(void)state;
	refuse(pool, 1, 0);
	run_pool__put(pool, first, 10, 500);
	refuse(pool, 1, 500);
	refuse(pool, 1, 500 + GRACE - 1);
	assert_int_equal(take(pool, 10, 500 + GRACE), 0);
}

static void runs_join_again(void **state)
{
	/* every order of giving three neighbours back leaves one run of all */
	static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		_cleanup_(run_pool__freep) struct run_pool *pool = pool_of(30);
		uint32_t first[3];

		for (int n = 0; n < 3; n++)
			first[n] = take(pool, 10, 0);
		for (int n = 0; n < 3; n++)
			run_pool__put(pool, first[orders[i][n]], 10, 1);
		refuse(pool, 10, GRACE);
		assert_int_equal(take(pool, 30, GRACE + 1), 0);
	}
}

static void nothing_to_put(void **state)
{
	_cleanup_(run_pool__freep) struct run_pool *pool = pool_of(4);

	(void)state;
	run_pool__put(pool, 0, 0, 0); /* a process that had no mappings */
	assert_int_equal(take(pool, 4, 10 * GRACE), 0);
	refuse(pool, 1, 20 * GRACE);
}

struct model {
	uint64_t busy_until[SLOTS]; /* TAKEN, or when its rest ends */
	struct {
		uint32_t first, length;
	} runs[SLOTS];
	uint32_t count;
};

static bool has_room(const struct model *m, uint32_t length, uint64_t now)
{
	uint32_t free = 0;

	for (uint32_t i = 0; i < SLOTS; i++) {
		free = m->busy_until[i] <= now ? free + 1 : 0;
		if (free >= length)
			return true;
	}
	return false;
}

static void model_take(struct model *m, struct run_pool *pool, uint64_t now)
{
	uint32_t length = 1 + below(20), first = 0;
	int err = run_pool__take(pool, length, now, &first);

	assert_int_equal(err, has_room(m, length, now) ? 0 : -ENOSPC);
	if (err)
		return;
	assert_true(first <= SLOTS && length <= SLOTS - first);
	for (uint32_t i = first; i < first + length; i++) {
		assert_true(m->busy_until[i] <= now);
		m->busy_until[i] = TAKEN;
	}
	m->runs[m->count].first = first;
	m->runs[m->count++].length = length;
}

static void model_put(struct model *m, struct run_pool *pool, uint64_t now)
{
	uint32_t n = below(m->count);

	run_pool__put(pool, m->runs[n].first, m->runs[n].length, now);
	for (uint32_t i = 0; i < m->runs[n].length; i++)
		m->busy_until[m->runs[n].first + i] = now + GRACE;
	m->runs[n] = m->runs[--m->count];
}

static void random_model(void **state)
{
	(void)state;
	for (int round = 0; round < 50; round++) {
		_cleanup_(run_pool__freep) struct run_pool *pool = pool_of(SLOTS);
		struct model m = {0};
		uint64_t now = 0;

		for (int step = 0; step < 2000; step++) {
			now += below(4) ? below(100) : below(3 * GRACE);
			if (m.count && below(2))
				model_put(&m, pool, now);
			else
				model_take(&m, pool, now);
		}
		while (m.count)
			model_put(&m, pool, now);
		assert_int_equal(take(pool, SLOTS, now + GRACE), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grace_period),
		cmocka_unit_test(runs_join_again),
		cmocka_unit_test(nothing_to_put),
		cmocka_unit_test(random_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
