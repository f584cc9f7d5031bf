/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at every place where it can, one after the other: each module says
 * -ENOMEM, crashes nowhere, leaks nothing (counted here, and by LeakSanitizer), and
 * what was under way can be freed or tried again, with the result that it would have
 * had. A real capture is replayed this way as a whole.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/process_abi.h"
#include "abi/stop_reasons.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/hash_map.h"
#include "base/sanitize.h"
#include "collect/capture.h"
#include "collect/record_queue.h"
#include "follow/run_pool.h"
#include "object/fragment_list.h"
#include "output/exporter.h"
#include "pipeline.h"
#include "process/proc_maps.h"
#include "python/python_code.h"
#include "resolve/sample_counter.h"
#include "symbol/demangle.h"
#include "symbol/elf_symbols.h"
#include "symbol/kernel_symbols.h"
#include "unit/alloc_failure.h"
#include "unit/fake_code.h"
#include "unit/frame_builder.h"
#include "unit/profile_builder.h"
#include "unwind/table_store.h"
#include "worker/worker_protocol.h"

#define GOLDEN "tests/golden/sid-3.14/capture.mixcap"

/* A Python process of one mapping, which all tests share. */
static struct fake_memory *memory;
static struct process_view python_view;
static struct view_mapping mapping = {
	.start = 0x400000, .end = 0x500000, .bias = 0x400000, .object = 1};

/* --- the means themselves: what is not wrapped would prove nothing --- */

#define expect_fails(call)                                                                         \
	do {                                                                                       \
		alloc_failure.fail_at = 1;                                                         \
		assert_true(call);                                                                 \
		assert_int_equal(alloc_failure.fail_at, 0);                                        \
	} while (0)

static void every_allocator_can_fail(void **state)
{
	ZSTD_outBuffer out = {0};
	ZSTD_inBuffer in = {0};
	void *volatile p = NULL; /* or the compiler knows better */
	char *text;
	size_t size;

	(void)state;
	expect_fails(!(p = malloc(1)));
	expect_fails(!(p = calloc(1, 1)));
	expect_fails(!(p = realloc(NULL, 1)));
	expect_fails(!(p = reallocarray(NULL, 1, 1)));
	expect_fails(!(p = aligned_alloc(16, 16)));
	expect_fails(!(p = strdup("a")));
	expect_fails(!(p = strndup("a", 1)));
	expect_fails(asprintf(&text, "%d", 1) < 0);
	expect_fails(!open_memstream(&text, &size));
	expect_fails(!(p = ZSTD_createCCtx()));
	expect_fails(!(p = ZSTD_createDCtx()));
	expect_fails(ZSTD_isError(ZSTD_compressStream2(NULL, &out, &in, ZSTD_e_end)));
	expect_fails(ZSTD_isError(ZSTD_decompressStream(NULL, &out, &in)));
}

static int leaks_and_hides(void)
{
	void *volatile p = malloc(1);

	(void)p; /* kept, and NULL is not told */
	return 0;
}

static int gives_up(void)
{
	_cleanup_free_ char *s = attempt_pointer(strdup("a"));

	return s ? 0 : -ENOMEM;
}

static void the_sweep_counts(void **state)
{
	void *leaked;

	(void)state;
	assert_int_equal(sweep(gives_up, 0), 1);
	alloc_failure_begin(0, false);
	leaks_and_hides();
	alloc_failure_end();
	assert_int_equal(alloc_failure.live_count, 1);
	for (size_t i = 0; i < ALLOC_LIVE_SLOTS; i++)
		if ((leaked = (void *)alloc_failure.live[i]))
			__real_free(leaked);
}

/* --- base --- */

static int use_hash_map(void)
{
	_cleanup_(hash_map__freep) struct hash_map *map = NULL;
	int err = attempt(hash_map__new(sizeof(uint64_t), &map));
	uint64_t value;

	for (uint64_t i = 0; i < 100 && !err; i++)
		err = attempt(hash_map__set(map, &i, 3 * i));
	for (uint64_t i = 0; map && i < hash_map__count(map); i++) {
		assert_true(hash_map__find(map, &i, &value));
		assert_int_equal(value, 3 * i);
	}
	assert_true(err || hash_map__count(map) == 100);
	return err;
}

