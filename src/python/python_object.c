/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds CPython in an ELF file. Takes an image and its FDEs; gives the code
 * ranges of the eval loop and the addresses of the interpreter's parts.
 *
 * Compilers and BOLT split the eval function: in stripped builds 77-84 KB of it
 * lie in a fragment that no symbol names (facts/cpython.md §5.1). Fragments are
 * found without a disassembler: every byte of the known ranges is tried as the
 * start of a direct jump, and the targets vote for the FDE they lie in. Misread
 * bytes scatter and tail calls go to functions, which begin with CFA = rsp + 8;
 * a fragment gathers votes, begins in the middle of a frame, and jumps back.
 */
#include "python/python_object.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define EVAL_SYMBOL "_PyEval_EvalFrameDefault" /* 3.6+ */
#define EVAL_SYMBOL_OLD "PyEval_EvalFrameEx"   /* 2.7 */
#define DEBUG_COOKIE "xdebugpy"
#define EVAL_BYTES_MAX (1u << 20) /* the largest known has 86 KB; debug builds less than 300 KB */
#define VOTES_MAX 65536
#define VOTES_MIN 2
#define OPCODE_JMP_REL32 0xe9
#define OPCODE_TWO_BYTES 0x0f
#define OPCODE_JCC_REL32 0x80 /* 0f 80 .. 0f 8f */

struct eval_ranges {
	struct vaddr_range ranges[PYTHON_EVAL_RANGES_MAX];
	uint32_t count;
};

static bool is_inside(const struct eval_ranges *r, uint64_t vaddr)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (vaddr >= r->ranges[i].start && vaddr < r->ranges[i].end)
			return true;
	}
	return false;
}

static bool overlaps(const struct eval_ranges *r, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (start < r->ranges[i].end && end > r->ranges[i].start)
			return true;
	}
	return false;
}

static bool is_executable_range(const struct elf_image *image, uint64_t start, uint64_t end)
{
	const struct elf_segment *segments;
	size_t count = elf_image__segments(image, &segments);

	for (size_t i = 0; i < count; i++) {
		const struct elf_segment *s = &segments[i];

		if (s->flags & PF_X && start >= s->vaddr && end > start &&
		    end - s->vaddr <= s->file_size)
			return true;
	}
	return false;
}

static bool add_range(const struct elf_image *image, struct eval_ranges *r, uint64_t start,
		      uint64_t end)
{
	if (r->count == PYTHON_EVAL_RANGES_MAX || end <= start || end - start > EVAL_BYTES_MAX ||
	    !is_executable_range(image, start, end) || overlaps(r, start, end))
		return false;
	r->ranges[r->count++] = (struct vaddr_range){start, end};
	return true;
}

/* Bytes of the direct jump at p, 0 if there is none; *ret_displacement from its end. */
static size_t read_jump(const uint8_t *p, size_t left, int32_t *ret_displacement)
{
	size_t opcode = p[0] == OPCODE_JMP_REL32 ? 1
			: left > 1 && p[0] == OPCODE_TWO_BYTES && (p[1] & 0xf0) == OPCODE_JCC_REL32
				? 2
				: 0;

	if (opcode == 0 || left < opcode + sizeof(*ret_displacement))
		return 0;
	memcpy(ret_displacement, p + opcode, sizeof(*ret_displacement));
	return opcode + sizeof(*ret_displacement);
}

/* Calls visit with the target of everything in the range that looks like a direct jump. */
static void for_each_jump(struct elf_image *image, const struct vaddr_range *range,
			  void (*visit)(void *context, uint64_t target), void *context)
{
	size_t size = range->end - range->start;
	const uint8_t *code = elf_image__bytes_at(image, range->start, size);

	for (size_t i = 0; code && i < size; i++) {
		int32_t displacement;
		size_t length = read_jump(code + i, size - i, &displacement);

		if (length)
			visit(context, range->start + i + length + (uint64_t)(int64_t)displacement);
	}
}

struct ballot {
	const struct eval_ranges *ranges;
	const struct fde_index *fdes;
	const struct fde **votes;
	size_t count;
};

