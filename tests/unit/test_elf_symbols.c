/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of ELF code: a small image built here for each rule, this program and libc
 * by addresses that the dynamic linker tells, stubs as objdump names them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "symbol/demangle.h"
#include "symbol/elf_symbols.h"

#define TEXT 0x1000 /* vaddr and offset of .text, 0x1000 bytes; .fini follows with 0x100 */
#define FINI 0x2000

struct planned {
	const char *name;
	uint64_t vaddr;
	uint64_t size;
	uint8_t type;
	uint8_t binding;
	bool is_dynamic;
};

struct layout { /* of the file behind its code */
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint8_t code[FINI + 0x100 - sizeof(Elf64_Ehdr) - sizeof(Elf64_Phdr)];
	Elf64_Shdr sections[8];
	Elf64_Sym symtab[32], dynsym[32];
	char strings[1024];
};

static const char section_names[] = "\0.text\0.fini\0.symtab\0.strtab\0.dynsym\0.gopclntab\0";

static void set_section(struct layout *l, int i, const char *name, uint32_t type, uint64_t vaddr,
			uint64_t offset, uint64_t size)
{
	l->sections[i] = (Elf64_Shdr){
		.sh_name = (uint32_t)((const char *)memmem(section_names, sizeof(section_names),
							   name, strlen(name) + 1) -
				      section_names),
		.sh_type = type,
		.sh_addr = vaddr,
		.sh_offset = offset,
		.sh_size = size,
		.sh_addralign = 1,
	};
}

static void add_symbols(struct layout *l, const struct planned *plan, size_t count,
			size_t *ret_static, size_t *ret_dynamic)
{
	size_t used = sizeof(section_names);
	size_t counts[2] = {1, 1};

	memcpy(l->strings, section_names, sizeof(section_names));
	for (size_t i = 0; i < count; i++) {
		Elf64_Sym *table = plan[i].is_dynamic ? l->dynsym : l->symtab;

		table[counts[plan[i].is_dynamic]++] = (Elf64_Sym){
			.st_name = (uint32_t)used,
			.st_value = plan[i].vaddr,
			.st_size = plan[i].size,
			.st_info = ELF64_ST_INFO(plan[i].binding, plan[i].type),
			.st_shndx = 1,
		};
		strcpy(l->strings + used, plan[i].name);
		used += strlen(plan[i].name) + 1;
		assert_true(used < sizeof(l->strings));
	}
	*ret_static = counts[0];
	*ret_dynamic = counts[1];
}

static struct elf_image *build(const struct planned *plan, size_t count, bool is_go)
{
	_cleanup_free_ struct layout *l = calloc(1, sizeof(*l));
	struct elf_image *image = NULL;
	size_t statics, dynamics;

	add_symbols(l, plan, count, &statics, &dynamics);
	l->header = (Elf64_Ehdr){
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct layout, segment),
		.e_shoff = offsetof(struct layout, sections),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = is_go ? 7 : 6,
		.e_shstrndx = 4,
	};
	l->segment = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_filesz = FINI + 0x100,
		.p_memsz = FINI + 0x100,
		.p_align = 0x1000,
	};
	set_section(l, 1, ".text", SHT_PROGBITS, TEXT, TEXT, 0x1000);
	set_section(l, 2, ".fini", SHT_PROGBITS, FINI, FINI, 0x100);
	set_section(l, 3, ".symtab", SHT_SYMTAB, 0, offsetof(struct layout, symtab),
		    statics * sizeof(Elf64_Sym));
	set_section(l, 4, ".strtab", SHT_STRTAB, 0, offsetof(struct layout, strings),
		    sizeof(l->strings));
	set_section(l, 5, ".dynsym", SHT_DYNSYM, 0, offsetof(struct layout, dynsym),
		    dynamics * sizeof(Elf64_Sym));
	set_section(l, 6, ".gopclntab", SHT_PROGBITS, 0, 0, 0);
	l->sections[3].sh_link = l->sections[5].sh_link = 4;
	l->sections[3].sh_entsize = l->sections[5].sh_entsize = sizeof(Elf64_Sym);
	assert_int_equal(elf_image__open_memory(l, sizeof(*l), &image), 0);
	return image;
}

struct expected {
	uint64_t vaddr;
	const char *name; /* NULL: none */
};

