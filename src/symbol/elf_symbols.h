/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of one ELF file's functions: .symtab, .dynsym, name@plt. Lives in the
 * symbol worker. Split fragments (name.cold, name.part.0, name.llvm.123,
 * name.constprop.0, name.isra.0 ...) get their function's name.
 */
#ifndef MIXPROF_SYMBOL_ELF_SYMBOLS_H
#define MIXPROF_SYMBOL_ELF_SYMBOLS_H

#include <stdint.h>

#include "object/elf_image.h"

struct elf_symbols;

/* The image is not needed afterwards. 0 also for a file without symbols; -ENOMEM. */
int elf_symbols__new(struct elf_image *image, struct elf_symbols **ret_symbols);
void elf_symbols__free(struct elf_symbols *symbols);
/* The demangled name of the function that covers vaddr, borrowed until free; NULL if none
 * does. A symbol of size 0 covers up to the next symbol of its section, at most. */
const char *elf_symbols__find(struct elf_symbols *symbols, uint64_t vaddr);

static inline void elf_symbols__freep(struct elf_symbols **symbols)
{
	elf_symbols__free(*symbols);
}

#endif
