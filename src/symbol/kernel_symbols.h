/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/kallsyms: kernel, modules, BPF programs. Our own kernel's file, read in the privileged
 * process. */
#ifndef MIXPROF_SYMBOL_KERNEL_SYMBOLS_H
#define MIXPROF_SYMBOL_KERNEL_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_symbols;

/* -EPERM if addresses are hidden (kptr_restrict without CAP_SYSLOG: all zero), -ENOENT without
 * kallsyms. */
int kernel_symbols__new(struct kernel_symbols **ret_symbols);
/* From text, for tests. */
int kernel_symbols__parse(const char *text, size_t size, struct kernel_symbols **ret_symbols);
void kernel_symbols__free(struct kernel_symbols *symbols);
/* The name covering address, borrowed until free, NULL if none. ret_module (may be NULL): "" for
 * the kernel itself, else the module's name, "bpf" for BPF programs. */
const char *kernel_symbols__find(const struct kernel_symbols *symbols, uint64_t address,
				 const char **ret_module);

static inline void kernel_symbols__freep(struct kernel_symbols **symbols)
{
	kernel_symbols__free(*symbols);
}

#endif
