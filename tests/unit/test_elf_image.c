/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_image against the running test program (what the dynamic loader says of
 * it), against the vDSO, against small libraries made by the compiler, and
 * against damaged files.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "object/elf_image.h"
#include "object/file_identity.h"

static __thread volatile char tls_bytes[1000] __attribute__((aligned(64)));

static struct elf_image *open_path(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_image *image = NULL;

	assert_true(fd >= 0);
	assert_int_equal(elf_image__open(fd, &image), 0);
	return image;
}

/* A writable copy of this program. */
static int copy_self(void)
{
	_cleanup_close_ int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int out = memfd_create("copy", MFD_CLOEXEC);
	char block[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		assert_int_equal(write(out, block, (size_t)n), n);
	return out;
}

struct loaded {
	uint64_t bias;
	size_t loads;
	uint64_t vaddrs[16], offsets[16], text_start, text_end, tls_size;
};

static int first_object(struct dl_phdr_info *info, size_t size, void *context)
{
	struct loaded *l = context;

	(void)size;
	l->bias = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_TLS)
			l->tls_size = (p->p_memsz + p->p_align - 1) / p->p_align * p->p_align;
		if (p->p_type != PT_LOAD)
			continue;
		l->vaddrs[l->loads] = p->p_vaddr;
		l->offsets[l->loads++] = p->p_offset;
		if (p->p_flags & PF_X) {
			l->text_start = p->p_vaddr;
			l->text_end = p->p_vaddr + p->p_memsz;
		}
	}
	return 1;
}

static void agrees_with_the_loader(void **state)
{
	_cleanup_(elf_image__freep) struct elf_image *image = open_path("/proc/self/exe");
	const struct elf_segment *segments;
	uint64_t start, end, vaddr;
	struct loaded l = {0};

	(void)state;
	tls_bytes[0] = 1;
	dl_iterate_phdr(first_object, &l);
	assert_int_equal(elf_image__segments(image, &segments), l.loads);
	for (size_t i = 0; i < l.loads; i++) {
		assert_int_equal(segments[i].vaddr, l.vaddrs[i]);
		assert_int_equal(segments[i].offset, l.offsets[i]);
		assert_true(elf_image__offset_to_vaddr(image, l.offsets[i], &vaddr));
		assert_int_equal(vaddr, l.vaddrs[i]);
	}
	assert_false(elf_image__offset_to_vaddr(image, 1ull << 40, &vaddr));
	assert_true(elf_image__text_range(image, &start, &end));
	assert_int_equal(start, l.text_start);
	assert_int_equal(end, l.text_end);
	assert_true(l.tls_size >= 1000);
	assert_int_equal(elf_image__tls_block_bytes(image), l.tls_size);
}

static void finds_own_symbols_and_bytes(void **state)
{
	_cleanup_(elf_image__freep) struct elf_image *image = open_path("/proc/self/exe");
	struct loaded l = {0};
	struct elf_symbol symbol;
	const uint8_t *bytes;
	uint64_t start, end;

	(void)state;
	dl_iterate_phdr(first_object, &l);
	assert_int_equal(elf_image__find_symbol(image, "finds_own_symbols_and_bytes", &symbol), 0);
	assert_int_equal(symbol.vaddr + l.bias, (uintptr_t)finds_own_symbols_and_bytes);
	assert_int_equal(symbol.type, STT_FUNC);
	assert_int_equal(symbol.binding, STB_LOCAL);
	bytes = elf_image__bytes_at(image, symbol.vaddr, symbol.size);
	assert_non_null(bytes);
	assert_memory_equal(bytes, (const void *)(uintptr_t)finds_own_symbols_and_bytes,
			    symbol.size);
	assert_int_equal(elf_image__find_symbol(image, "no_such_symbol", &symbol), -ENOENT);
	assert_true(elf_image__text_range(image, &start, &end));
	assert_null(elf_image__bytes_at(image, end - 4, 8));
	assert_null(elf_image__bytes_at(image, start, (size_t)-1));
	assert_null(elf_image__bytes_at(image, UINT64_MAX - 3, 8));
	assert_null(elf_image__bytes_at(image, start, 0));
}

static void sections_are_read(void **state)
{
	_cleanup_(elf_image__freep) struct elf_image *image = open_path("/proc/self/exe");
	struct elf_section section, bss;
	struct loaded l = {0};

	(void)state;
	dl_iterate_phdr(first_object, &l);
	assert_int_equal(elf_image__find_section(image, ".eh_frame", &section), 0);
	assert_int_equal(section.data_size, section.size);
	assert_memory_equal(section.data, (const void *)(section.vaddr + l.bias), section.size);
	assert_int_equal(elf_image__find_section(image, ".bss", &bss), 0);
	assert_null(bss.data);
	assert_int_equal(bss.type, SHT_NOBITS);
	assert_int_equal(elf_image__find_section(image, ".nonesuch", &section), -ENOENT);
}

/* The bytes of the mapping that starts at an address, by the kernel's own list. */
static size_t mapping_bytes(uint64_t address)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start == address)
			return end - start;
	return 0;
}

