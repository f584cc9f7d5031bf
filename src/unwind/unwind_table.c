/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blob of one file's table, little endian:
 *   header | rules (16 bytes each) | rows (8) | page index (4, pages + 1)
 * The builder works in the unprivileged worker on bytes of strangers; the parser
 * trusts it no more than them. What the parser lets pass, the sampler may use
 * with no bound left to check but its own.
 */
#include "unwind/unwind_table.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash_map.h"

#define BLOB_MAGIC 0x3154554du /* "MUT1" */
#define BLOB_VERSION 1
#define PAGE_BYTES (1u << UNWIND_PAGE_SHIFT)
/* The page index lies within one segment, with its closing entry. */
#define PAGES_MAX (UNWIND_SEGMENT_BYTES / 4 - 1)
#define RULE_FLAGS                                                                                 \
	(UNWIND_RULE_END | UNWIND_RULE_EVAL | UNWIND_RULE_ENTRY | UNWIND_RULE_THREAD_START)
#define MEMO_SLOTS 1024

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they lie in memory");

struct blob_header {
	uint32_t magic;
	uint32_t version;
	uint64_t text_start;
	uint32_t pages;
	uint32_t row_count;
	uint32_t rule_count;
	uint32_t reserved; /* 0 */
};

/* Numbers for rules as they are met. The memo spares the hash map for repeated ones. */
struct rule_numbers {
	struct hash_map *map;
	struct unwind_rule rules[UNWIND_RULES_MAX];
	uint32_t count;
	uint32_t memo[MEMO_SLOTS]; /* number of the last rule that fell in the slot */
};

static void rule_numbers_free(struct rule_numbers *numbers)
{
	hash_map__free(numbers->map);
	free(numbers);
}
DEFINE_CLEANUP(struct rule_numbers *, rule_numbers_freep, rule_numbers_free)

static int rule_numbers_new(struct rule_numbers **ret_numbers)
{
	_cleanup_(rule_numbers_freep) struct rule_numbers *numbers = calloc(1, sizeof(*numbers));
	int err;

	if (!numbers)
		return -ENOMEM;
	err = hash_map__new(sizeof(struct unwind_rule), &numbers->map);
	if (!err)
		err = hash_map__set(numbers->map, &numbers->rules[UNWIND_RULE_NONE],
				    UNWIND_RULE_NONE);
	if (err)
		return err;
	numbers->count = 1;
	*ret_numbers = take_ptr(numbers);
	return 0;
}

static uint32_t memo_slot(const struct unwind_rule *rule)
{
	uint64_t words[2];

	memcpy(words, rule, sizeof(words));
	return (uint32_t)(((words[0] ^ words[1] * 31) * 0x9e3779b97f4a7c15u) >> 54);
}

static int number_of_rule(struct rule_numbers *numbers, const struct unwind_rule *rule,
			  uint32_t *ret_number)
{
	uint32_t *slot = &numbers->memo[memo_slot(rule)];
	uint64_t number;
	int err;

	if (memcmp(&numbers->rules[*slot], rule, sizeof(*rule)) != 0) {
		if (!hash_map__find(numbers->map, rule, &number)) {
			if (numbers->count == UNWIND_RULES_MAX)
				return -E2BIG;
			number = numbers->count++;
			numbers->rules[number] = *rule;
			err = hash_map__set(numbers->map, rule, number);
			if (err)
				return err;
		}
		*slot = (uint32_t)number;
	}
	*ret_number = *slot;
	return 0;
}

static int measure(const struct cfi_rows *rows, struct blob_header *header)
{
	uint64_t start, span;
	bool lead;

	*header = (struct blob_header){.magic = BLOB_MAGIC, .version = BLOB_VERSION};
	if (rows->count == 0)
		return 0;
	start = rows->rows[0].pc & ~(uint64_t)(PAGE_BYTES - 1);
	span = rows->rows[rows->count - 1].pc - start;
	lead = rows->rows[0].pc != start;
	if (rows->count + lead > UNWIND_ROWS_PER_TABLE_MAX || span > UINT32_MAX ||
	    (span >> UNWIND_PAGE_SHIFT) + 1 > PAGES_MAX)
		return -E2BIG;
	header->text_start = start;
	header->pages = (uint32_t)(span >> UNWIND_PAGE_SHIFT) + 1;
	header->row_count = (uint32_t)(rows->count + lead);
	return 0;
}

