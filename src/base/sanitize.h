/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one sanitizer of names, at ingest: valid UTF-8 with control characters
 * (C0, DEL, C1), surrogates, invalid sequences and bidirectional overrides
 * replaced by U+FFFD. Writers add the escapes of their own format.
 */
#ifndef MIXPROF_BASE_SANITIZE_H
#define MIXPROF_BASE_SANITIZE_H

#include <stddef.h>

/* Returns a new NUL-terminated string, at most max_bytes long (cut at a character, then "...");
 * NULL: out of memory. */
char *sanitize_name(const char *bytes, size_t size, size_t max_bytes);

#endif
