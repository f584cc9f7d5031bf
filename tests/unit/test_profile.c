/* SPDX-License-Identifier: Apache-2.0 */
/* The profile: content in, the same content out, once; sums that add up; no memory, no harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "profile/intern.h"
#include "profile/profile.h"
#include "profile/run_stats.h"

static int setup(void **state)
{
	return profile__new((struct profile **)state);
}

static int teardown(void **state)
{
	profile__free(*state);
	return 0;
}

static uint32_t add_frame(struct profile *profile, uint8_t kind, uint32_t name, int32_t line)
{
	struct profile_frame frame = {.kind = kind, .name = name, .line = line};
	uint32_t id = UINT32_MAX;

	assert_int_equal(profile__add_frame(profile, &frame, &id), 0);
	return id;
}

static uint32_t add_stack(struct profile *profile, const uint32_t *frames, size_t count)
{
	uint32_t id = UINT32_MAX;

	assert_int_equal(profile__add_stack(profile, frames, count, &id), 0);
	return id;
}

static void frames_are_interned_by_content(void **state)
{
	struct profile_frame frame = {.kind = FRAME_PYTHON, .name = 3, .file = 4, .line = 5};
	uint32_t first, again, other;

	assert_int_equal(profile__add_frame(*state, &frame, &first), 0);
	frame.reserved = 7; /* no content */
	assert_int_equal(profile__add_frame(*state, &frame, &again), 0);
	assert_int_equal(first, again);
	frame.line = 6;
	assert_int_equal(profile__add_frame(*state, &frame, &other), 0);
	assert_int_not_equal(first, other);
	frame.line = 5;
	frame.flags = FRAME_EVAL;
	assert_int_equal(profile__add_frame(*state, &frame, &again), 0);
	assert_int_not_equal(first, again);
	assert_int_equal(profile__frame_count(*state), 3);
	assert_int_equal(profile__frame(*state, first)->line, 5);
	assert_int_equal(profile__frame(*state, first)->file, 4);
	assert_int_equal(profile__frame(*state, other)->line, 6);
	assert_null(profile__frame(*state, 3));
}

static void stacks_share_their_roots(void **state)
{
	uint32_t frames[3], back[3] = {9, 9, 9}, frame, parent;
	uint32_t short_stack, long_stack;

	for (uint32_t i = 0; i < 3; i++)
		frames[i] = add_frame(*state, FRAME_NATIVE, i, 0);
	assert_int_equal(add_stack(*state, frames, 0), 0);
	short_stack = add_stack(*state, frames, 2);
	long_stack = add_stack(*state, frames, 3);
	assert_int_equal(add_stack(*state, frames, 3), long_stack);
	profile__stack(*state, long_stack, &frame, &parent);
	assert_int_equal(frame, frames[2]);
	assert_int_equal(parent, short_stack);
	assert_int_equal(profile__stack_frames(*state, long_stack, back, 2), 3);
	assert_int_equal(back[0], 9);
	assert_int_equal(profile__stack_frames(*state, long_stack, back, 3), 3);
	assert_memory_equal(back, frames, sizeof(frames));
	assert_int_equal(profile__stack_frames(*state, 0, back, 3), 0);
	frames[1] = 12345;
	assert_int_equal(profile__add_stack(*state, frames, 3, &frame), -EINVAL);
}

