/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline__replay: a recording made here, with a counter of its own that writes
 * every answer it gets into the capture, must give the same profile again. Then
 * captures that lack something, that lie, and that are damaged.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"
#include "pipeline_state.h"
#include "profile/intern.h"
#include "unit/fake_code.h"

#define CODE (FAKE_BASE + 0x1000)
#define OBJECT 3
#define MS 1000000ull

struct recording {
	int fd;
	struct capture_writer *writer;
	struct fake_memory *m;
	struct process_view view;
	struct name_source source;
	struct sample_counter *counter;
	struct sample_decoder *decoder;
	uint64_t sample_id, time_ns;
	bool without_answers;
};

static void put_answer(struct recording *r, uint16_t kind, const void *key, size_t key_size,
		       int result, const void *answer, size_t size)
{
	if (!r->without_answers)
		assert_int_equal(capture_writer__put_answer(r->writer, kind, key, key_size, result,
							    answer, size),
				 0);
}

static int native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			char **names, uint64_t *starts)
{
	for (size_t i = 0; i < count; i++) {
		struct names_key key = {vaddrs[i], object};

		if (vaddrs[i] & 0x800) { /* no symbol, but a start */
			starts[i] = vaddrs[i] & ~0xffull;
			put_answer(context, CAPTURE_NAMES, &key, sizeof(key), -ENOENT, &starts[i],
				   8);
			continue;
		}
		assert_true(asprintf(&names[i], "fn_%lx", vaddrs[i] & ~0xff) > 0);
		put_answer(context, CAPTURE_NAMES, &key, sizeof(key), 0, names[i],
			   strlen(names[i]));
	}
	return 0;
}

static const char *kernel_name(void *context, uint64_t address, const char **ret_module)
{
	static const char answer[] = "do_exit\0zfs";

	*ret_module = address & 1 ? answer + 8 : "";
	if (address & 1)
		put_answer(context, CAPTURE_KERNEL_NAME, &address, 8, 0, answer, sizeof(answer));
	else
		put_answer(context, CAPTURE_KERNEL_NAME, &address, 8, -ENOENT, NULL, 0);
	return address & 1 ? answer : NULL;
}

static int read_memory(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct recording *r = context;
	struct memory_key key = {address, (uint32_t)pid, (uint32_t)size};
	int err = fake_read(r->m, pid, address, to, size);

	put_answer(r, CAPTURE_MEMORY, &key, sizeof(key), err, to, err ? 0 : size);
	return err;
}

static void put_view(struct recording *r)
{
	_cleanup_(buffer_done) struct buffer bytes = {0};

	process_view_encode(&r->view, &bytes);
	assert_int_equal(capture_writer__put(r->writer, CAPTURE_PROCESS, bytes.data, bytes.size),
			 0);
}

static struct recording *recording_begin(bool with_meta)
{
	static struct view_mapping mapping = {
		.start = 0x400000, .end = 0x500000, .bias = 0x400000, .object = OBJECT};
	struct recording *r = calloc(1, sizeof(*r));
	char meta[CAPTURE_META_BYTES_MAX];

	assert_non_null(r);
	r->fd = memfd_create("capture", MFD_CLOEXEC);
	assert_true(r->fd >= 0);
	assert_int_equal(capture_writer__new(r->fd, &r->writer), 0);
	capture_meta(meta);
	if (with_meta)
		assert_int_equal(capture_writer__put(r->writer, CAPTURE_META, meta, strlen(meta)),
				 0);
	r->m = fake_memory_new();
	fake_code(r->m, CODE, "a.py", "f", 1);
	r->view = fake_python_view();
	r->view.mappings = &mapping;
	r->view.mapping_count = 1;
	r->view.paths = (char *)"/usr/bin/app";
	r->view.paths_size = sizeof("/usr/bin/app");
	r->view.start_ns = 7;
	r->view.exec_id = 1;
	r->time_ns = 1000 * MS;
	r->source = (struct name_source){native_names, kernel_name, {read_memory, r}, r};
	assert_int_equal(sample_counter__new(&r->source, &r->counter), 0);
	assert_int_equal(sample_decoder__new(&r->decoder), 0);
	return r;
}

static void recording_free(struct recording *r)
{
	capture_writer__free(r->writer);
	sample_counter__free(r->counter);
	sample_decoder__free(r->decoder);
	free(r->m);
	close(r->fd);
	free(r);
}
DEFINE_CLEANUP(struct recording *, recording_freep, recording_free)

