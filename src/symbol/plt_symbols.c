/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the procedure linkage tables of one file. Nothing says which stub belongs
 * to which symbol except the code of the stub: it jumps through a slot of the GOT,
 * and a relocation says which symbol's address the slot receives. So the stub's
 * first instructions are read, for the few shapes that linkers emit, and no layout
 * is assumed. A lazy stub under IBT has no such jump; it pushes the number of its
 * relocation instead.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "symbol/plt_symbols.h"

#define ENTRIES_MAX 65536	   /* of one section; libstdc++ has about 1,000 */
#define RELOCATIONS_MAX (8u << 20) /* 200 MB of .rela.dyn */

struct got_slot {
	uint64_t vaddr;
	const char *name; /* NULL: resolver */
	uint64_t resolver;
};

struct plt_reader {
	struct elf_section dynsym, dynstr, rela_plt;
	struct got_slot *slots; /* ascending */
	size_t slot_count;
};

static const char *dynamic_name(const struct plt_reader *r, uint64_t index)
{
	Elf64_Sym symbol;

	if (!r->dynsym.data || !r->dynstr.data || index >= r->dynsym.data_size / sizeof(symbol))
		return NULL;
	memcpy(&symbol, r->dynsym.data + index * sizeof(symbol), sizeof(symbol));
	if (symbol.st_name == 0 || symbol.st_name >= r->dynstr.data_size ||
	    !memchr(r->dynstr.data + symbol.st_name, '\0', r->dynstr.data_size - symbol.st_name))
		return NULL;
	return (const char *)r->dynstr.data + symbol.st_name;
}

/* False if the relocation fills no slot that a stub jumps through. */
static bool slot_of(const struct plt_reader *r, const Elf64_Rela *rela, struct got_slot *ret_slot)
{
	struct got_slot slot = {.vaddr = rela->r_offset};

	switch (ELF64_R_TYPE(rela->r_info)) {
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_GLOB_DAT:
		slot.name = dynamic_name(r, ELF64_R_SYM(rela->r_info));
		if (!slot.name || slot.name[0] == '\0')
			return false;
		break;
	case R_X86_64_IRELATIVE:
		slot.resolver = (uint64_t)rela->r_addend;
		break;
	default:
		return false;
	}
	*ret_slot = slot;
	return true;
}

static bool relocation_at(const struct elf_section *section, size_t index, Elf64_Rela *ret_rela)
{
	if (!section->data || index >= section->data_size / sizeof(*ret_rela) ||
	    index >= RELOCATIONS_MAX)
		return false;
	memcpy(ret_rela, section->data + index * sizeof(*ret_rela), sizeof(*ret_rela));
	return true;
}

static void collect_slots(const struct plt_reader *r, const struct elf_section *relocations,
			  struct buffer *slots)
{
	Elf64_Rela rela;
	struct got_slot slot;

	for (size_t i = 0; relocation_at(relocations, i, &rela); i++)
		if (slot_of(r, &rela, &slot))
			buffer_append(slots, &slot, sizeof(slot));
}

static int compare_slots(const void *a, const void *b)
{
	const struct got_slot *x = a;
	const struct got_slot *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static const struct got_slot *find_slot(const struct plt_reader *r, uint64_t vaddr)
{
	struct got_slot key = {.vaddr = vaddr};

	if (r->slot_count == 0)
		return NULL;
	return bsearch(&key, r->slots, r->slot_count, sizeof(key), compare_slots);
}

static int32_t displacement_at(const uint8_t *code)
{
	int32_t value;

	memcpy(&value, code, sizeof(value));
	return value;
}

static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};

/* [endbr64] [mov $n,%r11d: mold] [bnd] jmp *slot(%rip) */
static bool decode_jump(const uint8_t *code, size_t size, uint64_t vaddr, uint64_t *ret_slot)
{
	size_t at = 0;

	if (size >= 4 && !memcmp(code, endbr64, 4))
		at = 4;
	if (size >= at + 6 && code[at] == 0x41 && code[at + 1] == 0xbb)
		at += 6;
	if (size > at && code[at] == 0xf2)
		at++;
	if (size < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	*ret_slot = vaddr + at + 6 + (uint64_t)(int64_t)displacement_at(code + at + 2);
	return true;
}

/* [endbr64] push $relocation */
static bool decode_push(const uint8_t *code, size_t size, uint32_t *ret_relocation)
{
	size_t at = size >= 4 && !memcmp(code, endbr64, 4) ? 4 : 0;

	if (size < at + 5 || code[at] != 0x68)
		return false;
	*ret_relocation = (uint32_t)displacement_at(code + at + 1);
	return true;
}

static bool decode_entry(const struct plt_reader *r, const uint8_t *code, size_t size,
			 uint64_t vaddr, struct got_slot *ret_slot)
{
	const struct got_slot *found;
	uint32_t relocation;
	uint64_t slot;
	Elf64_Rela rela;

	if (decode_jump(code, size, vaddr, &slot)) {
		found = find_slot(r, slot);
		if (found)
			*ret_slot = *found;
		return found != NULL;
	}
	return decode_push(code, size, &relocation) &&
	       relocation_at(&r->rela_plt, relocation, &rela) && slot_of(r, &rela, ret_slot);
}

static void read_section(const struct plt_reader *r, const struct elf_section *s,
			 struct buffer *entries)
{
	bool is_compact = !strcmp(s->name, ".plt.got"); /* 8-byte stubs, but 16 with endbr64 */
	size_t step = is_compact ? 8 : 16;

	for (size_t at = 0; at < s->data_size && at / step < ENTRIES_MAX; at += step) {
		const uint8_t *code = s->data + at;
		size_t left = s->data_size - at;
		size_t size = left < 16 ? left : 16;
		struct got_slot slot = {};
		struct plt_entry entry;

		if (!decode_entry(r, code, size, s->vaddr + at, &slot))
			continue;
		if (is_compact && (size < 4 || memcmp(code, endbr64, 4) != 0) && size > 8)
			size = 8;
		entry = (struct plt_entry){
			.start = s->vaddr + at,
			.end = s->vaddr + at + size,
			.name = slot.name,
			.resolver = slot.resolver,
		};
		buffer_append(entries, &entry, sizeof(entry));
	}
}

int plt_symbols_read(struct elf_image *image, struct buffer *entries)
{
	static const char *const tables[] = {".plt", ".plt.sec", ".plt.got", ".iplt"};
	struct plt_reader r = {};
	struct elf_section rela_dyn = {};
	struct elf_section section;
	struct buffer slots = {};
	bool is_whole;

	/* Absent sections stay zero: no data. */
	elf_image__find_section(image, ".dynsym", &r.dynsym);
	elf_image__find_section(image, ".dynstr", &r.dynstr);
	elf_image__find_section(image, ".rela.plt", &r.rela_plt);
	elf_image__find_section(image, ".rela.dyn", &rela_dyn);
	collect_slots(&r, &r.rela_plt, &slots);
	collect_slots(&r, &rela_dyn, &slots);
	r.slots = (struct got_slot *)slots.data;
	r.slot_count = slots.size / sizeof(*r.slots);
	if (r.slot_count > 0)
		qsort(r.slots, r.slot_count, sizeof(*r.slots), compare_slots);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (!elf_image__find_section(image, tables[i], &section) && section.data)
			read_section(&r, &section, entries);
	is_whole = !entries->failed && !slots.failed;
	buffer_done(&slots);
	return is_whole ? 0 : -ENOMEM;
}
