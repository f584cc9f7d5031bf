/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording as the pipeline met it: raw ring records and every answer that came
 * from outside (maps, files' facts, names, memory), in order, in one zstd
 * stream. The other source of samples: replay gives byte-equal output on any
 * machine. Format: magic "mixcapt1", then a zstd stream of entries
 * {u16 kind, u16 0, u32 size, payload}, little endian, closed by CAPTURE_END; a
 * file without that entry is cut and is refused with -ENODATA after its last
 * whole entry.
 */
#ifndef MIXPROF_COLLECT_CAPTURE_H
#define MIXPROF_COLLECT_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

enum capture_kind {
	CAPTURE_END = 1,
	CAPTURE_META = 2,   /* key=value lines: version, kernel, arch, event, hz, ... */
	CAPTURE_RECORD = 3, /* u32 ring, then the ring record */
	/* answers: u32 key size, key bytes, s32 result (0 or -errno), answer bytes. The key repeats
	   the question. */
	CAPTURE_MAPS = 4,
	CAPTURE_OBJECT = 5,
	CAPTURE_NAMES = 6,
	CAPTURE_KERNEL_NAME = 7,
	CAPTURE_MEMORY = 8,
	CAPTURE_STATS = 9, /* counters at the end, as --stats prints them */
	CAPTURE_PROCESS = 10,
};

#define CAPTURE_ENTRY_MAX (16u << 20)

struct capture_writer;
/* Writes to fd (not closed). */
int capture_writer__new(int fd, struct capture_writer **ret_writer);
int capture_writer__put(struct capture_writer *writer, uint16_t kind, const void *payload,
			size_t size);
/* For answers. */
int capture_writer__put_answer(struct capture_writer *writer, uint16_t kind, const void *key,
			       size_t key_size, int result, const void *answer, size_t answer_size);
/* Writes CAPTURE_END and flushes; -errno of the first failed write of its life. */
int capture_writer__finish(struct capture_writer *writer);
void capture_writer__free(struct capture_writer *writer);

struct capture_reader;
struct capture_entry {
	uint16_t kind;
	const uint8_t *payload; /* borrowed until the next call */
	size_t size;
};
/* -EBADMSG: not a capture. */
int capture_reader__new(int fd, struct capture_reader **ret_reader);
/* 1: an entry; 0: CAPTURE_END was met; -ENODATA: cut; -EBADMSG. */
int capture_reader__next(struct capture_reader *reader, struct capture_entry *ret_entry);
void capture_reader__free(struct capture_reader *reader);

/*
 * Answers for replay: the n-th question of a kind and key gets the n-th recorded answer (the last
 * one again when they run out); -ENOENT when the key was never asked while recording.
 */
struct capture_answers;
int capture_answers__new(struct capture_answers **ret_answers);
int capture_answers__add(struct capture_answers *answers, const struct capture_entry *entry);
int capture_answers__find(struct capture_answers *answers, uint16_t kind, const void *key,
			  size_t key_size, int *ret_result, const void **ret_answer,
			  size_t *ret_size);
void capture_answers__free(struct capture_answers *answers);

static inline void capture_writer__freep(struct capture_writer **w)
{
	capture_writer__free(*w);
}
static inline void capture_reader__freep(struct capture_reader **r)
{
	capture_reader__free(*r);
}
static inline void capture_answers__freep(struct capture_answers **a)
{
	capture_answers__free(*a);
}

#endif
