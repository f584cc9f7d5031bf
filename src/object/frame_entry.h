/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of .eh_frame and .debug_frame (LSB Core "Exception Frames",
 * DWARF 5 §6.4.1): lengths, CIEs, FDEs and their pointers. Pure; programs are
 * handed out as cursors and run in unwind/cfi_reader.c.
 */
#ifndef MIXPROF_OBJECT_FRAME_ENTRY_H
#define MIXPROF_OBJECT_FRAME_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "object/fde_index.h"

struct frame_entry {
	uint32_t offset;     /* of its length field */
	uint64_t next;	     /* offset of the entry after it */
	uint64_t cie_offset; /* of an FDE's CIE */
	bool is_cie;
	bool is_64bit;
	struct cursor body; /* what follows the CIE id or CIE pointer */
};

struct frame_cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_register;
	uint8_t pointer_encoding; /* DW_EH_PE_* of an FDE's addresses */
	uint8_t segment_bytes;	  /* of the selector before an FDE's address */
	bool has_augmentation_data;
	bool is_signal;	       /* augmentation S */
	struct cursor program; /* initial instructions */
};

struct frame_fde {
	uint64_t start; /* elf vaddrs */
	uint64_t end;
	struct cursor program;
};

/*
 * -ENODATA at the end of the section or its terminator. -EBADMSG: the length is
 * not to be trusted, nothing after it can be found.
 */
int frame_entry_read(const struct frame_section *section, uint64_t offset,
		     struct frame_entry *ret_entry);
/* -EBADMSG. A CIE of an unknown augmentation or version is refused: its FDEs cannot be read right.
 */
int frame_cie_read(const struct frame_section *section, uint64_t offset, struct frame_cie *ret_cie);
int frame_fde_read(const struct frame_section *section, const struct frame_entry *entry,
		   const struct frame_cie *cie, struct frame_fde *ret_fde);
/* One encoded address at the cursor, which lies in the section. */
int frame_address_read(const struct frame_section *section, struct cursor *c, uint8_t encoding,
		       uint64_t *ret_vaddr);

#endif