static void vdso_from_memory(void **state)
{
	const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	struct elf_section section;
	struct elf_symbol symbol;

	(void)state;
	if (!vdso)
		skip();
	assert_int_equal(elf_image__open_memory(vdso, mapping_bytes((uintptr_t)vdso), &image), 0);
	assert_int_equal(elf_image__find_symbol(image, "__vdso_gettimeofday", &symbol), 0);
	assert_int_equal(elf_image__find_section(image, ".eh_frame", &section), 0);
	assert_non_null(section.data);
	assert_false(elf_image__is_executable(image));
}

/* Compiles text with the given options to a library; its image, the files are gone. */
static struct elf_image *compile(const char *text, const char *options)
{
	char directory[] = "/tmp/test_elf_image.XXXXXX";
	char path[64], command[512];
	struct elf_image *image;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.c", directory);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(command, sizeof(command), "cd %s && echo 'V1 { f; };' >map && %s", directory,
		 "gcc -shared -fPIC -Wl,--version-script=map -o a.so a.c ");
	strcat(command, options);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/a.so", directory);
	image = open_path(path);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
	return image;
}

static void compressed_sections_are_inflated(void **state)
{
	static const char text[] = "struct s { int a, b, c; long d[9]; };\n"
				   "int f(struct s *p) { return p->a + p->b * p->c; }\n";
	_cleanup_(elf_image__freep) struct elf_image *plain = compile(text, "-g -gz=none");
	_cleanup_(elf_image__freep) struct elf_image *packed = compile(text, "-g -gz=zlib");
	struct elf_section a, b;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(elf_image__find_section(plain, ".debug_info", &a), 0);
		assert_int_equal(elf_image__find_section(packed, ".debug_info", &b), 0);
		assert_true(a.data_size > 64);
		assert_int_equal(a.data_size, b.data_size);
	}
	assert_int_equal(elf_image__find_section(plain, ".debug_abbrev", &a), 0);
	assert_int_equal(elf_image__find_section(packed, ".debug_abbrev", &b), 0);
	assert_int_equal(a.data_size, b.data_size);
	assert_memory_equal(a.data, b.data, a.data_size);
}

static int count_versions(const struct elf_symbol *symbol, void *context)
{
	assert_null(strchr(symbol->name, '@'));
	*(int *)context += strcmp(symbol->name, "f") == 0;
	return 0;
}

static int stop_at_once(const struct elf_symbol *symbol, void *context)
{
	(void)symbol;
	(*(int *)context)++;
	return 42;
}

