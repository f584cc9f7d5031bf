/* SPDX-License-Identifier: Apache-2.0 */
/* base/hash_map against a naive model: an array that is searched from end to end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/hash_map.h"

#define KEYS 700

struct model {
	bool present[KEYS];
	uint64_t value[KEYS];
	size_t count;
};

static void make_key(uint8_t *key, size_t size, uint32_t number)
{
	memset(key, 0xa5, size);
	memcpy(key, &number, size < sizeof(number) ? size : sizeof(number));
}

static void check_iteration(const struct hash_map *map, const struct model *model)
{
	bool seen[KEYS] = {false};
	size_t position = 0, count = 0;
	const void *key;
	uint64_t value;

	while (hash_map__next(map, &position, &key, &value)) {
		uint16_t number;

		memcpy(&number, key, sizeof(number));
		assert_true(number < KEYS);
		assert_true(model->present[number]);
		assert_false(seen[number]);
		assert_int_equal(value, model->value[number]);
		seen[number] = true;
		count++;
	}
	assert_int_equal(count, model->count);
}

static void check_step(struct hash_map *map, struct model *model, const uint8_t *key, uint32_t n)
{
	uint64_t value = (uint64_t)random() << 32 | (uint64_t)random();
	uint64_t found = 42;

	switch (random() % 5) {
	case 0:
	case 1:
		assert_int_equal(hash_map__set(map, key, value), 0);
		model->count += !model->present[n];
		model->present[n] = true;
		model->value[n] = value;
		break;
	case 2:
	case 3:
		assert_int_equal(hash_map__remove(map, key, random() % 4 ? &found : NULL),
				 model->present[n]);
		if (found != 42)
			assert_int_equal(found, model->value[n]);
		model->count -= model->present[n];
		model->present[n] = false;
		break;
	default:
		assert_int_equal(hash_map__find(map, key, &found), model->present[n]);
		assert_int_equal(found, model->present[n] ? model->value[n] : 42);
	}
	assert_int_equal(hash_map__count(map), model->count);
}

static void behaves_like_the_model(void **state)
{
	static const size_t key_sizes[] = {2, 3, 4, 8, 20, 96, 100};

	(void)state;
	srandom(7);
	for (size_t s = 0; s < sizeof(key_sizes) / sizeof(key_sizes[0]); s++) {
		_cleanup_(hash_map__freep) struct hash_map *map = NULL;
		struct model model = {0};
		/* A phase with few keys keeps probing runs short, one with many makes them long. */
		uint32_t range = 5;

		assert_int_equal(hash_map__new(key_sizes[s], &map), 0);
		for (unsigned int step = 0; step < 60000; step++) {
			uint32_t n = (uint32_t)random() % range;
			uint8_t key[100];

			make_key(key, key_sizes[s], n);
			check_step(map, &model, key, n);
			if (step % 5000 == 4999) {
				check_iteration(map, &model);
				range = step % 10000 == 4999 ? KEYS : 60;
			}
		}
	}
}

/* Removing every key, in another order than that of adding, leaves an empty map that works. */
static void fills_and_empties(void **state)
{
	_cleanup_(hash_map__freep) struct hash_map *map = NULL;
	const uint32_t count = 50021; /* prime: the stride below visits each key once */
	uint64_t value;
	size_t position = 0;
	const void *key;

	(void)state;
	assert_int_equal(hash_map__new(sizeof(uint32_t), &map), 0);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(hash_map__set(map, &i, i * UINT64_C(3)), 0);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t k = (uint32_t)((uint64_t)i * 7919 % count);

		assert_true(hash_map__remove(map, &k, &value));
		assert_int_equal(value, k * UINT64_C(3));
		assert_false(hash_map__find(map, &k, &value));
		if (i % 997 == 0 && i + 1 < count) {
			k = (uint32_t)((uint64_t)(i + 1) * 7919 % count);
			assert_true(hash_map__find(map, &k, &value));
		}
	}
	assert_int_equal(hash_map__count(map), 0);
	assert_false(hash_map__next(map, &position, &key, &value));
	assert_int_equal(hash_map__set(map, &count, 1), 0);
	assert_true(hash_map__find(map, &count, &value));
}

static void empty_map(void **state)
{
	_cleanup_(hash_map__freep) struct hash_map *map = NULL;
	uint64_t value = 9;
	size_t position = 0;
	const void *key;

	(void)state;
	assert_int_equal(hash_map__new(8, &map), 0);
	assert_false(hash_map__find(map, "12345678", &value));
	assert_false(hash_map__remove(map, "12345678", &value));
	assert_false(hash_map__next(map, &position, &key, &value));
	assert_int_equal(value, 9);
	hash_map__free(NULL);
}

static void refuses_keys_without_size(void **state)
{
	struct hash_map *map = NULL;

	(void)state;
	assert_int_equal(hash_map__new(0, &map), -EINVAL);
	assert_null(map);
}

static void hash_is_xxh3(void **state)
{
	(void)state;
	/* The published test value of XXH3_64bits for no input. */
	assert_int_equal(hash_bytes("", 0), UINT64_C(0x2D06800538D394C2));
	assert_int_not_equal(hash_bytes("a", 1), hash_bytes("b", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behaves_like_the_model),
		cmocka_unit_test(fills_and_empties),
		cmocka_unit_test(empty_map),
		cmocka_unit_test(refuses_keys_without_size),
		cmocka_unit_test(hash_is_xxh3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