static void counts_add_up(void **state)
{
	uint32_t frame = add_frame(*state, FRAME_NATIVE, 1, 0), stack, one, two;

	stack = add_stack(*state, &frame, 1);
	assert_int_equal(profile__add_process(*state, 10, 1, &one), 0);
	assert_int_equal(profile__add_process(*state, 20, 1, &two), 0);
	assert_int_equal(profile__add_process(*state, 10, 1, &frame), 0);
	assert_int_not_equal(frame, one); /* a pid used again */
	assert_int_equal(profile__add_sample(*state, stack, one, 11, 1, 2), 0);
	assert_int_equal(profile__add_sample(*state, stack, one, 11, 1, 3), 0);
	assert_int_equal(profile__add_sample(*state, stack, one, 12, 1, 1), 0);
	assert_int_equal(profile__add_sample(*state, 0, two, 20, 1, 4), 0);
	assert_int_equal(profile__sample_count(*state), 3);
	assert_int_equal(profile__sample(*state, 0)->count, 5);
	assert_int_equal(profile__sample(*state, 0)->tid, 11);
	assert_int_equal(profile__process(*state, two)->pid, 20);
	assert_int_equal(profile__process_count(*state), 3);
	assert_int_equal(profile__total(*state), 10);
	assert_int_equal(profile__add_sample(*state, stack, 9, 1, 1, 1), -EINVAL);
	assert_int_equal(profile__add_sample(*state, 999, one, 1, 1, 1), -EINVAL);
	assert_int_equal(profile__total(*state), 10);
}

/* 50,000 distinct stacks, some 60 deep: each comes back as it went in. */
static void many_stacks(void **state)
{
	enum { STACKS = 50000, DEPTH = 60, FRAMES = 300 };
	uint32_t *ids = calloc(STACKS, sizeof(*ids));
	uint32_t frames[DEPTH], back[DEPTH];

	assert_non_null(ids);
	for (uint32_t i = 0; i < FRAMES; i++)
		assert_int_equal(add_frame(*state, FRAME_PYTHON, i, 1), i);
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < STACKS; i++) {
			for (uint32_t d = 0; d < DEPTH; d++)
				frames[d] = d < DEPTH - 3 ? d : (i / (d % 3 ? 40 : 1) + d) % FRAMES;
			frames[DEPTH - 4] = i / FRAMES;
			if (pass == 0)
				ids[i] = add_stack(*state, frames, DEPTH);
			else
				assert_int_equal(add_stack(*state, frames, DEPTH), ids[i]);
			assert_int_equal(profile__stack_frames(*state, ids[i], back, DEPTH), DEPTH);
			assert_memory_equal(back, frames, sizeof(frames));
		}
	}
	free(ids);
}

/* Under an address space limit adding fails at some point, with -ENOMEM, and what was there stays.
 */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

static void out_of_memory_leaves_it_usable(void **state)
{
	struct rlimit old, tight;
	uint32_t first = 0, id, count = 0;
	int err;

	if (IS_SANITIZED) {
		print_message("the sanitizer's allocator ends the process instead\n");
		skip();
	}
	first = add_frame(*state, FRAME_PYTHON, 1, 1);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	tight = old;
	tight.rlim_cur = 192u << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	do {
		struct profile_frame frame = {
			.kind = FRAME_PYTHON, .name = 2, .line = (int32_t)count};

		err = profile__add_frame(*state, &frame, &id);
		count += !err;
	} while (!err && count < 30000000);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(profile__frame_count(*state), count + 1);
	assert_int_equal(add_frame(*state, FRAME_PYTHON, 1, 1), first);
	assert_int_equal(add_frame(*state, FRAME_PYTHON, 2, 7), 8);
	assert_int_equal(add_frame(*state, FRAME_NATIVE, 3, 0), count + 1);
	assert_int_equal(profile__frame(*state, count + 1)->name, 3);
}

static void unexplained_is_what_no_outcome_covers(void **state)
{
	struct run_stats stats = {.run = 100,
				  .filtered = 20,
				  .idle = 30,
				  .written = 45,
				  .lost_ring_full = 4,
				  .lost_no_scratch = 1,
				  .lost_queue_full = 7, /* of the written ones */
				  .lost_malformed = 2};

	(void)state;
	assert_int_equal(run_stats_unexplained(&stats), 0);
	stats.run = 103;
	assert_int_equal(run_stats_unexplained(&stats), 3);
	stats.run = 98;
	assert_int_equal(run_stats_unexplained(&stats), -2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_are_interned_by_content, setup, teardown),
		cmocka_unit_test_setup_teardown(stacks_share_their_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(many_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_memory_leaves_it_usable, setup, teardown),
		cmocka_unit_test(unexplained_is_what_no_outcome_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
