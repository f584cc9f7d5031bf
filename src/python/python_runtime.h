/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this process CPython, which version, where is its state: everything the
 * sampler needs to find each thread's PyThreadState, discovered by value
 * (facts/cpython.md §1.5), never by disassembly.
 */
#ifndef MIXPROF_PYTHON_PYTHON_RUNTIME_H
#define MIXPROF_PYTHON_PYTHON_RUNTIME_H

#include <stdint.h>
#include <sys/types.h>

#include "abi/python_abi.h"
#include "process/remote_memory.h"
#include "python/python_layout.h"
#include "python/python_object.h"

struct python_runtime {
	struct py_process config; /* for the sampler; config.layout is left 0 for the caller */
	struct python_layout layout;
	char version[32]; /* "3.12.1" */
	uint32_t version_hex;
};

/*
 * facts: of the mapped file that holds the interpreter; bias: address in process - elf vaddr.
 * 0: found. Otherwise config.stop in *ret_runtime names why:
 * -EOPNOTSUPP (PY_UNSUPPORTED), -EAGAIN (PY_NOT_INITIALIZED: ask again later), -ESRCH, -EFAULT.
 */
int python_runtime_discover(const struct remote_memory *memory, pid_t pid,
			    const struct python_facts *facts, uint64_t bias,
			    struct python_runtime *ret_runtime);

#endif
