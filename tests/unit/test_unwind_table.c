/* SPDX-License-Identifier: Apache-2.0 */
/* unwind_table: what is built parses back to the same rows; what is damaged does not parse. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unwind/unwind_table.h"

#define BASE 0x7f0000400000

/* Where the parts of a blob lie, as the header of unwind_table.c says. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_TEXT_START = 8,
	AT_PAGES = 16,
	AT_ROW_COUNT = 20,
	AT_RULE_COUNT = 24,
	AT_RESERVED = 28,
	AT_RULES = 32,
};

#define ENTRY                                                                                      \
	{                                                                                          \
		.cfa = UNWIND_CFA_REGISTER, .cfa_register = UNWIND_RSP, .cfa_offset = 8,           \
		.ra_offset = -8, .flags = UNWIND_RULE_ENTRY                                        \
	}
#define FRAMED                                                                                     \
	{                                                                                          \
		.cfa = UNWIND_CFA_REGISTER, .cfa_register = UNWIND_RBP, .cfa_offset = 16,          \
		.rbp = UNWIND_AT_CFA, .rbp_offset = -16, .ra_offset = -8                           \
	}
static const struct unwind_rule entry = ENTRY;
static const struct unwind_rule framed = FRAMED;
static const struct unwind_rule none;

static const struct cfi_row sample_rows[] = {
	{BASE + 0x123, ENTRY},	 {BASE + 0x124, FRAMED}, {BASE + 0x200, {0}},
	{BASE + 0x3000, ENTRY}, /* pages 1 and 2 have no row of their own */
	{BASE + 0x3fff, FRAMED}, {BASE + 0x4000, {0}},
};
#define SAMPLE_ROWS (sizeof(sample_rows) / sizeof(*sample_rows))

static void build(const struct cfi_row *rows, size_t count, struct buffer *out)
{
	const struct cfi_rows all = {.rows = (struct cfi_row *)rows, .count = count};

	assert_int_equal(unwind_table_build(&all, out), 0);
}

/* The rule in force at a vaddr, found as the sampler does. */
static struct unwind_rule look_up(const struct unwind_table_image *image, uint64_t vaddr)
{
	uint64_t pc = vaddr - image->text_start;
	uint32_t page = (uint32_t)(pc >> UNWIND_PAGE_SHIFT);
	uint32_t first, next;

	assert_true(page < image->pages);
	first = image->page_index[page];
	next = image->page_index[page + 1];
	first -= first > 0;
	while (next - first > 1 && image->rows[next - 1].pc > pc)
		next--;
	assert_true(next > first && image->rows[next - 1].pc <= pc);
	return image->rules[image->rows[next - 1].rule];
}

static void parses_back(void **state)
{
	static const uint32_t page_index[] = {0, 4, 4, 4, 6, 7};
	struct unwind_table_image image;
	struct buffer blob = {0};

	(void)state;
	build(sample_rows, SAMPLE_ROWS, &blob);
	assert_int_equal(unwind_table_parse(blob.data, blob.size, &image), 0);
	assert_int_equal(image.text_start, BASE);
	assert_int_equal(image.pages, 5);
	assert_int_equal(image.row_count, SAMPLE_ROWS + 1); /* and one for [0, 0x123) */
	assert_int_equal(image.rule_count, 3);
	assert_memory_equal(&image.rules[0], &none, sizeof(none));
	assert_memory_equal(image.page_index, page_index, sizeof(page_index));
	assert_int_equal(image.rows[0].pc, 0);
	assert_int_equal(image.rows[0].rule, UNWIND_RULE_NONE);
	for (size_t i = 0; i < SAMPLE_ROWS; i++) {
		assert_int_equal(image.rows[i + 1].pc, sample_rows[i].pc - BASE);
		assert_memory_equal(&image.rules[image.rows[i + 1].rule], &sample_rows[i].rule,
				    sizeof(entry));
	}
	buffer_done(&blob);
}

