/* SPDX-License-Identifier: Apache-2.0 */
/* Text of the command line to numbers and back (shared/cli.md: 250ms, 10s, 64M, 1,4-7). */
#ifndef MIXPROF_BASE_UNITS_H
#define MIXPROF_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* All return 0, -EINVAL for text that is not of the form, -ERANGE for values out of range. */
int parse_duration_ns(const char *text, uint64_t *ret_ns);   /* ns us ms s m h; no unit: seconds */
int parse_size_bytes(const char *text, uint64_t *ret_bytes); /* K M G, powers of 1024 */
int parse_u32(const char *text, uint32_t *ret_value);	     /* decimal, whole text */
/* A set such as "1,4-7", ascending and unique; the caller frees *ret_values. */
int parse_u32_set(const char *text, uint32_t **ret_values, size_t *ret_count);

#endif
