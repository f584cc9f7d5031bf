/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing, linear probing, at most 3/4 full, a power of two of slots.
 * A slot is {hash, value, key}; hash 0 marks an empty slot, so a hash of 0 is
 * stored as 1. Removal shifts the followers back instead of leaving tombstones:
 * a map that churns for months never fills with them.
 */
#include "base/hash_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define SLOTS_MIN 16

struct slot {
	uint64_t hash;
	uint64_t value;
	uint8_t key[];
};

struct hash_map {
	size_t key_size;
	size_t slot_size;
	size_t slot_count; /* 0 or a power of two */
	size_t count;
	uint8_t *slots;
};

uint64_t hash_bytes(const void *bytes, size_t size)
{
	return XXH3_64bits(bytes, size);
}

static uint64_t slot_hash(const struct hash_map *map, const void *key)
{
	uint64_t hash = hash_bytes(key, map->key_size);

	return hash ? hash : 1;
}

static struct slot *slot_at(const struct hash_map *map, size_t index)
{
	return (struct slot *)(void *)(map->slots + index * map->slot_size);
}

/* The slot that holds the key, or the empty one where it belongs. There is always an empty one. */
static size_t find_slot(const struct hash_map *map, uint64_t hash, const void *key)
{
	size_t mask = map->slot_count - 1;
	size_t i = hash & mask;

	for (;; i = (i + 1) & mask) {
		const struct slot *slot = slot_at(map, i);

		if (slot->hash == 0)
			return i;
		if (slot->hash == hash && memcmp(slot->key, key, map->key_size) == 0)
			return i;
	}
}

int hash_map__new(size_t key_size, struct hash_map **ret_map)
{
	struct hash_map *map;

	if (key_size == 0 || key_size > 4096)
		return -EINVAL;
	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->key_size = key_size;
	map->slot_size = (sizeof(struct slot) + key_size + 7) & ~(size_t)7;
	*ret_map = map;
	return 0;
}

void hash_map__free(struct hash_map *map)
{
	if (!map)
		return;
	free(map->slots);
	free(map);
}

size_t hash_map__count(const struct hash_map *map)
{
	return map->count;
}

bool hash_map__find(const struct hash_map *map, const void *key, uint64_t *ret_value)
{
	const struct slot *slot;

	if (map->count == 0)
		return false;
	slot = slot_at(map, find_slot(map, slot_hash(map, key), key));
	if (slot->hash == 0)
		return false;
	*ret_value = slot->value;
	return true;
}

static int grow(struct hash_map *map)
{
	size_t slot_count = map->slot_count ? map->slot_count * 2 : SLOTS_MIN;
	struct hash_map bigger = *map;

	bigger.slot_count = slot_count;
	bigger.slots = calloc(slot_count, map->slot_size);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->slot_count; i++) {
		const struct slot *slot = slot_at(map, i);

		if (slot->hash)
			memcpy(slot_at(&bigger, find_slot(&bigger, slot->hash, slot->key)), slot,
			       map->slot_size);
	}
	free(map->slots);
	*map = bigger;
	return 0;
}

int hash_map__set(struct hash_map *map, const void *key, uint64_t value)
{
	uint64_t hash = slot_hash(map, key);
	struct slot *slot;
	uint64_t old;
	int err;

	if (map->count >= map->slot_count / 4 * 3 && !hash_map__find(map, key, &old)) {
		err = grow(map);
		if (err)
			return err;
	}
	slot = slot_at(map, find_slot(map, hash, key));
	if (slot->hash == 0) {
		slot->hash = hash;
		memcpy(slot->key, key, map->key_size);
		map->count++;
	}
	slot->value = value;
	return 0;
}

/* Moves back each follower whose home does not lie cyclically in (hole, follower]. */
static void close_hole(struct hash_map *map, size_t hole)
{
	size_t mask = map->slot_count - 1;
	size_t i = hole;

	for (;;) {
		const struct slot *slot;

		i = (i + 1) & mask;
		slot = slot_at(map, i);
		if (slot->hash == 0)
			break;
		if (((i - slot->hash) & mask) < ((i - hole) & mask))
			continue;
		memcpy(slot_at(map, hole), slot, map->slot_size);
		hole = i;
	}
	slot_at(map, hole)->hash = 0;
}

bool hash_map__remove(struct hash_map *map, const void *key, uint64_t *ret_value)
{
	size_t index;

	if (map->count == 0)
		return false;
	index = find_slot(map, slot_hash(map, key), key);
	if (slot_at(map, index)->hash == 0)
		return false;
	if (ret_value)
		*ret_value = slot_at(map, index)->value;
	close_hole(map, index);
	map->count--;
	return true;
}

bool hash_map__next(const struct hash_map *map, size_t *position, const void **ret_key,
		    uint64_t *ret_value)
{
	while (*position < map->slot_count) {
		const struct slot *slot = slot_at(map, (*position)++);

		if (slot->hash == 0)
			continue;
		*ret_key = slot->key;
		*ret_value = slot->value;
		return true;
	}
	return false;
}