static void expect_all(const struct planned *plan, size_t plan_count, bool is_go,
		       const struct expected *expected, size_t count)
{
	_cleanup_(elf_image__freep) struct elf_image *image = build(plan, plan_count, is_go);
	_cleanup_(elf_symbols__freep) struct elf_symbols *symbols = NULL;

	assert_int_equal(elf_symbols__new(image, &symbols), 0);
	elf_image__free(take_ptr(image)); /* the names do not need it any more */
	for (size_t i = 0; i < count; i++) {
		const char *found = elf_symbols__find(symbols, expected[i].vaddr);

		if (!found || !expected[i].name)
			assert_ptr_equal(found, expected[i].name);
		else
			assert_string_equal(found, expected[i].name);
		assert_ptr_equal(found, elf_symbols__find(symbols, expected[i].vaddr));
	}
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define EXPECT(plan, expected) expect_all(plan, COUNT(plan), false, expected, COUNT(expected))

static void test_aliases(void **state)
{
	static const struct planned plan[] = {
		{"__read", TEXT, 16, STT_FUNC, STB_GLOBAL},
		{"read", TEXT, 16, STT_FUNC, STB_WEAK},
		{"r", TEXT, 16, STT_FUNC, STB_LOCAL},
		{"__libc_malloc", TEXT + 16, 16, STT_FUNC, STB_GLOBAL},
		{"malloc", TEXT + 16, 16, STT_FUNC, STB_GLOBAL},
		{"open64", TEXT + 32, 16, STT_FUNC, STB_WEAK},
		{"open", TEXT + 32, 16, STT_FUNC, STB_WEAK},
		{"label", TEXT + 48, 0, STT_NOTYPE, STB_GLOBAL},
		{"sized", TEXT + 48, 16, STT_FUNC, STB_LOCAL},
		{"one", TEXT + 64, 8, STT_FUNC, STB_GLOBAL},
		{"two", TEXT + 64, 16, STT_FUNC, STB_LOCAL},
	};
	static const struct expected expected[] = {
		{TEXT, "read"},	     {TEXT + 15, "read"},  {TEXT + 16, "malloc"},
		{TEXT + 32, "open"}, {TEXT + 48, "sized"}, {TEXT + 63, "sized"},
		{TEXT + 79, "one"},  {TEXT + 80, NULL},	   {TEXT - 1, NULL},
	};

	(void)state;
	EXPECT(plan, expected);
}

static void test_overlaps(void **state)
{
	static const struct planned plan[] = {
		{"outer", TEXT, 100, STT_FUNC, STB_GLOBAL},
		{"inner", TEXT + 20, 10, STT_FUNC, STB_GLOBAL},
		{"label", TEXT + 50, 0, STT_NOTYPE, STB_LOCAL},
		{"crossing", TEXT + 90, 30, STT_FUNC, STB_GLOBAL},
		{"data", TEXT + 10, 4, STT_OBJECT, STB_GLOBAL},
		{"outside", 0x9000, 16, STT_FUNC, STB_GLOBAL},
		{"huge", FINI + 0x80, UINT64_MAX, STT_FUNC, STB_GLOBAL},
	};
	static const struct expected expected[] = {
		{TEXT + 10, "outer"},	  {TEXT + 19, "outer"},
		{TEXT + 20, "inner"},	  {TEXT + 29, "inner"},
		{TEXT + 30, "outer"},	  {TEXT + 50, "outer"},
		{TEXT + 89, "outer"},	  {TEXT + 90, "crossing"},
		{TEXT + 119, "crossing"}, {TEXT + 120, NULL},
		{0x9000, NULL},		  {FINI + 0x80, "huge"},
		{FINI + 0xff, "huge"},	  {FINI + 0x100, NULL},
		{UINT64_MAX, NULL},	  {0, NULL},
	};

	(void)state;
	EXPECT(plan, expected);
}

static void test_without_size(void **state)
{
	static const struct planned plan[] = {
		{"start", TEXT, 0, STT_NOTYPE, STB_GLOBAL},
		{"sized", TEXT + 32, 16, STT_FUNC, STB_GLOBAL},
		{"last", TEXT + 64, 0, STT_FUNC, STB_GLOBAL},
		{"_fini", FINI, 0, STT_FUNC, STB_LOCAL},
		{"_etext", FINI + 0x10, 0, STT_NOTYPE, STB_GLOBAL},
		{"$x", TEXT + 80, 0, STT_NOTYPE, STB_LOCAL},
	};
	static const struct expected expected[] = {
		{TEXT + 31, "start"}, {TEXT + 32, "sized"},   {TEXT + 48, NULL},
		{TEXT + 64, "last"},  {TEXT + 80, "last"},    {FINI - 1, "last"},
		{FINI, "_fini"},      {FINI + 0xff, "_fini"}, {FINI + 0x100, NULL},
	};

	(void)state;
	EXPECT(plan, expected);
}

static void test_symtab_before_dynsym(void **state)
{
	static const struct planned plan[] = {
		{"whole", TEXT, 64, STT_FUNC, STB_LOCAL},
		{"part", TEXT + 16, 16, STT_FUNC, STB_GLOBAL, true},
		{"exported", TEXT + 64, 64, STT_FUNC, STB_GLOBAL, true},
		{"local", TEXT + 96, 8, STT_FUNC, STB_LOCAL},
	};
	static const struct expected expected[] = {
		{TEXT + 16, "whole"},	  {TEXT + 64, "exported"}, {TEXT + 96, "local"},
		{TEXT + 104, "exported"}, {TEXT + 128, NULL},
	};

	(void)state;
	EXPECT(plan, expected);
}

static const struct planned fragments[] = {
	{"foo.cold", TEXT, 8, STT_FUNC, STB_LOCAL},
	{"foo.part.0", TEXT + 8, 8, STT_FUNC, STB_LOCAL},
	{"_Z3barv.constprop.0.isra.0.cold", TEXT + 16, 8, STT_FUNC, STB_LOCAL},
	{"_ZN3baz3quxEi.llvm.8122334455", TEXT + 24, 8, STT_FUNC, STB_LOCAL},
	{"foo.lto_priv.12", TEXT + 32, 8, STT_FUNC, STB_LOCAL},
	{"foo.cold.17", TEXT + 40, 8, STT_FUNC, STB_LOCAL},
	{"foo.avx2", TEXT + 48, 8, STT_FUNC, STB_LOCAL},
	{".cold", TEXT + 56, 8, STT_FUNC, STB_LOCAL},
	{"main.partly", TEXT + 64, 8, STT_FUNC, STB_LOCAL},
	{"foo.part", TEXT + 72, 8, STT_FUNC, STB_LOCAL},
	{"foo.0", TEXT + 80, 8, STT_FUNC, STB_LOCAL},
};

static void test_fragments(void **state)
{
	static const struct expected expected[] = {
		{TEXT, "foo"},
		{TEXT + 8, "foo"},
		{TEXT + 16, "bar()"},
		{TEXT + 24, "baz::qux(int)"},
		{TEXT + 32, "foo"},
		{TEXT + 40, "foo"},
		{TEXT + 48, "foo.avx2"},
		{TEXT + 56, ".cold"},
		{TEXT + 64, "main.partly"},
		{TEXT + 72, "foo.part"},
		{TEXT + 80, "foo.0"},
	};
	static const struct expected in_go[] = {{TEXT, "foo.cold"}, {TEXT + 8, "foo.part.0"}};

	(void)state;
	EXPECT(fragments, expected);
	expect_all(fragments, COUNT(fragments), true, in_go, COUNT(in_go));
}

/* Each address by the sweep against each symbol in turn: the innermost of the sized ones. */
static void test_sweep_against_search(void **state)
{
	static char names[24][8];
	struct planned plan[24];

	(void)state;
	srand(7);
	for (int round = 0; round < 200; round++) {
		_cleanup_(elf_image__freep) struct elf_image *image = NULL;
		_cleanup_(elf_symbols__freep) struct elf_symbols *symbols = NULL;

		for (int i = 0; i < 24; i++) {
			snprintf(names[i], sizeof(names[i]), "f%d", i);
			plan[i] =
				(struct planned){names[i], (uint64_t)(TEXT + i * 7 + rand() % 7),
						 (uint64_t)(1 + rand() % 60), STT_FUNC, STB_GLOBAL};
		}
		image = build(plan, 24, false);
		assert_int_equal(elf_symbols__new(image, &symbols), 0);
		for (uint64_t vaddr = TEXT; vaddr < TEXT + 300; vaddr++) {
			const char *found = elf_symbols__find(symbols, vaddr);
			const char *wanted = NULL;

			for (int i = 0; i < 24; i++) /* ascending: the last has the highest start */
				if (vaddr >= plan[i].vaddr && vaddr < plan[i].vaddr + plan[i].size)
					wanted = names[i];
			if (!found || !wanted)
				assert_ptr_equal(found, wanted);
			else
				assert_string_equal(found, wanted);
		}
	}
}

struct opened {
	struct elf_image *image;
	struct elf_symbols *symbols;
};

static struct opened open_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct opened o = {};

	assert_true(fd >= 0);
	assert_int_equal(elf_image__open(fd, &o.image), 0);
	assert_int_equal(elf_symbols__new(o.image, &o.symbols), 0);
	return o;
}