static int put_record(struct recording *r, uint32_t ring, const void *record, size_t size,
		      struct sample *sample)
{
	_cleanup_(buffer_done) struct buffer bytes = {0};

	buffer_u32(&bytes, ring);
	buffer_append(&bytes, record, size);
	assert_int_equal(capture_writer__put(r->writer, CAPTURE_RECORD, bytes.data, bytes.size), 0);
	return sample_decoder__push(r->decoder, record, size, sample);
}

static void put_chunk(struct recording *r, uint32_t ring, uint16_t part, const uint64_t *words,
		      uint32_t count)
{
	struct {
		struct chunk_record record;
		uint64_t words[16];
	} chunk = {.record = {.header = {sizeof(struct chunk_record) + 8 * count,
					 RECORD_STACK_CHUNK, SAMPLE_ABI_VERSION},
			      .sample_id = r->sample_id,
			      .part = part,
			      .words = count}};

	memcpy(chunk.words, words, 8 * count);
	assert_int_equal(put_record(r, ring, &chunk, chunk.record.header.size, NULL), 0);
}

/* One sample: kernel frame, leaf at pc, an eval that runs CODE, main. As a recording, it is
 * counted here, too, under the view if it is its program's. */
static void put_sample(struct recording *r, uint32_t ring, uint64_t pc, uint64_t exec_id)
{
	const uint64_t python[] = {CODE | PY_TAG_FRAME << 56, fake_instr(CODE, 0),
				   0x7080 | PY_TAG_SEGMENT_END << 56};
	const uint64_t native[] = {pc | NATIVE_TAG_EXACT_PC << 56, 0x400201 | NATIVE_TAG_EVAL << 56,
				   0x7000, 0x7100, 0x400301};
	struct {
		struct sample_record head;
		uint64_t kernel[2];
	} record = {
		.head = {.header = {sizeof(record), RECORD_SAMPLE, SAMPLE_ABI_VERSION},
			 .time_ns = r->time_ns,
			 .pid = FAKE_PID,
			 .tid = FAKE_PID,
			 .start_ns = 7,
			 .exec_id = exec_id,
			 .flags = SAMPLE_USER_MODE | SAMPLE_ROOT_REACHED | SAMPLE_PYTHON_COMPLETE,
			 .kernel_words = 2,
			 .native_words = 5,
			 .python_words = 3,
			 .native_frames = 3,
			 .python_frames = 1,
			 .comm = "app"},
		.kernel = {0xffffffff81000001, 0xffffffff81000002}};
	struct sample sample;
	bool known = exec_id == r->view.exec_id;

	record.head.sample_id = ++r->sample_id;
	put_chunk(r, ring, CHUNK_PYTHON, python, 3);
	put_chunk(r, ring, CHUNK_NATIVE, native, 5);
	assert_int_equal(put_record(r, ring, &record, sizeof(record), &sample), 1);
	assert_int_equal(sample_counter__add(r->counter, &sample, known ? &r->view : NULL, NULL),
			 0);
}

static void recording_end(struct recording *r)
{
	struct run_stats stats = {.hz = 99, .decoded = 12, .kernel = "6.1", .event = "cpu-clock"};

	memset(stats.arch, 'x', sizeof(stats.arch)); /* no NUL */
	assert_int_equal(capture_writer__put(r->writer, CAPTURE_STATS, &stats, sizeof(stats)), 0);
	assert_int_equal(capture_writer__finish(r->writer), 0);
}

/* Sorted by nature: samples in the order in which they were first met. */
static char *text_of(const struct profile *profile)
{
	const struct string_table *s = profile__strings(profile);
	struct buffer text = {0};
	uint32_t ids[64];

	for (size_t i = 0; i < profile__sample_count(profile); i++) {
		const struct profile_sample *sample = profile__sample(profile, i);
		size_t depth = profile__stack_frames(profile, sample->stack, ids, 64);

		buffer_printf(&text, "%u/%u %s %lu:", sample->process, sample->tid,
			      string_table__get(s, sample->comm), sample->count);
		for (size_t n = 0; n < depth; n++) {
			const struct profile_frame *f = profile__frame(profile, ids[n]);

			buffer_printf(&text, " %d.%d.%s.%s.%d", f->kind, f->flags,
				      string_table__get(s, f->name), string_table__get(s, f->file),
				      f->line);
		}
		buffer_string(&text, "\n");
	}
	buffer_u8(&text, 0);
	assert_false(text.failed);
	return (char *)text.data;
}

