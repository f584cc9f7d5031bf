/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one entry of a frame section at a time and keeps nothing. The two
 * sections differ in how an FDE names its CIE (.eh_frame: distance back from the
 * field itself, always 4 bytes, 0 marks a CIE; .debug_frame: section offset, all
 * ones mark a CIE) and in how addresses are written; everything else is shared.
 *
 * Whatever could make an address wrong without notice (unknown augmentation
 * letters, bases we do not have) refuses the entry: a gap is better than a row
 * for other code.
 */
#include "object/frame_entry.h"

#include <errno.h>
#include <string.h>

#define LENGTH_64BIT 0xffffffffu
#define LENGTH_RESERVED 0xfffffff0u
#define LETTERS_MAX 8 /* of an augmentation; "zPLRSB" is the longest known */
#define ADDRESS_BYTES 8

enum {
	PE_ABSPTR = 0x00,
	PE_ULEB128 = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB128 = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT_MASK = 0x0f,
	PE_PCREL = 0x10,
	PE_BASE_MASK = 0x70,
	PE_INDIRECT = 0x80,
};

int frame_entry_read(const struct frame_section *section, uint64_t offset,
		     struct frame_entry *ret_entry)
{
	struct frame_entry e = {.offset = (uint32_t)offset};
	struct cursor c;
	uint64_t length, id, id_offset;

	if (offset >= section->size || offset > UINT32_MAX)
		return -ENODATA;
	c = cursor_of(section->data + offset, section->size - offset);
	length = cursor_u32(&c);
	if (c.failed)
		return -ENODATA; /* padding of fewer than 4 bytes */
	if (length == 0 && !section->is_debug_frame)
		return -ENODATA;
	if (length == LENGTH_64BIT) {
		e.is_64bit = true;
		length = cursor_u64(&c);
	} else if (length >= LENGTH_RESERVED) {
		return -EBADMSG;
	}
	if (c.failed || length > cursor_left(&c))
		return -EBADMSG;
	c = cursor_sub(&c, length);
	e.next = (uint64_t)(c.end - section->data);
	id_offset = (uint64_t)(c.pos - section->data);

	/* An entry too short for its id still tells where the next one is: neither CIE
	 * nor readable FDE. */
	if (section->is_debug_frame) {
		id = e.is_64bit ? cursor_u64(&c) : cursor_u32(&c);
		e.is_cie = id == (e.is_64bit ? UINT64_MAX : UINT32_MAX);
		e.cie_offset = id;
	} else {
		id = cursor_u32(&c);
		e.is_cie = id == 0;
		e.cie_offset = id <= id_offset ? id_offset - id : UINT64_MAX;
	}
	if (c.failed) {
		e.is_cie = false;
		e.cie_offset = UINT64_MAX;
	}
	e.body = c;
	*ret_entry = e;
	return 0;
}

/* The augmentation string; NULL if it is none that we know. Looks no further than the longest:
 * many FDEs may ask for the same CIE again and again. */
static const char *read_letters(struct cursor *c)
{
	size_t left = cursor_left(c);
	struct cursor head = cursor_of(c->pos, left < LETTERS_MAX + 1 ? left : LETTERS_MAX + 1);
	const char *letters = cursor_string(&head);

	if (letters)
		cursor_skip(c, strlen(letters) + 1);
	return letters;
}

static uint64_t read_formatted(struct cursor *c, uint8_t encoding)
{
	switch (encoding & PE_FORMAT_MASK) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return cursor_u64(c);
	case PE_ULEB128:
		return cursor_uleb128(c);
	case PE_UDATA2:
		return cursor_u16(c);
	case PE_UDATA4:
		return cursor_u32(c);
	case PE_SLEB128:
		return (uint64_t)cursor_sleb128(c);
	case PE_SDATA2:
		return (uint64_t)(int64_t)cursor_s16(c);
	case PE_SDATA4:
		return (uint64_t)(int64_t)cursor_s32(c);
	default:
		c->failed = true;
		return 0;
	}
}