static int fill_buffer(struct buffer *b)
{
	buffer_clear(b);
	for (unsigned int i = 0; i < 100; i++) {
		buffer_u32(b, i);
		buffer_printf(b, "%u;", i);
		buffer_string(b, "text");
	}
	return b->failed ? -ENOMEM : 0;
}

static int use_buffer(void)
{
	_cleanup_(buffer_done) struct buffer b = {0};
	int err = attempt(fill_buffer(&b));

	assert_true(err || b.size == 400 + 290 + 400);
	return err;
}

static int use_sanitize(void)
{
	_cleanup_free_ char *clean = attempt_pointer(sanitize_name("a\nb", 3, 100));

	assert_true(!clean || strcmp(clean, "a\xef\xbf\xbd"
					    "b") == 0);
	return clean ? 0 : -ENOMEM;
}

static void base(void **state)
{
	(void)state;
	sweep(use_hash_map, 0);
	sweep(use_buffer, 0);
	sweep(use_sanitize, 0);
}

/* --- profile --- */

static int use_string_table(void)
{
	_cleanup_(string_table__freep) struct string_table *table = NULL;
	int err = attempt(string_table__new(&table));
	static char text[20000];
	uint32_t id;

	for (uint32_t i = 1; i < 80 && !err;
	     i++) { /* short ones, and some in blocks of their own */
		size_t size = i % 10 ? 4 : sizeof(text);

		memset(text, 'a', sizeof(text));
		memcpy(text, &i, sizeof(i));
		err = attempt(string_table__intern(table, text, size, &id));
		assert_true(err || id == i);
		assert_true(err || memcmp(string_table__get(table, i), text, size) == 0);
	}
	assert_true(err || string_table__count(table) == 80);
	return err;
}

static int add_to_profile(struct profile *p, uint32_t i)
{
	struct profile_frame frame = {.kind = FRAME_NATIVE, .line = (int32_t)i};
	uint32_t ids[2], stack, process;
	int err = attempt(profile__add_process(p, i, 0, &process));

	if (!err)
		err = attempt(profile__add_frame(p, &frame, &ids[0]));
	ids[1] = ids[0];
	if (!err)
		err = attempt(profile__add_stack(p, ids, 2, &stack));
	if (!err)
		err = attempt(profile__add_sample(p, stack, process, 1, 0, 1));
	return err;
}

static int use_profile(void)
{
	_cleanup_free_ const struct profile_process **ranked = NULL;
	_cleanup_(profile__freep) struct profile *p = NULL;
	int err = attempt(profile__new(&p));

	for (uint32_t i = 0; i < 150 && !err; i++)
		err = add_to_profile(p, i);
	if (!err)
		err = attempt(profile__rank_processes(p, &ranked));
	if (err)
		return err;
	assert_int_equal(profile__total(p), 150);
	assert_int_equal(profile__sample_count(p), 150);
	assert_int_equal(profile__frame_count(p), 150);
	assert_int_equal(profile__process_count(p), 150);
	return 0;
}

static void profile(void **state)
{
	(void)state;
	sweep(use_string_table, 0);
	sweep(use_profile, 0);
}

/* --- collect --- */

static int use_record_queue(void)
{
	_cleanup_(record_queue__freep) struct record_queue *queue = NULL;
	int err = attempt(record_queue__new(4096, &queue));

	assert_true(err || record_queue__push(queue, 1, "record", 7));
	return err;
}

static int use_sample_decoder(void)
{
	_cleanup_(sample_decoder__freep) struct sample_decoder *decoder = NULL;
	struct sample_record record = {.header = {sizeof(record), 1, 1}, .pid = 7};
	struct sample sample;
	int err = attempt(sample_decoder__new(&decoder));

	if (err)
		return err;
	assert_int_equal(sample_decoder__push(decoder, &record, sizeof(record), &sample), 1);
	assert_int_equal(sample.head.pid, 7);
	return 0;
}