static int replay(const struct recording *r, char **ret_text, struct run_stats *ret_stats)
{
	_cleanup_(pipeline__freep) struct pipeline *p = NULL;
	struct pipeline_error error;
	int err = pipeline__replay(r->fd, &p, &error);

	assert_int_equal(error.code, err);
	assert_true((error.message[0] != 0) == (err != 0));
	assert_true((p == NULL) == (err != 0));
	if (!err && ret_text)
		*ret_text = text_of(pipeline__profile(p));
	if (!err && ret_stats)
		pipeline__stats(p, ret_stats);
	return err;
}

static void same_profile_again(void **state)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);
	_cleanup_free_ char *recorded = NULL, *first = NULL, *second = NULL;
	struct run_stats stats;

	(void)state;
	put_view(r);
	for (uint32_t i = 0; i < 200; i++) {
		put_sample(r, i % 3, 0x400100 + 0x20 * (i % 90), 1);
		r->time_ns += 10 * MS;
		if (i % 50 == 20) /* the address comes to hold another function, and again */
			fake_code(r->m, CODE, "b.py", i == 20 ? "g" : "h", i);
		if (i == 100) { /* the process execs */
			r->view.exec_id = 2;
			put_view(r);
		}
		if (i > 100) {
			put_sample(r, 0, 0x400100, 1); /* late ones of the first program */
			put_sample(r, 1, 0x400100 + 0x20 * (i % 90), 2);
		}
		if (i == 180)
			r->m->gone = true;
	}
	recording_end(r);
	recorded = text_of(sample_counter__profile(r->counter));
	assert_int_equal(replay(r, &first, &stats), 0);
	assert_string_equal(first, recorded);
	assert_int_equal(replay(r, &second, NULL), 0);
	assert_string_equal(first, second);
	/* it is not all [unknown] */
	assert_non_null(strstr(first, " 2.0.f.a.py.4 "));
	assert_non_null(strstr(first, " 2.0.g.b.py.23 "));
	assert_non_null(strstr(first, "fn_100./usr/bin/app"));
	assert_non_null(strstr(first, "app+0x800./usr/bin/app"));
	assert_non_null(strstr(first, " 3.0.do_exit.zfs.0"));
	assert_int_equal(stats.hz, 99); /* those of the recording */
	assert_int_equal(stats.decoded, 12);
	assert_string_equal(stats.arch, "xxxxxxxxxxxxxxx");
}

/* A capture without its answers is poorer, not wrong. */
static void answers_missing(void **state)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);
	_cleanup_free_ char *text = NULL;

	(void)state;
	r->without_answers = true;
	put_view(r);
	put_sample(r, 0, 0x400120, 1);
	recording_end(r);
	assert_int_equal(replay(r, &text, NULL), 0);
	assert_string_equal(text, "0/4242 app 1: 1.4.app+0x300./usr/bin/app.0 "
				  "1.5.app+0x200./usr/bin/app.0 2.4.[unreadable]..0 "
				  "1.4.app+0x120./usr/bin/app.0 3.4.kernel+0xffffffff81000002..0 "
				  "3.4.kernel+0xffffffff81000001..0\n");
}

static void view_missing(void **state)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);
	_cleanup_free_ char *text = NULL;

	(void)state;
	put_sample(r, 0, 0x400120, 1);
	recording_end(r);
	assert_int_equal(replay(r, &text, NULL), 0);
	assert_non_null(strstr(text, "[unknown]"));
	assert_non_null(strstr(text, "[unreadable]"));
}

/* Malformed records were counted while recording; the rest is as good as ever. */
static void records_malformed(void **state)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);
	_cleanup_free_ char *text = NULL, *recorded = NULL;
	uint64_t junk[4] = {1, 2, 3, 4};
	struct sample sample;

	(void)state;
	put_view(r);
	put_sample(r, 0, 0x400120, 1);
	assert_int_equal(put_record(r, 0, junk, sizeof(junk), &sample), -EBADMSG);
	assert_int_equal(put_record(r, 0, junk, 0, &sample), -EBADMSG);
	put_sample(r, 0, 0x400120, 1);
	recording_end(r);
	recorded = text_of(sample_counter__profile(r->counter));
	assert_int_equal(replay(r, &text, NULL), 0);
	assert_string_equal(text, recorded);
}

