/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect/capture: entries come back as written; a file cut at any byte is
 * refused and gives only entries that were whole; damaged and hostile streams
 * (built here with zstd itself) are refused within bounded memory; answers come
 * in the order of the questions.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>
#include <zstd.h>

#include "collect/capture.h"

static int memory_file(const void *bytes, size_t size)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (size > 0)
		assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static uint8_t *file_bytes(int fd, size_t *ret_size)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *bytes = malloc((size_t)size + 1);

	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
	*ret_size = (size_t)size;
	return bytes;
}

/* Reads to the end; the number of entries, and what ended it. */
static int read_all(int fd, size_t *ret_entries)
{
	struct capture_reader *reader = NULL;
	struct capture_entry entry;
	int result;

	*ret_entries = 0;
	result = capture_reader__new(fd, &reader);
	if (result)
		return result;
	while ((result = capture_reader__next(reader, &entry)) == 1)
		++*ret_entries;
	assert_int_equal(capture_reader__next(reader, &entry), result); /* and it stays so */
	capture_reader__free(reader);
	return result;
}

static int read_bytes(const void *bytes, size_t size, size_t *ret_entries)
{
	int fd = memory_file(bytes, size);
	int result = read_all(fd, ret_entries);

	close(fd);
	return result;
}

/* The magic and one zstd frame of the given bytes. */
static int read_stream(const void *bytes, size_t size, size_t *ret_entries)
{
	size_t bound = ZSTD_compressBound(size);
	uint8_t *file = malloc(8 + bound);
	size_t compressed;
	int result;

	assert_non_null(file);
	memcpy(file, "mixcapt1", 8);
	compressed = ZSTD_compress(file + 8, bound, bytes, size, 1);
	assert_false(ZSTD_isError(compressed));
	result = read_bytes(file, 8 + compressed, ret_entries);
	free(file);
	return result;
}

static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

static void entries_come_back_as_written(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 160, 4096, 65536, 65537, 300000, 5u << 20};
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;
	struct capture_reader *reader = NULL;
	struct capture_entry entry;
	uint8_t *bytes = malloc(5u << 20);

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	for (uint32_t i = 0; i < 9; i++) {
		fill(bytes, sizes[i], i);
		assert_int_equal(
			capture_writer__put(writer, (uint16_t)(2 + i % 9), bytes, sizes[i]), 0);
	}
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(capture_reader__new(fd, &reader), 0);
	for (uint32_t i = 0; i < 9; i++) {
		assert_int_equal(capture_reader__next(reader, &entry), 1);
		fill(bytes, sizes[i], i);
		assert_int_equal(entry.kind, 2 + i % 9);
		assert_int_equal(entry.size, sizes[i]);
		assert_non_null(entry.payload);
		assert_int_equal(memcmp(entry.payload, bytes, sizes[i]), 0);
	}
	assert_int_equal(capture_reader__next(reader, &entry), 0);
	assert_int_equal(capture_reader__next(reader, &entry), 0);
	capture_reader__free(reader);
	free(bytes);
	close(fd);
}

/* The layout of capture.h, written out by hand. */
static void format_is_the_documented_one(void **state)
{
	static const uint8_t expected[] = {
		2,    0,    0,	  0,   3,   0,	 0, 0, 'a', '=', 'b', /* META */
		8,    0,    0,	  0,   13,  0,	 0, 0, 2,   0,	 0,   0, 'K', 'k', 0xfe,
		0xff, 0xff, 0xff, 'x', 'y', 'z', 1, 0, 0,   0,	 0,   0, 0,   0, /* END */
	};
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;
	uint8_t plain[256], *file;
	size_t size, plain_size;

	(void)state;
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, "a=b", 3), 0);
	assert_int_equal(
		capture_writer__put_answer(writer, CAPTURE_MEMORY, "Kk", 2, -ENOENT, "xyz", 3), 0);
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	file = file_bytes(fd, &size);
	assert_memory_equal(file, "mixcapt1", 8);
	{
		ZSTD_DCtx *zstd = ZSTD_createDCtx();
		ZSTD_inBuffer in = {file + 8, size - 8, 0};
		ZSTD_outBuffer out = {plain, sizeof(plain), 0};

		assert_int_equal(ZSTD_decompressStream(zstd, &out, &in), 0);
		plain_size = out.pos;
		ZSTD_freeDCtx(zstd);
	}
	assert_int_equal(plain_size, sizeof(expected));
	assert_memory_equal(plain, expected, sizeof(expected));
	free(file);
	close(fd);
}

