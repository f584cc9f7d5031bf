/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one hash map: open addressing, keys of one fixed size (compared as bytes,
 * so zero the padding), 64-bit values. Strings are mapped by interning them
 * first (profile/intern.h).
 */
#ifndef MIXPROF_BASE_HASH_MAP_H
#define MIXPROF_BASE_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_map;

int hash_map__new(size_t key_size, struct hash_map **ret_map);
void hash_map__free(struct hash_map *map);
size_t hash_map__count(const struct hash_map *map);
bool hash_map__find(const struct hash_map *map, const void *key, uint64_t *ret_value);
/* Adds or replaces. 0 or -ENOMEM. */
int hash_map__set(struct hash_map *map, const void *key, uint64_t value);
/* ret_value may be NULL. False if the key was absent. */
bool hash_map__remove(struct hash_map *map, const void *key, uint64_t *ret_value);
/* Iterates in no particular order: start with *position = 0; false at the end.
 * The map must not change meanwhile. ret_key is borrowed. */
bool hash_map__next(const struct hash_map *map, size_t *position, const void **ret_key,
		    uint64_t *ret_value);

uint64_t hash_bytes(const void *bytes, size_t size); /* XXH3 */

static inline void hash_map__freep(struct hash_map **map)
{
	hash_map__free(*map);
}

#endif
