/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between symbol_worker.c (parent) and worker_serve.c (child). One
 * SOCK_SEQPACKET packet is one message: a header, a payload, at most one
 * descriptor. Answers over WORKER_INLINE_MAX, and every table, are a sealed memfd.
 *
 * The parent sends the object's descriptor with each request, so the child has
 * no state that a restart would have to rebuild: what it keeps is a cache.
 * The child is hostile once it has read a hostile file: everything it says is
 * checked by the functions below.
 */
#ifndef MIXPROF_WORKER_WORKER_PROTOCOL_H
#define MIXPROF_WORKER_WORKER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define WORKER_MAGIC 0x3157584du /* "MXW1" */
#define WORKER_INLINE_MAX (32u * 1024)
#define WORKER_ADDRESSES_MAX (WORKER_INLINE_MAX / 8) /* of one request */
#define WORKER_NAME_BYTES_MAX 1024
#define WORKER_NAMES_BYTES_MAX (WORKER_ADDRESSES_MAX * (2 + WORKER_NAME_BYTES_MAX))
/* 8 M rows of 8 bytes, 1 M pages of 4, rules: what unwind_table.h can hold. */
#define WORKER_TABLE_BYTES_MAX (80u << 20)

enum worker_kind {
	WORKER_HELLO = 1,	/* child to parent, once: ready */
	WORKER_READ_FACTS = 2,	/* + fd; answer: struct object_facts */
	WORKER_READ_TABLE = 3,	/* + fd; answer: memfd, unwind_table_build()'s bytes */
	WORKER_FIND_NAMES = 4,	/* + fd, uint64_t vaddrs; answer: worker_name_append()'s bytes */
	WORKER_CLOSE = 5,	/* no answer */
	WORKER_FIND_STARTS = 6, /* + fd, uint64_t vaddrs; answer: as many uint64_t */
};

struct worker_header {
	uint32_t magic;
	uint32_t kind;	  /* enum worker_kind; an answer repeats its request's */
	uint32_t request; /* serial number; an answer repeats it */
	uint32_t object;
	int32_t status;	   /* of an answer: 0 or negative errno */
	uint32_t in_memfd; /* the payload is the memfd's content */
	uint64_t size;	   /* bytes of payload */
};

/* The payload of a received packet is borrowed from it until the next receive. */
struct worker_packet {
	struct worker_header header;
	uint8_t payload[WORKER_INLINE_MAX];
	int fd; /* owned by whoever received; -1: none */
};

/* Never blocks: there is one request at a time, so a full socket is a worker that hangs.
 * header->size is the payload's size. fd -1: none; it stays the caller's. Negative errno. */
int worker_send(int socket, const struct worker_header *header, const void *payload, int fd);
/* Blocks. -ECONNRESET: the other side is gone. -EBADMSG: not a message. -EMFILE: its descriptor
 * did not fit in our table. Descriptors of a packet that is refused are closed. */
int worker_receive(int socket, struct worker_packet *packet);

/* A memfd of the bytes, sealed for good. */
int worker_seal(const void *bytes, size_t size, int *ret_fd);
/* Maps another's memfd read-only, if it is sealed and has this size, 1 to max. -EBADMSG otherwise.
 * The caller munmaps. */
int worker_map_sealed(int fd, uint64_t size, size_t max, void **ret_memory);

struct buffer;
/* One name of a WORKER_FIND_NAMES answer; NULL: none. */
void worker_name_append(struct buffer *answer, const char *name);
/* The names of such an answer, exactly `count`, sanitized and malloc'ed; NULL where there is none.
 * -EBADMSG, -ENOMEM: names is untouched. */
int worker_names_decode(const void *answer, size_t size, size_t count, char **names);

#endif
