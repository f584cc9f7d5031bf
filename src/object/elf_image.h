/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One opened ELF file, read through libelf. Lives in the symbol worker only:
 * nothing here is called in the privileged process (design.md §5).
 * All reads of the file are bounded by its size at open; sections are copied or
 * mapped privately, and compressed sections are inflated up to a cap.
 */
#ifndef MIXPROF_OBJECT_ELF_IMAGE_H
#define MIXPROF_OBJECT_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_image;

struct elf_segment { /* PT_LOAD */
	uint64_t vaddr;
	uint64_t offset;
	uint64_t file_size;
	uint64_t memory_size;
	uint32_t flags; /* PF_* */
};

struct elf_section {
	const char *name; /* borrowed from the image */
	uint64_t vaddr;
	uint64_t offset;
	uint64_t size;
	uint32_t type;	     /* SHT_* */
	const uint8_t *data; /* borrowed, inflated; NULL for SHT_NOBITS or when unreadable */
	size_t data_size;
};

struct elf_symbol {
	const char *name; /* borrowed, mangled, without @version */
	uint64_t vaddr;
	uint64_t size;
	uint8_t type;	 /* STT_* */
	uint8_t binding; /* STB_* */
};

/* Takes its own duplicate of fd. -ENOEXEC: not an ELF file for this machine (x86-64, 64-bit, LSB).
 */
int elf_image__open(int fd, struct elf_image **ret_image);
/* The same from memory (vDSO); bytes are copied. */
int elf_image__open_memory(const void *bytes, size_t size, struct elf_image **ret_image);
void elf_image__free(struct elf_image *image);

bool elf_image__is_executable(const struct elf_image *image); /* ET_EXEC: not relocated */
size_t elf_image__segments(const struct elf_image *image, const struct elf_segment **ret_segments);
/* False if no PT_LOAD holds the file offset. */
bool elf_image__offset_to_vaddr(const struct elf_image *image, uint64_t offset,
				uint64_t *ret_vaddr);
/* -ENOENT if absent. The section stays valid as long as the image. */
int elf_image__find_section(struct elf_image *image, const char *name,
			    struct elf_section *ret_section);
/* Bytes at a vaddr as the file initialises them; NULL if [vaddr, vaddr+size) is not file-backed. */
const uint8_t *elf_image__bytes_at(struct elf_image *image, uint64_t vaddr, size_t size);
/* GNU build-id; 0 bytes if there is none. */
size_t elf_image__build_id(struct elf_image *image, uint8_t id[static 32]);
/* Vaddr range of PF_X segments: [start, end). False if there is none. */
bool elf_image__text_range(const struct elf_image *image, uint64_t *ret_start, uint64_t *ret_end);
/* PT_TLS: memory size rounded up to its alignment, 0 if none (x86-64 variant II). */
uint64_t elf_image__tls_block_bytes(const struct elf_image *image);

enum elf_symbol_table { ELF_SYMTAB, ELF_DYNSYM };
/* Calls back for every defined symbol; a non-zero return stops and is returned. */
int elf_image__for_each_symbol(struct elf_image *image, enum elf_symbol_table table,
			       int (*callback)(const struct elf_symbol *symbol, void *context),
			       void *context);
/* By exact name, .dynsym first, then .symtab. -ENOENT. */
int elf_image__find_symbol(struct elf_image *image, const char *name,
			   struct elf_symbol *ret_symbol);

static inline void elf_image__freep(struct elf_image **image)
{
	elf_image__free(*image);
}

#endif
