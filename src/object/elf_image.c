/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file through libelf. The file belongs to somebody who may truncate or
 * rewrite it while we look: it is read with pread (ELF_C_READ), never mapped, so
 * the worst that can come of it is a failed read or nonsense, not SIGBUS. What
 * is read stays in memory until the image is freed; that is why everything that
 * is handed out may be borrowed.
 */
#include "object/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/cursor.h"

#define SECTION_BYTES_MAX (1ull << 30)
#define INFLATED_BYTES_MAX (256ull << 20)
#define SEGMENTS_MAX 4096 /* PT_LOADs; real files have 2 to 10 */
/* bytes_at() reads blocks of this size, so that neighbouring requests share one. */
#define BLOCK_BYTES (64ull << 10)

struct elf_image {
	Elf *elf;     /* owned */
	int fd;	      /* owned; -1 if from memory */
	void *memory; /* owned; NULL if from a file */
	uint64_t file_size;
	uint16_t type; /* ET_* */
	uint64_t tls_block_bytes;
	uint64_t eh_frame_header;     /* vaddr of PT_GNU_EH_FRAME, 0 if none */
	struct elf_segment *segments; /* owned; in the file's order */
	size_t segment_count;
	size_t name_section; /* of section names; 0 if there are none */
};

void elf_image__free(struct elf_image *image)
{
	if (!image)
		return;
	elf_end(image->elf);
	closep(&image->fd);
	free(image->memory);
	free(image->segments);
	free(image);
}

static int check_header(struct elf_image *image)
{
	GElf_Ehdr header;

	if (elf_kind(image->elf) != ELF_K_ELF || gelf_getclass(image->elf) != ELFCLASS64 ||
	    !gelf_getehdr(image->elf, &header))
		return -ENOEXEC;
	if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return -ENOEXEC;
	image->type = header.e_type;
	if (elf_getshdrstrndx(image->elf, &image->name_section) < 0)
		image->name_section = 0;
	return 0;
}

static uint64_t tls_bytes(const GElf_Phdr *header)
{
	uint64_t align = header->p_align ? header->p_align : 1;
	uint64_t rounded;

	if ((align & (align - 1)) || __builtin_add_overflow(header->p_memsz, align - 1, &rounded))
		return 0;
	return rounded & ~(align - 1);
}

/* A segment that wraps around is no segment of a program that runs. */
static bool segment_is_sane(const GElf_Phdr *header)
{
	uint64_t end;

	return header->p_filesz <= header->p_memsz &&
	       !__builtin_add_overflow(header->p_vaddr, header->p_memsz, &end) &&
	       !__builtin_add_overflow(header->p_offset, header->p_filesz, &end);
}

static int read_segments(struct elf_image *image)
{
	size_t count;

	if (elf_getphdrnum(image->elf, &count) < 0)
		return -ENOEXEC;
	if (count > SEGMENTS_MAX)
		count = SEGMENTS_MAX;
	image->segments = calloc(count ? count : 1, sizeof(*image->segments));
	if (!image->segments)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(image->elf, (int)i, &header))
			return -ENOEXEC;
		if (header.p_type == PT_TLS)
			image->tls_block_bytes = tls_bytes(&header);
		if (header.p_type == PT_GNU_EH_FRAME)
			image->eh_frame_header = header.p_vaddr;
		if (header.p_type != PT_LOAD || !segment_is_sane(&header))
			continue;
		image->segments[image->segment_count++] = (struct elf_segment){
			.vaddr = header.p_vaddr,
			.offset = header.p_offset,
			.file_size = header.p_filesz,
			.memory_size = header.p_memsz,
			.flags = header.p_flags,
		};
	}
	return 0;
}

