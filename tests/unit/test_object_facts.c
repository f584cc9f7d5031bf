// SPDX-License-Identifier: Apache-2.0
/* Where a file's code lies in a process: object_facts_bias against layouts of GNU ld and of lld. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/object_facts.h"

/* readelf -lW of a program by lld: offsets that are not page aligned. */
static const struct object_facts lld = {
	.segment_count = 3,
	.segments =
		{{.vaddr = 0, .offset = 0, .file_size = 0x64c, .memory_size = 0x64c, .flags = PF_R},
		 {.vaddr = 0x1650,
		  .offset = 0x650,
		  .file_size = 0x200,
		  .memory_size = 0x200,
		  .flags = PF_R | PF_X},
		 {.vaddr = 0x2850,
		  .offset = 0x850,
		  .file_size = 0x1e8,
		  .memory_size = 0x1e8,
		  .flags = PF_R | PF_W}},
};

static const struct object_facts ld = {
	.segment_count = 2,
	.segments =
		{{.vaddr = 0, .offset = 0, .file_size = 0x5d8, .memory_size = 0x5d8, .flags = PF_R},
		 {.vaddr = 0x401000,
		  .offset = 0x1000,
		  .file_size = 0x2345,
		  .memory_size = 0x2345,
		  .flags = PF_R | PF_X}},
};

static void test_unaligned_segment(void **state)
{
	uint64_t bias;

	(void)state;
	/* the loader maps file page 0 at base + 0x1000: vaddr 0x1650 is at base + 0x1650 */
	assert_true(object_facts_bias(&lld, 0x555500001000, 0, &bias));
	assert_int_equal(bias, 0x555500000000);
}

static void test_aligned_segment(void **state)
{
	uint64_t bias;

	(void)state;
	assert_true(object_facts_bias(&ld, 0x401000, 0x1000, &bias));
	assert_int_equal(bias, 0);
	/* a mapping that was split begins within the segment */
	assert_true(object_facts_bias(&ld, 0x7f0000403000, 0x3000, &bias));
	assert_int_equal(bias, 0x7f0000000000);
}

static void test_no_segment(void **state)
{
	uint64_t bias = 1;

	(void)state;
	assert_false(object_facts_bias(&ld, 0x401000, 0, &bias));
	assert_false(object_facts_bias(&ld, 0x401000, 0x3345, &bias));
	assert_int_equal(bias, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unaligned_segment),
		cmocka_unit_test(test_aligned_segment),
		cmocka_unit_test(test_no_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