static void every_address_finds_its_rule(void **state)
{
	struct unwind_table_image image;
	struct buffer blob = {0};

	(void)state;
	build(sample_rows, SAMPLE_ROWS, &blob);
	assert_int_equal(unwind_table_parse(blob.data, blob.size, &image), 0);
	for (uint64_t at = BASE; at < BASE + 0x5000; at++) {
		struct unwind_rule expected = none, found = look_up(&image, at);

		for (size_t i = 0; i < SAMPLE_ROWS && sample_rows[i].pc <= at; i++)
			expected = sample_rows[i].rule;
		assert_memory_equal(&found, &expected, sizeof(found));
	}
	buffer_done(&blob);
}

static void no_rows_no_pages(void **state)
{
	struct unwind_table_image image;
	struct buffer blob = {0};

	(void)state;
	build(NULL, 0, &blob);
	assert_int_equal(unwind_table_parse(blob.data, blob.size, &image), 0);
	assert_int_equal(image.pages, 0);
	assert_int_equal(image.row_count, 0);
	assert_int_equal(image.rule_count, 1);
	buffer_done(&blob);
}

static void too_much_is_refused(void **state)
{
	struct cfi_row far[] = {{BASE, entry}, {BASE + (1ull << 32), none}};
	struct cfi_row wide[] = {{BASE, entry}, {BASE + (1ull << 30) - 1, none}};
	const struct cfi_rows far_rows = {.rows = far, .count = 2};
	const struct cfi_rows wide_rows = {.rows = wide, .count = 2};
	size_t count = UNWIND_ROWS_PER_TABLE_MAX + 1;
	_cleanup_free_ struct cfi_row *many = calloc(count, sizeof(*many));
	struct cfi_rows many_rows = {.rows = many, .count = count};
	struct buffer blob = {0};

	(void)state;
	assert_non_null(many);
	assert_int_equal(unwind_table_build(&far_rows, &blob), -E2BIG);
	/* 2^18 pages have an index of 2^18 + 1 entries: over one segment */
	assert_int_equal(unwind_table_build(&wide_rows, &blob), -E2BIG);
	wide[1].pc -= UNWIND_SEGMENT_BYTES / 256;
	assert_int_equal(unwind_table_build(&wide_rows, &blob), 0);
	buffer_done(&blob);

	many[0].pc = BASE;
	many[count - 1].pc = BASE + count;
	assert_int_equal(unwind_table_build(&many_rows, &blob), -E2BIG);
	many_rows.count = UNWIND_RULES_MAX;
	for (uint32_t i = 0; i < UNWIND_RULES_MAX; i++) {
		many[i] = (struct cfi_row){BASE + i, framed};
		many[i].rule.cfa_offset += (int32_t)i;
	}
	assert_int_equal(unwind_table_build(&many_rows, &blob), -E2BIG);
	many_rows.count--; /* with rule 0 that makes UNWIND_RULES_MAX */
	assert_int_equal(unwind_table_build(&many_rows, &blob), 0);
	buffer_done(&blob);
}

static void is_appended(void **state)
{
	struct unwind_table_image image;
	struct buffer blob = {0};

	(void)state;
	buffer_u64(&blob, 42);
	build(sample_rows, SAMPLE_ROWS, &blob);
	assert_int_equal(unwind_table_parse(blob.data + 8, blob.size - 8, &image), 0);
	assert_int_equal(unwind_table_parse(blob.data, blob.size, &image), -EBADMSG);
	/* unaligned, and every other size */
	memmove(blob.data + 4, blob.data + 8, blob.size - 8);
	assert_int_equal(unwind_table_parse(blob.data + 4, blob.size - 8, &image), -EBADMSG);
	memmove(blob.data, blob.data + 4, blob.size - 8);
	for (size_t size = 0; size <= blob.size; size++)
		assert_int_equal(unwind_table_parse(blob.data, size, &image),
				 size == blob.size - 8 ? 0 : -EBADMSG);
	buffer_done(&blob);
}