/* The image's fd or memory is set; takes it over. */
static int open_image(struct elf_image *image)
{
	int err;

	elf_version(EV_CURRENT);
	if (image->memory)
		image->elf = elf_memory(image->memory, image->file_size);
	else
		image->elf = elf_begin(image->fd, ELF_C_READ, NULL);
	if (!image->elf)
		return -ENOEXEC;
	err = check_header(image);
	if (err)
		return err;
	return read_segments(image);
}

int elf_image__open(int fd, struct elf_image **ret_image)
{
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	struct stat st;
	int err;

	image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	image->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (image->fd < 0 || fstat(image->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	image->file_size = (uint64_t)st.st_size;
	err = open_image(image);
	if (err)
		return err;
	*ret_image = take_ptr(image);
	return 0;
}

int elf_image__open_memory(const void *bytes, size_t size, struct elf_image **ret_image)
{
	_cleanup_(elf_image__freep) struct elf_image *image = NULL;
	int err;

	image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	image->fd = -1;
	if (size == 0)
		return -ENOEXEC;
	image->memory = malloc(size);
	if (!image->memory)
		return -ENOMEM;
	memcpy(image->memory, bytes, size);
	image->file_size = size;
	err = open_image(image);
	if (err)
		return err;
	*ret_image = take_ptr(image);
	return 0;
}

bool elf_image__is_executable(const struct elf_image *image)
{
	return image->type == ET_EXEC;
}

size_t elf_image__segments(const struct elf_image *image, const struct elf_segment **ret_segments)
{
	*ret_segments = image->segments;
	return image->segment_count;
}

bool elf_image__offset_to_vaddr(const struct elf_image *image, uint64_t offset, uint64_t *ret_vaddr)
{
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (offset >= s->offset && offset - s->offset < s->file_size) {
			*ret_vaddr = s->vaddr + (offset - s->offset);
			return true;
		}
	}
	return false;
}

bool elf_image__text_range(const struct elf_image *image, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = UINT64_MAX, end = 0;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (!(s->flags & PF_X) || s->memory_size == 0)
			continue;
		if (s->vaddr < start)
			start = s->vaddr;
		if (s->vaddr + s->memory_size > end)
			end = s->vaddr + s->memory_size;
	}
	if (start >= end)
		return false;
	*ret_start = start;
	*ret_end = end;
	return true;
}

uint64_t elf_image__tls_block_bytes(const struct elf_image *image)
{
	return image->tls_block_bytes;
}

/* Inflates in place, once; afterwards libelf shows the section as a plain one. */
static int inflate_section(Elf_Scn *scn)
{
	GElf_Chdr header;

	if (!gelf_getchdr(scn, &header) || header.ch_size > INFLATED_BYTES_MAX)
		return -EBADMSG;
	return elf_compress(scn, 0, 0) < 0 ? -EBADMSG : 0;
}

static void read_section_data(Elf_Scn *scn, GElf_Shdr *header, struct elf_section *section)
{
	Elf_Data *data;

	if (header->sh_type == SHT_NOBITS || header->sh_size > SECTION_BYTES_MAX)
		return;
	if ((header->sh_flags & SHF_COMPRESSED) &&
	    (inflate_section(scn) || !gelf_getshdr(scn, header)))
		return;
	data = elf_getdata(scn, NULL);
	if (!data || !data->d_buf)
		return;
	section->size = header->sh_size;
	section->data = data->d_buf;
	section->data_size = data->d_size;
}

static const char *section_name(const struct elf_image *image, const GElf_Shdr *header)
{
	if (!image->name_section)
		return NULL;
	return elf_strptr(image->elf, image->name_section, header->sh_name);
}

/*
 * Files without section headers still carry .eh_frame for the C++ runtime, which
 * finds it by PT_GNU_EH_FRAME. Its size is not told: it ends by its terminator.
 */
