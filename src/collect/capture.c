/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes and reads the capture format of capture.h. Both sides stream: the writer
 * holds one zstd block, the reader one entry (at most CAPTURE_ENTRY_MAX) and one
 * zstd window (at most 2^WINDOW_LOG_MAX bytes), whatever the file claims. The
 * zstd frame carries a checksum, and the reader only reports the end after it has
 * seen the frame's, so a file cut at any byte is told from a whole one.
 */
#include "collect/capture.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/cleanup.h"
#include "base/cursor.h"

#define MAGIC "mixcapt1"
#define MAGIC_BYTES 8
#define ENTRY_HEADER_BYTES 8
#define COMPRESSION_LEVEL 3
#define WINDOW_LOG_MAX 23
#define IO_BYTES (128u << 10)
#define PAYLOAD_STEP (64u << 10)

/* --- writer --- */

struct capture_writer {
	int fd;
	int first_error; /* what __finish tells */
	bool started;	 /* the magic is written */
	bool broken;	 /* the stream cannot go on */
	ZSTD_CCtx *zstd;
	uint8_t out[IO_BYTES];
};

int capture_writer__new(int fd, struct capture_writer **ret_writer)
{
	_cleanup_(capture_writer__freep) struct capture_writer *writer = NULL;

	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->fd = fd;
	writer->zstd = ZSTD_createCCtx();
	if (!writer->zstd)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel,
						COMPRESSION_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1)))
		return -ENOTSUP;
	*ret_writer = take_ptr(writer);
	return 0;
}

void capture_writer__free(struct capture_writer *writer)
{
	if (!writer)
		return;
	ZSTD_freeCCtx(writer->zstd);
	free(writer);
}

static int fail(struct capture_writer *writer, int err)
{
	if (!writer->first_error)
		writer->first_error = err;
	return err;
}

static int write_all(struct capture_writer *writer, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t written = write(writer->fd, at, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			writer->broken = true;
			return fail(writer, written < 0 ? -errno : -EIO);
		}
		at += written;
		size -= (size_t)written;
	}
	return 0;
}

static int compress(struct capture_writer *writer, const void *bytes, size_t size,
		    ZSTD_EndDirective directive)
{
	ZSTD_inBuffer in = {.src = bytes, .size = size};
	size_t left;
	int err;

	do {
		ZSTD_outBuffer out = {.dst = writer->out, .size = sizeof(writer->out)};

		left = ZSTD_compressStream2(writer->zstd, &out, &in, directive);
		if (ZSTD_isError(left)) {
			writer->broken = true;
			return fail(writer, -ENOMEM); /* the only way it fails on valid input */
		}
		err = write_all(writer, writer->out, out.pos);
		if (err)
			return err;
	} while (in.pos < in.size || (directive == ZSTD_e_end && left > 0));
	return 0;
}

static void put_u16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

static void put_u32(uint8_t *at, uint32_t v)
{
	put_u16(at, (uint16_t)v);
	put_u16(at + 2, (uint16_t)(v >> 16));
}

/* The magic goes out with the first entry, so that __new does no I/O. */
static int put_header(struct capture_writer *writer, uint16_t kind, size_t size)
{
	uint8_t header[ENTRY_HEADER_BYTES] = {0};
	int err = 0;

	if (writer->broken)
		return writer->first_error;
	if (size > CAPTURE_ENTRY_MAX)
		return fail(writer, -EMSGSIZE);
	if (!writer->started) {
		err = write_all(writer, MAGIC, MAGIC_BYTES);
		writer->started = true;
	}
	if (err)
		return err;
	put_u16(header, kind);
	put_u32(header + 4, (uint32_t)size);
	return compress(writer, header, sizeof(header), ZSTD_e_continue);
}

int capture_writer__put(struct capture_writer *writer, uint16_t kind, const void *payload,
			size_t size)
{
	int err = put_header(writer, kind, size);

	if (err)
		return err;
	return compress(writer, payload, size, ZSTD_e_continue);
}

int capture_writer__put_answer(struct capture_writer *writer, uint16_t kind, const void *key,
			       size_t key_size, int result, const void *answer, size_t answer_size)
{
	uint8_t number[4];
	int err;

	if (key_size > CAPTURE_ENTRY_MAX || answer_size > CAPTURE_ENTRY_MAX)
		return writer->broken ? writer->first_error : fail(writer, -EMSGSIZE);
	err = put_header(writer, kind, 4 + key_size + 4 + answer_size);
	if (err)
		return err;
	put_u32(number, (uint32_t)key_size);
	err = compress(writer, number, sizeof(number), ZSTD_e_continue);
	if (err)
		return err;
	err = compress(writer, key, key_size, ZSTD_e_continue);
	if (err)
		return err;
	put_u32(number, (uint32_t)result);
	err = compress(writer, number, sizeof(number), ZSTD_e_continue);
	if (err)
		return err;
	return compress(writer, answer, answer_size, ZSTD_e_continue);
}

int capture_writer__finish(struct capture_writer *writer)
{
	if (put_header(writer, CAPTURE_END, 0) == 0)
		compress(writer, NULL, 0, ZSTD_e_end);
	return writer->first_error;
}

/* --- reader --- */

struct capture_reader {
	int fd;
	int result; /* of every further __next, once it is not 1 */
	bool over;
	ZSTD_DCtx *zstd;
	bool frame_ended; /* zstd's epilogue was seen and its checksum was right */
	bool file_ended;
	ZSTD_inBuffer in;
	size_t payload_capacity;
	uint8_t *payload;
	uint8_t bytes[IO_BYTES];
};