/* page_index[p]: the first row with pc in or above page p. */
static void fill_page_index(const struct unwind_row *rows, const struct blob_header *header,
			    uint32_t *page_index)
{
	uint32_t row = 0;

	for (uint32_t page = 0; page < header->pages; page++) {
		while (row < header->row_count && rows[row].pc >> UNWIND_PAGE_SHIFT < page)
			row++;
		page_index[page] = row;
	}
	page_index[header->pages] = header->row_count;
}

/* Rows at out; the first one is at pc 0, so that each pc of the table finds one. */
static int number_rows(const struct cfi_rows *rows, const struct blob_header *header,
		       struct rule_numbers *numbers, struct unwind_row *out)
{
	size_t lead = header->row_count - rows->count;

	if (lead)
		out[0] = (struct unwind_row){.pc = 0, .rule = UNWIND_RULE_NONE};
	for (size_t i = 0; i < rows->count; i++) {
		const struct cfi_row *row = &rows->rows[i];
		int err;

		out[lead + i].pc = (uint32_t)(row->pc - header->text_start);
		err = number_of_rule(numbers, &row->rule, &out[lead + i].rule);
		if (err)
			return err;
	}
	return 0;
}

int unwind_table_build(const struct cfi_rows *rows, struct buffer *out)
{
	_cleanup_(rule_numbers_freep) struct rule_numbers *numbers = NULL;
	_cleanup_free_ struct unwind_row *numbered = NULL;
	_cleanup_free_ uint32_t *page_index = NULL;
	struct blob_header header;
	int err;

	err = measure(rows, &header);
	if (!err)
		err = rule_numbers_new(&numbers);
	if (err)
		return err;
	numbered = calloc((size_t)header.row_count + 1, sizeof(*numbered));
	page_index = calloc((size_t)header.pages + 1, sizeof(*page_index));
	if (!numbered || !page_index)
		return -ENOMEM;
	err = number_rows(rows, &header, numbers, numbered);
	if (err)
		return err;
	fill_page_index(numbered, &header, page_index);
	header.rule_count = numbers->count;
	buffer_append(out, &header, sizeof(header));
	buffer_append(out, numbers->rules, numbers->count * sizeof(*numbers->rules));
	buffer_append(out, numbered, header.row_count * sizeof(*numbered));
	buffer_append(out, page_index, ((size_t)header.pages + 1) * sizeof(*page_index));
	return out->failed ? -ENOMEM : 0;
}

static bool has_no_fields(const struct unwind_rule *rule)
{
	return !rule->cfa_register && !rule->rbp && !rule->rbx && !rule->cfa_offset &&
	       !rule->rbp_offset && !rule->rbx_offset && !rule->deref_offset && !rule->ra_offset;
}

static bool saved_is_valid(uint8_t how, int16_t offset)
{
	return how == UNWIND_AT_CFA || how == UNWIND_AT_REGISTER ||
	       ((how == UNWIND_SAME || how == UNWIND_UNKNOWN) && offset == 0);
}