static int find_eh_frame(struct elf_image *image, struct elf_section *ret_section)
{
	const uint8_t *header, *data;
	uint64_t vaddr;
	struct cursor c;

	if (!image->eh_frame_header)
		return -ENOENT;
	header = elf_image__bytes_at(image, image->eh_frame_header, 8);
	/* version 1, pointer to .eh_frame as pcrel sdata4: all that any linker writes */
	if (!header || header[0] != 1 || header[1] != 0x1b)
		return -ENOENT;
	c = cursor_of(header + 4, 4);
	vaddr = image->eh_frame_header + 4 + (uint64_t)(int64_t)cursor_s32(&c);
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		uint64_t size;

		if (vaddr < s->vaddr || vaddr - s->vaddr >= s->file_size)
			continue;
		size = s->file_size - (vaddr - s->vaddr);
		data = elf_image__bytes_at(image, vaddr, size);
		if (!data)
			break;
		*ret_section = (struct elf_section){
			.name = ".eh_frame",
			.vaddr = vaddr,
			.offset = s->offset + (vaddr - s->vaddr),
			.size = size,
			.type = SHT_PROGBITS,
			.data = data,
			.data_size = size,
		};
		return 0;
	}
	return -ENOENT;
}

int elf_image__find_section(struct elf_image *image, const char *name,
			    struct elf_section *ret_section)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		struct elf_section section;
		const char *this_name;
		GElf_Shdr header;

		if (!gelf_getshdr(scn, &header))
			continue;
		this_name = section_name(image, &header);
		if (!this_name || strcmp(this_name, name) != 0)
			continue;
		section = (struct elf_section){
			.name = this_name,
			.vaddr = header.sh_addr,
			.offset = header.sh_offset,
			.size = header.sh_size,
			.type = header.sh_type,
		};
		read_section_data(scn, &header, &section);
		*ret_section = section;
		return 0;
	}
	if (!image->name_section && strcmp(name, ".eh_frame") == 0)
		return find_eh_frame(image, ret_section);
	return -ENOENT;
}

static const uint8_t *bytes_of_segment(struct elf_image *image, const struct elf_segment *s,
				       uint64_t into, size_t size)
{
	uint64_t limit = s->offset + s->file_size;
	uint64_t offset = s->offset + into;
	uint64_t start = offset & ~(BLOCK_BYTES - 1);
	uint64_t end = (offset + size + BLOCK_BYTES - 1) & ~(BLOCK_BYTES - 1);
	Elf_Data *data;

	if (limit > image->file_size)
		limit = image->file_size;
	if (limit < offset || limit - offset < size)
		return NULL;
	if (start < s->offset)
		start = s->offset;
	if (end > limit)
		end = limit;
	data = elf_getdata_rawchunk(image->elf, (int64_t)start, end - start, ELF_T_BYTE);
	if (!data || !data->d_buf || data->d_size < end - start)
		return NULL;
	return (const uint8_t *)data->d_buf + (offset - start);
}

const uint8_t *elf_image__bytes_at(struct elf_image *image, uint64_t vaddr, size_t size)
{
	if (size == 0 || size > SECTION_BYTES_MAX)
		return NULL;
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->file_size)
			return bytes_of_segment(image, s, vaddr - s->vaddr, size);
	}
	return NULL;
}

/* Looks for the build-id note among notes aligned to 4 bytes. */
static size_t build_id_of_notes(const void *bytes, size_t size, uint8_t id[static 32])
{
	struct cursor c = cursor_of(bytes, size);

	while (cursor_left(&c) >= 12) {
		uint32_t name_size = cursor_u32(&c);
		uint32_t id_size = cursor_u32(&c);
		uint32_t type = cursor_u32(&c);
		const char *name = cursor_bytes(&c, ((uint64_t)name_size + 3) & ~3ull);
		const uint8_t *value = cursor_bytes(&c, id_size);

		if (c.failed)
			return 0;
		if (type == NT_GNU_BUILD_ID && name_size == 4 && memcmp(name, "GNU", 4) == 0) {
			size_t kept = id_size < 32 ? id_size : 32;

			memcpy(id, value, kept);
			return kept;
		}
		cursor_skip(&c, -id_size & 3u);
	}
	return 0;
}

