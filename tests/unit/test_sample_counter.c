/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve/sample_counter: whatever comes in, verdicts, roots and samples add up,
 * over all and per process, to what the profile holds; and a process is one
 * program, not one pid.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"
#include "profile/intern.h"
#include "resolve/sample_counter.h"
#include "unit/fake_code.h"

#define CODE (FAKE_BASE + 0x1000)
#define FRAMES_MAX 16

struct fixture {
	struct fake_memory *m;
	struct name_source source;
	struct process_view view;
	struct sample_counter *counter;
	struct profile *profile;
	struct native_frame native[FRAMES_MAX];
	struct python_item python[FRAMES_MAX];
	uint64_t kernel[FRAMES_MAX];
	struct sample sample;
	int names_error;
};

static int native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			char **names, uint64_t *starts)
{
	(void)object, (void)vaddrs, (void)count, (void)names, (void)starts;
	return ((struct fixture *)context)->names_error;
}

static const char *kernel_name(void *context, uint64_t address, const char **ret_module)
{
	(void)context, (void)address;
	*ret_module = "";
	return "schedule";
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = fake_memory_new();
	fake_code(f->m, CODE, "a.py", "f", 1);
	f->source = (struct name_source){native_names, kernel_name, fake_remote(f->m), f};
	f->view = fake_python_view();
	f->sample.native = f->native;
	f->sample.python = f->python;
	f->sample.kernel = f->kernel;
	assert_int_equal(sample_counter__new(&f->source, &f->counter), 0);
	f->profile = sample_counter__profile(f->counter);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sample_counter__free(f->counter);
	free(f->m);
	free(f);
	return 0;
}

/* A native stack of `frames` for (pid, start, exec), to its root. */
static void make(struct fixture *f, uint32_t pid, uint64_t start_ns, uint64_t exec_id,
		 uint32_t frames)
{
	f->sample.head = (struct sample_record){
		.pid = pid,
		.tid = pid,
		.start_ns = start_ns,
		.exec_id = exec_id,
		.time_ns = 1000000000,
		.flags = SAMPLE_USER_MODE | SAMPLE_ROOT_REACHED,
		.python_stop = STOP_PY_NOT_PYTHON,
		.comm = "worker",
	};
	f->sample.native_count = frames;
	f->sample.python_count = f->sample.kernel_count = 0;
	for (uint32_t i = 0; i < frames; i++)
		f->native[i] = (struct native_frame){.pc = 0x1000 + i, .exact_pc = i == 0};
}

/* One Python frame under an eval that is its own, and the root. */
static void make_exact(struct fixture *f, uint32_t pid)
{
	make(f, pid, 1, 1, 3);
	f->native[1] =
		(struct native_frame){.pc = 0x2000, .is_eval = true, .sp = 0x7000, .cfa = 0x7100};
	f->python[0] = (struct python_item){
		.kind = PYTHON_ITEM_FRAME, .address = CODE, .instr = fake_instr(CODE, 0)};
	f->python[1] = (struct python_item){.kind = PYTHON_ITEM_SEGMENT_END, .address = 0x7080};
	f->sample.python_count = 2;
	f->sample.head.python_frames = 1;
	f->sample.head.flags |= SAMPLE_PYTHON_COMPLETE;
	f->sample.head.python_stop = STOP_NONE;
}

static void cut(struct fixture *f, uint16_t stop)
{
	f->sample.head.flags &= ~(uint32_t)SAMPLE_ROOT_REACHED;
	f->sample.head.native_stop = stop;
}

static enum verdict add(struct fixture *f)
{
	const struct merged_stack *merged = NULL;

	assert_int_equal(sample_counter__add(f->counter, &f->sample, &f->view, &merged), 0);
	assert_non_null(merged);
	return merged->verdict;
}

static struct run_stats stats_of(const struct fixture *f)
{
	struct run_stats stats = {0};

	sample_counter__stats(f->counter, &stats);
	return stats;
}

static const char *string_of(const struct fixture *f, uint32_t id)
{
	return string_table__get(profile__strings(f->profile), id);
}

/* Every way to count the samples gives the same number. */
static void expect_sums(const struct fixture *f, uint64_t samples)
{
	struct run_stats stats = stats_of(f);
	uint64_t verdicts = 0, in_processes = 0, counted = 0, roots_user = 0, roots_reached = 0;
	uint64_t by_verdict[8] = {0};

	for (int i = 0; i < 8; i++)
		verdicts += stats.verdicts[i];
	for (size_t p = 0; p < profile__process_count(f->profile); p++) {
		const struct profile_process *process = profile__process(f->profile, (uint32_t)p);

		in_processes += process->samples;
		roots_user += process->roots_user;
		roots_reached += process->roots_reached;
		for (int i = 0; i < 8; i++)
			by_verdict[i] += process->verdicts[i];
	}
	for (size_t i = 0; i < profile__sample_count(f->profile); i++)
		counted += profile__sample(f->profile, i)->count;
	assert_int_equal(stats.decoded, samples);
	assert_int_equal(verdicts, samples);
	assert_int_equal(in_processes, samples);
	assert_int_equal(counted, samples);
	assert_int_equal(profile__total(f->profile), samples);
	assert_memory_equal(by_verdict, stats.verdicts, sizeof(by_verdict));
	assert_int_equal(roots_user, stats.roots_user);
	assert_int_equal(roots_reached, stats.roots_reached);
}