static void versions_and_build_ids(void **state)
{
	static const char text[] = "__asm__(\".symver g, f@@V1\");\nint g(void);"
				   "int g(void) { return 1; }\n"
				   "extern int nowhere; int *h(void) { return &nowhere; }\n";
	_cleanup_(elf_image__freep) struct elf_image *image =
		compile(text, "-Wl,--build-id=0x0102030405060708090a");
	_cleanup_(elf_image__freep) struct elf_image *none =
		compile("int f(void) { return 2; }", "-Wl,--build-id=none");
	uint8_t id[32];
	struct elf_symbol symbol;
	int count = 0, calls = 0;

	(void)state;
	assert_int_equal(elf_image__for_each_symbol(image, ELF_SYMTAB, count_versions, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(elf_image__for_each_symbol(image, ELF_DYNSYM, stop_at_once, &calls), 42);
	assert_int_equal(calls, 1);
	assert_int_equal(elf_image__find_symbol(image, "nowhere", &symbol), -ENOENT);
	assert_int_equal(elf_image__build_id(image, id), 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(id[i], i + 1);
	assert_int_equal(elf_image__build_id(none, id), 0);
}

/* Takes e_shoff and e_shnum away, as packers do: .eh_frame is then found by its header. */
static void without_section_headers(void **state)
{
	_cleanup_(elf_image__freep) struct elf_image *image = open_path("/proc/self/exe");
	_cleanup_(elf_image__freep) struct elf_image *bare = NULL;
	_cleanup_close_ int fd = copy_self();
	struct elf_section expected, section;
	uint8_t zero[8] = {0}, id[32], bare_id[32];

	(void)state;
	assert_int_equal(pwrite(fd, zero, 8, offsetof(Elf64_Ehdr, e_shoff)), 8);
	assert_int_equal(pwrite(fd, zero, 4, offsetof(Elf64_Ehdr, e_shnum)), 4);
	assert_int_equal(elf_image__open(fd, &bare), 0);
	assert_int_equal(elf_image__find_section(image, ".eh_frame", &expected), 0);
	assert_int_equal(elf_image__find_section(bare, ".eh_frame", &section), 0);
	assert_int_equal(section.vaddr, expected.vaddr);
	assert_true(section.data_size >= expected.data_size);
	assert_memory_equal(section.data, expected.data, expected.data_size);
	assert_int_equal(elf_image__build_id(bare, bare_id), elf_image__build_id(image, id));
}

static void refuses_other_files(void **state)
{
	static const struct {
		uint32_t offset;
		uint8_t value;
	} changes[] = {
		{EI_CLASS, ELFCLASS32},
		{EI_DATA, ELFDATA2MSB},
		{offsetof(Elf64_Ehdr, e_machine), EM_386},
		{offsetof(Elf64_Ehdr, e_type), ET_CORE},
		{0, 'x'},
	};
	struct elf_image *image = NULL;
	_cleanup_close_ int text = open("Makefile", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		_cleanup_close_ int fd = copy_self();

		assert_int_equal(pwrite(fd, &changes[i].value, 1, changes[i].offset), 1);
		assert_int_equal(elf_image__open(fd, &image), -ENOEXEC);
	}
	assert_int_equal(elf_image__open(text, &image), -ENOEXEC);
	assert_int_equal(elf_image__open(null, &image), -ENOEXEC);
	assert_int_equal(elf_image__open_memory("", 0, &image), -ENOEXEC);
	assert_null(image);
}

static int ignore_symbol(const struct elf_symbol *symbol, void *context)
{
	*(size_t *)context += strlen(symbol->name);
	return 0;
}

static void exercise(struct elf_image *image)
{
	const struct elf_segment *segments;
	struct elf_section section;
	uint8_t id[32];
	size_t length = 0;

	(void)elf_image__find_section(image, ".eh_frame", &section);
	(void)elf_image__find_section(image, ".debug_info", &section);
	(void)elf_image__build_id(image, id);
	(void)elf_image__for_each_symbol(image, ELF_SYMTAB, ignore_symbol, &length);
	(void)elf_image__for_each_symbol(image, ELF_DYNSYM, ignore_symbol, &length);
	for (size_t i = 0; i < elf_image__segments(image, &segments); i++)
		(void)elf_image__bytes_at(image, segments[i].vaddr, 64);
}

/* The file shrinks after it was opened: reads fail, nothing is fatal. */
static void survives_truncation(void **state)
{
	(void)state;
	for (off_t size = 0; size < 40000; size += 3001) {
		_cleanup_close_ int fd = copy_self();
		_cleanup_(elf_image__freep) struct elf_image *image = NULL;

		assert_int_equal(elf_image__open(fd, &image), 0);
		assert_int_equal(ftruncate(fd, size), 0);
		exercise(image);
	}
}

/* Random damage to the headers, the section headers and anything else. */
static void survives_damage(void **state)
{
	_cleanup_close_ int fd = copy_self();
	struct stat st;
	_cleanup_free_ uint8_t *bytes = NULL;
	Elf64_Ehdr header;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	memcpy(&header, bytes, sizeof(header));
	srandom(1);
	for (int round = 0; round < 400; round++) {
		struct elf_image *image = NULL;
		uint8_t old[8];
		size_t at[8];

		for (int i = 0; i < 8; i++) {
			static const size_t starts[] = {16, 64, 0, 0};
			size_t start = starts[i % 4], span = i % 4 == 0 ? 48 : 56 * 10;

			if (i % 4 == 2) {
				start = header.e_shoff;
				span = (size_t)st.st_size - start;
			} else if (i % 4 == 3) {
				span = (size_t)st.st_size;
			}
			at[i] = start + (size_t)random() % span;
			old[i] = bytes[at[i]];
			if (i % 4 || round % 4 == 0)
				bytes[at[i]] = (uint8_t)random();
		}
		if (elf_image__open_memory(bytes, (size_t)st.st_size, &image) == 0)
			exercise(image);
		elf_image__free(image);
		for (int i = 7; i >= 0; i--)
			bytes[at[i]] = old[i];
	}
}

static void identity_is_of_the_open_file(void **state)
{
	_cleanup_close_ int a = copy_self(), b = copy_self();
	struct file_identity ia = {0}, ib = {0};
	struct stat st;

	(void)state;
	assert_int_equal(file_identity_of_fd(a, &ia), 0);
	assert_int_equal(file_identity_of_fd(b, &ib), 0);
	assert_int_equal(fstat(a, &st), 0);
	assert_int_equal(ia.inode, st.st_ino);
	assert_int_equal(ia.device, st.st_dev);
	assert_int_equal(ia.size, st.st_size);
	assert_int_equal(ia.ctime_ns / 1000000000, st.st_ctim.tv_sec);
	assert_int_equal(ia.ctime_ns % 1000000000, st.st_ctim.tv_nsec);
	assert_memory_not_equal(&ia, &ib, sizeof(ia));
	assert_int_equal(file_identity_of_fd(-1, &ia), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_loader),
		cmocka_unit_test(finds_own_symbols_and_bytes),
		cmocka_unit_test(sections_are_read),
		cmocka_unit_test(vdso_from_memory),
		cmocka_unit_test(compressed_sections_are_inflated),
		cmocka_unit_test(versions_and_build_ids),
		cmocka_unit_test(without_section_headers),
		cmocka_unit_test(refuses_other_files),
		cmocka_unit_test(survives_truncation),
		cmocka_unit_test(survives_damage),
		cmocka_unit_test(identity_is_of_the_open_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