static int use_capture_writer(void)
{
	_cleanup_(capture_writer__freep) struct capture_writer *writer = NULL;
	_cleanup_close_ int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int err = attempt(capture_writer__new(fd, &writer)), failed;

	if (err)
		return err;
	failed = attempt(capture_writer__put(writer, CAPTURE_RECORD, "record", 6));
	err = attempt(capture_writer__put_answer(writer, CAPTURE_MEMORY, "key", 3, 0, "value", 5));
	failed = failed ? failed : err;
	err = attempt(capture_writer__finish(writer)); /* tells of the first failure, always */
	assert_true(!failed || err == failed);
	return err;
}

static int capture_fd;

static int read_capture(struct capture_reader *reader, struct capture_answers *answers)
{
	struct capture_entry entry;
	int got;

	while ((got = attempt(capture_reader__next(reader, &entry))) == 1) {
		int err = entry.kind < CAPTURE_MAPS || entry.kind == CAPTURE_STATS
				  ? 0
				  : attempt(capture_answers__add(answers, &entry));

		if (err)
			return err;
	}
	return got;
}

static int use_capture_reader(void)
{
	_cleanup_(capture_reader__freep) struct capture_reader *reader = NULL;
	_cleanup_(capture_answers__freep) struct capture_answers *answers = NULL;
	const void *answer;
	size_t size;
	int result, err;

	assert_int_equal(lseek(capture_fd, 0, SEEK_SET), 0);
	err = attempt(capture_answers__new(&answers));
	if (!err)
		err = attempt(capture_reader__new(capture_fd, &reader));
	if (!err)
		err = read_capture(reader, answers);
	if (err)
		return err;
	for (uint64_t key = 0; key < 20; key++) {
		assert_int_equal(capture_answers__find(answers, CAPTURE_MEMORY, &key, sizeof(key),
						       &result, &answer, &size),
				 0);
		assert_int_equal(size, 1000 * key);
	}
	return 0;
}

/* Answers once there, twice the same question, some of many bytes. */
static void write_capture(void)
{
	_cleanup_(capture_writer__freep) struct capture_writer *writer = NULL;
	static uint8_t bytes[200000];

	capture_fd = memfd_create("capture", MFD_CLOEXEC);
	assert_true(capture_fd >= 0);
	assert_int_equal(capture_writer__new(capture_fd, &writer), 0);
	for (uint64_t key = 0; key < 20; key++)
		for (int i = 0; i < 2; i++)
			assert_int_equal(capture_writer__put_answer(writer, CAPTURE_MEMORY, &key,
								    sizeof(key), 0, bytes,
								    1000 * key),
					 0);
	assert_int_equal(capture_writer__put(writer, CAPTURE_RECORD, bytes, sizeof(bytes)), 0);
	assert_int_equal(capture_writer__finish(writer), 0);
}

static int add_answers(void)
{
	_cleanup_(capture_answers__freep) struct capture_answers *answers = NULL;
	int err = attempt(capture_answers__new(&answers));

	for (uint32_t i = 0; i < 40 && !err; i++) {
		const uint32_t payload[] = {sizeof(i), i % 30, 0, i};
		const struct capture_entry entry = {CAPTURE_NAMES, (const uint8_t *)payload, 16};

		err = attempt(capture_answers__add(answers, &entry));
	}
	for (uint32_t i = 0; i < 40 && !err; i++) {
		const uint32_t key = i % 30;
		const void *answer;
		size_t size;
		int result;

		assert_int_equal(capture_answers__find(answers, CAPTURE_NAMES, &key, sizeof(key),
						       &result, &answer, &size),
				 0);
		assert_memory_equal(answer, &i, sizeof(i));
	}
	return err;
}

static void collect(void **state)
{
	(void)state;
	sweep(use_record_queue, 0);
	sweep(use_sample_decoder, 0);
	sweep(use_capture_writer, SWEEP_FINAL);
	write_capture();
	sweep(use_capture_reader, SWEEP_FINAL);
	close(capture_fd);
	sweep(add_answers, 0);
}

/* --- object, unwind --- */

static struct frame_builder frames;

