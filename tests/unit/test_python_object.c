/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eval ranges of ELF files made here: a hot part, fragments that only jumps lead
 * to, and functions that jumps lead to as well but that are no fragments.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug_offsets_sample.h"
#include "python/python_object.h"

#define TEXT 0x401000ULL /* vaddr and, less 0x400000, file offset */
#define TEXT_BYTES 0x4000u
#define DATA 0x405000ULL
#define DATA_BYTES 0x800u
#define TABLES 0x5800u /* file offset of symbols, strings, sections */
#define FILE_BYTES 0x8000u
#define HOT TEXT
#define HOT_BYTES 0x100u
#define SYMBOLS_MAX 16

struct file {
	uint8_t *bytes;
	Elf64_Sym symbols[SYMBOLS_MAX];
	size_t symbol_count;
	char strings[512];
	size_t strings_size;
	struct fde fdes[8];
	size_t fde_count;
	uint64_t functions[8]; /* starts of FDEs that begin like a function */
	size_t function_count;
	size_t asked;
};

static void add_symbol(struct file *f, const char *name, uint64_t vaddr, uint64_t size, int type)
{
	Elf64_Sym *s = &f->symbols[f->symbol_count++];

	s->st_name = (Elf64_Word)f->strings_size;
	s->st_info = ELF64_ST_INFO(STB_GLOBAL, type);
	s->st_shndx = 1;
	s->st_value = vaddr;
	s->st_size = size;
	strcpy(f->strings + f->strings_size, name);
	f->strings_size += strlen(name) + 1;
}

static void add_fde(struct file *f, uint64_t start, uint64_t end, bool is_function)
{
	f->fdes[f->fde_count++] = (struct fde){.start = start, .end = end};
	if (is_function)
		f->functions[f->function_count++] = start;
}

static void put_jump(struct file *f, uint64_t at, uint64_t to, bool conditional)
{
	uint8_t *p = f->bytes + (at - 0x400000);
	int32_t displacement = (int32_t)(to - at - (conditional ? 6 : 5));

	if (conditional)
		*p++ = 0x0f;
	*p++ = conditional ? 0x84 : 0xe9;
	memcpy(p, &displacement, sizeof(displacement));
}

static int set_up(void **state)
{
	struct file *f = calloc(1, sizeof(*f));

	f->bytes = calloc(1, FILE_BYTES);
	memset(f->bytes + 0x1000, 0x90, TEXT_BYTES);
	f->strings_size = 1;
	f->symbol_count = 1;
	add_fde(f, HOT, HOT + HOT_BYTES, true);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct file *f = *state;

	free(f->bytes);
	free(f);
	return 0;
}

static int starts_like_function(void *context, const struct fde *fde)
{
	struct file *f = context;

	f->asked++;
	for (size_t i = 0; i < f->function_count; i++) {
		if (f->functions[i] == fde->start)
			return 1;
	}
	return 0;
}

/* Headers: .text, .data, .dynsym or .symtab, its strings, section names. */
static void finish(struct file *f, uint32_t symbol_table, uint16_t type)
{
	static const char names[] = "\0.text\0.data\0.symbols\0.strings\0.names";
	size_t strings = TABLES + sizeof(f->symbols), headers = 0x7000;
	Elf64_Ehdr ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			   .e_type = type,
			   .e_machine = EM_X86_64,
			   .e_version = EV_CURRENT,
			   .e_phoff = sizeof(ehdr),
			   .e_shoff = headers,
			   .e_ehsize = sizeof(ehdr),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2,
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = 6,
			   .e_shstrndx = 5};
	Elf64_Phdr phdr[2] = {
		{.p_type = PT_LOAD,
		 .p_flags = PF_R | PF_X,
		 .p_offset = 0x1000,
		 .p_vaddr = TEXT,
		 .p_filesz = TEXT_BYTES,
		 .p_memsz = TEXT_BYTES,
		 .p_align = 0x1000},
		{.p_type = PT_LOAD,
		 .p_flags = PF_R | PF_W,
		 .p_offset = 0x5000,
		 .p_vaddr = DATA,
		 .p_filesz = DATA_BYTES,
		 .p_memsz = DATA_BYTES,
		 .p_align = 0x1000},
	};
	Elf64_Shdr shdr[6] = {
		[1] = {.sh_name = 1,
		       .sh_type = SHT_PROGBITS,
		       .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		       .sh_addr = TEXT,
		       .sh_offset = 0x1000,
		       .sh_size = TEXT_BYTES},
		[2] = {.sh_name = 7,
		       .sh_type = SHT_PROGBITS,
		       .sh_flags = SHF_ALLOC | SHF_WRITE,
		       .sh_addr = DATA,
		       .sh_offset = 0x5000,
		       .sh_size = DATA_BYTES},
		[3] = {.sh_name = 13,
		       .sh_type = symbol_table,
		       .sh_offset = TABLES,
		       .sh_size = f->symbol_count * sizeof(Elf64_Sym),
		       .sh_link = 4,
		       .sh_info = 1,
		       .sh_entsize = sizeof(Elf64_Sym),
		       .sh_addralign = 8},
		[4] = {.sh_name = 22,
		       .sh_type = SHT_STRTAB,
		       .sh_offset = strings,
		       .sh_size = f->strings_size},
		[5] = {.sh_name = 31,
		       .sh_type = SHT_STRTAB,
		       .sh_offset = 0x7800,
		       .sh_size = sizeof(names)},
	};

	memcpy(f->bytes, &ehdr, sizeof(ehdr));
	memcpy(f->bytes + sizeof(ehdr), phdr, sizeof(phdr));
	memcpy(f->bytes + TABLES, f->symbols, sizeof(f->symbols));
	memcpy(f->bytes + strings, f->strings, f->strings_size);
	memcpy(f->bytes + headers, shdr, sizeof(shdr));
	memcpy(f->bytes + 0x7800, names, sizeof(names));
}

