/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's side of the symbol worker. Owns the objects (a number and a
 * descriptor each) and the child; gives facts, tables and names that passed every
 * check.
 *
 * A request is one packet out, one packet back, under a deadline. The descriptor
 * goes with each, so a new child needs to be told nothing. A child that was dead
 * before the request is replaced; one that dies in it gets a second try, since
 * somebody may have killed it; one that hangs or lies does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash_map.h"
#include "worker/symbol_worker.h"
#include "worker/worker_process.h"
#include "worker/worker_protocol.h"

#define NS_PER_MS 1000000ull
#define DEADLINE_MS 5000
#define TABLE_DEADLINE_MS 10000
#define POISONED (-1) /* in place of the descriptor: the worker failed on it */

struct symbol_worker {
	struct worker_process process;
	struct hash_map *objects; /* uint32_t number to descriptor + 1; POISONED + 1 is 0 */
	uint32_t serial;	  /* of requests */
	uint32_t deadline_ms;	  /* 0: by kind */
	uint64_t restarts;
	struct worker_packet packet; /* the last answer */
};

struct request {
	uint32_t kind;
	uint32_t object;
	const void *payload;
	size_t size;
	int fd;
};

static uint64_t deadline_of(const struct symbol_worker *worker, uint32_t kind)
{
	uint64_t ms = kind == WORKER_READ_TABLE ? TABLE_DEADLINE_MS : DEADLINE_MS;

	if (worker->deadline_ms != 0)
		ms = worker->deadline_ms;
	return worker_clock_ns() + ms * NS_PER_MS;
}

/* One packet into worker->packet; its descriptor, if it has one, is then owned by it. */
static int receive(struct symbol_worker *worker, uint64_t deadline_ns)
{
	int err = worker_process_wait(&worker->process, deadline_ns);

	if (err)
		return err;
	worker->packet.fd = -1;
	return worker_receive(worker->process.socket, &worker->packet);
}

static void drop_descriptor(struct symbol_worker *worker)
{
	closep(&worker->packet.fd);
	worker->packet.fd = -1;
}

static int start(struct symbol_worker *worker)
{
	int err = worker_process_start(&worker->process);

	if (err)
		return err;
	err = receive(worker, worker_clock_ns() + DEADLINE_MS * NS_PER_MS);
	if (!err && worker->packet.header.kind != WORKER_HELLO)
		err = -EBADMSG;
	drop_descriptor(worker);
	if (!err)
		return 0;
	worker_process_kill(&worker->process);
	return -EIO;
}

static int ensure_alive(struct symbol_worker *worker)
{
	int err;

	if (worker_process_is_alive(&worker->process))
		return 0;
	worker_process_kill(&worker->process);
	err = start(worker);
	if (!err)
		worker->restarts++;
	return err;
}

/* The worker's -errno means something to the caller only if it is about the file. */
static bool status_is_sane(int32_t status)
{
	return status <= 0 && status > -4096;
}

static int status_of_file(int32_t status)
{
	return status == -ENOEXEC || status == -ENOENT || status == -E2BIG || status == 0 ? status
											  : -EIO;
}

static int check_answer(const struct worker_packet *answer, const struct worker_header *request)
{
	const struct worker_header *h = &answer->header;

	if (h->kind != request->kind || h->request != request->request ||
	    h->object != request->object || !status_is_sane(h->status))
		return -EBADMSG;
	if ((h->in_memfd != 0) != (answer->fd >= 0))
		return -EBADMSG;
	if (h->status != 0 && (h->size != 0 || h->in_memfd))
		return -EBADMSG;
	return 0;
}

/* 0: worker->packet is a checked answer. -EPIPE or -ECONNRESET: the child is gone. */
static int try_request(struct symbol_worker *worker, const struct request *r)
{
	struct worker_header header = {
		.magic = WORKER_MAGIC,
		.kind = r->kind,
		.request = ++worker->serial,
		.object = r->object,
		.size = r->size,
	};
	uint64_t deadline_ns = deadline_of(worker, r->kind);
	int err = worker_send(worker->process.socket, &header, r->payload, r->fd);

	if (!err)
		err = receive(worker, deadline_ns);
	if (err)
		return err;
	err = check_answer(&worker->packet, &header);
	if (err)
		drop_descriptor(worker);
	return err;
}

static void poison(struct symbol_worker *worker, uint32_t object, int fd)
{
	close(fd);
	/* replaces a key that is there, so it cannot need memory */
	hash_map__set(worker->objects, &object, POISONED + 1);
}

/* The worker died, hung or lied. */
static int fail(struct symbol_worker *worker, const struct request *r)
{
	drop_descriptor(worker);
	worker_process_kill(&worker->process);
	poison(worker, r->object, r->fd);
	return -EIO;
}

