/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interned strings. Owns copies of them in blocks that never move, so a borrowed
 * pointer lives as long as the table.
 *
 * The map goes from a 64-bit hash to the newest string of that hash; strings of
 * one hash are chained and compared by content. Names come from strangers, who
 * can make hashes collide: that may cost time, never join two names.
 */
#include "profile/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash_map.h"

#define BLOCK_BYTES (64u << 10)
#define NO_STRING UINT32_MAX

struct block {
	struct block *next;
	size_t used, size;
	char bytes[];
};

struct entry {
	const char *s;
	uint32_t size;
	uint32_t next; /* of the same hash, or NO_STRING */
};

struct string_table {
	struct hash_map *by_hash;
	struct entry *entries;
	uint32_t count, capacity;
	struct block *blocks; /* the one being filled first */
};

int string_table__new(struct string_table **ret_table)
{
	_cleanup_(string_table__freep) struct string_table *table = calloc(1, sizeof(*table));
	uint32_t id;
	int err;

	if (!table)
		return -ENOMEM;
	err = hash_map__new(sizeof(uint64_t), &table->by_hash);
	if (!err)
		err = string_table__intern(table, "", 0, &id);
	if (err)
		return err;
	*ret_table = take_ptr(table);
	return 0;
}

void string_table__free(struct string_table *table)
{
	if (!table)
		return;
	while (table->blocks) {
		struct block *next = table->blocks->next;

		free(table->blocks);
		table->blocks = next;
	}
	hash_map__free(table->by_hash);
	free(table->entries);
	free(table);
}

static int reserve_entry(struct string_table *table)
{
	uint32_t capacity = table->capacity ? table->capacity * 2 : 64;
	struct entry *entries;

	if (table->count < table->capacity)
		return 0;
	if (capacity <= table->capacity)
		return -ENOMEM;
	entries = realloc(table->entries, capacity * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	table->entries = entries;
	table->capacity = capacity;
	return 0;
}

/* A block with room for size bytes: the first one, or a new one. */
static struct block *reserve_bytes(struct string_table *table, size_t size)
{
	struct block *first = table->blocks, *block;
	bool alone = size > BLOCK_BYTES / 4;

	if (first && size <= first->size - first->used)
		return first;
	block = malloc(sizeof(*block) + (alone ? size : BLOCK_BYTES));
	if (!block)
		return NULL;
	block->used = 0;
	block->size = alone ? size : BLOCK_BYTES;
	/* A long string has a block of its own and leaves the first one in use. */
	block->next = alone && first ? first->next : first;
	if (alone && first)
		first->next = block;
	else
		table->blocks = block;
	return block;
}

static bool find_string(const struct string_table *table, uint64_t hash, const char *s, size_t size,
			uint32_t *ret_id, uint32_t *ret_first)
{
	uint64_t first;

	*ret_first = NO_STRING;
	if (!hash_map__find(table->by_hash, &hash, &first))
		return false;
	*ret_first = (uint32_t)first;
	for (uint32_t id = (uint32_t)first; id != NO_STRING; id = table->entries[id].next) {
		const struct entry *entry = &table->entries[id];

		if (entry->size == size && memcmp(entry->s, s, size) == 0) {
			*ret_id = id;
			return true;
		}
	}
	return false;
}

int string_table__intern(struct string_table *table, const char *s, size_t size, uint32_t *ret_id)
{
	uint64_t hash = hash_bytes(s, size);
	struct block *block;
	uint32_t first;
	char *copy;
	int err;

	if (find_string(table, hash, s, size, ret_id, &first))
		return 0;
	if (size >= UINT32_MAX)
		return -EOVERFLOW;
	err = reserve_entry(table);
	if (err)
		return err;
	block = reserve_bytes(table, size + 1);
	if (!block)
		return -ENOMEM;
	err = hash_map__set(table->by_hash, &hash, table->count);
	if (err)
		return err;
	copy = block->bytes + block->used;
	memcpy(copy, s, size);
	copy[size] = '\0';
	block->used += size + 1;
	table->entries[table->count] =
		(struct entry){.s = copy, .size = (uint32_t)size, .next = first};
	*ret_id = table->count++;
	return 0;
}

const char *string_table__get(const struct string_table *table, uint32_t id)
{
	return id < table->count ? table->entries[id].s : "";
}

size_t string_table__count(const struct string_table *table)
{
	return table->count;
}