static int compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void read_facts(struct file *f, uint32_t symbol_table, struct python_facts *facts)
{
	struct fde_index fdes = {.fdes = f->fdes, .count = f->fde_count};
	struct python_object_input input = {
		.fdes = &fdes, .starts_like_function = starts_like_function, .context = f};

	finish(f, symbol_table, ET_EXEC);
	qsort(f->fdes, f->fde_count, sizeof(f->fdes[0]), compare_fdes);
	assert_int_equal(elf_image__open_memory(f->bytes, FILE_BYTES, &input.image), 0);
	assert_int_equal(python_object_read(&input, facts), 0);
	elf_image__free(input.image);
}

static void assert_range(const struct python_facts *facts, uint32_t i, uint64_t start, uint64_t end)
{
	assert_true(i < facts->eval_range_count);
	assert_int_equal(facts->eval_ranges[i].start, start);
	assert_int_equal(facts->eval_ranges[i].end, end);
}

static void not_python(void **state)
{
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "main", HOT, HOT_BYTES, STT_FUNC);
	add_symbol(f, "_PyRuntime", DATA, 64, STT_OBJECT);
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.eval_range_count, 0);
	assert_int_equal(facts.runtime, 0);
	assert_int_equal(f->asked, 0);
}

static void fragments_by_votes(void **state)
{
	struct file *f = *state;
	struct python_facts facts;
	const uint64_t cold = HOT + 0x2000, colder = HOT + 0x3000, tail = HOT + 0x1000;

	add_symbol(f, "_PyEval_EvalFrameDefault", HOT, HOT_BYTES, STT_FUNC);
	add_fde(f, cold, cold + 0x200, false);
	add_fde(f, colder, colder + 0x80, false);
	add_fde(f, tail, tail + 0x100, true);
	put_jump(f, HOT + 0x10, cold, true);
	put_jump(f, HOT + 0x23, cold + 0x31, false);
	for (int i = 0; i < 5; i++)
		put_jump(f, HOT + 0x40 + 6u * (unsigned)i, tail, true); /* tail calls */
	put_jump(f, cold + 0x50, HOT + 0x44, false);
	/* a fragment that only the fragment jumps to */
	put_jump(f, cold + 0x60, colder + 4, true);
	put_jump(f, cold + 0x70, colder + 9, true);
	put_jump(f, colder + 0x20, cold + 3, false);
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.eval_range_count, 3);
	assert_range(&facts, 0, HOT, HOT + HOT_BYTES);
	assert_range(&facts, 1, cold, cold + 0x200);
	assert_range(&facts, 2, colder, colder + 0x80);
	assert_int_equal(facts.eval_entry, HOT);
	assert_int_equal(facts.is_executable, 1);
}

static void fragments_below_the_entry(void **state)
{
	struct file *f = *state;
	struct python_facts facts;
	const uint64_t entry = HOT + 0x3000, cold = HOT + 0x200;

	add_symbol(f, "_PyEval_EvalFrameDefault", entry, 0x100, STT_FUNC);
	add_fde(f, entry, entry + 0x100, true);
	add_fde(f, cold, cold + 0x200, false);
	put_jump(f, entry + 0x10, cold + 1, true);
	put_jump(f, entry + 0x20, cold + 9, true);
	put_jump(f, cold + 0x50, entry + 0x44, false);
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.eval_range_count, 2);
	assert_range(&facts, 0, cold, cold + 0x200);
	assert_range(&facts, 1, entry, entry + 0x100);
	assert_int_equal(facts.eval_entry, entry);
}

