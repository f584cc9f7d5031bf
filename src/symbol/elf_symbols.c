/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the names of one ELF file's code. Takes the image's symbol tables, gives
 * the function that covers an address.
 *
 * Symbols overlap: aliases at one address, labels inside functions, .dynsym
 * repeating .symtab. All are sorted and swept once into ranges that do not
 * overlap, so that a look-up is one binary search: the innermost sized symbol
 * wins, a symbol without size only holds where no sized one does, and .dynsym
 * never cuts into .symtab. Names are demangled when they are first asked for.
 *
 * The names that are left are copied together: the image behind them, string
 * tables and relocations of tens of megabytes, may then be freed.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "symbol/demangle.h"
#include "symbol/elf_symbols.h"
#include "symbol/plt_symbols.h"

/* libLLVM exports 45,000; far more than any real file has is a file made to exhaust us. */
#define SYMBOLS_MAX (4u << 20)
#define NAME_READ_MAX 4096 /* demangle_symbol() wants no more */

struct candidate {
	uint64_t start;
	uint64_t end; /* start: without size */
	const char *name;
	uint8_t table; /* enum elf_symbol_table */
	uint8_t rank;  /* lower is the better alias */
};

struct name_range {
	uint64_t start;
	uint64_t end;
	const char *name; /* borrowed from the image, then from the names */
	char *shown;	  /* owned; NULL until asked for */
};

struct code_piece { /* a code section, or an executable segment */
	uint64_t start;
	uint64_t end;
};

struct elf_symbols {
	struct name_range *ranges;
	size_t count;
	struct name_range *plt;
	size_t plt_count;
	char *names; /* what the ranges point to */
	bool is_go;  /* in Go, main.cold is a function called cold */
};

struct collection {
	struct buffer candidates;
	enum elf_symbol_table table;
	struct code_piece segments[16];
	size_t segment_count;
	struct code_piece sections[16];
	size_t section_count;
};

static const struct code_piece *find_piece(const struct code_piece *pieces, size_t count,
					   uint64_t vaddr)
{
	for (size_t i = 0; i < count; i++)
		if (vaddr >= pieces[i].start && vaddr < pieces[i].end)
			return &pieces[i];
	return NULL;
}

static void collect_pieces(struct collection *c, struct elf_image *image)
{
	static const char *const names[] = {
		".init",	  ".plt",	".plt.got",	    ".plt.sec",
		".text",	  ".fini",	".text.hot",	    ".iplt",
		".text.unlikely", ".text.cold", "__libc_freeres_fn"};
	const struct elf_segment *segments;
	size_t count = elf_image__segments(image, &segments);
	struct elf_section s;

	for (size_t i = 0; i < count && c->segment_count < 16; i++) {
		uint64_t end;

		if ((segments[i].flags & PF_X) &&
		    !__builtin_add_overflow(segments[i].vaddr, segments[i].memory_size, &end))
			c->segments[c->segment_count++] =
				(struct code_piece){segments[i].vaddr, end};
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!elf_image__find_section(image, names[i], &s) && s.vaddr + s.size > s.vaddr)
			c->sections[c->section_count++] =
				(struct code_piece){s.vaddr, s.vaddr + s.size};
	}
}

/* libc has `read` (weak) and `__read` (global) at one address: the public name is
 * the exported one with the fewest underscores, whatever its binding. */
static uint8_t rank_of(const struct elf_symbol *symbol)
{
	uint8_t underscores = 0;

	while (underscores < 7 && symbol->name[underscores] == '_')
		underscores++;
	return (uint8_t)((symbol->type == STT_NOTYPE) << 7 | (symbol->binding == STB_LOCAL) << 6 |
			 underscores << 3 | (symbol->binding == STB_WEAK));
}

