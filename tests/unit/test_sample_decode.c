/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect/sample_decode: an encoder of abi/sample_abi.h written here, from the
 * header's text, makes random samples; what is decoded must equal what was put
 * in. Then each rule of the ABI is broken on its own, and records are mutated at
 * random: nothing crashes, and every refusal is counted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "abi/stop_reasons.h"
#include "collect/sample_decode.h"

#define FRAMES_MAX 600
#define WORDS_MAX (3 * FRAMES_MAX)
#define RECORDS_MAX 64

/* A sample as a test means it, and the records that carry it. */
struct made {
	struct sample_record head;
	uint64_t kernel[KERNEL_STACK_MAX];
	struct native_frame native[FRAMES_MAX];
	struct python_item python[FRAMES_MAX];
	uint32_t native_count, python_count;
	uint64_t native_word[WORDS_MAX], python_word[WORDS_MAX];
	struct {
		uint8_t *bytes; /* owned, exactly size bytes: ASan sees a read beyond */
		size_t size;
	} record[RECORDS_MAX];
	size_t records;
};

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t below(uint32_t limit)
{
	return (uint32_t)(next_random() % limit);
}

static uint64_t random_address(void)
{
	return next_random() & ADDRESS_MASK;
}

static void make_native(struct made *m, uint32_t count)
{
	m->native_count = count;
	m->head.native_words = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct native_frame *f = &m->native[i];
		uint64_t *word = &m->native_word[m->head.native_words];

		*f = (struct native_frame){
			.pc = random_address(),
			.is_eval = below(2),
			.exact_pc = below(2),
			.by_frame_pointer = below(2),
			.resynced = below(2),
		};
		word[0] = f->pc | (uint64_t)(f->exact_pc * 1 + f->is_eval * 2 +
					     f->by_frame_pointer * 4 + f->resynced * 8)
					  << 56;
		m->head.native_words++;
		if (f->is_eval) {
			word[1] = f->sp = next_random();
			word[2] = f->cfa = next_random();
			m->head.native_words += 2;
		}
	}
	m->head.native_frames = count;
}

static void make_python(struct made *m, uint32_t count)
{
	m->python_count = count;
	m->head.python_words = 0;
	m->head.python_frames = 0;
	for (uint32_t i = 0; i < count; i++) {
		static const uint8_t tag_of[] = {0, 0x01, 0x02, 0x08};
		struct python_item *item = &m->python[i];
		uint64_t *word = &m->python_word[m->head.python_words++];

		*item = (struct python_item){.kind = (uint8_t)(1 + below(3)),
					     .address = random_address()};
		word[0] = item->address | (uint64_t)tag_of[item->kind] << 56;
		if (item->kind != PYTHON_ITEM_FRAME)
			continue;
		item->incomplete = below(2);
		word[0] |= (uint64_t)(item->incomplete * 4) << 56;
		word[1] = item->instr = next_random();
		m->head.python_words++;
		m->head.python_frames++;
	}
}

static uint8_t *add_record(struct made *m, size_t size)
{
	assert_true(m->records < RECORDS_MAX);
	m->record[m->records].bytes = malloc(size);
	m->record[m->records].size = size;
	assert_non_null(m->record[m->records].bytes);
	return m->record[m->records++].bytes;
}

static void add_chunks(struct made *m, uint16_t part, const uint64_t *word, uint32_t words,
		       uint32_t chunk_words)
{
	for (uint32_t at = 0; at < words; at += chunk_words) {
		uint32_t n = words - at < chunk_words ? words - at : chunk_words;
		struct chunk_record chunk = {
			.header = {.size = 24 + 8 * n, .kind = 2, .version = 1},
			.sample_id = m->head.sample_id,
			.part = part,
			.words = n,
		};
		uint8_t *bytes = add_record(m, chunk.header.size);

		memcpy(bytes, &chunk, 24);
		memcpy(bytes + 24, word + at, 8 * n);
	}
}

static void add_sample(struct made *m)
{
	uint8_t *bytes;

	m->head.header.size = 160 + 8 * m->head.kernel_words;
	bytes = add_record(m, m->head.header.size);
	memcpy(bytes, &m->head, 160);
	memcpy(bytes + 160, m->kernel, 8 * m->head.kernel_words);
}

/* Any native and Python frames, cut into chunks of any size. */
static struct made *make_sample(uint32_t native, uint32_t python, uint32_t kernel)
{
	struct made *m = calloc(1, sizeof(*m));
	uint8_t *head;