/* More functions than a list begins with; some overlap. */
static void build_frames_section(void)
{
	uint32_t cie = put_usual_cie(&frames);

	for (uint32_t i = 0; i < 1200; i++) {
		fde_begin(&frames, cie, 0x10000 + 0x40 * i, i % 100 == 99 ? 0x60 : 0x40);
		PUT(&frames, 0x41, 0x0e, (uint8_t)(0x10 + 8 * (i % 13)));
		entry_end(&frames);
	}
}

static int install_table(const void *bytes, size_t size);

static int use_frames(void)
{
	const struct frame_section section = {frames.bytes, frames.size, FRAME_VADDR, false};
	const struct cfi_mark mark = {0x10100, 0x10200, UNWIND_RULE_EVAL};
	_cleanup_(fde_index_done) struct fde_index index = {0};
	_cleanup_(fragment_list_done) struct fragment_list list = {0};
	_cleanup_(cfi_rows_done) struct cfi_rows rows = {0};
	_cleanup_(buffer_done) struct buffer blob = {0};
	int err = attempt(fde_index_read(&section, 1, &index));

	if (!err)
		err = attempt(fragment_list_copy(&index, &list));
	if (!err)
		err = attempt(cfi_read_rows(&index, &section, 1, &mark, 1, &rows));
	if (!err) {
		err = attempt((buffer_clear(&blob), unwind_table_build(&rows, &blob)));
		assert_true(err || list.count == index.count);
		assert_true(err || rows.count > 2000);
	}
	return err ? err : install_table(blob.data, blob.size);
}

static uint8_t segment[UNWIND_SEGMENT_BYTES];

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	(void)context;
	assert_int_equal(number, 0);
	*ret_memory = segment;
	return 0;
}

static int write_table(void *context, uint32_t table, const struct unwind_table *descriptor)
{
	(void)context, (void)table, (void)descriptor;
	return 0;
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	(void)context, (void)number, (void)rule;
	return 0;
}

static int install_table(const void *bytes, size_t size)
{
	const struct table_store_ops ops = {make_segment, write_table, write_rule, NULL};
	_cleanup_(table_store__freep) struct table_store *store = NULL;
	struct unwind_table_image image;
	struct table_store_stats stats;
	uint32_t number;
	int err = attempt(table_store__new(&ops, 1ull << 24, &store));

	assert_int_equal(unwind_table_parse(bytes, size, &image), 0);
	if (!err)
		err = attempt(table_store__install(store, &image, &number));
	if (err)
		return err;
	table_store__stats(store, &stats);
	assert_int_equal(number, 1);
	assert_int_equal(stats.rows, image.row_count);
	assert_int_equal(stats.rules, image.rule_count);
	return 0;
}

static int use_elf(void)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	_cleanup_(elf_symbols__freep) struct elf_symbols *symbols = NULL;
	struct elf_symbol symbol;
	const char *name;
	int err = attempt(elf_image__open(fd, &image));

	if (!err)
		err = attempt(elf_symbols__new(image, &symbols));
	if (err)
		return err;
	assert_int_equal(elf_image__find_symbol(image, "main", &symbol), 0);
	name = attempt_pointer(elf_symbols__find(symbols, symbol.vaddr));
	assert_true(!name || strcmp(name, "main") == 0);
	return name ? 0 : -ENOMEM;
}

static void object_and_unwind(void **state)
{
	(void)state;
	build_frames_section();
	sweep(use_frames, 0);
	sweep(use_elf, 0);
}

/* --- process, follow --- */

static const char maps_text[] = "400000-401000 r-xp 00000000 08:01 12 /usr/bin/app\n"
				"500000-501000 rw-p 00000000 00:00 0 \n";

static int parse_maps(struct proc_maps *maps)
{
	char *text = __real_strndup(maps_text, sizeof(maps_text) - 1);

	assert_non_null(text);
	return proc_maps_parse(text, sizeof(maps_text) - 1, maps);
}

