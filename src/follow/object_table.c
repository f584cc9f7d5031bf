// SPDX-License-Identifier: Apache-2.0
/*
 * Files to objects. A file is known by what fstat says of the descriptor that was
 * opened through the mapping (file_identity), never by path or build-id. Its
 * unwind table is read by the worker and installed at once: the sampler must not
 * meet the file before its rows.
 */
#include "follow/object_table.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash_map.h"
#include "object/file_identity.h"

#define OBJECTS_MAX 65536
#define VDSO_BYTES_MAX (64u << 10)

struct object_table {
	struct symbol_worker *worker;
	struct table_store *store;
	struct hash_map *by_identity; /* file_identity -> number; 0: not readable */
	struct object **objects;      /* by number - 1 */
	uint32_t count, capacity;
	uint32_t vdso; /* number, 0: not read yet */
};

int object_table__new(struct symbol_worker *worker, struct table_store *store,
		      struct object_table **ret_table)
{
	struct object_table *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->worker = worker;
	t->store = store;
	err = hash_map__new(sizeof(struct file_identity), &t->by_identity);
	if (err) {
		free(t);
		return err;
	}
	*ret_table = t;
	return 0;
}

void object_table__free(struct object_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->count; i++)
		free(t->objects[i]);
	free(t->objects);
	hash_map__free(t->by_identity);
	free(t);
}

static int add_object(struct object_table *t, struct object **ret_object)
{
	struct object *object;

	if (t->count >= OBJECTS_MAX)
		return -ENOSPC;
	if (t->count == t->capacity) {
		uint32_t capacity = t->capacity ? t->capacity * 2 : 64;
		struct object **grown = reallocarray(t->objects, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->objects = grown;
		t->capacity = capacity;
	}
	object = calloc(1, sizeof(*object));
	if (!object)
		return -ENOMEM;
	object->number = t->count + 1;
	t->objects[t->count++] = object;
	*ret_object = object;
	return 0;
}

/* Where the body of the eval function keeps its caller's registers: the rule in force over most of
 * its bytes. */
static void find_eval_body(struct object *object, const struct unwind_table_image *image)
{
	_cleanup_free_ uint64_t *bytes = calloc(image->rule_count, sizeof(*bytes));
	uint32_t best = 0;

	if (!bytes || object->facts.python.eval_range_count == 0)
		return;
	for (uint32_t i = 0; i + 1 < image->row_count; i++) {
		uint32_t rule = image->rows[i].rule;

		if (!(image->rules[rule].flags & UNWIND_RULE_EVAL))
			continue;
		bytes[rule] += image->rows[i + 1].pc - image->rows[i].pc;
		if (bytes[rule] > bytes[best])
			best = rule;
	}
	if (best == 0)
		return;
	if (image->rules[best].rbp == UNWIND_AT_CFA)
		object->eval.rbp_offset = image->rules[best].rbp_offset;
	if (image->rules[best].rbx == UNWIND_AT_CFA)
		object->eval.rbx_offset = image->rules[best].rbx_offset;
}

static void install_table(struct object_table *t, struct object *object)
{
	struct unwind_table_image image;
	void *memory;
	size_t size;

	/* a file without a readable table is unwound by frame pointers: a finding, not an error */
	if (symbol_worker__read_table(t->worker, object->number, &memory, &size, &image))
		return;
	if (table_store__install(t->store, &image, &object->table))
		object->table = 0;
	find_eval_body(object, &image);
	munmap(memory, size);
}

static int open_object(struct object_table *t, int fd, struct object **ret_object)
{
	struct object *object;
	int err = add_object(t, &object);

	if (err)
		return err;
	err = symbol_worker__open_object(t->worker, object->number, fd, &object->facts);
	if (err) {
		t->objects[object->number - 1] =
			NULL; /* the worker has met this number: not reused */
		free(object);
		return err;
	}
	install_table(t, object);
	*ret_object = object;
	return 0;
}

int object_table__of_map(struct object_table *t, pid_t pid, const struct proc_map *map,
			 struct object **ret_object)
{
	_cleanup_close_ int fd = -1;
	struct file_identity identity;
	uint64_t number;
	int err = proc_map_open(pid, map, &fd);

	if (err)
		return err;
	err = file_identity_of_fd(fd, &identity);
	if (err)
		return err;
	if (!hash_map__find(t->by_identity, &identity, &number)) {
		struct object *object;

		err = open_object(t, fd, &object);
		if (err && err != -ENOEXEC && err != -EIO)
			return err;
		number = err ? 0 : object->number;
		err = hash_map__set(t->by_identity, &identity, number);
		if (err)
			return err;
	}
	if (number == 0)
		return -ENOENT;
	*ret_object = t->objects[number - 1];
	return 0;
}

/* The vDSO's extent: its section headers end it. */
static size_t vdso_bytes(const uint8_t *start)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)start;
	size_t size = header->e_shoff + (size_t)header->e_shentsize * header->e_shnum;

	return size <= VDSO_BYTES_MAX ? size : 0;
}

int object_table__vdso(struct object_table *t, struct object **ret_object)
{
	const uint8_t *start = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	_cleanup_close_ int fd = -1;
	struct object *object;
	size_t size;
	int err;

	if (t->vdso) {
		*ret_object = t->objects[t->vdso - 1];
		return 0;
	}
	size = start ? vdso_bytes(start) : 0;
	if (!size)
		return -ENOENT;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, start, size) != (ssize_t)size)
		return -EIO;
	err = open_object(t, fd, &object);
	if (err)
		return err;
	t->vdso = object->number;
	*ret_object = object;
	return 0;
}

struct object *object_table__find(struct object_table *t, uint32_t number)
{
	return number >= 1 && number <= t->count ? t->objects[number - 1] : NULL;
}