/* Marks of the linker and of the assembler, which name places and not functions. */
static bool is_mark(const char *name)
{
	static const char *const marks[] = {"_etext",	  "etext", "__etext", "__executable_start",
					    "_end",	  "end",   "_edata",  "edata",
					    "__bss_start"};

	if (name[0] == '\0' || name[0] == '$' || !strncmp(name, ".L", 2))
		return true;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (!strcmp(name, marks[i]))
			return true;
	return false;
}

static int add_candidate(const struct elf_symbol *symbol, void *context)
{
	struct collection *c = context;
	const struct code_piece *segment;
	struct candidate new;

	if (symbol->type != STT_FUNC && symbol->type != STT_GNU_IFUNC && symbol->type != STT_NOTYPE)
		return 0;
	segment = find_piece(c->segments, c->segment_count, symbol->vaddr);
	if (!segment || is_mark(symbol->name))
		return 0;
	new = (struct candidate){
		.start = symbol->vaddr,
		.end = symbol->vaddr + symbol->size,
		.name = symbol->name,
		.table = (uint8_t)c->table,
		.rank = rank_of(symbol),
	};
	if (symbol->size > segment->end - symbol->vaddr)
		new.end = segment->end;
	buffer_append(&c->candidates, &new, sizeof(new));
	if (c->candidates.failed)
		return -ENOMEM;
	return c->candidates.size / sizeof(new) >= SYMBOLS_MAX ? -E2BIG : 0;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;
	bool x_sized = x->end > x->start;
	bool y_sized = y->end > y->start;
	size_t x_size, y_size;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x_sized != y_sized)
		return x_sized ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank - y->rank;
	x_size = strlen(x->name);
	y_size = strlen(y->name);
	if (x_size != y_size)
		return x_size < y_size ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Leaves the best alias of each address, with the largest of their sizes. */
static size_t merge_aliases(struct candidate *all, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && all[kept - 1].start == all[i].start) {
			if (all[i].end > all[kept - 1].end)
				all[kept - 1].end = all[i].end;
			if (all[i].table < all[kept - 1].table)
				all[kept - 1].table = all[i].table;
			continue;
		}
		all[kept++] = all[i];
	}
	return kept;
}

struct sweep {
	struct buffer ranges; /* struct name_range */
	struct buffer open;   /* struct candidate that position lies in, innermost last */
	uint64_t position;    /* everything below has its range */
};

static struct candidate *innermost(struct sweep *sweep)
{
	if (sweep->open.size == 0)
		return NULL;
	return (struct candidate *)(sweep->open.data + sweep->open.size) - 1;
}

static void emit(struct sweep *sweep, const char *name, uint64_t start, uint64_t end)
{
	struct name_range range = {.start = start, .end = end, .name = name};

	if (start < end)
		buffer_append(&sweep->ranges, &range, sizeof(range));
}

/* Moves to `vaddr`: what is passed belongs to the innermost symbol that is open there. */
static void advance(struct sweep *sweep, uint64_t vaddr)
{
	struct candidate *top;

	while ((top = innermost(sweep))) {
		uint64_t end = top->end < vaddr ? top->end : vaddr;

		emit(sweep, top->name, sweep->position, end);
		if (end > sweep->position)
			sweep->position = end;
		if (top->end > vaddr)
			break;
		sweep->open.size -= sizeof(*top);
	}
	sweep->position = vaddr;
}

/* A symbol without size ends where the next symbol, its section or its segment does. */
static uint64_t unsized_end(const struct collection *c, uint64_t start, uint64_t next)
{
	const struct code_piece *piece = find_piece(c->sections, c->section_count, start);

	if (!piece)
		piece = find_piece(c->segments, c->segment_count, start);
	return piece && piece->end < next ? piece->end : next;
}