static int use_maps(void)
{
	_cleanup_(proc_maps_done) struct proc_maps maps = {0}, own = {0};
	int err = attempt(parse_maps(&maps));

	if (!err)
		err = attempt(proc_maps_read(getpid(), &own));
	assert_true(err || maps.count == 2);
	return err;
}

static struct buffer encoded_view;

static int use_view(void)
{
	_cleanup_(process_view_done) struct process_view view = {0};
	int err = attempt(process_view_decode(encoded_view.data, encoded_view.size, &view));

	assert_true(err || strcmp(process_view_path(&view, &view.mappings[0]), "/bin/a") == 0);
	return err;
}

static int use_run_pool(void)
{
	_cleanup_(run_pool__freep) struct run_pool *pool = NULL;
	int err = attempt(run_pool__new(1000, 10, &pool));
	uint32_t first[200];

	for (uint32_t i = 0; i < 200 && !err; i++)
		err = attempt(run_pool__take(pool, 5, 0, &first[i]));
	for (uint32_t i = 0; i < 200 && !err; i += 2)
		run_pool__put(pool, first[i], 5, 0);
	return err;
}

static void process_and_follow(void **state)
{
	(void)state;
	sweep(use_maps, 0);
	process_view_encode(&python_view, &encoded_view);
	assert_false(encoded_view.failed);
	sweep(use_view, 0);
	buffer_done(&encoded_view);
	sweep(use_run_pool, SWEEP_SPARE); /* a run that cannot be put is lost */
}

/* --- symbol, python, worker --- */

static int use_kernel_symbols(void)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *symbols = NULL;
	_cleanup_(buffer_done) struct buffer text = {0};
	char line[64];
	const char *name;
	int err;

	text.data = __real_malloc(1 << 16);
	text.capacity = 1 << 16;
	alloc_track(text.data);
	for (int i = 0; i < 500; i++) {
		snprintf(line, sizeof(line), "ffffffff81%06x T function_%d\t[module_%d]\n", 64 * i,
			 i, i / 100);
		buffer_string(&text, line);
	}
	err = attempt(kernel_symbols__parse((char *)text.data, text.size, &symbols));
	if (err)
		return err;
	name = kernel_symbols__find(symbols, 0xffffffff81000000 + 64 * 77, NULL);
	assert_non_null(name);
	assert_string_equal(name, "function_77");
	return 0;
}

static int use_demangle(void)
{
	_cleanup_free_ char *name = attempt_pointer(demangle_symbol("_ZN3foo3barEv"));

	assert_true(!name || strcmp(name, "foo::bar()") == 0);
	return name ? 0 : -ENOMEM;
}

static int use_worker_names(void)
{
	_cleanup_(buffer_done) struct buffer answer = {0};
	char *names[3] = {0};
	int err;

	worker_name_append(&answer, "one");
	worker_name_append(&answer, NULL);
	worker_name_append(&answer, "three");
	err = answer.failed ? attempt(-ENOMEM) : 0;
	if (err && alloc_failure.retries)
		return 0; /* who builds an answer asks once, at its end */
	if (!err)
		err = attempt(worker_names_decode(answer.data, answer.size, 3, names));
	assert_true(!names[0] == !!err && !names[2] == !!err && !names[1]);
	for (int i = 0; i < 3; i++)
		free(names[i]);
	return err;
}

#define CODE (FAKE_BASE + 0x1000)

static int use_python_code(void)
{
	_cleanup_(python_code_freep) struct python_code *code = NULL;
	struct remote_memory remote = fake_remote(memory);
	int err = attempt(python_code_read(&remote, FAKE_PID, &python_view.layout, CODE,
					   python_view.code_type, &code));

	assert_true(err || strcmp(code->name, "f0") == 0);
	return err;
}

static void names(void **state)
{
	(void)state;
	sweep(use_kernel_symbols, SWEEP_SPARE);
	sweep(use_demangle, 0);
	sweep(use_worker_names, 0);
	sweep(use_python_code, 0);
}

/* --- merge, resolve: samples of made-up stacks, named by made-up sources --- */

static int native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			char **ret_names, uint64_t *starts)
{
	(void)context, (void)object, (void)starts;
	for (size_t i = 0; i < count; i++)
		if (asprintf(&ret_names[i], "fn_%lx", vaddrs[i]) < 0)
			return -ENOMEM;
	return 0;
}

