/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture file from any bytes, twice: as the file itself, and (so that the
 * fuzzer need not learn zstd) as the content of its stream. Entries go to the
 * answer store, and each answer kept must be found again by its own key.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zstd.h>

#include "base/cursor.h"
#include "collect/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void take_entry(struct capture_answers *answers, const struct capture_entry *entry)
{
	struct cursor c = cursor_of(entry->payload, entry->size);
	const void *key, *answer;
	size_t answer_size;
	uint32_t key_size;
	int result;

	must(entry->size <= CAPTURE_ENTRY_MAX);
	if (capture_answers__add(answers, entry) != 0)
		return;
	key_size = cursor_u32(&c);
	key = cursor_bytes(&c, key_size);
	must(capture_answers__find(answers, entry->kind, key, key_size, &result, &answer,
				   &answer_size) == 0);
	must(result == cursor_s32(&c) && answer_size == cursor_left(&c));
	must(memcmp(answer, c.pos, answer_size) == 0);
}

static void read_capture(const uint8_t *data, size_t size)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);
	struct capture_answers *answers = NULL;
	struct capture_reader *reader = NULL;
	struct capture_entry entry;

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	must(capture_answers__new(&answers) == 0);
	if (capture_reader__new(fd, &reader) == 0)
		while (capture_reader__next(reader, &entry) == 1)
			take_entry(answers, &entry);
	capture_reader__free(reader);
	capture_answers__free(answers);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t bound = ZSTD_compressBound(size), compressed;
	uint8_t *file = malloc(8 + bound);

	must(file);
	read_capture(data, size);
	memcpy(file, "mixcapt1", 8);
	compressed = ZSTD_compress(file + 8, bound, data, size, 1);
	must(!ZSTD_isError(compressed));
	read_capture(file, 8 + compressed);
	free(file);
	return 0;
}