static void sweep_candidates(struct sweep *sweep, const struct collection *c, size_t count)
{
	const struct candidate *all = (const struct candidate *)c->candidates.data;

	for (size_t i = 0; i < count; i++) {
		const struct candidate *here = &all[i];
		const struct candidate *top;

		advance(sweep, here->start);
		top = innermost(sweep);
		if (here->end == here->start) {
			uint64_t next = i + 1 < count ? all[i + 1].start : UINT64_MAX;

			if (!top) /* else it is a label within a function */
				emit(sweep, here->name, here->start,
				     unsized_end(c, here->start, next));
		} else if (!top || here->table <= top->table) {
			buffer_append(&sweep->open, here, sizeof(*here));
		}
	}
	advance(sweep, UINT64_MAX);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct name_range *x = a;
	const struct name_range *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static struct name_range *find_range(struct name_range *ranges, size_t count, uint64_t vaddr)
{
	size_t low = 0;
	size_t high = count;

	while (low < high) { /* the first range that starts above vaddr */
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].start <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && vaddr < ranges[low - 1].end ? &ranges[low - 1] : NULL;
}

static int read_tables(struct elf_symbols *symbols, struct elf_image *image)
{
	struct collection c = {};
	struct sweep sweep = {};
	size_t count;
	int err;

	collect_pieces(&c, image);
	c.table = ELF_SYMTAB;
	err = elf_image__for_each_symbol(image, ELF_SYMTAB, add_candidate, &c);
	c.table = ELF_DYNSYM;
	if (err != -ENOMEM && err != -E2BIG)
		(void)elf_image__for_each_symbol(image, ELF_DYNSYM, add_candidate, &c);
	count = c.candidates.size / sizeof(struct candidate);
	if (count > 0 && !c.candidates.failed) {
		qsort(c.candidates.data, count, sizeof(struct candidate), compare_candidates);
		count = merge_aliases((struct candidate *)c.candidates.data, count);
		sweep_candidates(&sweep, &c, count);
	}
	err = c.candidates.failed || sweep.open.failed || sweep.ranges.failed ? -ENOMEM : 0;
	buffer_done(&c.candidates);
	buffer_done(&sweep.open);
	symbols->ranges = (struct name_range *)sweep.ranges.data;
	symbols->count = sweep.ranges.size / sizeof(struct name_range);
	return err;
}

/* The stubs that libc calls its own memcpy by have no name, but the address of a resolver. */
static int read_plt(struct elf_symbols *symbols, struct elf_image *image)
{
	struct buffer entries = {};
	struct buffer ranges = {};
	int err = plt_symbols_read(image, &entries);

	for (size_t i = 0; !err && i < entries.size / sizeof(struct plt_entry); i++) {
		const struct plt_entry *entry = (const struct plt_entry *)entries.data + i;
		struct name_range range = {.start = entry->start, .end = entry->end};
		const struct name_range *resolver =
			find_range(symbols->ranges, symbols->count, entry->resolver);

		range.name = entry->name ? entry->name : resolver ? resolver->name : NULL;
		if (range.name)
			buffer_append(&ranges, &range, sizeof(range));
	}
	if (ranges.failed)
		err = -ENOMEM;
	buffer_done(&entries);
	symbols->plt = (struct name_range *)ranges.data;
	symbols->plt_count = ranges.size / sizeof(struct name_range);
	if (symbols->plt_count > 0)
		qsort(symbols->plt, symbols->plt_count, sizeof(*symbols->plt), compare_ranges);
	return err;
}

static size_t names_size(const struct name_range *ranges, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += strnlen(ranges[i].name, NAME_READ_MAX + 1) + 1;
	return size;
}

static char *move_names(struct name_range *ranges, size_t count, char *to)
{
	for (size_t i = 0; i < count; i++) {
		size_t size = strnlen(ranges[i].name, NAME_READ_MAX + 1);

		memcpy(to, ranges[i].name, size);
		to[size] = '\0';
		ranges[i].name = to;
		to += size + 1;
	}
	return to;
}

static int copy_names(struct elf_symbols *symbols)
{
	size_t size = names_size(symbols->ranges, symbols->count) +
		      names_size(symbols->plt, symbols->plt_count);
	char *end;

	symbols->names = malloc(size ? size : 1);
	if (!symbols->names)
		return -ENOMEM;
	end = move_names(symbols->ranges, symbols->count, symbols->names);
	move_names(symbols->plt, symbols->plt_count, end);
	return 0;
}

int elf_symbols__new(struct elf_image *image, struct elf_symbols **ret_symbols)
{
	_cleanup_(elf_symbols__freep) struct elf_symbols *symbols = calloc(1, sizeof(*symbols));
	struct elf_section section;
	int err;

	if (!symbols)
		return -ENOMEM;
	symbols->is_go = !elf_image__find_section(image, ".gopclntab", &section);
	err = read_tables(symbols, image);
	if (!err)
		err = read_plt(symbols, image);
	if (!err)
		err = copy_names(symbols);
	if (err)
		return err;
	*ret_symbols = take_ptr(symbols);
	return 0;
}

static void free_ranges(struct name_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(ranges[i].shown);
	free(ranges);
}

void elf_symbols__free(struct elf_symbols *symbols)
{
	if (!symbols)
		return;
	free_ranges(symbols->ranges, symbols->count);
	free_ranges(symbols->plt, symbols->plt_count);
	free(symbols->names);
	free(symbols);
}

/* Whether `suffix` ("cold", "part.0" ...: from a dot's next byte to the end) marks a fragment or
 * a clone of the function before the dot. */
static bool is_fragment_suffix(const char *suffix)
{
	static const char *const numbered[] = {"part",	   "isra",   "constprop", "llvm",
					       "lto_priv", "__uniq", "__part"};
	static const char *const plain[] = {"cold", "warm", "localalias"};
	size_t word = strcspn(suffix, ".");
	bool has_number = suffix[word] == '.' && suffix[word + 1] != '\0' &&
			  strspn(suffix + word + 1, "0123456789") == strlen(suffix + word + 1);

	for (size_t i = 0; has_number && i < sizeof(numbered) / sizeof(numbered[0]); i++)
		if (strlen(numbered[i]) == word && !strncmp(suffix, numbered[i], word))
			return true;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strlen(plain[i]) == word && !strncmp(suffix, plain[i], word))
			return has_number || suffix[word] == '\0';
	return false;
}

