/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A code object's name, file and lines, read from the process's memory; every
 * value is hostile and bounded.
 */
#ifndef MIXPROF_PYTHON_PYTHON_CODE_H
#define MIXPROF_PYTHON_PYTHON_CODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/remote_memory.h"
#include "python/python_layout.h"

#define PYTHON_NAME_BYTES_MAX 1024
#define PYTHON_LINETABLE_BYTES_MAX (64u * 1024)
#define PYTHON_CODE_HEADER_MAX 256

struct python_code {
	char *name;	     /* owned; qualname from 3.11 on; sanitized UTF-8 */
	char *filename;	     /* owned; sanitized UTF-8 */
	uint8_t *line_table; /* owned */
	uint32_t line_table_size;
	int32_t first_line;
	bool is_init_shim; /* 3.12+'s _Py_InitCleanup: filename is the name object; not shown */
	uint8_t header[PYTHON_CODE_HEADER_MAX]; /* the object's first bytes, what changes while it
						   lives zeroed: tells reuse */
	uint32_t header_size;
	uint8_t line_format; /* enum python_line_format */
	uint16_t code_adaptive;
	uint16_t code_linetable; /* offsets, as in the layout: the header's lasting fields */
	uint16_t code_warmup;
	uint16_t firsttraceable; /* offset of _co_firsttraceable */
};

/* code: address in the process. code_type: PyCode_Type's address there, 0: not checked.
 * -EFAULT unreadable; -EBADMSG not a code object. */
int python_code_read(const struct remote_memory *memory, pid_t pid,
		     const struct python_layout *layout, uint64_t code, uint64_t code_type,
		     struct python_code **ret_code);
void python_code_free(struct python_code *code);
/* Re-reads the header: true if the object at the address is still the same one. */
bool python_code_is_current(const struct remote_memory *memory, pid_t pid, uint64_t code,
			    const struct python_code *known);
/*
 * The line executing in a frame: address is the code object's, instr the frame's word from the
 * sample (prev_instr, instr_ptr or f_lasti, as layout->walk.chain says). A frame that has not
 * started has first_line. -ENOENT: the table has no line there; -EBADMSG.
 */
int python_code_line(const struct python_code *known, const struct python_layout *layout,
		     uint64_t code, uint64_t instr, int32_t *ret_line);

static inline void python_code_freep(struct python_code **code)
{
	python_code_free(*code);
}

#endif