static void vote(void *context, uint64_t target)
{
	struct ballot *b = context;
	const struct fde *fde;

	if (b->count == VOTES_MAX || is_inside(b->ranges, target))
		return;
	fde = fde_index_find(b->fdes, target);
	if (fde)
		b->votes[b->count++] = fde;
}

struct return_count {
	const struct eval_ranges *ranges;
	size_t count;
};

static void count_return(void *context, uint64_t target)
{
	struct return_count *r = context;

	r->count += is_inside(r->ranges, target);
}

static bool jumps_back(struct elf_image *image, const struct eval_ranges *ranges,
		       const struct fde *fde)
{
	struct vaddr_range range = {fde->start, fde->end};
	struct return_count returns = {.ranges = ranges};

	for_each_jump(image, &range, count_return, &returns);
	return returns.count > 0;
}

static int compare_pointers(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (const struct fde *const *)a;
	uintptr_t y = (uintptr_t) * (const struct fde *const *)b;

	return x < y ? -1 : x > y;
}

/* One round of voting over all ranges; true if the set grew. */
static bool add_fragments(const struct python_object_input *input, struct eval_ranges *ranges,
			  struct ballot *b)
{
	uint32_t before = ranges->count;
	size_t first;

	b->count = 0;
	for (uint32_t i = 0; i < before; i++)
		for_each_jump(input->image, &ranges->ranges[i], vote, b);
	qsort(b->votes, b->count, sizeof(b->votes[0]), compare_pointers);
	for (first = 0; first < b->count;) {
		const struct fde *fde = b->votes[first];
		size_t end = first;

		while (end < b->count && b->votes[end] == fde)
			end++;
		if (end - first >= VOTES_MIN && fde->end - fde->start <= EVAL_BYTES_MAX &&
		    is_executable_range(input->image, fde->start, fde->end) &&
		    input->starts_like_function(input->context, fde) == 0 &&
		    jumps_back(input->image, ranges, fde))
			add_range(input->image, ranges, fde->start, fde->end);
		first = end;
	}
	return ranges->count > before;
}

static int find_fragments(const struct python_object_input *input, struct eval_ranges *ranges)
{
	_cleanup_free_ const struct fde **votes = malloc(VOTES_MAX * sizeof(*votes));
	struct ballot b = {.ranges = ranges, .fdes = input->fdes, .votes = votes};

	if (!votes)
		return -ENOMEM;
	while (ranges->count < PYTHON_EVAL_RANGES_MAX && add_fragments(input, ranges, &b))
		continue;
	return 0;
}

struct named_fragments {
	const struct elf_image *image;
	struct eval_ranges *ranges;
	const char *prefix; /* the eval function's name */
};

/* NAME.cold, NAME.cold.0, NAME.part.3 and the like, where a .symtab is left. */
static int add_named_fragment(const struct elf_symbol *symbol, void *context)
{
	struct named_fragments *n = context;
	size_t length = strlen(n->prefix);

	if (symbol->type == STT_FUNC && strncmp(symbol->name, n->prefix, length) == 0 &&
	    symbol->name[length] == '.' && symbol->size <= EVAL_BYTES_MAX)
		add_range(n->image, n->ranges, symbol->vaddr, symbol->vaddr + symbol->size);
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct vaddr_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The eval function's symbol; *ret_name is its name. -ENOENT: no interpreter here. */
static int find_eval(const struct python_object_input *input, const char **ret_name,
		     struct elf_symbol *ret_symbol)
{
	static const char *const names[] = {EVAL_SYMBOL, EVAL_SYMBOL_OLD};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct elf_symbol symbol;

		if (elf_image__find_symbol(input->image, names[i], &symbol) ||
		    symbol.type != STT_FUNC)
			continue;
		*ret_name = names[i];
		*ret_symbol = symbol;
		return 0;
	}
	return -ENOENT;
}