void capture_reader__free(struct capture_reader *reader)
{
	if (!reader)
		return;
	ZSTD_freeDCtx(reader->zstd);
	free(reader->payload);
	free(reader);
}

/* Fills the empty input buffer; at the end of the file it stays empty. */
static int refill(struct capture_reader *reader)
{
	ssize_t got;

	do
		got = read(reader->fd, reader->bytes, sizeof(reader->bytes));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	reader->in = (ZSTD_inBuffer){.src = reader->bytes, .size = (size_t)got};
	reader->file_ended = got == 0;
	return 0;
}

static int read_magic(struct capture_reader *reader)
{
	uint8_t magic[MAGIC_BYTES];
	size_t have = 0;

	while (have < sizeof(magic)) {
		ssize_t got = read(reader->fd, magic + have, sizeof(magic) - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EBADMSG;
		have += (size_t)got;
	}
	return memcmp(magic, MAGIC, sizeof(magic)) == 0 ? 0 : -EBADMSG;
}

int capture_reader__new(int fd, struct capture_reader **ret_reader)
{
	_cleanup_(capture_reader__freep) struct capture_reader *reader = NULL;
	int err;

	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->fd = fd;
	reader->zstd = ZSTD_createDCtx();
	if (!reader->zstd)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return -ENOTSUP;
	err = read_magic(reader);
	if (err)
		return err;
	*ret_reader = take_ptr(reader);
	return 0;
}

/* Decompresses up to size bytes; fewer only at the end of the frame or the file. */
static int inflate_bytes(struct capture_reader *reader, uint8_t *to, size_t size, size_t *ret_got)
{
	ZSTD_outBuffer out = {.dst = to, .size = size};

	while (out.pos < size && !reader->frame_ended) {
		size_t before = out.pos, left;

		if (reader->in.pos == reader->in.size && !reader->file_ended) {
			int err = refill(reader);

			if (err)
				return err;
		}
		left = ZSTD_decompressStream(reader->zstd, &out, &reader->in);
		if (ZSTD_isError(left)) /* our memory is no fault of the file's */
			return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? -ENOMEM
										       : -EBADMSG;
		reader->frame_ended = left == 0;
		if (reader->file_ended && out.pos == before && !reader->frame_ended)
			break;
	}
	*ret_got = out.pos;
	return 0;
}

/* All of size bytes, or -ENODATA. */
static int inflate_exactly(struct capture_reader *reader, uint8_t *to, size_t size)
{
	size_t got = 0;
	int err = inflate_bytes(reader, to, size, &got);

	if (err)
		return err;
	return got == size ? 0 : -ENODATA;
}

/* The memory grows with the bytes that came, not with the size that was claimed. */
static int read_payload(struct capture_reader *reader, size_t size)
{
	size_t have = 0;

	while (have < size) {
		size_t step = have < PAYLOAD_STEP ? PAYLOAD_STEP : have;
		int err;

		if (step > size - have)
			step = size - have;
		if (have + step > reader->payload_capacity) {
			uint8_t *grown = realloc(reader->payload, have + step);

			if (!grown)
				return -ENOMEM;
			reader->payload = grown;
			reader->payload_capacity = have + step;
		}
		err = inflate_exactly(reader, reader->payload + have, step);
		if (err)
			return err;
		have += step;
	}
	return 0;
}

/* After CAPTURE_END: nothing but the epilogue of the frame may follow. */
static int read_end(struct capture_reader *reader)
{
	uint8_t byte;
	size_t got = 0;
	int err = inflate_bytes(reader, &byte, 1, &got);

	if (err)
		return err;
	if (got > 0)
		return -EBADMSG;
	if (!reader->frame_ended)
		return -ENODATA;
	if (reader->in.pos == reader->in.size && !reader->file_ended) {
		err = refill(reader);
		if (err)
			return err;
	}
	return reader->in.pos == reader->in.size ? 0 : -EBADMSG;
}

static int read_entry(struct capture_reader *reader, struct capture_entry *ret_entry)
{
	uint8_t header[ENTRY_HEADER_BYTES] = {0};
	struct cursor c = cursor_of(header, sizeof(header));
	struct capture_entry entry;
	uint16_t reserved;
	int err;

	err = inflate_exactly(reader, header, sizeof(header));
	if (err)
		return err;
	entry.kind = cursor_u16(&c);
	reserved = cursor_u16(&c);
	entry.size = cursor_u32(&c);
	if (entry.kind < CAPTURE_END || entry.kind > CAPTURE_PROCESS || reserved != 0 ||
	    entry.size > CAPTURE_ENTRY_MAX)
		return -EBADMSG;
	if (entry.kind == CAPTURE_END)
		return entry.size == 0 ? read_end(reader) : -EBADMSG;
	err = read_payload(reader, entry.size);
	if (err)
		return err;
	entry.payload = reader->payload ? reader->payload : reader->bytes; /* never NULL */
	*ret_entry = entry;
	return 1;
}

int capture_reader__next(struct capture_reader *reader, struct capture_entry *ret_entry)
{
	if (reader->over)
		return reader->result;
	reader->result = read_entry(reader, ret_entry);
	reader->over = reader->result != 1;
	return reader->result;
}
