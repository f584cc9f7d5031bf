/* SPDX-License-Identifier: Apache-2.0 */
/* C++ and Rust (v0, legacy) names by libiberty; anything else is returned as it is. */
#ifndef MIXPROF_SYMBOL_DEMANGLE_H
#define MIXPROF_SYMBOL_DEMANGLE_H

#define DEMANGLE_RESULT_MAX 1024 /* bytes without the NUL; longer results end in "..." */

/* A new string; NULL: out of memory. Bounded: names over 4 KB are not demangled, results over 1 KB
 * are cut. */
char *demangle_symbol(const char *mangled);

#endif
