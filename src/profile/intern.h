/* SPDX-License-Identifier: Apache-2.0 */
/* Strings to ids and back; id 0 is "". */
#ifndef MIXPROF_PROFILE_INTERN_H
#define MIXPROF_PROFILE_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct string_table;

int string_table__new(struct string_table **ret_table);
void string_table__free(struct string_table *table);
int string_table__intern(struct string_table *table, const char *s, size_t size, uint32_t *ret_id);
/* Borrowed, NUL-terminated, valid for the table's life. */
const char *string_table__get(const struct string_table *table, uint32_t id);
size_t string_table__count(const struct string_table *table);

static inline void string_table__freep(struct string_table **table)
{
	string_table__free(*table);
}

#endif
