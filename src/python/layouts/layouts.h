/* SPDX-License-Identifier: Apache-2.0 */
/* One layout source per CPython minor version; python_layout.c lists them. */
#ifndef MIXPROF_PYTHON_LAYOUTS_LAYOUTS_H
#define MIXPROF_PYTHON_LAYOUTS_LAYOUTS_H

#include "python/python_layout.h"

extern const struct python_layout python_layout_3_11;
extern const struct python_layout python_layout_3_12;

#endif