	assert_non_null(m);
	head = (uint8_t *)&m->head;
	for (size_t i = 0; i < sizeof(m->head); i++)
		head[i] = (uint8_t)next_random();
	m->head.header.kind = 1;
	m->head.header.version = 1;
	m->head.flags = below(64);
	m->head.native_stop = STOP_UNWIND_NO_ROW;
	m->head.python_stop = STOP_PY_DEPTH;
	m->head.reserved = 0;
	m->head.kernel_words = (uint16_t)kernel;
	for (uint32_t i = 0; i < kernel; i++)
		m->kernel[i] = next_random();
	make_native(m, native);
	make_python(m, python);
	add_chunks(m, 1, m->native_word, m->head.native_words, 64 + below(900));
	add_chunks(m, 2, m->python_word, m->head.python_words, 64 + below(900));
	add_sample(m);
	return m;
}

static void free_records(struct made *m)
{
	for (size_t i = 0; i < m->records; i++)
		free(m->record[i].bytes);
	m->records = 0;
}

static void free_made(struct made *m)
{
	free_records(m);
	free(m);
}

static int push(struct sample_decoder *decoder, const struct made *m, size_t i,
		struct sample *ret_sample)
{
	return sample_decoder__push(decoder, m->record[i].bytes, m->record[i].size, ret_sample);
}

/* Pushes all records; what the last one answered. */
static int push_all(struct sample_decoder *decoder, const struct made *m, struct sample *ret_sample)
{
	int result = 0;

	for (size_t i = 0; i < m->records; i++)
		result = push(decoder, m, i, ret_sample);
	return result;
}

static void check_sample(const struct made *m, const struct sample *s)
{
	struct sample_record head = m->head;

	head.comm[15] = '\0';
	assert_memory_equal(&s->head, &head, sizeof(head));
	assert_int_equal(s->kernel_count, m->head.kernel_words);
	assert_memory_equal(s->kernel, m->kernel, 8 * s->kernel_count);
	assert_int_equal(s->native_count, m->native_count);
	for (uint32_t i = 0; i < s->native_count; i++) {
		assert_int_equal(s->native[i].pc, m->native[i].pc);
		assert_int_equal(s->native[i].sp, m->native[i].sp);
		assert_int_equal(s->native[i].cfa, m->native[i].cfa);
		assert_int_equal(s->native[i].is_eval, m->native[i].is_eval);
		assert_int_equal(s->native[i].exact_pc, m->native[i].exact_pc);
		assert_int_equal(s->native[i].by_frame_pointer, m->native[i].by_frame_pointer);
		assert_int_equal(s->native[i].resynced, m->native[i].resynced);
	}
	assert_int_equal(s->python_count, m->python_count);
	for (uint32_t i = 0; i < s->python_count; i++) {
		assert_int_equal(s->python[i].kind, m->python[i].kind);
		assert_int_equal(s->python[i].incomplete, m->python[i].incomplete);
		assert_int_equal(s->python[i].address, m->python[i].address);
		assert_int_equal(s->python[i].instr, m->python[i].instr);
	}
}

static int set_up(void **state)
{
	struct sample_decoder *decoder = NULL;

	random_state = 0x9e3779b97f4a7c15;
	assert_int_equal(sample_decoder__new(&decoder), 0);
	*state = decoder;
	return 0;
}

static int tear_down(void **state)
{
	sample_decoder__free(*state);
	return 0;
}

static void random_samples_come_back_equal(void **state)
{
	struct sample_decoder_stats stats;
	struct sample sample;

	for (int n = 0; n < 400; n++) {
		struct made *m = make_sample(below(FRAMES_MAX), below(FRAMES_MAX),
					     below(KERNEL_STACK_MAX + 1));

		for (size_t i = 0; i + 1 < m->records; i++)
			assert_int_equal(push(*state, m, i, &sample), 0);
		assert_int_equal(push(*state, m, m->records - 1, &sample), 1);
		check_sample(m, &sample);
		free_made(m);
	}
	sample_decoder__stats(*state, &stats);
	assert_int_equal(stats.samples, 400);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(stats.orphan_chunks, 0);
}