/* As opposed to ours: out of memory, out of descriptors. */
static bool is_fault_of_worker(int err)
{
	return err == -EBADMSG || err == -ETIMEDOUT || err == -ECONNRESET || err == -EPIPE ||
	       err == -EAGAIN;
}

/* 0: worker->packet is an answer whose content is still to be checked. */
static int ask(struct symbol_worker *worker, const struct request *r)
{
	int err = -ECONNRESET;

	for (int attempt = 0; attempt < 2 && (err == -ECONNRESET || err == -EPIPE); attempt++) {
		int started = ensure_alive(worker);

		if (started)
			return started;
		err = try_request(worker, r);
	}
	if (is_fault_of_worker(err))
		return fail(worker, r);
	if (err) /* its answer may still come, and nobody would wait for it */
		worker_process_kill(&worker->process);
	return err;
}

/* The answer's bytes, mapped or inline. *ret_mapped is NULL or to be unmapped. */
static int open_payload(struct symbol_worker *worker, size_t max, const void **ret_bytes,
			void **ret_mapped)
{
	const struct worker_header *h = &worker->packet.header;
	int err;

	*ret_mapped = NULL;
	if (h->size > max)
		return -EBADMSG;
	*ret_bytes = worker->packet.payload;
	if (!h->in_memfd)
		return 0;
	err = worker_map_sealed(worker->packet.fd, h->size, max, ret_mapped);
	*ret_bytes = *ret_mapped;
	drop_descriptor(worker);
	return err;
}

/* -ENOENT: not open. -EIO: poisoned. */
static int find_object(const struct symbol_worker *worker, uint32_t object, int *ret_fd)
{
	uint64_t value;

	if (!hash_map__find(worker->objects, &object, &value))
		return -ENOENT;
	if (value == POISONED + 1)
		return -EIO;
	*ret_fd = (int)value - 1;
	return 0;
}

static int read_facts(struct symbol_worker *worker, const struct request *r,
		      struct object_facts *ret_facts)
{
	const struct worker_header *h = &worker->packet.header;
	struct object_facts facts;
	int err = ask(worker, r);

	if (err)
		return err;
	drop_descriptor(worker);
	if (h->status)
		return status_of_file(h->status);
	if (h->in_memfd || h->size != sizeof(facts))
		return fail(worker, r);
	memcpy(&facts, worker->packet.payload, sizeof(facts));
	if (object_facts_check(&facts))
		return fail(worker, r);
	*ret_facts = facts;
	return 0;
}

int symbol_worker__open_object(struct symbol_worker *worker, uint32_t object, int fd,
			       struct object_facts *ret_facts)
{
	struct request r = {.kind = WORKER_READ_FACTS, .object = object};
	int err = find_object(worker, object, &r.fd);

	if (err != -ENOENT)
		return err ? err : -EEXIST;
	r.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (r.fd < 0)
		return -errno;
	err = hash_map__set(worker->objects, &object, (uint64_t)r.fd + 1);
	if (err) {
		close(r.fd);
		return err;
	}
	err = read_facts(worker, &r, ret_facts);
	if (err && find_object(worker, object, &r.fd) != -EIO)
		symbol_worker__close_object(worker, object);
	return err;
}

int symbol_worker__read_table(struct symbol_worker *worker, uint32_t object, void **ret_memory,
			      size_t *ret_size, struct unwind_table_image *ret_image)
{
	struct request r = {.kind = WORKER_READ_TABLE, .object = object};
	const struct worker_header *h = &worker->packet.header;
	struct unwind_table_image image;
	const void *bytes;
	void *memory;
	int err = find_object(worker, object, &r.fd);

	if (!err)
		err = ask(worker, &r);
	if (err)
		return err;
	if (h->status)
		return status_of_file(h->status);
	err = h->in_memfd ? open_payload(worker, WORKER_TABLE_BYTES_MAX, &bytes, &memory)
			  : -EBADMSG;
	if (err)
		return err == -EBADMSG ? fail(worker, &r) : err;
	if (unwind_table_parse(bytes, h->size, &image)) {
		munmap(memory, h->size);
		return fail(worker, &r);
	}
	*ret_memory = memory;
	*ret_size = h->size;
	*ret_image = image;
	return 0;
}