static int read_eval_ranges(const struct python_object_input *input, struct python_facts *facts)
{
	struct eval_ranges ranges = {0};
	struct elf_symbol symbol;
	struct named_fragments named = {.image = input->image, .ranges = &ranges};
	int err = find_eval(input, &named.prefix, &symbol);

	if (err)
		return err;
	if (symbol.size > EVAL_BYTES_MAX ||
	    !add_range(input->image, &ranges, symbol.vaddr, symbol.vaddr + symbol.size))
		return -ENOENT;
	elf_image__for_each_symbol(input->image, ELF_SYMTAB, add_named_fragment, &named);
	err = find_fragments(input, &ranges);
	if (err)
		return err;
	qsort(ranges.ranges, ranges.count, sizeof(ranges.ranges[0]), compare_ranges);
	memcpy(facts->eval_ranges, ranges.ranges, sizeof(facts->eval_ranges));
	facts->eval_range_count = ranges.count;
	facts->eval_entry = symbol.vaddr;
	return 0;
}

static void read_runtime(struct elf_image *image, struct python_facts *facts)
{
	struct elf_section section;
	struct elf_symbol symbol;

	if (elf_image__find_symbol(image, "_PyRuntime", &symbol) == 0) {
		facts->runtime = symbol.vaddr;
		facts->runtime_size = symbol.size;
	} else if (elf_image__find_section(image, ".PyRuntime", &section) == 0) {
		facts->runtime = section.vaddr; /* 3.10+, also in stripped files */
		facts->runtime_size = section.size;
	}
	if (elf_image__find_symbol(image, "PyCode_Type", &symbol) == 0)
		facts->code_type = symbol.vaddr;
}

static void read_debug_offsets(struct elf_image *image, struct python_facts *facts)
{
	size_t size = facts->runtime_size < PYTHON_DEBUG_OFFSETS_MAX ? facts->runtime_size
								     : PYTHON_DEBUG_OFFSETS_MAX;
	const uint8_t *bytes;
	uint64_t version;

	if (!facts->runtime || size < sizeof(DEBUG_COOKIE) - 1 + sizeof(version))
		return;
	bytes = elf_image__bytes_at(image, facts->runtime, size);
	if (!bytes || memcmp(bytes, DEBUG_COOKIE, sizeof(DEBUG_COOKIE) - 1) != 0)
		return;
	memcpy(facts->debug_offsets, bytes, size);
	facts->debug_offsets_size = size;
	memcpy(&version, bytes + sizeof(DEBUG_COOKIE) - 1, sizeof(version));
	facts->version = (uint32_t)version;
}

/* Before Py_Version (3.11) a file tells its version by what it has; python_runtime.c knows the
 * sizes of _PyRuntime (3.7-3.10). */
static void read_version(struct elf_image *image, struct python_facts *facts)
{
	struct elf_symbol symbol;
	const uint8_t *bytes;

	if (facts->version)
		return;
	if (elf_image__find_symbol(image, "Py_Version", &symbol) == 0) {
		bytes = elf_image__bytes_at(image, symbol.vaddr, sizeof(facts->version));
		if (bytes)
			memcpy(&facts->version, bytes, sizeof(facts->version));
	} else if (facts->runtime == 0 &&
		   elf_image__find_symbol(image, "PyString_FromString", &symbol) == 0) {
		facts->version = 0x02070000;
	} else if (facts->runtime == 0 &&
		   elf_image__find_symbol(image, EVAL_SYMBOL, &symbol) == 0) {
		facts->version = 0x03060000;
	}
}

int python_object_read(const struct python_object_input *input, struct python_facts *ret_facts)
{
	struct python_facts facts = {0};
	struct elf_section interp;
	int err = read_eval_ranges(input, &facts);

	if (err == -ENOENT) {
		*ret_facts = facts;
		return 0;
	}
	if (err)
		return err;
	read_runtime(input->image, &facts);
	read_debug_offsets(input->image, &facts);
	read_version(input->image, &facts);
	facts.tls_block_bytes = elf_image__tls_block_bytes(input->image);
	facts.is_executable = elf_image__is_executable(input->image) ||
			      elf_image__find_section(input->image, ".interp", &interp) == 0;
	*ret_facts = facts;
	return 0;
}
