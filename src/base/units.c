/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line text to numbers, in integer arithmetic only: "0.1s" is exactly
 * 100,000,000 ns. Locale and leading blanks play no part, as they would with
 * strtoul and strtod.
 */
#include "base/units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A range such as 0-4294967295 would take gigabytes. */
#define SET_VALUES_MAX (1u << 20)

struct unit {
	const char *name;
	uint64_t factor;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Decimal digits at *text; moves past them. At least one. */
static int take_number(const char **text, uint64_t *ret_value)
{
	const char *p = *text;
	uint64_t value = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	*text = p;
	*ret_value = value;
	return 0;
}

/* What stands after the point, as billionths. Digits beyond the ninth are dropped. */
static int take_billionths(const char **text, uint64_t *ret_value)
{
	uint64_t value = 0, place = 100000000;
	const char *p = *text;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		value += (uint64_t)(*p - '0') * place;
		place /= 10;
	}
	*text = p;
	*ret_value = value;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

int parse_duration_ns(const char *text, uint64_t *ret_ns)
{
	static const struct unit units[] = {
		{"", 1000000000},
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000000},
		{"s", 1000000000},
		{"m", 60 * UINT64_C(1000000000)},
		{"h", 3600 * UINT64_C(1000000000)},
		{NULL, 0},
	};
	uint64_t whole, billionths = 0, ns;
	const struct unit *unit;
	int err;

	err = take_number(&text, &whole);
	if (err)
		return err;
	if (*text == '.') {
		text++;
		err = take_billionths(&text, &billionths);
		if (err)
			return err;
	}
	unit = find_unit(units, text);
	if (!unit)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, unit->factor, &ns))
		return -ERANGE;
	/* factor < 2^42 and billionths < 2^30: split the product to stay below 2^64. */
	billionths = unit->factor / 1000000000 * billionths +
		     unit->factor % 1000000000 * billionths / 1000000000;
	if (__builtin_add_overflow(ns, billionths, &ns))
		return -ERANGE;
	*ret_ns = ns;
	return 0;
}

int parse_size_bytes(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0},
	};
	const struct unit *unit;
	uint64_t value;
	int err;

	err = take_number(&text, &value);
	if (err)
		return err;
	unit = find_unit(units, text);
	if (!unit)
		return -EINVAL;
	if (__builtin_mul_overflow(value, unit->factor, &value))
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}

static int take_u32(const char **text, uint32_t *ret_value)
{
	uint64_t value;
	int err;

	err = take_number(text, &value);
	if (err)
		return err;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret_value = (uint32_t)value;
	return 0;
}

int parse_u32(const char *text, uint32_t *ret_value)
{
	uint32_t value;
	int err;

	err = take_u32(&text, &value);
	if (err)
		return err;
	if (*text)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/* One element, "4" or "4-7", and the comma after it. */
static int take_range(const char **text, uint32_t *ret_first, uint32_t *ret_last)
{
	int err;

	err = take_u32(text, ret_first);
	if (err)
		return err;
	*ret_last = *ret_first;
	if (**text == '-') {
		(*text)++;
		err = take_u32(text, ret_last);
		if (err)
			return err;
	}
	if (*ret_last < *ret_first)
		return -EINVAL;
	if (**text == '\0')
		return 0;
	/* A comma must be followed by another element. */
	if (**text != ',' || (*text)[1] == '\0')
		return -EINVAL;
	(*text)++;
	return 0;
}

static int count_set(const char *text, size_t *ret_count)
{
	size_t count = 0;

	do {
		uint32_t first, last;
		int err;

		err = take_range(&text, &first, &last);
		if (err)
			return err;
		if (last - first >= SET_VALUES_MAX - count)
			return -ERANGE;
		count += last - first + 1;
	} while (*text);
	*ret_count = count;
	return 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int parse_u32_set(const char *text, uint32_t **ret_values, size_t *ret_count)
{
	size_t capacity, count = 0, unique = 0;
	uint32_t *values, first = 0, last = 0;
	int err;

	err = count_set(text, &capacity);
	if (err)
		return err;
	values = malloc(capacity * sizeof(*values));
	if (!values)
		return -ENOMEM;
	while (*text) {
		take_range(&text, &first, &last);
		for (uint64_t v = first; v <= last; v++)
			values[count++] = (uint32_t)v;
	}
	qsort(values, count, sizeof(*values), compare_u32);
	for (size_t i = 0; i < count; i++)
		if (unique == 0 || values[unique - 1] != values[i])
			values[unique++] = values[i];
	*ret_values = values;
	*ret_count = unique;
	return 0;
}
