/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* The enum of stop_reasons.def. Values cross the ring buffer as __u16. */
#ifndef MIXPROF_ABI_STOP_REASONS_H
#define MIXPROF_ABI_STOP_REASONS_H

enum stop_reason {
#define STOP(id, NAME, name, sentence) STOP_##NAME = id,
#include "abi/stop_reasons.def"
#undef STOP
};

#define STOP_REASON_MAX 256

#endif
