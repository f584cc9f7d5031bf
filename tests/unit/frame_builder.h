/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-assembles frame sections for tests: entry_begin, bytes, entry_end. Built
 * on a plain array and knowing nothing of the readers under test.
 */
#ifndef MIXPROF_TESTS_FRAME_BUILDER_H
#define MIXPROF_TESTS_FRAME_BUILDER_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define FRAME_VADDR 0x5000 /* of the section's first byte */

struct frame_builder {
	uint8_t bytes[1 << 20];
	uint32_t size;
	uint32_t entry; /* offset of the open entry */
};

static inline void put(struct frame_builder *b, const void *bytes, uint32_t size)
{
	assert(b->size + size <= sizeof(b->bytes));
	memcpy(b->bytes + b->size, bytes, size);
	b->size += size;
}

/* PUT(b, 0x0e, 0x10): bytes as written */
#define PUT(b, ...) put(b, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static inline void put_u32(struct frame_builder *b, uint32_t v)
{
	PUT(b, v & 0xff, v >> 8 & 0xff, v >> 16 & 0xff, v >> 24);
}

static inline void put_u64(struct frame_builder *b, uint64_t v)
{
	put_u32(b, (uint32_t)v);
	put_u32(b, (uint32_t)(v >> 32));
}

static inline void entry_begin(struct frame_builder *b)
{
	b->entry = b->size;
	put_u32(b, 0);
}

static inline void entry_end(struct frame_builder *b)
{
	uint32_t length = b->size - b->entry - 4;

	memcpy(b->bytes + b->entry, &length, 4); /* tests run on little endian */
}

/* The head of a CIE of .eh_frame: id, version 1, augmentation, alignments 1 and -8, RA 16. */
static inline uint32_t cie_begin(struct frame_builder *b, const char *augmentation)
{
	entry_begin(b);
	put_u32(b, 0);
	PUT(b, 1);
	put(b, augmentation, (uint32_t)strlen(augmentation) + 1);
	PUT(b, 0x01, 0x78, 0x10);
	return b->entry;
}

/* "zR", pcrel sdata4; CFA = rsp + 8, RA at CFA - 8: what gcc writes on x86-64 */
static inline uint32_t put_usual_cie(struct frame_builder *b)
{
	uint32_t cie = cie_begin(b, "zR");

	PUT(b, 0x01, 0x1b);
	PUT(b, 0x0c, 0x07, 0x08, 0x90, 0x01);
	entry_end(b);
	return cie;
}

/* An FDE of a "zR" pcrel sdata4 CIE up to its instructions. */
static inline uint32_t fde_begin(struct frame_builder *b, uint32_t cie, uint64_t start,
				 uint32_t size)
{
	entry_begin(b);
	put_u32(b, b->size - cie);
	put_u32(b, (uint32_t)(start - (FRAME_VADDR + b->size)));
	put_u32(b, size);
	PUT(b, 0x00);
	return b->entry;
}

static inline uint32_t put_empty_fde(struct frame_builder *b, uint32_t cie, uint64_t start,
				     uint32_t size)
{
	uint32_t fde = fde_begin(b, cie, start, size);

	entry_end(b);
	return fde;
}

#endif