static uint8_t *small_capture(size_t *ret_size)
{
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;
	uint8_t bytes[700], *file;

	assert_int_equal(capture_writer__new(fd, &writer), 0);
	for (uint32_t i = 0; i < 12; i++) {
		fill(bytes, 50 * i, i);
		assert_int_equal(capture_writer__put(writer, CAPTURE_RECORD, bytes, 50 * i), 0);
	}
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	file = file_bytes(fd, ret_size);
	close(fd);
	return file;
}

static void cut_at_every_byte_is_refused(void **state)
{
	size_t size, entries, most = 0;
	uint8_t *file = small_capture(&size);

	(void)state;
	assert_int_equal(read_bytes(file, size, &entries), 0);
	assert_int_equal(entries, 12);
	for (size_t cut = 0; cut < size; cut++) {
		int result = read_bytes(file, cut, &entries);

		assert_int_equal(result, cut < 8 ? -EBADMSG : -ENODATA);
		assert_true(entries <= 12);
		most = entries > most ? entries : most;
	}
	assert_true(most == 12); /* cut behind the last entry, whole ones are still given */
	free(file);
}

static void each_damaged_byte_is_noticed(void **state)
{
	size_t size, entries;
	uint8_t *file = small_capture(&size);

	(void)state;
	for (size_t i = 0; i < size; i++) {
		file[i] ^= 0x55;
		assert_true(read_bytes(file, size, &entries) < 0);
		file[i] ^= 0x55;
	}
	file = realloc(file, size + 1);
	assert_non_null(file);
	file[size] = 0;
	assert_int_equal(read_bytes(file, size + 1, &entries), -EBADMSG);
	free(file);
}

static void unfinished_capture_gives_its_whole_entries(void **state)
{
	static const uint8_t no_end[] = {2, 0, 0, 0, 1, 0, 0, 0, 'x', 3, 0, 0, 0, 9, 0, 0, 0, 'y'};
	size_t entries;

	(void)state;
	assert_int_equal(read_stream(no_end, 9, &entries), -ENODATA);
	assert_int_equal(entries, 1);
	assert_int_equal(read_stream(no_end, sizeof(no_end), &entries), -ENODATA);
	assert_int_equal(entries, 1);
}

static void hostile_streams_are_refused(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t size;
		int result;
	} cases[] = {
		{{0, 0, 0, 0, 0, 0, 0, 0}, 8, -EBADMSG}, /* kind 0 */
		{{11, 0, 0, 0, 0, 0, 0, 0}, 8, -EBADMSG},
		{{2, 0, 1, 0, 0, 0, 0, 0}, 8, -EBADMSG},    /* reserved */
		{{2, 0, 0, 0, 1, 0, 0, 1}, 8, -EBADMSG},    /* one byte over CAPTURE_ENTRY_MAX */
		{{2, 0, 0, 0, 0, 0, 0, 1}, 8, -ENODATA},    /* just CAPTURE_ENTRY_MAX, but nothing
							       follows */
		{{1, 0, 0, 0, 1, 0, 0, 0, 0}, 9, -EBADMSG}, /* END with a payload */
		{{1, 0, 0, 0, 0, 0, 0, 0, 0}, 9, -EBADMSG}, /* bytes behind END */
		{{1, 0, 0, 0, 0, 0, 0, 0}, 8, 0},
		{{2, 0}, 2, -ENODATA},
	};
	size_t entries;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(read_stream(cases[i].bytes, cases[i].size, &entries),
				 cases[i].result);
	assert_int_equal(read_bytes("mixcapt2", 8, &entries), -EBADMSG);
	assert_int_equal(read_bytes("mixcapt1garbage", 15, &entries), -EBADMSG);
	assert_int_equal(read_bytes("", 0, &entries), -EBADMSG);
}