/* One of the forms, with zeros wherever a form has no use for a field. */
static bool rule_is_valid(const struct unwind_rule *rule)
{
	bool is_entry = rule->cfa == UNWIND_CFA_REGISTER && rule->cfa_register == UNWIND_RSP &&
			rule->cfa_offset == 8;

	if (rule->flags & ~RULE_FLAGS || !(rule->flags & UNWIND_RULE_ENTRY) == is_entry)
		return false;
	switch (rule->cfa) {
	case UNWIND_CFA_NONE:
	case UNWIND_CFA_SIGNAL:
		return has_no_fields(rule) && !(rule->flags & UNWIND_RULE_END);
	case UNWIND_CFA_UNSUPPORTED:
		return has_no_fields(rule);
	case UNWIND_CFA_REGISTER:
		if (rule->deref_offset)
			return false;
		break;
	case UNWIND_CFA_DEREF:
		break;
	case UNWIND_CFA_PLT:
		if (rule->cfa_register != UNWIND_RSP || rule->cfa_offset != 8 ||
		    rule->deref_offset < 0 || rule->deref_offset > 15)
			return false;
		break;
	default:
		return false;
	}
	if (rule->flags & UNWIND_RULE_END && rule->ra_offset)
		return false;
	return rule->cfa_register < UNWIND_REGISTERS &&
	       saved_is_valid(rule->rbp, rule->rbp_offset) &&
	       saved_is_valid(rule->rbx, rule->rbx_offset);
}

static bool rules_are_valid(const struct unwind_table_image *image)
{
	static const struct unwind_rule none;

	if (image->rule_count == 0 || image->rule_count > UNWIND_RULES_MAX ||
	    memcmp(&image->rules[UNWIND_RULE_NONE], &none, sizeof(none)) != 0)
		return false;
	for (uint32_t i = 1; i < image->rule_count; i++)
		if (!rule_is_valid(&image->rules[i]))
			return false;
	return true;
}

static bool rows_are_valid(const struct unwind_table_image *image)
{
	for (uint32_t i = 0; i < image->row_count; i++) {
		const struct unwind_row *row = &image->rows[i];

		if (row->rule >= image->rule_count || row->pc >> UNWIND_PAGE_SHIFT >= image->pages)
			return false;
		if (i > 0 && row->pc <= image->rows[i - 1].pc)
			return false;
	}
	return true;
}

/* Each entry is in range, and the rows beside it lie on either side of the page's start. */
static bool page_index_is_valid(const struct unwind_table_image *image)
{
	for (uint32_t page = 0; page < image->pages; page++) {
		uint32_t row = image->page_index[page];

		if (row > image->row_count)
			return false;
		if (row < image->row_count && image->rows[row].pc >> UNWIND_PAGE_SHIFT < page)
			return false;
		if (row > 0 && image->rows[row - 1].pc >> UNWIND_PAGE_SHIFT >= page)
			return false;
	}
	return image->page_index[image->pages] == image->row_count;
}

int unwind_table_parse(const void *bytes, size_t size, struct unwind_table_image *ret_image)
{
	struct unwind_table_image image;
	struct blob_header header;
	const uint8_t *at = bytes;
	uint64_t expected;

	if (size < sizeof(header) || (uintptr_t)bytes % 8 != 0)
		return -EBADMSG;
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != BLOB_MAGIC || header.version != BLOB_VERSION || header.reserved ||
	    header.text_start % PAGE_BYTES != 0 || header.pages > PAGES_MAX ||
	    header.row_count > UNWIND_ROWS_PER_TABLE_MAX || !header.pages != !header.row_count)
		return -EBADMSG;
	expected = sizeof(header) + (uint64_t)header.rule_count * sizeof(struct unwind_rule) +
		   (uint64_t)header.row_count * sizeof(struct unwind_row) +
		   ((uint64_t)header.pages + 1) * sizeof(uint32_t);
	if (size != expected)
		return -EBADMSG;

	image = (struct unwind_table_image){
		.text_start = header.text_start,
		.pages = header.pages,
		.row_count = header.row_count,
		.rule_count = header.rule_count,
	};
	at += sizeof(header);
	image.rules = (const struct unwind_rule *)at;
	at += (size_t)header.rule_count * sizeof(struct unwind_rule);
	image.rows = (const struct unwind_row *)at;
	at += (size_t)header.row_count * sizeof(struct unwind_row);
	image.page_index = (const uint32_t *)at;
	if (!rules_are_valid(&image) || !rows_are_valid(&image) || !page_index_is_valid(&image))
		return -EBADMSG;
	*ret_image = image;
	return 0;
}