/* The blob of sample_rows with one 32-bit word replaced. */
static int parse_with(size_t at, uint32_t value)
{
	struct unwind_table_image image;
	struct buffer blob = {0};
	int err;

	build(sample_rows, SAMPLE_ROWS, &blob);
	assert_true(at + 4 <= blob.size);
	memcpy(blob.data + at, &value, 4);
	err = unwind_table_parse(blob.data, blob.size, &image);
	buffer_done(&blob);
	return err;
}

static void headers_rows_and_index_are_checked(void **state)
{
	const size_t rows = AT_RULES + 3 * 16, page_index = rows + 7 * 8;

	(void)state;
	assert_int_equal(parse_with(AT_VERSION, 1), 0);
	assert_int_equal(parse_with(AT_VERSION, 2), -EBADMSG);
	assert_int_equal(parse_with(AT_MAGIC, 0), -EBADMSG);
	assert_int_equal(parse_with(AT_TEXT_START, 0x400), -EBADMSG);
	assert_int_equal(parse_with(AT_PAGES, 4), -EBADMSG);
	assert_int_equal(parse_with(AT_PAGES, UINT32_MAX), -EBADMSG);
	assert_int_equal(parse_with(AT_ROW_COUNT, 6), -EBADMSG);
	assert_int_equal(parse_with(AT_RULE_COUNT, 0), -EBADMSG);
	assert_int_equal(parse_with(AT_RULE_COUNT, 2), -EBADMSG);
	assert_int_equal(parse_with(AT_RESERVED, 1), -EBADMSG);

	assert_int_equal(parse_with(rows + 8, 0x122), 0);    /* still ascends */
	assert_int_equal(parse_with(rows + 8, 0), -EBADMSG); /* twice the same pc */
	assert_int_equal(parse_with(rows + 8, 0x124), -EBADMSG);
	assert_int_equal(parse_with(rows + 6 * 8, 0x5000), -EBADMSG); /* page 5 of 5 */
	assert_int_equal(parse_with(rows + 3 * 8, 0x1200), -EBADMSG); /* index says page 0 */
	assert_int_equal(parse_with(rows + 12, 2), 0);
	assert_int_equal(parse_with(rows + 12, 3), -EBADMSG);

	for (uint32_t page = 0; page < 6; page++) {
		static const uint32_t right[] = {0, 4, 4, 4, 6, 7};

		for (uint32_t value = 0; value < 10; value++)
			assert_int_equal(parse_with(page_index + page * 4, value),
					 value == right[page] ? 0 : -EBADMSG);
	}
}

/* A blob whose only rule but 0 is this one. */
static int parse_rule(struct unwind_rule rule)
{
	const struct cfi_row rows[] = {{BASE, rule}, {BASE + 8, none}};
	struct unwind_table_image image;
	struct buffer blob = {0};
	int err;

	build(rows, 2, &blob);
	err = unwind_table_parse(blob.data, blob.size, &image);
	buffer_done(&blob);
	return err;
}

#define WITH(rule_, field_, value_)                                                                \
	({                                                                                         \
		struct unwind_rule changed_ = (rule_);                                             \
                                                                                                   \
		changed_.field_ = (value_);                                                        \
		parse_rule(changed_);                                                              \
	})