static void refused_with(uint16_t kind, const void *payload, size_t size, int want)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);

	assert_int_equal(capture_writer__put(r->writer, kind, payload, size), 0);
	recording_end(r);
	assert_int_equal(replay(r, NULL, NULL), want);
}

static void refusals(void **state)
{
	const uint32_t far_ring[8] = {CAPTURE_RINGS_MAX};
	struct process_view half = {.mapping_count = 5};
	int pipe_fds[2];

	(void)state;
	refused_with(CAPTURE_META, "mixprof-capture-0\n", 18, -EPROTO);
	refused_with(CAPTURE_STATS, "short", 5, -EBADMSG);
	refused_with(CAPTURE_PROCESS, &half, sizeof(half), -EBADMSG);
	refused_with(CAPTURE_PROCESS, "", 0, -EBADMSG);
	refused_with(CAPTURE_RECORD, "abc", 3, -EBADMSG);
	refused_with(CAPTURE_RECORD, far_ring, sizeof(far_ring), -EBADMSG);
	{ /* no word on which version wrote it */
		_cleanup_(recording_freep) struct recording *r = recording_begin(false);

		recording_end(r);
		assert_int_equal(replay(r, NULL, NULL), -EPROTO);
	}
	{ /* the recording was killed */
		_cleanup_(recording_freep) struct recording *r = recording_begin(true);

		put_view(r);
		recording_end(r);
		assert_int_equal(ftruncate(r->fd, lseek(r->fd, 0, SEEK_END) - 8), 0);
		assert_int_equal(replay(r, NULL, NULL), -ENODATA);
	}
	{
		_cleanup_(recording_freep) struct recording *r = recording_begin(true);
		int capture = r->fd;

		assert_int_equal(pipe(pipe_fds), 0);
		r->fd = pipe_fds[0];
		assert_int_equal(replay(r, NULL, NULL), -ESPIPE);
		r->fd = memfd_create("text", MFD_CLOEXEC);
		assert_int_equal(write(r->fd, "#!/bin/sh\necho hello\n", 21), 21);
		assert_int_equal(replay(r, NULL, NULL), -EBADMSG);
		close(r->fd);
		r->fd = capture;
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
}

/* Entries damaged at random, inside a sound stream: an error or a profile, nothing else. */
static void damaged_entries(void **state)
{
	_cleanup_(recording_freep) struct recording *r = recording_begin(true);
	uint64_t seed = 1;

	(void)state;
	put_view(r);
	for (uint32_t i = 0; i < 4; i++)
		put_sample(r, i % 2, 0x400100 + 0x20 * i, 1);
	recording_end(r);
	for (int round = 0; round < 400; round++) {
		struct capture_reader *reader = NULL;
		struct recording damaged = {.fd = memfd_create("damaged", MFD_CLOEXEC)};
		struct capture_entry entry;
		int err;

		assert_int_equal(lseek(r->fd, 0, SEEK_SET), 0);
		assert_int_equal(capture_reader__new(r->fd, &reader), 0);
		assert_int_equal(capture_writer__new(damaged.fd, &damaged.writer), 0);
		while (capture_reader__next(reader, &entry) == 1) {
			uint8_t *copy = malloc(entry.size + 1);

			assert_non_null(copy);
			memcpy(copy, entry.payload, entry.size);
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			if (entry.size && entry.kind != CAPTURE_META && seed >> 62 == 0)
				copy[(seed >> 20) % entry.size] ^= (uint8_t)(1 << (seed >> 56 & 7));
			capture_writer__put(damaged.writer, entry.kind, copy,
					    seed >> 58 ? entry.size : entry.size / 2);
			free(copy);
		}
		assert_int_equal(capture_writer__finish(damaged.writer), 0);
		err = replay(&damaged, NULL, NULL);
		assert_true(err == 0 || err == -EBADMSG || err == -EPROTO);
		capture_reader__free(reader);
		capture_writer__free(damaged.writer);
		close(damaged.fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_profile_again), cmocka_unit_test(answers_missing),
		cmocka_unit_test(view_missing),	      cmocka_unit_test(records_malformed),
		cmocka_unit_test(refusals),	      cmocka_unit_test(damaged_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