/* The sampler's limits: 2048 frames of each kind, each native one an eval. */
static void largest_sample_fits(void **state)
{
	const uint32_t frames = 2048, per_chunk = 1024;
	struct sample_record head = {
		.header = {.size = 160, .kind = 1, .version = 1},
		.sample_id = 77,
		.native_words = 3 * frames,
		.native_frames = frames,
		.python_words = 2 * frames,
		.python_frames = frames,
	};
	struct {
		struct chunk_record head;
		uint64_t word[1024];
	} chunk = {.head = {.header = {.kind = 2, .version = 1}, .sample_id = 77, .part = 1}};
	struct sample sample;

	chunk.head.words = per_chunk;
	chunk.head.header.size = 24 + 8 * per_chunk;
	for (uint32_t at = 0; at < head.native_words; at += per_chunk) {
		for (uint32_t i = 0; i < per_chunk; i++)
			chunk.word[i] = (at + i) % 3 ? at + i : 0x02ULL << 56 | (at + i);
		assert_int_equal(
			sample_decoder__push(*state, &chunk, chunk.head.header.size, &sample), 0);
	}
	chunk.head.part = 2;
	for (uint32_t at = 0; at < head.python_words; at += per_chunk) {
		for (uint32_t i = 0; i < per_chunk; i++)
			chunk.word[i] = (at + i) % 2 ? at + i : 0x01ULL << 56 | (at + i);
		assert_int_equal(
			sample_decoder__push(*state, &chunk, chunk.head.header.size, &sample), 0);
	}
	assert_int_equal(sample_decoder__push(*state, &head, sizeof(head), &sample), 1);
	assert_int_equal(sample.native_count, frames);
	assert_int_equal(sample.native[frames - 1].cfa, 3 * frames - 1);
	assert_int_equal(sample.python_count, frames);
	assert_int_equal(sample.python[frames - 1].instr, 2 * frames - 1);
}

static void words_beyond_the_cap_are_refused(void **state)
{
	struct {
		struct chunk_record head;
		uint64_t word[1024];
	} chunk = {.head = {.header = {.size = 24 + 8192, .kind = 2, .version = 1},
			    .sample_id = 5,
			    .part = 2,
			    .words = 1024}};
	struct sample_decoder_stats stats;
	struct sample sample;
	int result = 0, n;

	for (n = 0; n < 1000 && result == 0; n++)
		result = sample_decoder__push(*state, &chunk, sizeof(chunk), &sample);
	assert_int_equal(result, -EBADMSG);
	assert_in_range(n, 5, 64);
	sample_decoder__stats(*state, &stats);
	assert_int_equal(stats.malformed, 1);
}

static void orphans_are_dropped_and_the_next_sample_is_whole(void **state)
{
	struct made *lost = make_sample(300, 300, 3), *next = make_sample(300, 300, 3);
	struct made *bare = make_sample(0, 0, 2);
	struct sample_decoder_stats stats;
	struct sample sample;

	for (size_t i = 0; i + 1 < lost->records; i++)
		assert_int_equal(push(*state, lost, i, &sample), 0);
	assert_int_equal(push_all(*state, next, &sample), 1);
	check_sample(next, &sample);
	assert_int_equal(push(*state, lost, 0, &sample), 0);
	assert_int_equal(push_all(*state, bare, &sample), 1);
	check_sample(bare, &sample);
	sample_decoder__stats(*state, &stats);
	assert_int_equal(stats.orphan_chunks, lost->records);
	assert_int_equal(stats.malformed, 0);
	free_made(lost);
	free_made(next);
	free_made(bare);
}

/* Breaks one 16-bit field of one record: the sample is refused, the one after it is not. */
static void expect_refused(void **state, bool of_chunk, size_t offset, uint16_t value)
{
	struct made *bad = make_sample(20, 20, 4), *good = make_sample(20, 20, 4);
	uint8_t *bytes = bad->record[of_chunk ? 0 : bad->records - 1].bytes;
	struct sample_decoder_stats before, after;
	struct sample sample;
	bool refused = false;

	memcpy(bytes + offset, &value, 2);
	sample_decoder__stats(*state, &before);
	for (size_t i = 0; i < bad->records; i++) {
		int result = push(*state, bad, i, &sample);

		refused |= result == -EBADMSG;
		assert_int_not_equal(result, 1);
	}
	if (!refused)
		fail_msg("offset %zu of the %s = %#x was taken", offset,
			 of_chunk ? "chunk" : "sample", value);
	assert_int_equal(push_all(*state, good, &sample), 1);
	check_sample(good, &sample);
	sample_decoder__stats(*state, &after);
	assert_true(after.malformed > before.malformed);
	assert_int_equal(after.samples, before.samples + 1);
	free_made(bad);
	free_made(good);
}

