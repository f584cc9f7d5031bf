// SPDX-License-Identifier: Apache-2.0
/*
 * Owns every python_code read. A code object that could not be read is tried
 * again in the next epoch (its page may be back), never twice in one.
 */
#include "resolve/code_cache.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash_map.h"

struct code_key {
	uint64_t code;
	uint64_t process;
};

struct code_entry {
	struct python_code *code;
	int error;
	uint32_t version;
	uint32_t epoch; /* last checked in */
};

struct code_cache {
	const struct remote_memory *memory;
	struct hash_map *map; /* code_key -> struct code_entry * */
};

int code_cache__new(const struct remote_memory *memory, struct code_cache **ret_cache)
{
	struct code_cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->memory = memory;
	err = hash_map__new(sizeof(struct code_key), &c->map);
	if (err) {
		free(c);
		return err;
	}
	*ret_cache = c;
	return 0;
}

static void entry_free(struct code_entry *entry)
{
	python_code_free(entry->code);
	free(entry);
}

void code_cache__free(struct code_cache *c)
{
	size_t position = 0;
	const void *key;
	uint64_t value;

	if (!c)
		return;
	while (hash_map__next(c->map, &position, &key, &value))
		entry_free((struct code_entry *)(uintptr_t)value);
	hash_map__free(c->map);
	free(c);
}

static void entry_read(struct code_cache *c, const struct process_view *view, uint64_t code,
		       struct code_entry *entry)
{
	python_code_free(entry->code);
	entry->code = NULL;
	entry->error = python_code_read(c->memory, view->pid, &view->layout, code, view->code_type,
					&entry->code);
	entry->version++;
}

/* A new one is still to be checked in this epoch. */
static int find_entry(struct code_cache *c, const struct code_key *key, uint32_t epoch,
		      struct code_entry **ret_entry)
{
	struct code_entry *entry;
	uint64_t value;
	int err;

	if (hash_map__find(c->map, key, &value)) {
		*ret_entry = (struct code_entry *)(uintptr_t)value;
		return 0;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	err = hash_map__set(c->map, key, (uintptr_t)entry);
	if (err) {
		free(entry);
		return err;
	}
	entry->epoch = epoch - 1;
	*ret_entry = entry;
	return 0;
}

/* Once per epoch; our own lack of memory says nothing of the object: such a check is not done. */
static int check_entry(struct code_cache *c, const struct process_view *view, uint64_t code,
		       uint32_t epoch, struct code_entry *entry)
{
	struct python_code *known;

	if (entry->epoch == epoch && entry->error != -ENOMEM)
		return 0;
	entry->epoch = epoch;
	if (entry->code && python_code_is_current(c->memory, view->pid, code, entry->code)) {
		entry->error = 0;
		return 0;
	}
	known = take_ptr(entry->code);
	entry_read(c, view, code, entry);
	/* unreadable, or gone with its process: what we knew stands. If something else lies there
	 * now, the sample may have met either: no name, no guess */
	if (!entry->code && known && entry->error != -EBADMSG) {
		entry->code = take_ptr(known);
		entry->error = entry->error == -ENOMEM ? -ENOMEM : 0;
		entry->version--;
	}
	python_code_free(known);
	return entry->error == -ENOMEM ? -ENOMEM : 0;
}

int code_cache__find(struct code_cache *c, const struct process_view *view, uint32_t process,
		     uint64_t code, uint32_t epoch, struct cached_code *ret_code)
{
	struct code_key key = {.code = code, .process = process};
	struct code_entry *entry;
	int err = find_entry(c, &key, epoch, &entry);

	if (!err)
		err = check_entry(c, view, code, epoch, entry);
	if (err)
		return err;
	*ret_code = (struct cached_code){entry->code, entry->error, entry->version};
	return 0;
}