/* Without section headers: the PT_NOTE segments. */
static size_t build_id_of_segments(struct elf_image *image, uint8_t id[static 32])
{
	size_t count, size = 0;

	if (elf_getphdrnum(image->elf, &count) < 0)
		return 0;
	for (size_t i = 0; i < count && i < SEGMENTS_MAX && !size; i++) {
		const uint8_t *notes;
		GElf_Phdr header;

		if (!gelf_getphdr(image->elf, (int)i, &header) || header.p_type != PT_NOTE)
			continue;
		notes = elf_image__bytes_at(image, header.p_vaddr, header.p_filesz);
		if (notes)
			size = build_id_of_notes(notes, header.p_filesz, id);
	}
	return size;
}

size_t elf_image__build_id(struct elf_image *image, uint8_t id[static 32])
{
	struct elf_section notes;
	size_t size = 0;

	if (elf_image__find_section(image, ".note.gnu.build-id", &notes) == 0 && notes.data)
		size = build_id_of_notes(notes.data, notes.data_size, id);
	return size ? size : build_id_of_segments(image, id);
}

static Elf_Scn *find_symbol_table(struct elf_image *image, uint32_t type, GElf_Shdr *ret_header)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn)))
		if (gelf_getshdr(scn, ret_header) && ret_header->sh_type == type)
			return scn;
	return NULL;
}

/*
 * The name without "@VERSION". Cuts it in libelf's own writable copy of the
 * string table, which nobody else reads: the name then lives as long as the image.
 */
static const char *symbol_name(struct elf_image *image, size_t strings, size_t offset)
{
	char *name = elf_strptr(image->elf, strings, offset);
	char *at;

	if (!name || !*name)
		return NULL;
	at = strchr(name + 1, '@');
	if (at)
		*at = '\0';
	return name;
}

int elf_image__for_each_symbol(struct elf_image *image, enum elf_symbol_table table,
			       int (*callback)(const struct elf_symbol *symbol, void *context),
			       void *context)
{
	GElf_Shdr header;
	Elf_Scn *scn =
		find_symbol_table(image, table == ELF_SYMTAB ? SHT_SYMTAB : SHT_DYNSYM, &header);
	Elf_Data *data;
	int err = 0;

	if (!scn || header.sh_size > SECTION_BYTES_MAX)
		return 0;
	data = elf_getdata(scn, NULL);
	if (!data || !data->d_buf)
		return 0;
	for (size_t i = 0; i < data->d_size / sizeof(Elf64_Sym) && !err; i++) {
		struct elf_symbol symbol;
		GElf_Sym raw;

		if (!gelf_getsym(data, (int)i, &raw) || raw.st_shndx == SHN_UNDEF)
			continue;
		symbol = (struct elf_symbol){
			.name = symbol_name(image, header.sh_link, raw.st_name),
			.vaddr = raw.st_value,
			.size = raw.st_size,
			.type = GELF_ST_TYPE(raw.st_info),
			.binding = GELF_ST_BIND(raw.st_info),
		};
		if (symbol.name)
			err = callback(&symbol, context);
	}
	return err;
}

struct symbol_search {
	const char *name;
	struct elf_symbol found;
};

static int match_symbol(const struct elf_symbol *symbol, void *context)
{
	struct symbol_search *search = context;

	if (strcmp(symbol->name, search->name) != 0)
		return 0;
	search->found = *symbol;
	return 1;
}

int elf_image__find_symbol(struct elf_image *image, const char *name, struct elf_symbol *ret_symbol)
{
	struct symbol_search search = {.name = name};

	if (!elf_image__for_each_symbol(image, ELF_DYNSYM, match_symbol, &search) &&
	    !elf_image__for_each_symbol(image, ELF_SYMTAB, match_symbol, &search))
		return -ENOENT;
	*ret_symbol = search.found;
	return 0;
}