/* A few KB of file that say 256 MB: one entry is held at a time. */
static void bomb_stays_within_memory(void **state)
{
	const size_t payload = CAPTURE_ENTRY_MAX;
	uint8_t *zeros = calloc(1, payload);
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;
	struct rusage before, after;
	size_t entries;

	(void)state;
	assert_non_null(zeros);
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(capture_writer__put(writer, CAPTURE_META, zeros, payload), 0);
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	free(zeros);
	assert_true(lseek(fd, 0, SEEK_END) < 256 << 10);
	lseek(fd, 0, SEEK_SET);
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(read_all(fd, &entries), 0);
	getrusage(RUSAGE_SELF, &after);
	assert_int_equal(entries, 16);
	assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10);
	close(fd);
}

static void window_beyond_the_limit_is_refused(void **state)
{
	static uint8_t plain[1 << 20];
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	uint8_t file[8 + 65536] = "mixcapt1";
	ZSTD_inBuffer in = {plain, sizeof(plain), 0};
	ZSTD_outBuffer out = {file + 8, sizeof(file) - 8, 0};
	size_t entries;

	(void)state;
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 27);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	assert_false(ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush)));
	ZSTD_freeCCtx(zstd);
	assert_int_equal(read_bytes(file, 8 + out.pos, &entries), -EBADMSG);
}

static void failed_write_is_remembered(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct capture_writer *writer = NULL;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, "x", 1), -ENOSPC);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, "x", 1), -ENOSPC);
	assert_int_equal(capture_writer__finish(writer), -ENOSPC);
	capture_writer__free(writer);
	close(fd);
}

static void oversized_entry_is_told_at_the_end(void **state)
{
	size_t size = CAPTURE_ENTRY_MAX + 1, entries;
	uint8_t *bytes = calloc(1, size);
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, "x", 1), 0);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, bytes, size), -EMSGSIZE);
	assert_int_equal(capture_writer__put_answer(writer, CAPTURE_MAPS, "k", 1, 0, bytes,
						    CAPTURE_ENTRY_MAX - 8),
			 -EMSGSIZE);
	assert_int_equal(capture_writer__put(writer, CAPTURE_META, "y", 1), 0);
	assert_int_equal(capture_writer__finish(writer), -EMSGSIZE);
	capture_writer__free(writer);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(read_all(fd, &entries), 0);
	assert_int_equal(entries, 2);
	free(bytes);
	close(fd);
}

/* Through a file and back, so that the writer's and the store's idea of a key agree. */
static struct capture_answers *answers_of(int fd)
{
	struct capture_answers *answers = NULL;
	struct capture_reader *reader = NULL;
	struct capture_entry entry;
	int result;

	lseek(fd, 0, SEEK_SET);
	assert_int_equal(capture_answers__new(&answers), 0);
	assert_int_equal(capture_reader__new(fd, &reader), 0);
	while ((result = capture_reader__next(reader, &entry)) == 1)
		assert_int_equal(capture_answers__add(answers, &entry), 0);
	assert_int_equal(result, 0);
	capture_reader__free(reader);
	close(fd);
	return answers;
}

static void expect_answer(struct capture_answers *answers, uint16_t kind, const char *key,
			  int result, const char *text)
{
	const void *answer = NULL;
	size_t size = 0;
	int got = 1;

	assert_int_equal(
		capture_answers__find(answers, kind, key, strlen(key), &got, &answer, &size), 0);
	assert_int_equal(got, result);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(answer, text, size);
}