/* Up to WORKER_ADDRESSES_MAX of them. */
static int find_some_names(struct symbol_worker *worker, const struct request *r, char **names)
{
	const struct worker_header *h = &worker->packet.header;
	const void *bytes;
	void *memory;
	int err = ask(worker, r);

	if (err)
		return err;
	if (h->status)
		return status_of_file(h->status);
	err = open_payload(worker, WORKER_NAMES_BYTES_MAX, &bytes, &memory);
	if (err)
		return err == -EBADMSG ? fail(worker, r) : err;
	err = worker_names_decode(bytes, h->size, r->size / sizeof(uint64_t), names);
	if (memory)
		munmap(memory, h->size);
	return err == -EBADMSG ? fail(worker, r) : err;
}

int symbol_worker__find_names(struct symbol_worker *worker, uint32_t object, const uint64_t *vaddrs,
			      size_t count, char **names)
{
	struct request r = {.kind = WORKER_FIND_NAMES, .object = object};
	int err = find_object(worker, object, &r.fd);

	memset(names, 0, count * sizeof(*names));
	for (size_t at = 0; !err && at < count; at += WORKER_ADDRESSES_MAX) {
		size_t some = count - at < WORKER_ADDRESSES_MAX ? count - at : WORKER_ADDRESSES_MAX;

		r.payload = vaddrs + at;
		r.size = some * sizeof(*vaddrs);
		err = find_some_names(worker, &r, names + at);
	}
	for (size_t i = 0; err && i < count; i++) {
		free(names[i]);
		names[i] = NULL;
	}
	return err;
}

static int find_some_starts(struct symbol_worker *worker, const struct request *r, uint64_t *starts)
{
	const struct worker_header *h = &worker->packet.header;
	const void *bytes;
	void *memory;
	int err = ask(worker, r);

	if (err)
		return err;
	if (h->status)
		return status_of_file(h->status);
	if (h->size != r->size)
		return fail(worker, r);
	err = open_payload(worker, r->size, &bytes, &memory);
	if (err)
		return err == -EBADMSG ? fail(worker, r) : err;
	memcpy(starts, bytes, r->size);
	if (memory)
		munmap(memory, h->size);
	for (size_t i = 0; i < r->size / sizeof(uint64_t); i++)
		if (starts[i] >
		    ((const uint64_t *)r->payload)[i]) /* no function begins above its code */
			return fail(worker, r);
	return 0;
}

int symbol_worker__find_starts(struct symbol_worker *worker, uint32_t object,
			       const uint64_t *vaddrs, size_t count, uint64_t *starts)
{
	struct request r = {.kind = WORKER_FIND_STARTS, .object = object};
	int err = find_object(worker, object, &r.fd);

	for (size_t at = 0; !err && at < count; at += WORKER_ADDRESSES_MAX) {
		size_t some = count - at < WORKER_ADDRESSES_MAX ? count - at : WORKER_ADDRESSES_MAX;

		r.payload = vaddrs + at;
		r.size = some * sizeof(*vaddrs);
		err = find_some_starts(worker, &r, starts + at);
	}
	if (err)
		memset(starts, 0, count * sizeof(*starts));
	return err;
}

void symbol_worker__close_object(struct symbol_worker *worker, uint32_t object)
{
	struct worker_header header = {
		.magic = WORKER_MAGIC,
		.kind = WORKER_CLOSE,
		.object = object,
	};
	uint64_t value;

	if (!hash_map__remove(worker->objects, &object, &value))
		return;
	if (value != POISONED + 1)
		close((int)value - 1);
	/* The number may come back for another file: a worker that cannot be told must go. */
	if (worker->process.pid != 0 && worker_send(worker->process.socket, &header, NULL, -1))
		worker_process_kill(&worker->process);
}

int symbol_worker__new(struct symbol_worker **ret_worker)
{
	_cleanup_(symbol_worker__freep) struct symbol_worker *worker = NULL;
	int err;

	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker_process_init(&worker->process);
	worker->packet.fd = -1;
	err = hash_map__new(sizeof(uint32_t), &worker->objects);
	if (!err)
		err = start(worker);
	if (err)
		return err;
	*ret_worker = take_ptr(worker);
	return 0;
}

void symbol_worker__free(struct symbol_worker *worker)
{
	size_t position = 0;
	const void *key;
	uint64_t value;

	if (!worker)
		return;
	worker_process_kill(&worker->process);
	while (worker->objects && hash_map__next(worker->objects, &position, &key, &value))
		if (value != POISONED + 1)
			close((int)value - 1);
	hash_map__free(worker->objects);
	free(worker);
}

uint64_t symbol_worker__restarts(const struct symbol_worker *worker)
{
	return worker->restarts;
}

pid_t symbol_worker__pid(const struct symbol_worker *worker)
{
	return worker->process.pid;
}

void symbol_worker__set_deadline_ms(struct symbol_worker *worker, uint32_t deadline_ms)
{
	worker->deadline_ms = deadline_ms;
}