static const char *kernel_name(void *context, uint64_t address, const char **ret_module)
{
	(void)context;
	*ret_module = "";
	return address & 1 ? "schedule" : NULL;
}

static struct native_frame native[40];
static struct python_item python[40];
static uint64_t kernel[40];

/* Python frames in an eval of their own each, and native code of one object between them. */
static struct sample sample_of(uint32_t pid)
{
	struct sample sample = {
		.head = {.pid = pid,
			 .tid = pid,
			 .start_ns = 1,
			 .exec_id = 1,
			 .time_ns = 1000000000,
			 .flags = SAMPLE_USER_MODE | SAMPLE_ROOT_REACHED | SAMPLE_PYTHON_COMPLETE,
			 .python_frames = 20,
			 .comm = "worker"},
		.native = native,
		.python = python,
		.kernel = kernel,
		.kernel_count = 40,
		.native_count = 40,
		.python_count = 40,
	};

	for (uint32_t i = 0; i < 40; i += 2) {
		uint64_t sp = 0x7000 + 0x100 * i, code = CODE + 0x200 * (i / 2);

		native[i] = (struct native_frame){.pc = 0x401000 + 16 * i + pid % 10};
		native[i + 1] = (struct native_frame){
			.pc = 0x402000 + i, .is_eval = true, .sp = sp, .cfa = sp + 0x100};
		python[i] = (struct python_item){.kind = PYTHON_ITEM_FRAME,
						 .address = code,
						 .instr = fake_instr(code, pid % 10)};
		python[i + 1] =
			(struct python_item){.kind = PYTHON_ITEM_SEGMENT_END, .address = sp + 0x80};
		kernel[i] = 0x1000 + i + 100 * pid;
		kernel[i + 1] = kernel[i] + 1;
	}
	return sample;
}

static int use_stack_merge(void)
{
	_cleanup_(merged_stack_done) struct merged_stack merged = {0};
	struct sample sample = sample_of(FAKE_PID);
	int err = attempt(stack_merge(&sample, &merged));

	assert_true(err || (merged.count == 100 && merged.verdict == VERDICT_EXACT));
	return err;
}

/* What the profile holds, by a writer of ours. */
static int write_folded(const struct profile *p, char **ret_text)
{
	const struct export_options options = {.frames = FRAMES_FULL};
	struct run_stats stats = {0};
	size_t size;
	FILE *to = __real_open_memstream(ret_text, &size);
	int err = export_folded(p, &stats, &options, to);

	fclose(to);
	if (err) {
		free(*ret_text);
		*ret_text = NULL;
	}
	return err;
}

static char *expected_folded; /* of the first, undisturbed run */

static int use_sample_counter(void)
{
	const struct name_source source = {native_names, kernel_name, fake_remote(memory), NULL};
	_cleanup_(sample_counter__freep) struct sample_counter *counter = NULL;
	_cleanup_free_ char *text = NULL;
	int err = attempt(sample_counter__new(&source, &counter));

	for (uint32_t pid = FAKE_PID; pid < FAKE_PID + 3 && !err; pid++) {
		struct sample sample = sample_of(pid);
		struct process_view view = python_view;

		view.version[0] = '3';
		err = attempt(sample_counter__add(counter, &sample, &view, NULL));
	}
	if (!err)
		err = attempt(write_folded(sample_counter__profile(counter), &text));
	if (err)
		return err;
	if (!expected_folded)
		expected_folded = take_ptr(text);
	else
		assert_string_equal(text, expected_folded);
	return 0;
}

static void merge_and_resolve(void **state)
{
	(void)state;
	assert_int_equal(use_sample_counter(), 0); /* what is expected */
	assert_non_null(strstr(expected_folded, "f19 (a.py:"));
	assert_non_null(strstr(expected_folded, "fn_2"));
	assert_non_null(strstr(expected_folded, "schedule_[k]"));
	assert_null(strstr(expected_folded, "[unreadable]"));
	sweep(use_stack_merge, 0);
	sweep(use_sample_counter, 0);
	free(expected_folded);
	expected_folded = NULL;
}