static void each_broken_rule_is_refused(void **state)
{
	const size_t record_size = 0, kind = 4, version = 6; /* struct record_header */
	const size_t tag = 24 + 6; /* the upper 16 bits of a chunk's first word */

	expect_refused(state, true, record_size, 24);
	expect_refused(state, true, kind, 3);
	expect_refused(state, true, version, 2);
	expect_refused(state, true, offsetof(struct chunk_record, sample_id), 0xdead);
	expect_refused(state, true, offsetof(struct chunk_record, part), 3);
	expect_refused(state, true, offsetof(struct chunk_record, reserved), 1);
	expect_refused(state, true, offsetof(struct chunk_record, words), 0);
	expect_refused(state, true, offsetof(struct chunk_record, words), 0xffff);
	expect_refused(state, true, offsetof(struct chunk_record, words) + 2, 0x2000);
	expect_refused(state, true, tag, 0x1000);
	expect_refused(state, false, record_size, 160);
	expect_refused(state, false, record_size, 160 + 8 * 4 + 1);
	expect_refused(state, false, kind, 0);
	expect_refused(state, false, version, 0);
	expect_refused(state, false, offsetof(struct sample_record, sample_id), 0xbeef);
	expect_refused(state, false, offsetof(struct sample_record, flags), 0x40);
	expect_refused(state, false, offsetof(struct sample_record, native_stop), 40);
	expect_refused(state, false, offsetof(struct sample_record, python_stop), 0xffff);
	expect_refused(state, false, offsetof(struct sample_record, kernel_words), 5);
	expect_refused(state, false, offsetof(struct sample_record, kernel_words), 0xffff);
	expect_refused(state, false, offsetof(struct sample_record, reserved), 1);
	expect_refused(state, false, offsetof(struct sample_record, native_words), 0);
	expect_refused(state, false, offsetof(struct sample_record, python_words), 0);
	expect_refused(state, false, offsetof(struct sample_record, native_frames), 19);
	expect_refused(state, false, offsetof(struct sample_record, python_frames), 0xfff);
}

/* Frames that end before their words do; the counts of the record agree with the words. */
static void cut_frames_are_refused(void **state)
{
	static const struct {
		uint16_t part;
		uint32_t words;
		uint64_t word[3];
	} cases[] = {
		{1, 1, {0x02ULL << 56}}, /* EVAL without sp and cfa */
		{1, 2, {0x02ULL << 56, 1}},
		{1, 1, {0x10ULL << 56}}, /* no such tag */
		{2, 1, {0x01ULL << 56}}, /* FRAME without instr */
		{2, 1, {0}},
		{2, 1, {0x04ULL << 56}},    /* INCOMPLETE without FRAME */
		{2, 2, {0x03ULL << 56, 0}}, /* FRAME and SEGMENT_END at once */
		{2, 1, {0x80ULL << 56}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made *m = make_sample(0, 0, 0);
		struct sample sample;

		free_records(m);
		if (cases[i].part == 1) {
			m->head.native_words = cases[i].words;
			m->head.native_frames = 1;
		} else {
			m->head.python_words = cases[i].words;
			m->head.python_frames = (cases[i].word[0] >> 56) & 1;
		}
		add_chunks(m, cases[i].part, cases[i].word, cases[i].words, 3);
		add_sample(m);
		assert_int_equal(push(*state, m, 0, &sample), 0);
		assert_int_equal(push(*state, m, 1, &sample), -EBADMSG);
		free_made(m);
	}
}

static void mutated_records_never_crash(void **state)
{
	struct sample_decoder_stats stats;
	struct sample sample;
	uint64_t refused = 0, taken = 0;

	for (int n = 0; n < 3000; n++) {
		struct made *m = make_sample(below(40), below(40), below(10));
		size_t i = below((uint32_t)m->records);
		uint32_t flips = 1 + below(4);

		for (uint32_t f = 0; f < flips; f++)
			m->record[i].bytes[below((uint32_t)m->record[i].size)] ^= 1u << below(8);
		for (size_t r = 0; r < m->records; r++) {
			size_t size = m->record[r].size;
			int result;

			if (r == i && below(4) == 0)
				size = below((uint32_t)size);
			result = sample_decoder__push(*state, m->record[r].bytes, size, &sample);
			assert_in_range(result + 200, 200 - EBADMSG, 201);
			refused += result == -EBADMSG;
			taken += result == 1;
			if (result == 1)
				assert_int_equal(sample.head.comm[15], 0);
		}
		free_made(m);
	}
	sample_decoder__stats(*state, &stats);
	assert_int_equal(stats.malformed, refused);
	assert_int_equal(stats.samples, taken);
	assert_true(refused > 1000 && taken > 300); /* both ways were really walked */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(random_samples_come_back_equal),
		TEST(largest_sample_fits),
		TEST(words_beyond_the_cap_are_refused),
		TEST(orphans_are_dropped_and_the_next_sample_is_whole),
		TEST(each_broken_rule_is_refused),
		TEST(cut_frames_are_refused),
		TEST(mutated_records_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
