/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of layout tables. Takes a version; gives the table of its minor
 * version. 3.13 and later describe themselves, see cpython_debug_offsets.c.
 */
#include "python/python_layout.h"

#include "python/layouts/layouts.h"

static const struct python_layout *const layouts[] = {
	&python_layout_3_11,
	&python_layout_3_12,
};

const struct python_layout *python_layout_find(uint32_t version_hex)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (layouts[i]->walk.version == version_hex >> 16)
			return layouts[i];
	}
	return NULL;
}
