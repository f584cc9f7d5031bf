// SPDX-License-Identifier: Apache-2.0
/*
 * One profile process per (pid, start, exec): a pid that is reused, or a process
 * that execs, is another program.
 */
#include "resolve/sample_counter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash_map.h"
#include "base/sanitize.h"
#include "profile/intern.h"
#include "resolve/frame_resolver.h"

#define COMM_BYTES_MAX 64

struct process_key {
	uint64_t pid;
	uint64_t start_ns;
	uint64_t exec_id;
};

struct sample_counter {
	struct profile *profile;
	struct frame_resolver *resolver;
	struct hash_map *processes; /* process_key -> profile process index */
	struct merged_stack merged;
	uint64_t decoded;
	uint64_t verdicts[VERDICT_COUNT];
	uint64_t roots_user, roots_reached;
	uint64_t stops[STOP_REASON_MAX];
};

int sample_counter__new(const struct name_source *source, struct sample_counter **ret_counter)
{
	_cleanup_(sample_counter__freep) struct sample_counter *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = profile__new(&c->profile);
	if (!err)
		err = frame_resolver__new(source, c->profile, &c->resolver);
	if (!err)
		err = hash_map__new(sizeof(struct process_key), &c->processes);
	if (err)
		return err;
	*ret_counter = take_ptr(c);
	return 0;
}

void sample_counter__free(struct sample_counter *c)
{
	if (!c)
		return;
	frame_resolver__free(c->resolver);
	profile__free(c->profile);
	hash_map__free(c->processes);
	merged_stack_done(&c->merged);
	free(c);
}

static int intern_name(struct sample_counter *c, const char *bytes, size_t size, uint32_t *ret_id)
{
	_cleanup_free_ char *clean = sanitize_name(bytes, size, COMM_BYTES_MAX);

	if (!clean)
		return -ENOMEM;
	return string_table__intern(profile__strings(c->profile), clean, strlen(clean), ret_id);
}

/* What the view has learnt since the process was first met. */
static int describe_process(struct sample_counter *c, uint32_t index,
			    const struct process_view *view)
{
	struct profile_process *p = profile__process(c->profile, index);
	int err;

	if (!view || !view->has_python || p->runtime)
		return 0;
	err = intern_name(c, view->version, strlen(view->version), &p->version);
	return err ? err : intern_name(c, "cpython", 7, &p->runtime);
}

static int find_process(struct sample_counter *c, const struct sample *sample, uint32_t comm,
			uint32_t *ret_index)
{
	struct process_key key = {sample->head.pid, sample->head.start_ns, sample->head.exec_id};
	uint64_t value;
	int err;

	if (hash_map__find(c->processes, &key, &value)) {
		*ret_index = value;
		return 0;
	}
	/* first, since a process that was added stays */
	err = hash_map__set(c->processes, &key, profile__process_count(c->profile));
	if (err)
		return err;
	err = profile__add_process(c->profile, sample->head.pid, comm, ret_index);
	if (err)
		hash_map__remove(c->processes, &key, NULL);
	return err;
}

static void count_verdict(struct sample_counter *c, const struct sample *sample, uint32_t index)
{
	struct profile_process *p = profile__process(c->profile, index);
	const struct merged_stack *m = &c->merged;

	c->decoded++;
	c->verdicts[m->verdict]++;
	p->samples++;
	p->verdicts[m->verdict]++;
	if (m->stop != STOP_NONE && m->stop < STOP_REASON_MAX)
		c->stops[m->stop]++;
	if (sample->head.flags & SAMPLE_KERNEL_THREAD)
		return;
	c->roots_user++;
	p->roots_user++;
	if (m->root_reached) {
		c->roots_reached++;
		p->roots_reached++;
	}
}

int sample_counter__add(struct sample_counter *c, const struct sample *sample,
			const struct process_view *view, const struct merged_stack **ret_merged)
{
	const struct sample_record *head = &sample->head;
	uint32_t comm, index, stack;
	int err = intern_name(c, head->comm, strnlen(head->comm, sizeof(head->comm)), &comm);

	if (!err)
		err = find_process(c, sample, comm, &index);
	if (!err)
		err = describe_process(c, index, view);
	if (!err)
		err = stack_merge(sample, &c->merged);
	if (!err)
		err = frame_resolver__resolve(c->resolver, sample, &c->merged, view, index, &stack);
	if (!err)
		err = profile__add_sample(c->profile, stack, index, head->tid, comm, 1);
	if (err)
		return err;
	count_verdict(c, sample, index);
	if (ret_merged)
		*ret_merged = &c->merged;
	return 0;
}

struct profile *sample_counter__profile(struct sample_counter *c)
{
	return c->profile;
}

void sample_counter__stats(const struct sample_counter *c, struct run_stats *stats)
{
	const uint64_t *name_stops = frame_resolver__stops(c->resolver);

	stats->decoded = c->decoded;
	memcpy(stats->verdicts, c->verdicts, sizeof(c->verdicts));
	stats->roots_user = c->roots_user;
	stats->roots_reached = c->roots_reached;
	for (int i = 0; i < STOP_REASON_MAX; i++)
		stats->stops[i] = c->stops[i] + name_stops[i];
}