static void close_file(struct opened *o)
{
	elf_symbols__free(o->symbols);
	elf_image__free(o->image);
}

static __attribute__((noinline)) int local_function(int a)
{
	__asm__ volatile("" ::: "memory");
	return a + 1;
}

static void test_this_program(void **state)
{
	struct opened o = open_file("/proc/self/exe");
	uint64_t vaddr = (uint64_t)(uintptr_t)&local_function;
	Dl_info info;

	(void)state;
	assert_int_not_equal(dladdr((void *)(uintptr_t)local_function, &info), 0);
	vaddr -= (uint64_t)(uintptr_t)info.dli_fbase;
	assert_string_equal(elf_symbols__find(o.symbols, vaddr), "local_function");
	assert_string_equal(elf_symbols__find(o.symbols, vaddr + 2), "local_function");
	close_file(&o);
}

static void test_libc(void **state)
{
	static const char *const names[] = {"malloc", "free",	"qsort", "getpid",	   "printf",
					    "read",   "write",	"fopen", "pthread_create", "puts",
					    "getenv", "strtol", "exit",	 "abort"};
	struct opened o;
	Dl_info info;

	(void)state;
	assert_int_not_equal(dladdr(dlsym(RTLD_NEXT, "qsort"), &info), 0);
	o = open_file(info.dli_fname);
	for (size_t i = 0; i < COUNT(names); i++) {
		void *address = dlsym(RTLD_NEXT, names[i]);
		uint64_t vaddr = (uint64_t)(uintptr_t)address;
		Dl_info here;

		assert_int_not_equal(dladdr(address, &here), 0);
		if (strcmp(here.dli_fname, info.dli_fname) != 0)
			continue; /* a sanitizer's own */
		vaddr -= (uint64_t)(uintptr_t)here.dli_fbase;
		assert_string_equal(elf_symbols__find(o.symbols, vaddr), names[i]);
		assert_string_equal(elf_symbols__find(o.symbols, vaddr + 1), names[i]);
	}
	close_file(&o);
}

