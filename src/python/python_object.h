/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is there a CPython interpreter in this ELF file, and where are its parts? Runs
 * in the symbol worker. Eval ranges are the dynsym symbol plus the fragments that
 * direct jumps of the hot part vote for (design.md §2), found without a
 * disassembler.
 */
#ifndef MIXPROF_PYTHON_PYTHON_OBJECT_H
#define MIXPROF_PYTHON_PYTHON_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "object/elf_image.h"
#include "object/fde_index.h"

#define PYTHON_EVAL_RANGES_MAX 16
#define PYTHON_DEBUG_OFFSETS_MAX 1024

struct vaddr_range {
	uint64_t start, end; /* elf vaddrs */
};

/* A CPython interpreter in this file; found by python/python_object.c, in the worker. */
struct python_facts {
	uint32_t eval_range_count; /* 0: no interpreter in this file */
	uint32_t version;	   /* PY_VERSION_HEX, 0: not known from the file */
	struct vaddr_range
		eval_ranges[PYTHON_EVAL_RANGES_MAX]; /* hot part and fragments, ascending */
	uint64_t eval_entry;	  /* where the eval function begins: not always the lowest range */
	uint64_t runtime;	  /* _PyRuntime, 0: none */
	uint64_t runtime_size;	  /* dynsym size, or .PyRuntime section size; 0: not known */
	uint64_t code_type;	  /* PyCode_Type, 0: none */
	uint64_t tls_block_bytes; /* of PT_TLS, rounded up; 0: none */
	uint64_t is_executable; /* the interpreter is linked into the executable (local-exec TLS) */
	uint64_t debug_offsets_size;			 /* 0: none (before 3.13) */
	uint8_t debug_offsets[PYTHON_DEBUG_OFFSETS_MAX]; /* _Py_DebugOffsets as initialised in the
							    file */
};

/* fdes: of the same image, for fragments; first_rule tells whether an FDE starts like a function
 * (CFA = rsp + 8) or like a fragment: python/ may not include unwind/, so the worker passes it in.
 * 0 also when there is no interpreter (eval_range_count 0). */
struct python_object_input {
	struct elf_image *image;
	const struct fde_index *fdes;
	/* Returns 1 if the FDE starts as a function does, 0 if as a fragment, negative errno. */
	int (*starts_like_function)(void *context, const struct fde *fde);
	void *context;
};
int python_object_read(const struct python_object_input *input, struct python_facts *ret_facts);

#endif
