/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stubs through which x86-64 code calls other objects: which entry of .plt,
 * .plt.sec, .plt.got or .iplt jumps to which symbol. Part of elf_symbols.
 */
#ifndef MIXPROF_SYMBOL_PLT_SYMBOLS_H
#define MIXPROF_SYMBOL_PLT_SYMBOLS_H

#include <stdint.h>

#include "base/buffer.h"
#include "object/elf_image.h"

struct plt_entry {
	uint64_t start;
	uint64_t end;
	const char *name;  /* of the symbol, borrowed from the image; NULL: see resolver */
	uint64_t resolver; /* of R_X86_64_IRELATIVE: the vaddr of the IFUNC resolver */
};

/* Appends struct plt_entry to entries, in no order. 0 also where there is none; -ENOMEM. */
int plt_symbols_read(struct elf_image *image, struct buffer *entries);

#endif