int frame_address_read(const struct frame_section *section, struct cursor *c, uint8_t encoding,
		       uint64_t *ret_vaddr)
{
	const uint8_t *field = c->pos;
	uint64_t value;

	if (encoding & PE_INDIRECT)
		return -EBADMSG;
	value = read_formatted(c, encoding);
	if (c->failed)
		return -EBADMSG;
	switch (encoding & PE_BASE_MASK) {
	case PE_ABSPTR:
		break;
	case PE_PCREL:
		value += section->vaddr + (uint64_t)(field - section->data);
		break;
	default: /* text, data, function relative: nothing on x86-64 uses them for code */
		return -EBADMSG;
	}
	*ret_vaddr = value;
	return 0;
}

/* The letters after 'z' and their data. */
static int read_augmentation(const char *letters, struct cursor data, struct frame_cie *cie)
{
	for (; *letters; letters++) {
		uint8_t encoding;

		switch (*letters) {
		case 'R':
			cie->pointer_encoding = cursor_u8(&data);
			break;
		case 'L':
			cursor_u8(&data);
			break;
		case 'P':
			encoding = cursor_u8(&data);
			if ((encoding & PE_BASE_MASK) > 0x40) /* aligned: depends on its place */
				return -EBADMSG;
			read_formatted(&data, encoding);
			break;
		case 'S':
			cie->is_signal = true;
			break;
		case 'B': /* arm64: key of the return address signature; no data */
			break;
		default:
			return -EBADMSG;
		}
	}
	return data.failed ? -EBADMSG : 0;
}

int frame_cie_read(const struct frame_section *section, uint64_t offset, struct frame_cie *ret_cie)
{
	struct frame_cie cie = {.pointer_encoding = PE_ABSPTR};
	const char *augmentation;
	struct frame_entry entry;
	struct cursor c;
	uint8_t version, address_bytes = ADDRESS_BYTES;
	int err;

	err = frame_entry_read(section, offset, &entry);
	if (err || !entry.is_cie)
		return -EBADMSG;
	c = entry.body;
	version = cursor_u8(&c);
	if (version != 1 && version != 3 && version != 4)
		return -EBADMSG;
	augmentation = read_letters(&c);
	if (!augmentation)
		return -EBADMSG;
	if (strcmp(augmentation, "eh") == 0) /* gcc 2: a pointer of its own */
		cursor_skip(&c, ADDRESS_BYTES);
	if (version == 4) {
		address_bytes = cursor_u8(&c);
		cie.segment_bytes = cursor_u8(&c);
	}
	cie.code_align = cursor_uleb128(&c);
	cie.data_align = cursor_sleb128(&c);
	cie.return_register = version == 1 ? cursor_u8(&c) : cursor_uleb128(&c);
	if (c.failed || address_bytes != ADDRESS_BYTES)
		return -EBADMSG;

	if (augmentation[0] == 'z') {
		uint64_t size = cursor_uleb128(&c);

		if (c.failed || size > cursor_left(&c))
			return -EBADMSG;
		cie.has_augmentation_data = true;
		err = read_augmentation(augmentation + 1, cursor_sub(&c, size), &cie);
		if (err)
			return err;
	} else if (augmentation[0] != '\0' && strcmp(augmentation, "eh") != 0) {
		return -EBADMSG;
	}
	cie.program = c;
	*ret_cie = cie;
	return 0;
}

int frame_fde_read(const struct frame_section *section, const struct frame_entry *entry,
		   const struct frame_cie *cie, struct frame_fde *ret_fde)
{
	struct cursor c = entry->body;
	struct frame_fde fde;
	uint64_t size;
	int err;

	cursor_skip(&c, cie->segment_bytes);
	err = frame_address_read(section, &c, cie->pointer_encoding, &fde.start);
	if (err)
		return err;
	size = read_formatted(&c, cie->pointer_encoding);
	if (c.failed || __builtin_add_overflow(fde.start, size, &fde.end))
		return -EBADMSG;
	if (cie->has_augmentation_data) {
		uint64_t augmentation_bytes = cursor_uleb128(&c);

		if (c.failed || augmentation_bytes > cursor_left(&c))
			return -EBADMSG;
		cursor_skip(&c, augmentation_bytes);
	}
	fde.program = c;
	*ret_fde = fde;
	return 0;
}