static void nth_question_gets_nth_answer(void **state)
{
	int fd = memory_file(NULL, 0), got;
	struct capture_writer *writer = NULL;
	struct capture_answers *answers;
	const void *answer;
	size_t size;

	(void)state;
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	capture_writer__put_answer(writer, CAPTURE_MAPS, "12", 2, 0, "first", 5);
	capture_writer__put_answer(writer, CAPTURE_OBJECT, "12", 2, 0, "object", 6);
	capture_writer__put_answer(writer, CAPTURE_MAPS, "13", 2, -ESRCH, NULL, 0);
	capture_writer__put_answer(writer, CAPTURE_MAPS, "12", 2, 0, "second", 6);
	capture_writer__put_answer(writer, CAPTURE_MAPS, "12", 2, -ESRCH, "", 0);
	capture_writer__put_answer(writer, CAPTURE_PROCESS, "", 0, 0, "empty key", 9);
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	answers = answers_of(fd);
	expect_answer(answers, CAPTURE_MAPS, "12", 0, "first");
	expect_answer(answers, CAPTURE_MAPS, "13", -ESRCH, "");
	expect_answer(answers, CAPTURE_MAPS, "12", 0, "second");
	expect_answer(answers, CAPTURE_OBJECT, "12", 0, "object");
	expect_answer(answers, CAPTURE_MAPS, "12", -ESRCH, "");
	expect_answer(answers, CAPTURE_MAPS, "12", -ESRCH, "");
	expect_answer(answers, CAPTURE_OBJECT, "12", 0, "object");
	expect_answer(answers, CAPTURE_PROCESS, "", 0, "empty key");
	assert_int_equal(capture_answers__find(answers, CAPTURE_MAPS, "1", 1, &got, &answer, &size),
			 -ENOENT);
	assert_int_equal(
		capture_answers__find(answers, CAPTURE_MEMORY, "12", 2, &got, &answer, &size),
		-ENOENT);
	capture_answers__free(answers);
}

static void many_questions_are_kept_apart(void **state)
{
	int fd = memory_file(NULL, 0);
	struct capture_writer *writer = NULL;
	struct capture_answers *answers;
	char key[32], text[32];

	(void)state;
	assert_int_equal(capture_writer__new(fd, &writer), 0);
	for (int i = 0; i < 20000; i++) {
		int key_size = snprintf(key, sizeof(key), "question %d", i % 5000);
		int text_size = snprintf(text, sizeof(text), "answer %d", i);

		assert_int_equal(capture_writer__put_answer(writer, CAPTURE_NAMES, key,
							    (size_t)key_size, 0, text,
							    (size_t)text_size),
				 0);
	}
	assert_int_equal(capture_writer__finish(writer), 0);
	capture_writer__free(writer);
	answers = answers_of(fd);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "question %d", i % 5000);
		snprintf(text, sizeof(text), "answer %d", i);
		expect_answer(answers, CAPTURE_NAMES, key, 0, text);
	}
	capture_answers__free(answers);
}

static void malformed_answers_are_refused(void **state)
{
	static const struct {
		uint16_t kind;
		uint8_t bytes[12];
		size_t size;
		int result;
	} cases[] = {
		{CAPTURE_META, {0}, 8, -EINVAL},
		{CAPTURE_STATS, {0}, 8, -EINVAL},
		{CAPTURE_RECORD, {0}, 8, -EINVAL},
		{CAPTURE_MAPS, {0}, 0, -EBADMSG},
		{CAPTURE_MAPS, {0}, 7, -EBADMSG}, /* no room for the result */
		{CAPTURE_MAPS, {1}, 8, -EBADMSG},
		{CAPTURE_MAPS, {0xff, 0xff, 0xff, 0xff}, 8, -EBADMSG},
		{CAPTURE_MAPS, {0, 0, 0, 0, 1}, 8, -EBADMSG}, /* a result above 0 */
		{CAPTURE_MAPS, {0, 0, 0, 0, 0, 0, 0, 0x80}, 8, -EBADMSG},
		{CAPTURE_MAPS, {0}, 8, 0},
	};
	struct capture_answers *answers = NULL;

	(void)state;
	assert_int_equal(capture_answers__new(&answers), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct capture_entry entry = {cases[i].kind, cases[i].bytes, cases[i].size};

		assert_int_equal(capture_answers__add(answers, &entry), cases[i].result);
	}
	capture_answers__free(answers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_back_as_written),
		cmocka_unit_test(format_is_the_documented_one),
		cmocka_unit_test(cut_at_every_byte_is_refused),
		cmocka_unit_test(each_damaged_byte_is_noticed),
		cmocka_unit_test(unfinished_capture_gives_its_whole_entries),
		cmocka_unit_test(hostile_streams_are_refused),
		cmocka_unit_test(bomb_stays_within_memory),
		cmocka_unit_test(window_beyond_the_limit_is_refused),
		cmocka_unit_test(failed_write_is_remembered),
		cmocka_unit_test(oversized_entry_is_told_at_the_end),
		cmocka_unit_test(nth_question_gets_nth_answer),
		cmocka_unit_test(many_questions_are_kept_apart),
		cmocka_unit_test(malformed_answers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