/* One vote, votes for code that never comes back, and votes for data elect nothing. */
static void too_little_for_a_fragment(void **state)
{
	struct file *f = *state;
	struct python_facts facts;
	const uint64_t once = HOT + 0x1000, away = HOT + 0x2000;

	add_symbol(f, "_PyEval_EvalFrameDefault", HOT, HOT_BYTES, STT_FUNC);
	add_fde(f, once, once + 0x100, false);
	add_fde(f, away, away + 0x100, false);
	add_fde(f, DATA, DATA + 0x100, false);
	put_jump(f, HOT + 0x10, once, true);
	put_jump(f, once + 0x10, HOT + 0x20, false);
	put_jump(f, HOT + 0x20, away, true);
	put_jump(f, HOT + 0x30, away + 8, true);
	put_jump(f, HOT + 0x40, DATA, true);
	put_jump(f, HOT + 0x50, DATA + 8, true);
	put_jump(f, DATA + 0x10, HOT, false);
	put_jump(f, HOT + HOT_BYTES - 3, away + 16, true); /* runs over the end */
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.eval_range_count, 1);
	assert_range(&facts, 0, HOT, HOT + HOT_BYTES);
}

static void fragments_by_name(void **state)
{
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "_PyEval_EvalFrameDefault", HOT, HOT_BYTES, STT_FUNC);
	add_symbol(f, "_PyEval_EvalFrameDefault.cold", HOT + 0x800, 8, STT_FUNC);
	add_symbol(f, "_PyEval_EvalFrameDefaultly", HOT + 0x900, 8, STT_FUNC);
	add_symbol(f, "_PyEval_EvalFrameDefault.data", DATA, 8, STT_OBJECT);
	read_facts(f, SHT_SYMTAB, &facts);
	assert_int_equal(facts.eval_range_count, 2);
	assert_range(&facts, 1, HOT + 0x800, HOT + 0x808);
}

static void hostile_symbols(void **state)
{
	static const struct {
		uint64_t vaddr, size;
	} cases[] = {{HOT, 0},		{HOT, TEXT_BYTES + 1}, {DATA, 16},     {0, 16},
		     {HOT, UINT64_MAX}, {UINT64_MAX, 2},       {TEXT - 1, 16}, {HOT, 1ULL << 40}};
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "_PyEval_EvalFrameDefault", 0, 0, STT_FUNC);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->symbols[1].st_value = cases[i].vaddr;
		f->symbols[1].st_size = cases[i].size;
		read_facts(f, SHT_DYNSYM, &facts);
		assert_int_equal(facts.eval_range_count, 0);
	}
}

static void parts_of_3_12(void **state)
{
	static const uint64_t version = 0x030c01f0;
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "_PyEval_EvalFrameDefault", HOT, HOT_BYTES, STT_FUNC);
	add_symbol(f, "Py_Version", DATA + 16, 8, STT_OBJECT);
	add_symbol(f, "_PyRuntime", DATA + 32, 512, STT_OBJECT);
	add_symbol(f, "PyCode_Type", DATA + 1024, 416, STT_OBJECT);
	memcpy(f->bytes + 0x5010, &version, sizeof(version));
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.version, version);
	assert_int_equal(facts.runtime, DATA + 32);
	assert_int_equal(facts.runtime_size, 512);
	assert_int_equal(facts.code_type, DATA + 1024);
	assert_int_equal(facts.debug_offsets_size, 0);
}

static void debug_offsets_in_the_file(void **state)
{
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "_PyEval_EvalFrameDefault", HOT, HOT_BYTES, STT_FUNC);
	add_symbol(f, "_PyRuntime", DATA, 600, STT_OBJECT);
	memset(f->bytes + 0x5000, 0, DATA_BYTES);
	memcpy(f->bytes + 0x5000, "xdebugpy", 8);
	sample_set(f->bytes + 0x5000, 8, 0x030d12f0);
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.version, 0x030d12f0);
	assert_int_equal(facts.debug_offsets_size, 600);
	assert_memory_equal(facts.debug_offsets, "xdebugpy", 8);
}

static void legacy_versions(void **state)
{
	struct file *f = *state;
	struct python_facts facts;

	add_symbol(f, "PyEval_EvalFrameEx", HOT, HOT_BYTES, STT_FUNC);
	add_symbol(f, "PyString_FromString", HOT + 0x800, 16, STT_FUNC);
	read_facts(f, SHT_DYNSYM, &facts);
	assert_int_equal(facts.eval_range_count, 1);
	assert_int_equal(facts.version >> 16, 0x0207);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(not_python),
		TEST(fragments_by_votes),
		TEST(fragments_below_the_entry),
		TEST(too_little_for_a_fragment),
		TEST(fragments_by_name),
		TEST(hostile_symbols),
		TEST(parts_of_3_12),
		TEST(debug_offsets_in_the_file),
		TEST(legacy_versions),
	};

	return cmocka_run_group_tests_name("python_object", tests, NULL, NULL);
}