/* --- output --- */

static struct profile *written;
static struct run_stats written_stats;
static enum frame_selection selection;
static int (*writer)(const struct profile *profile, const struct run_stats *stats,
		     const struct export_options *options, FILE *to);
static char *expected_text;

static int write_text(char **ret_text)
{
	const struct export_options options = {.frames = selection, .title = "a title"};
	size_t size;
	FILE *to = __real_open_memstream(ret_text, &size);
	int err = writer(written, &written_stats, &options, to);

	fclose(to);
	if (err) {
		free(*ret_text);
		*ret_text = NULL;
	}
	return err;
}

static int use_writer(void)
{
	_cleanup_free_ char *text = NULL;
	int err = attempt(write_text(&text));

	if (!err && expected_text)
		assert_string_equal(text, expected_text);
	else if (!err)
		expected_text = take_ptr(text);
	return err;
}

static int write_stats(const struct profile *p, const struct run_stats *stats,
		       const struct export_options *options, FILE *to)
{
	(void)options;
	return export_stats_json(p, stats, to);
}

static int write_summary(const struct profile *p, const struct run_stats *stats,
			 const struct export_options *options, FILE *to)
{
	(void)options;
	return export_summary(p, stats, to);
}

static void output(void **state)
{
	static const char *const stacks[] = {"n:main e:eval p:f@a.py@3 n:puts@libc.so k:do_exit",
					     "n:main e:eval p:f@a.py@4 p:g@b.py", "m:[truncated]",
					     ""};
	int (*const writers[])(const struct profile *, const struct run_stats *,
			       const struct export_options *,
			       FILE *) = {export_folded, export_html, write_stats, write_summary};
	uint32_t process;

	(void)state;
	assert_int_equal(profile__new(&written), 0);
	for (uint32_t i = 0; i < 12; i++) {
		assert_int_equal(profile__add_process(written, i, 0, &process), 0);
		build_sample(written, process, i % 2 ? "python3" : "", stacks[i % 4], i + 1);
		profile__process(written, process)->samples = i + 1;
	}
	for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
		for (selection = FRAMES_MIXED; selection <= FRAMES_FULL; selection++) {
			writer = writers[i];
			assert_int_equal(use_writer(), 0);
			assert_true(strlen(expected_text) > 30);
			sweep(use_writer, 0);
			free(expected_text);
			expected_text = NULL;
		}
	}
	profile__free(written);
}

/* --- all of it --- */

static int replay(void)
{
	_cleanup_close_ int fd = open(GOLDEN, O_RDONLY | O_CLOEXEC);
	_cleanup_(pipeline__freep) struct pipeline *pipeline = NULL;
	struct pipeline_error error = {0};
	int err;

	assert_true(fd >= 0);
	err = attempt(pipeline__replay(fd, &pipeline, &error));
	assert_true(!err == !error.code);
	assert_true(err || profile__total(pipeline__profile(pipeline)) > 100);
	return err;
}

static void replaying_a_capture(void **state)
{
	(void)state;
	assert_true(sweep_stepping(replay, 0, 997) > 1000);
}

static int set_up(void **state)
{
	(void)state;
	memory = fake_memory_new();
	python_view = fake_python_view();
	python_view.mappings = &mapping;
	python_view.mapping_count = 1;
	python_view.paths = (char *)"/bin/a";
	python_view.paths_size = 7;
	for (uint32_t i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%u", i);
		fake_code(memory, CODE + 0x200 * i, "a.py", name, 10 * i + 1);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocator_can_fail),
		cmocka_unit_test(the_sweep_counts),
		cmocka_unit_test(base),
		cmocka_unit_test(profile),
		cmocka_unit_test(collect),
		cmocka_unit_test(object_and_unwind),
		cmocka_unit_test(process_and_follow),
		cmocka_unit_test(names),
		cmocka_unit_test(merge_and_resolve),
		cmocka_unit_test(output),
		cmocka_unit_test(replaying_a_capture),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