/* objdump decodes stubs by itself; what it names <x@plt> without "*ABS*" must be what we name. */
static size_t compare_stubs(const char *path, size_t *ret_resolvers)
{
	struct opened o = open_file(path);
	char command[512], *line = NULL;
	size_t room = 0, compared = 0;
	FILE *dump;

	snprintf(command, sizeof(command),
		 "objdump -d -j .plt -j .plt.sec -j .plt.got %s 2>/dev/null", path);
	dump = popen(command, "r");
	assert_non_null(dump);
	while (getline(&line, &room, dump) > 0) {
		_cleanup_free_ char *wanted = NULL;
		char name[400];
		uint64_t vaddr;
		const char *found;
		char *end;

		if (sscanf(line, "%lx <%399[^>\n]>:", &vaddr, name) != 2)
			continue;
		end = strstr(name, "@plt");
		if (!end || strcmp(end, "@plt") != 0)
			continue; /* the resolver stub, or foo@plt-0x10 */
		found = elf_symbols__find(o.symbols, vaddr);
		assert_non_null(found);
		if (!strncmp(name, "*ABS*", 5)) {
			(*ret_resolvers)++;
			assert_non_null(strstr(found, "@plt"));
			continue;
		}
		*end = '\0';
		name[strcspn(name, "@")] = '\0';
		wanted = demangle_symbol(name);
		assert_int_equal(strncmp(found, wanted, strlen(wanted)), 0);
		assert_string_equal(found + strlen(wanted), "@plt");
		compared++;
	}
	pclose(dump);
	free(line);
	close_file(&o);
	return compared;
}

static void test_stubs(void **state)
{
	size_t resolvers = 0, compared;
	Dl_info info;
	void *handle = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);

	(void)state;
	if (system("command -v objdump >/dev/null 2>&1") != 0) {
		print_message("skipped: no objdump\n");
		skip();
	}
	assert_int_not_equal(dladdr(dlsym(RTLD_NEXT, "qsort"), &info), 0);
	compared = compare_stubs(info.dli_fname, &resolvers);
	print_message("libc: %zu stubs, %zu by resolver\n", compared, resolvers);
	assert_true(compared + resolvers > 10);
	if (handle) {
		assert_int_not_equal(dladdr(dlsym(handle, "__cxa_throw"), &info), 0);
		compared = compare_stubs(info.dli_fname, &resolvers);
		print_message("libstdc++: %zu stubs\n", compared);
		assert_true(compared > 10);
		dlclose(handle);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aliases),	     cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_without_size), cmocka_unit_test(test_symtab_before_dynsym),
		cmocka_unit_test(test_fragments),    cmocka_unit_test(test_sweep_against_search),
		cmocka_unit_test(test_this_program), cmocka_unit_test(test_libc),
		cmocka_unit_test(test_stubs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