/* Cuts suffixes off the end, as many as there are: foo.constprop.0.isra.0.cold is foo. */
static void strip_fragment(char *name)
{
	for (;;) {
		char *dot = strrchr(name, '.');

		if (dot && dot > name && dot[1] >= '0' && dot[1] <= '9') {
			*dot = '\0'; /* the number belongs to the word before it */
			char *word = strrchr(name, '.');

			*dot = '.';
			dot = word;
		}
		if (!dot || dot == name || !is_fragment_suffix(dot + 1))
			return;
		*dot = '\0';
	}
}

static char *make_shown(const struct elf_symbols *symbols, const char *raw, bool is_plt)
{
	char name[NAME_READ_MAX + 2];
	size_t size = strnlen(raw, NAME_READ_MAX + 1);
	char *shown, *with_plt;

	memcpy(name, raw, size);
	name[size] = '\0';
	if (!symbols->is_go)
		strip_fragment(name);
	shown = demangle_symbol(name);
	if (!shown || !is_plt)
		return shown;
	size = strlen(shown);
	if (size > DEMANGLE_RESULT_MAX - strlen("@plt"))
		return shown;
	with_plt = realloc(shown, size + sizeof("@plt"));
	if (!with_plt) {
		free(shown);
		return NULL;
	}
	memcpy(with_plt + size, "@plt", sizeof("@plt"));
	return with_plt;
}

const char *elf_symbols__find(struct elf_symbols *symbols, uint64_t vaddr)
{
	struct name_range *range = find_range(symbols->ranges, symbols->count, vaddr);
	bool is_plt = !range;

	if (is_plt)
		range = find_range(symbols->plt, symbols->plt_count, vaddr);
	if (!range)
		return NULL;
	if (!range->shown)
		range->shown = make_shown(symbols, range->name, is_plt);
	return range->shown;
}
