/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of an ELF file as text, for compare.py: "pc cfa ra rbp rbx" in the
 * words of readelf. They are read back from a parsed table, so that building and
 * parsing are under test too. With --time: how long each step takes instead.
 *
 *   cfa  rsp+8 | exp:TEXT | - (no rule) | ? (no form)
 *   ra   c-8 | u (undefined) | exp | ?
 *   rbp  c-16 | u (unchanged) | exp:TEXT | ?
 *   TEXT *REGISTER+OFFSET+OFFSET | pltN | rbp+OFFSET
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "object/fde_index.h"
#include "unwind/cfi_reader.h"
#include "unwind/table_store.h"
#include "unwind/unwind_table.h"

static const char *const register_names[UNWIND_REGISTERS] = {
	"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
	"r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip",
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t find_sections(struct elf_image *image, struct frame_section sections[2])
{
	static const char *const names[] = {".eh_frame", ".debug_frame"};
	size_t count = 0;

	for (int i = 0; i < 2; i++) {
		struct elf_section section;

		if (elf_image__find_section(image, names[i], &section) == 0 && section.data)
			sections[count++] = (struct frame_section){
				.data = section.data,
				.size = section.data_size,
				.vaddr = section.vaddr,
				.is_debug_frame = i == 1,
			};
	}
	return count;
}

static void print_saved(uint8_t how, int offset)
{
	if (how == UNWIND_AT_CFA)
		printf(" c%+d", offset);
	else if (how == UNWIND_AT_REGISTER)
		printf(" exp:rbp%+d", offset);
	else
		printf(" %s", how == UNWIND_SAME ? "u" : "?");
}

static void print_rule(const struct unwind_rule *rule)
{
	if (rule->cfa == UNWIND_CFA_NONE) {
		printf(" - - - -\n");
		return;
	}
	if (rule->cfa == UNWIND_CFA_UNSUPPORTED) {
		printf(" ? %s ? ?\n", rule->flags & UNWIND_RULE_END ? "u" : "?");
		return;
	}
	if (rule->cfa == UNWIND_CFA_SIGNAL) {
		printf(" exp:*rsp+160+0 exp exp exp\n");
		return;
	}
	if (rule->cfa == UNWIND_CFA_REGISTER)
		printf(" %s%+d", register_names[rule->cfa_register], rule->cfa_offset);
	else if (rule->cfa == UNWIND_CFA_DEREF)
		printf(" exp:*%s%+d%+d", register_names[rule->cfa_register], rule->cfa_offset,
		       rule->deref_offset);
	else
		printf(" exp:plt%d", rule->deref_offset);
	if (rule->flags & UNWIND_RULE_END)
		printf(" u");
	else
		printf(" c%+d", rule->ra_offset);
	print_saved(rule->rbp, rule->rbp_offset);
	print_saved(rule->rbx, rule->rbx_offset);
	printf("\n");
}

static void print_image(const struct unwind_table_image *image)
{
	for (uint32_t i = 0; i < image->row_count; i++) {
		printf("%llx", (unsigned long long)(image->text_start + image->rows[i].pc));
		print_rule(&image->rules[image->rows[i].rule]);
	}
}

static int keep_segment(void *context, uint32_t number, void **ret_memory)
{
	void **segments = context;

	segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	*ret_memory = segments[number];
	return segments[number] ? 0 : -ENOMEM;
}

static int ignore_table(void *context, uint32_t table, const struct unwind_table *descriptor)
{
	(void)context, (void)table, (void)descriptor;
	return 0;
}

static int ignore_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	(void)context, (void)number, (void)rule;
	return 0;
}

/* Installs to plain memory; the time it takes. */
static double install_ms(const struct unwind_table_image *image)
{
	static void *segments[UNWIND_SEGMENTS_MAX];
	const struct table_store_ops ops = {keep_segment, ignore_table, ignore_rule, segments};
	_cleanup_(table_store__freep) struct table_store *store = NULL;
	double start = now_ms(), end;
	uint32_t table;

	if (table_store__new(&ops, UINT64_MAX, &store) ||
	    table_store__install(store, image, &table))
		return -1;
	end = now_ms();
	for (int i = 0; i < UNWIND_SEGMENTS_MAX; i++)
		free(segments[i]);
	return end - start;
}

static int dump(struct elf_image *elf, bool timing)
{
	struct frame_section sections[2];
	struct unwind_table_image image;
	struct buffer blob = {0};
	struct fde_index index;
	struct cfi_rows rows = {0};
	double t[5] = {0};
	size_t count;
	int err;

	t[0] = now_ms();
	count = find_sections(elf, sections);
	t[1] = now_ms();
	err = fde_index_read(sections, count, &index);
	if (err)
		return err;
	t[2] = now_ms();
	err = cfi_read_rows(&index, sections, count, NULL, 0, &rows);
	t[3] = now_ms();
	if (!err) {
		err = unwind_table_build(&rows, &blob);
		t[4] = now_ms();
	}
	if (!err)
		err = unwind_table_parse(blob.data, blob.size, &image);
	if (!err && !timing)
		print_image(&image);
	if (!err && timing) {
		double parsed = now_ms();

		printf("fdes %zu malformed %zu+%zu rows %u unsupported %zu rules %u bytes %zu "
		       "(%.2f/row)\nms: read %.1f index %.1f rows %.1f build %.1f parse %.1f "
		       "install %.1f\n",
		       index.count, index.malformed, rows.malformed, image.row_count,
		       rows.unsupported, image.rule_count, blob.size,
		       (double)blob.size / (image.row_count ? image.row_count : 1), t[1] - t[0],
		       t[2] - t[1], t[3] - t[2], t[4] - t[3], parsed - t[4], install_ms(&image));
	}
	cfi_rows_done(&rows);
	fde_index_done(&index);
	buffer_done(&blob);
	return err;
}

int main(int argc, char **argv)
{
	_cleanup_(elf_image__freep) struct elf_image *elf = NULL;
	_cleanup_close_ int fd = -1;
	bool timing = argc == 3 && strcmp(argv[1], "--time") == 0;
	int err;

	if (argc != 2 && !timing) {
		fprintf(stderr, "usage: dump_rows [--time] FILE\n");
		return 2;
	}
	fd = open(argv[argc - 1], O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : elf_image__open(fd, &elf);
	if (!err)
		err = dump(elf, timing);
	if (err)
		fprintf(stderr, "%s: %s\n", argv[argc - 1], strerror(-err));
	return err ? 1 : 0;
}
