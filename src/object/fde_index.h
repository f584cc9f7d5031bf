/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FDEs of .eh_frame and .debug_frame as a sorted list of code fragments.
 * Pure: bytes in, list out. Used by unwind/ (rows) and python/ (where the
 * interpreter's cold parts end).
 */
#ifndef MIXPROF_OBJECT_FDE_INDEX_H
#define MIXPROF_OBJECT_FDE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_section { /* one of the two sections, as loaded */
	const uint8_t *data;
	size_t size;
	uint64_t vaddr; /* of data[0], for pc-relative encodings */
	bool is_debug_frame;
};

struct fde {
	uint64_t start; /* elf vaddr */
	uint64_t end;
	uint32_t fde_offset; /* of the FDE's length field in its section */
	uint32_t cie_offset;
	bool is_debug_frame;
};

struct fde_index {
	struct fde
		*fdes; /* owned; sorted by start, overlaps resolved in favour of the first read */
	size_t count;
	size_t malformed; /* entries skipped */
};

/* sections: .eh_frame first. 0, -ENOMEM, or -E2BIG beyond 4 M FDEs. */
int fde_index_read(const struct frame_section *sections, size_t section_count,
		   struct fde_index *ret_index);
void fde_index_done(struct fde_index *index);
/* NULL if no FDE covers vaddr. */
const struct fde *fde_index_find(const struct fde_index *index, uint64_t vaddr);

#endif
