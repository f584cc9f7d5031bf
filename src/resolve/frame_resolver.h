/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A merged stack to named frames of the profile. Each distinct address, code
 * object and (code, instruction) is looked up once.
 */
#ifndef MIXPROF_RESOLVE_FRAME_RESOLVER_H
#define MIXPROF_RESOLVE_FRAME_RESOLVER_H

#include <stdint.h>

#include "abi/stop_reasons.h"
#include "follow/process_view.h"
#include "merge/stack_merge.h"
#include "profile/profile.h"
#include "resolve/name_source.h"

struct frame_resolver;

/* source and profile are borrowed. */
int frame_resolver__new(const struct name_source *source, struct profile *profile,
			struct frame_resolver **ret_resolver);
void frame_resolver__free(struct frame_resolver *resolver);
/* view may be NULL (process not known): addresses stay numbers. */
int frame_resolver__resolve(struct frame_resolver *resolver, const struct sample *sample,
			    const struct merged_stack *merged, const struct process_view *view,
			    uint32_t process, uint32_t *ret_stack);
/* Names that could not be had, by stop reason (128..). */
const uint64_t *frame_resolver__stops(const struct frame_resolver *resolver);

static inline void frame_resolver__freep(struct frame_resolver **resolver)
{
	frame_resolver__free(*resolver);
}

#endif