static void verdicts_add_up(void **state)
{
	struct fixture *f = *state;
	uint64_t seen[VERDICT_COUNT] = {0};

	for (uint32_t i = 0; i < 600; i++) {
		make_exact(f, 1 + i % 7);
		switch (i % 6) {
		case 1: /* cut above the eval */
			cut(f, STOP_UNWIND_UNREADABLE);
			break;
		case 2: /* an end that lies in no eval frame */
			f->python[1].address = 0x9000;
			break;
		case 3:
			make(f, 1 + i % 7, 1, 1, 4);
			f->sample.head.python_stop = STOP_PY_NO_THREAD;
			break;
		case 4: /* a kernel thread */
			make(f, 1 + i % 7, 1, 1, 0);
			f->sample.head.flags = SAMPLE_KERNEL_THREAD;
			f->kernel[0] = 0xffffffff81000000;
			f->sample.kernel_count = 1;
			break;
		case 5:
			f->native[2].resynced = true;
			break;
		default:
			break;
		}
		seen[add(f)]++;
		expect_sums(f, i + 1);
	}
	for (int i = 0; i < VERDICT_COUNT; i++)
		assert_int_equal(stats_of(f).verdicts[i], seen[i]);
	assert_int_equal(seen[VERDICT_EXACT], 100);
	assert_true(seen[VERDICT_TRUNCATED] >= 100);
	assert_true(seen[VERDICT_PARTIAL] >= 100);
	assert_true(seen[VERDICT_NATIVE] >= 100);
	assert_int_equal(stats_of(f).roots_user, 500); /* not the kernel threads */
	assert_int_equal(stats_of(f).roots_reached, 400);
	assert_int_equal(stats_of(f).stops[STOP_UNWIND_UNREADABLE], 100);
}

static void process_is_a_program(void **state)
{
	static const struct {
		uint32_t pid;
		uint64_t start_ns, exec_id;
		size_t processes; /* after it */
	} samples[] = {
		{10, 1, 1, 1}, {10, 1, 1, 1}, {10, 1, 2, 2}, /* exec */
		{10, 5, 1, 3},				     /* the pid is another's */
		{11, 1, 1, 4}, {10, 1, 1, 4},		     /* a late sample of the first */
		{10, 5, 1, 4},
	};

	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		make(f, samples[i].pid, samples[i].start_ns, samples[i].exec_id, 2);
		add(f);
		assert_int_equal(profile__process_count(f->profile), samples[i].processes);
		expect_sums(f, i + 1);
	}
	assert_int_equal(profile__process(f->profile, 0)->samples, 3);
	assert_int_equal(profile__process(f->profile, 1)->samples, 1);
	assert_int_equal(profile__process(f->profile, 1)->pid, 10);
	assert_int_equal(profile__process(f->profile, 2)->samples, 2);
	assert_int_equal(profile__process(f->profile, 3)->pid, 11);
}

static void threads_are_apart(void **state)
{
	struct fixture *f = *state;

	make(f, 10, 1, 1, 2);
	add(f);
	add(f);
	f->sample.head.tid = 11;
	add(f);
	strcpy(f->sample.head.comm, "renamed");
	add(f);
	assert_int_equal(profile__process_count(f->profile), 1);
	assert_int_equal(profile__sample_count(f->profile), 3);
	assert_int_equal(profile__sample(f->profile, 0)->count, 2);
	assert_int_equal(profile__sample(f->profile, 1)->tid, 11);
	assert_string_equal(string_of(f, profile__sample(f->profile, 2)->comm), "renamed");
	assert_string_equal(string_of(f, profile__process(f->profile, 0)->comm), "worker");
}

/* A name is what the target says: it must not reach a terminal or a file as it is. */
static void names_of_strangers(void **state)
{
	struct fixture *f = *state;
	const char *comm;

	make(f, 10, 1, 1, 1);
	memcpy(f->sample.head.comm, "a\x1b[2J;\n\xff\x01zzzzzzzz", 16); /* no NUL */
	add(f);
	comm = string_of(f, profile__process(f->profile, 0)->comm);
	assert_null(strchr(comm, '\x1b'));
	assert_null(strchr(comm, '\n'));
	assert_null(strchr(comm, '\xff'));
	assert_int_equal(comm[0], 'a');
}

/* The runtime may be found after the process's first samples. */
static void runtime_is_told(void **state)
{
	struct fixture *f = *state;

	make(f, FAKE_PID, 1, 1, 1);
	assert_int_equal(sample_counter__add(f->counter, &f->sample, NULL, NULL), 0);
	assert_string_equal(string_of(f, profile__process(f->profile, 0)->runtime), "");
	f->view.has_python = 0;
	add(f);
	assert_string_equal(string_of(f, profile__process(f->profile, 0)->runtime), "");
	f->view.has_python = 1;
	add(f);
	assert_string_equal(string_of(f, profile__process(f->profile, 0)->runtime), "cpython");
	assert_string_equal(string_of(f, profile__process(f->profile, 0)->version), "3.12.1");
	expect_sums(f, 3);
}

static void stops_of_names_are_counted(void **state)
{
	struct fixture *f = *state;

	make_exact(f, 1);
	f->python[0].address = 0x10;
	add(f);
	assert_int_equal(stats_of(f).stops[STOP_NAME_CODE_UNREADABLE], 1);
	assert_int_equal(stats_of(f).verdicts[VERDICT_EXACT], 1); /* the place is known */
	assert_int_equal(stats_of(f).stops[STOP_NONE], 0);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(verdicts_add_up),	 WITH_FIXTURE(process_is_a_program),
		WITH_FIXTURE(threads_are_apart), WITH_FIXTURE(names_of_strangers),
		WITH_FIXTURE(runtime_is_told),	 WITH_FIXTURE(stops_of_names_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