static void rules_are_a_closed_set(void **state)
{
	const struct unwind_rule deref = {.cfa = UNWIND_CFA_DEREF,
					  .cfa_register = UNWIND_RBP,
					  .cfa_offset = -16,
					  .deref_offset = 8,
					  .ra_offset = -8};
	const struct unwind_rule plt = {.cfa = UNWIND_CFA_PLT,
					.cfa_register = UNWIND_RSP,
					.cfa_offset = 8,
					.deref_offset = 11,
					.ra_offset = -8};
	const struct unwind_rule signal = {.cfa = UNWIND_CFA_SIGNAL};
	const struct unwind_rule unsupported = {.cfa = UNWIND_CFA_UNSUPPORTED};
	struct unwind_rule end = entry;

	(void)state;
	end.flags |= UNWIND_RULE_END;
	end.ra_offset = 0;
	assert_int_equal(parse_rule(entry), 0);
	assert_int_equal(parse_rule(framed), 0);
	assert_int_equal(parse_rule(deref), 0);
	assert_int_equal(parse_rule(plt), 0);
	assert_int_equal(parse_rule(signal), 0);
	assert_int_equal(parse_rule(unsupported), 0);
	assert_int_equal(parse_rule(end), 0);
	assert_int_equal(WITH(framed, flags, UNWIND_RULE_EVAL), 0);
	assert_int_equal(WITH(none, flags, UNWIND_RULE_EVAL), 0);
	assert_int_equal(WITH(unsupported, flags, UNWIND_RULE_END), 0);

	assert_int_equal(WITH(framed, cfa, 6), -EBADMSG);
	assert_int_equal(WITH(framed, cfa, UNWIND_CFA_SIGNAL), -EBADMSG);
	assert_int_equal(WITH(framed, cfa, UNWIND_CFA_NONE), -EBADMSG);
	assert_int_equal(WITH(framed, cfa, UNWIND_CFA_UNSUPPORTED), -EBADMSG);
	assert_int_equal(WITH(framed, cfa_register, UNWIND_REGISTERS), -EBADMSG);
	assert_int_equal(WITH(deref, cfa_register, 0xff), -EBADMSG);
	assert_int_equal(WITH(framed, rbp, 4), -EBADMSG);
	assert_int_equal(WITH(framed, rbp, UNWIND_SAME), -EBADMSG); /* its offset is left */
	assert_int_equal(WITH(framed, rbx, 0x80), -EBADMSG);
	assert_int_equal(WITH(framed, rbx_offset, 8), -EBADMSG);
	assert_int_equal(WITH(framed, deref_offset, 8), -EBADMSG);
	assert_int_equal(WITH(framed, flags, 1 << 7), -EBADMSG);
	assert_int_equal(WITH(framed, flags, UNWIND_RULE_ENTRY), -EBADMSG);
	assert_int_equal(WITH(entry, flags, 0), -EBADMSG);
	assert_int_equal(WITH(entry, cfa_offset, 16), -EBADMSG);
	assert_int_equal(WITH(end, ra_offset, -8), -EBADMSG);
	assert_int_equal(WITH(plt, deref_offset, 16), -EBADMSG);
	assert_int_equal(WITH(plt, deref_offset, -1), -EBADMSG);
	assert_int_equal(WITH(plt, cfa_register, UNWIND_RBP), -EBADMSG);
	assert_int_equal(WITH(signal, ra_offset, -8), -EBADMSG);
	assert_int_equal(WITH(signal, flags, UNWIND_RULE_END), -EBADMSG);
	assert_int_equal(WITH(unsupported, cfa_offset, 8), -EBADMSG);
	assert_int_equal(parse_with(AT_RULES, 1), -EBADMSG); /* rule 0 is none */
}

/* Random words anywhere: what still parses can be looked up without a step outside. */
static void survives_damage(void **state)
{
	struct buffer blob = {0};
	_cleanup_free_ uint8_t *bytes = NULL;
	int parsed = 0;

	(void)state;
	build(sample_rows, SAMPLE_ROWS, &blob);
	bytes = malloc(blob.size);
	assert_non_null(bytes);
	srandom(5);
	for (int round = 0; round < 100000; round++) {
		struct unwind_table_image image;

		memcpy(bytes, blob.data, blob.size);
		bytes[(size_t)random() % blob.size] = (uint8_t)random();
		if (unwind_table_parse(bytes, blob.size, &image))
			continue;
		parsed++;
		if (image.rows[0].pc == 0)
			for (uint32_t page = 0; page < image.pages; page++)
				look_up(&image, image.text_start + page * 0x1000ull + 0xfff);
	}
	assert_in_range(parsed, 1, 60000);
	buffer_done(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_back),
		cmocka_unit_test(every_address_finds_its_rule),
		cmocka_unit_test(no_rows_no_pages),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(is_appended),
		cmocka_unit_test(headers_rows_and_index_are_checked),
		cmocka_unit_test(rules_are_a_closed_set),
		cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
