/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the names of our own kernel: reads /proc/kallsyms (or its text), gives the
 * function that covers an address.
 *
 * kallsyms has starts but no sizes. A function therefore ends where the next
 * symbol of whatever type begins: symbols that are not functions stay in the list,
 * without a name, as ends of those before them. Where nothing follows (the last
 * function of a module, of a BPF program's pages) it ends after SYMBOL_BYTES_MAX.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "symbol/kernel_symbols.h"

#define KERNEL_SPACE_START 0x8000000000000000ull
/* The largest function of 6.18 has 21 KB; JITed BPF programs may be several times that. */
#define SYMBOL_BYTES_MAX (256u << 10)
#define KALLSYMS_BYTES_MAX (256u << 20)
#define NAME_BYTES_MAX 512 /* KSYM_NAME_LEN is 512 */
#define MODULES_MAX 4096
#define NO_NAME UINT32_MAX

struct kernel_symbol {
	uint64_t address;
	uint32_t name;	 /* offset in names, NO_NAME: ends the symbol before it */
	uint16_t module; /* offset in modules' list */
	uint8_t rank;	 /* of aliases at one address the lowest wins */
};

struct kernel_symbols {
	struct buffer entries; /* struct kernel_symbol, ascending */
	struct buffer names;   /* NUL-terminated strings */
	struct buffer modules; /* uint32_t offsets in names; [0] is the kernel, "" */
	size_t count;
};

struct kallsyms_line {
	uint64_t address;
	char type;
	const char *name;
	size_t name_size;
	const char *module; /* without brackets */
	size_t module_size;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static size_t word_size(const char *text, const char *end)
{
	const char *p = text;

	while (p<end && * p> ' ' && *p != 0x7f)
		p++;
	return (size_t)(p - text);
}

/* "ffffffff81000000 T name[\t[module]]"; false for anything else. */
static bool parse_line(const char *p, const char *end, struct kallsyms_line *ret_line)
{
	struct kallsyms_line line = {};
	int digits = 0;

	for (int digit; p < end && (digit = hex_digit(*p)) >= 0; p++, digits++)
		line.address = line.address << 4 | (uint64_t)digit;
	if (digits == 0 || digits > 16 || end - p < 4 || p[0] != ' ' || p[2] != ' ')
		return false;
	line.type = p[1];
	line.name = p + 3;
	line.name_size = word_size(line.name, end);
	if (line.name_size == 0 || line.name_size >= NAME_BYTES_MAX)
		return false;
	p = line.name + line.name_size;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p < end && *p == '[') {
		size_t size = word_size(p, end);

		if (size > 2 && size < NAME_BYTES_MAX && p[size - 1] == ']') {
			line.module = p + 1;
			line.module_size = size - 2;
		}
	}
	*ret_line = line;
	return true;
}

static bool is_function(char type)
{
	return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

/* Marks of the linker script at the end of a text section, which are typed as functions. */
static bool is_end_mark(const struct kallsyms_line *line)
{
	static const char suffix[] = "text_end";
	size_t size = line->name_size;

	if (size > strlen(suffix) && !strncmp(line->name, "__", 2) &&
	    !memcmp(line->name + size - strlen(suffix), suffix, strlen(suffix)))
		return true;
	return (size == strlen("_etext") && !memcmp(line->name, "_etext", size)) ||
	       (size == strlen("_einittext") && !memcmp(line->name, "_einittext", size));
}

static uint32_t append_name(struct kernel_symbols *s, const char *name, size_t size)
{
	uint32_t offset = (uint32_t)s->names.size;

	buffer_append(&s->names, name, size);
	buffer_u8(&s->names, 0);
	return offset;
}

static const char *name_at(const struct kernel_symbols *s, uint32_t offset)
{
	return (const char *)s->names.data + offset;
}

static const char *module_name(const struct kernel_symbols *s, uint16_t module)
{
	uint32_t offset;

	memcpy(&offset, s->modules.data + module * sizeof(offset), sizeof(offset));
	return name_at(s, offset);
}

/* Lines of a module follow each other, so the module of the line before is nearly always right. */
static uint16_t find_or_add_module(struct kernel_symbols *s, const struct kallsyms_line *line)
{
	size_t count = s->modules.size / sizeof(uint32_t);

	if (!line->module || s->modules.failed || s->names.failed)
		return 0;
	for (size_t i = count; i-- > 1;) {
		const char *name = module_name(s, (uint16_t)i);

		if (!strncmp(name, line->module, line->module_size) && !name[line->module_size])
			return (uint16_t)i;
	}
	if (count >= MODULES_MAX)
		return 0;
	buffer_u32(&s->modules, append_name(s, line->module, line->module_size));
	return s->modules.failed ? 0 : (uint16_t)count;
}

/* Global before weak before local, then the fewest leading underscores. */
static uint8_t rank_of(const struct kallsyms_line *line)
{
	uint8_t rank = line->type == 'T' ? 0 : line->type == 't' ? 2 : 1;
	uint8_t underscores = 0;

	while (underscores < line->name_size && underscores < 15 && line->name[underscores] == '_')
		underscores++;
	return (uint8_t)(rank << 4 | underscores);
}

static void add_symbol(struct kernel_symbols *s, const struct kallsyms_line *line)
{
	struct kernel_symbol symbol = {
		.address = line->address,
		.name = NO_NAME,
		.rank = UINT8_MAX,
	};

	if (is_function(line->type) && !is_end_mark(line)) {
		symbol.module = find_or_add_module(s, line);
		symbol.name = append_name(s, line->name, line->name_size);
		symbol.rank = rank_of(line);
	}
	buffer_append(&s->entries, &symbol, sizeof(symbol));
}

static int compare_symbols(const void *a, const void *b)
{
	const struct kernel_symbol *x = a;
	const struct kernel_symbol *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank - y->rank;
	return x->name < y->name ? -1 : x->name > y->name; /* the order of the file */
}

/* Keeps the best name of each address, and one end of each run of nameless symbols. */
static void sort_and_compact(struct kernel_symbols *s)
{
	struct kernel_symbol *symbols = (struct kernel_symbol *)s->entries.data;
	size_t count = s->entries.size / sizeof(*symbols);
	size_t kept = 0;

	if (count > 0)
		qsort(symbols, count, sizeof(*symbols), compare_symbols);
	for (size_t i = 0; i < count; i++) {
		const struct kernel_symbol *last = kept > 0 ? &symbols[kept - 1] : NULL;

		if (last && (last->address == symbols[i].address ||
			     (last->name == NO_NAME && symbols[i].name == NO_NAME)))
			continue;
		symbols[kept++] = symbols[i];
	}
	s->count = kept;
	s->entries.size = kept * sizeof(*symbols);
}

static int parse_lines(struct kernel_symbols *s, const char *text, size_t size)
{
	const char *end = text + size;
	size_t functions = 0;
	size_t hidden = 0;

	for (const char *p = text; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = newline ? newline : end;
		struct kallsyms_line line;

		if (parse_line(p, line_end, &line)) {
			if (line.address >= KERNEL_SPACE_START) {
				functions += is_function(line.type);
				add_symbol(s, &line);
			} else if (line.address == 0 && is_function(line.type)) {
				hidden++;
			}
		}
		p = line_end + 1;
	}
	if (s->entries.failed || s->names.failed || s->modules.failed)
		return -ENOMEM;
	if (functions == 0)
		return hidden > 0 ? -EPERM : -ENOENT;
	return 0;
}

/* Buffers grow by doubling: give back what is not used, for these live as long as we do. */
static void shrink(struct buffer *b)
{
	uint8_t *data = b->size ? realloc(b->data, b->size) : NULL;

	if (!data)
		return;
	b->data = data;
	b->capacity = b->size;
}

int kernel_symbols__parse(const char *text, size_t size, struct kernel_symbols **ret_symbols)
{
	_cleanup_(kernel_symbols__freep) struct kernel_symbols *s = NULL;
	int err;

	if (size > KALLSYMS_BYTES_MAX)
		return -E2BIG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	buffer_u32(&s->modules, append_name(s, "", 0));
	err = parse_lines(s, text, size);
	if (err)
		return err;
	sort_and_compact(s);
	shrink(&s->entries);
	shrink(&s->names);
	*ret_symbols = take_ptr(s);
	return 0;
}

static int read_all(int fd, struct buffer *text)
{
	for (;;) {
		const size_t step = 256u * 1024;
		void *room = buffer_reserve(text, step);
		ssize_t got;

		if (!room)
			return -ENOMEM;
		text->size -= step; /* reserved, not yet filled */
		got = read(fd, room, step);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		text->size += (size_t)got;
		if (text->size > KALLSYMS_BYTES_MAX)
			return -E2BIG;
	}
}

int kernel_symbols__new(struct kernel_symbols **ret_symbols)
{
	_cleanup_close_ int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	struct buffer text = {};
	int err;

	if (fd < 0)
		return -errno;
	err = read_all(fd, &text);
	if (!err)
		err = kernel_symbols__parse((const char *)text.data, text.size, ret_symbols);
	buffer_done(&text);
	return err;
}

void kernel_symbols__free(struct kernel_symbols *symbols)
{
	if (!symbols)
		return;
	buffer_done(&symbols->entries);
	buffer_done(&symbols->names);
	buffer_done(&symbols->modules);
	free(symbols);
}

const char *kernel_symbols__find(const struct kernel_symbols *symbols, uint64_t address,
				 const char **ret_module)
{
	const struct kernel_symbol *all = (const struct kernel_symbol *)symbols->entries.data;
	size_t low = 0;
	size_t high = symbols->count;

	if (address < KERNEL_SPACE_START)
		return NULL;
	while (low < high) { /* the first symbol above address */
		size_t middle = low + (high - low) / 2;

		if (all[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || all[low - 1].name == NO_NAME ||
	    address - all[low - 1].address >= SYMBOL_BYTES_MAX)
		return NULL;
	if (ret_module)
		*ret_module = module_name(symbols, all[low - 1].module);
	return name_at(symbols, all[low - 1].name);
}
