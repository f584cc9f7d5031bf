/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plaits the frames of one sample. Takes a decoded sample, gives one list, leaf
 * first, and a verdict on it; keeps nothing between two samples.
 *
 * The Python chain is cut into runs: the frames up to a segment end. The end's
 * address lies inside the C frame of the eval that ran them (cpython.md §0.1), so
 * a run is looked up among the evals by address. Of these pairs the longest that
 * rises in both stacks is kept: whatever the addresses are, frames stay in their
 * own order, and one wrong address cannot push the others off their evals.
 *
 * The kept pairs divide the native stack into gaps. A run without an eval stays
 * in its gap, before the first eval that its address does not lie beyond; what
 * was not matched decides the verdict, never a count.
 */
#include "merge/stack_merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"

#define NO_INDEX UINT32_MAX
/*
 * An eval that has not linked its frame yet is the leaf, or called one function (3.14's recursion
 * check, a PLT stub). Deeper, its frames are rather on another thread state or greenlet.
 */
#define ENTERING_DEPTH_MAX 1

struct eval { /* leaf first */
	uint64_t sp, cfa;
	uint32_t native; /* index of the frame */
	uint32_t order;	 /* index in merge.evals, kept while sorted by address */
	uint32_t run;	 /* matched, or NO_INDEX */
};

struct run { /* of Python items, innermost first; frames and at most one segment end */
	uint32_t begin, end; /* items [begin, end) */
	uint32_t frames;
	bool closed; /* by a segment end */
	bool ends_chain;
	bool skipped;	  /* a sentinel that lies on no C stack: nothing to match */
	uint64_t address; /* of the segment end */
	uint32_t found;	  /* eval by address, or NO_INDEX */
	uint32_t eval;	  /* matched, or NO_INDEX */
	uint32_t place;	  /* native index it is put before */
	/* of the longest rising sequence: the last run of one of length i + 1; the run before this
	 */
	uint32_t tail, before;
};

struct merge {
	const struct sample *sample;
	struct eval *evals, *by_address;
	struct run *runs;
	uint32_t eval_count, run_count;
	bool root_reached, chain_complete;
	/* what the gaps showed */
	bool entering, resynced, partial;
};

static const char *const verdict_names[VERDICT_COUNT] = {
	[VERDICT_EXACT] = "exact",	 [VERDICT_ENTERING] = "entering",
	[VERDICT_RESYNCED] = "resynced", [VERDICT_TRUNCATED] = "truncated",
	[VERDICT_PARTIAL] = "partial",	 [VERDICT_NATIVE] = "native",
};

const char *verdict_name(enum verdict verdict)
{
	return (unsigned int)verdict < VERDICT_COUNT ? verdict_names[verdict] : "unknown";
}

static int compare_address(const void *a, const void *b)
{
	const struct eval *x = a, *y = b;

	if (x->sp != y->sp)
		return x->sp < y->sp ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void collect_evals(struct merge *m)
{
	bool rising = true;

	for (uint32_t i = 0; i < m->sample->native_count; i++) {
		const struct native_frame *frame = &m->sample->native[i];
		struct eval *eval = &m->evals[m->eval_count];

		if (!frame->is_eval)
			continue;
		*eval = (struct eval){.sp = frame->sp,
				      .cfa = frame->cfa,
				      .native = i,
				      .order = m->eval_count++,
				      .run = NO_INDEX};
		rising = rising && (eval->order == 0 || eval[-1].sp < eval->sp);
	}
	m->by_address = m->evals + m->eval_count + 1;
	memcpy(m->by_address, m->evals, m->eval_count * sizeof(*m->evals));
	/* A stack rises, unless part of it lies elsewhere (sigaltstack, coroutines). */
	if (!rising)
		qsort(m->by_address, m->eval_count, sizeof(*m->by_address), compare_address);
}

static void collect_runs(struct merge *m)
{
	const struct python_item *items = m->sample->python;
	uint32_t count = m->sample->python_count;
	struct run run = {0};

	for (uint32_t i = 0; i <= count; i++) {
		bool at_end = i == count || items[i].kind == PYTHON_ITEM_THREAD_STATE;

		if (!at_end && items[i].kind == PYTHON_ITEM_FRAME)
			run.frames++;
		if (!at_end && items[i].kind == PYTHON_ITEM_SEGMENT_END) {
			run.closed = true;
			run.address = items[i].address;
		} else if (!at_end) {
			continue;
		}
		run.end = at_end ? i : i + 1;
		if (run.closed || run.frames) {
			run.found = run.eval = NO_INDEX;
			m->runs[m->run_count++] = run;
		}
		if (at_end && m->run_count)
			m->runs[m->run_count - 1].ends_chain = true;
		run = (struct run){.begin = i + 1};
	}
}

/* The eval with sp <= address < cfa, or NO_INDEX. */
static uint32_t find_eval(const struct merge *m, uint64_t address)
{
	uint32_t low = 0, high = m->eval_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->by_address[middle].sp <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address >= m->by_address[low - 1].cfa)
		return NO_INDEX;
	return m->by_address[low - 1].order;
}

/* How many of the `length` sequences so far end before the eval: the run may follow the longest. */
static uint32_t rising_before(const struct merge *m, uint32_t length, uint32_t eval)
{
	uint32_t low = 0, high = length;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->runs[m->runs[middle].tail].found < eval)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void match_runs(struct merge *m)
{
	uint32_t length = 0, at;

	for (uint32_t i = 0; i < m->run_count; i++) {
		struct run *run = &m->runs[i];

		if (run->closed)
			run->found = find_eval(m, run->address);
		if (run->found == NO_INDEX) {
			/* 3.15's base_frame ends each chain and lies in the thread state */
			run->skipped = run->closed && run->frames == 0 && run->ends_chain;
			continue;
		}
		at = rising_before(m, length, run->found);
		run->before = at ? m->runs[at - 1].tail : NO_INDEX;
		m->runs[at].tail = i;
		if (at == length)
			length++;
	}
	at = length ? m->runs[length - 1].tail : NO_INDEX;
	for (; at != NO_INDEX; at = m->runs[at].before) {
		m->runs[at].eval = m->runs[at].found;
		m->evals[m->runs[at].found].run = at;
	}
}

/*
 * A chain that was cut inside a segment: its last frames run in the next eval rootward of the
 * last one matched, because every inner segment had an end.
 */
static void match_open_run(struct merge *m)
{
	struct run *run = m->run_count ? &m->runs[m->run_count - 1] : NULL;
	uint32_t eval = 0;

	if (!run || run->closed || m->chain_complete)
		return;
	if (m->run_count > 1 && run[-1].eval == NO_INDEX)
		return;
	if (m->run_count > 1)
		eval = run[-1].eval + 1;
	else if (m->eval_count > 1 && m->sample->head.flags & SAMPLE_PYTHON_ENTERING)
		eval = 1; /* the chain starts at the caller of the innermost */
	if (eval >= m->eval_count)
		return;
	run->eval = eval;
	m->evals[eval].run = m->run_count - 1;
}

/* Between two matches: native frames [native, native_end), runs and evals likewise. */
struct gap {
	uint32_t native, native_end, eval, eval_end, run, run_end;
};

static bool gap_is_resynced(const struct merge *m, const struct gap *gap)
{
	/* The eval that closes the gap belongs to it: it is where the walk went on. */
	for (uint32_t i = gap->native; i <= gap->native_end && i < m->sample->native_count; i++)
		if (m->sample->native[i].resynced)
			return true;
	return false;
}

static bool eval_may_be_entering(const struct merge *m, const struct eval *eval)
{
	return eval->order == 0 && (eval->native <= ENTERING_DEPTH_MAX ||
				    m->sample->head.flags & SAMPLE_PYTHON_ENTERING);
}

static void judge_evals(struct merge *m, const struct gap *gap, struct merged_stack *stack)
{
	for (uint32_t i = gap->eval; i < gap->eval_end; i++) {
		stack->unmatched_evals++;
		if (eval_may_be_entering(m, &m->evals[i]))
			m->entering = true;
		else
			m->partial = true;
	}
}

static void judge_runs(struct merge *m, const struct gap *gap, struct merged_stack *stack)
{
	bool resynced = gap_is_resynced(m, gap);
	/* Nothing native is known rootward: segments that go on rising there are the missing
	 * part's. */
	bool rootward = gap->native_end == m->sample->native_count && !m->root_reached;
	uint64_t floor = m->sample->head.user_sp;

	m->resynced = m->resynced || resynced;
	if (gap->eval_end)
		floor = m->evals[gap->eval_end - 1].cfa;
	for (uint32_t i = gap->run; i < gap->run_end; i++) {
		const struct run *run = &m->runs[i];

		if (run->skipped)
			continue;
		stack->unmatched_segments++;
		if (rootward && run->closed && run->address >= floor)
			floor = run->address + 1;
		else if (!resynced || !run->closed)
			m->partial = true;
	}
}

static void place_runs(struct merge *m, const struct gap *gap)
{
	uint32_t eval = gap->eval;

	for (uint32_t i = gap->run; i < gap->run_end; i++) {
		struct run *run = &m->runs[i];

		while (run->closed && eval < gap->eval_end && run->address >= m->evals[eval].cfa)
			eval++;
		run->place = eval < gap->eval_end ? m->evals[eval].native : gap->native_end;
	}
}

static void walk_gaps(struct merge *m, struct merged_stack *stack)
{
	struct gap gap = {0};

	for (uint32_t i = 0; i <= m->run_count; i++) {
		bool last = i == m->run_count;

		if (!last && m->runs[i].eval == NO_INDEX)
			continue;
		gap.run_end = i;
		gap.eval_end = last ? m->eval_count : m->runs[i].eval;
		gap.native_end = last ? m->sample->native_count : m->evals[gap.eval_end].native;
		judge_evals(m, &gap, stack);
		judge_runs(m, &gap, stack);
		place_runs(m, &gap);
		if (last)
			break;
		m->runs[i].place = gap.native_end;
		gap = (struct gap){
			.native = gap.native_end + 1, .eval = gap.eval_end + 1, .run = i + 1};
	}
	/* The innermost eval runs in its segment's shim only: it has unlinked its last frame. */
	if (m->eval_count && m->evals[0].run != NO_INDEX && m->runs[m->evals[0].run].frames == 0)
		m->entering = true;
}

static void put_run(const struct merge *m, const struct run *run, struct merged_stack *stack)
{
	for (uint32_t i = run->begin; i < run->end; i++)
		if (m->sample->python[i].kind == PYTHON_ITEM_FRAME)
			stack->frames[stack->count++] =
				(struct merged_frame){.kind = MERGED_PYTHON, .index = i};
}

static void put_frames(const struct merge *m, struct merged_stack *stack)
{
	const struct sample *sample = m->sample;
	uint32_t run = 0, eval = 0;

	stack->count = 0;
	for (uint32_t i = 0; i < sample->kernel_count; i++)
		stack->frames[stack->count++] =
			(struct merged_frame){.kind = MERGED_KERNEL, .index = i};
	for (uint32_t i = 0; i < sample->native_count; i++) {
		struct merged_frame frame = {.kind = MERGED_NATIVE, .index = i};

		while (run < m->run_count && m->runs[run].place <= i)
			put_run(m, &m->runs[run++], stack);
		if (sample->native[i].is_eval) {
			frame.is_eval = true;
			frame.has_segment = m->evals[eval++].run != NO_INDEX;
		}
		stack->frames[stack->count++] = frame;
	}
	while (run < m->run_count)
		put_run(m, &m->runs[run++], stack);
}

/* No Python frames: is that all right? */
static enum verdict verdict_without_python(const struct merge *m)
{
	switch (m->sample->head.python_stop) {
	case STOP_NONE:
	case STOP_PY_NO_THREAD:
	case STOP_PY_NOT_PYTHON:
	case STOP_PY_NOT_INITIALIZED:
		if (m->eval_count) /* something runs in them */
			return VERDICT_PARTIAL;
		break;
	case STOP_PY_UNSUPPORTED:
		break;
	default:
		return VERDICT_PARTIAL;
	}
	return m->root_reached ? VERDICT_NATIVE : VERDICT_TRUNCATED;
}

static enum verdict judge(const struct merge *m)
{
	uint32_t flags = m->sample->head.flags;

	if (m->sample->python_count == 0 &&
	    !(flags & (SAMPLE_PYTHON_COMPLETE | SAMPLE_PYTHON_ENTERING)))
		return verdict_without_python(m);
	if (m->partial || !m->chain_complete)
		return VERDICT_PARTIAL;
	if (!m->root_reached)
		return VERDICT_TRUNCATED;
	if (m->resynced)
		return VERDICT_RESYNCED;
	if (m->entering || flags & SAMPLE_PYTHON_ENTERING)
		return VERDICT_ENTERING;
	return VERDICT_EXACT;
}

static uint16_t stop_of(const struct merge *m, enum verdict verdict)
{
	uint16_t python_stop = m->sample->head.python_stop;

	if (m->sample->head.native_stop)
		return m->sample->head.native_stop;
	if (verdict == VERDICT_RESYNCED)
		return STOP_UNWIND_LOST;
	if (verdict == VERDICT_PARTIAL)
		return python_stop;
	/* PY_NO_THREAD and PY_NOT_PYTHON are how most threads are: nothing stopped there. */
	if (verdict == VERDICT_NATIVE &&
	    (python_stop == STOP_PY_UNSUPPORTED || python_stop == STOP_PY_NOT_INITIALIZED))
		return python_stop;
	return STOP_NONE;
}

static int reserve_frames(struct merged_stack *stack, size_t count)
{
	struct merged_frame *frames;

	if (count <= stack->capacity)
		return 0;
	frames = realloc(stack->frames, count * sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	stack->frames = frames;
	stack->capacity = count;
	return 0;
}

static int reserve(const struct sample *sample, struct eval **ret_evals, struct run **ret_runs,
		   struct merged_stack *stack)
{
	size_t eval_count = 1, run_count = 1; /* one spare: no case of its own for none */

	for (uint32_t i = 0; i < sample->native_count; i++)
		eval_count += sample->native[i].is_eval;
	for (uint32_t i = 0; i < sample->python_count; i++)
		run_count += sample->python[i].kind != PYTHON_ITEM_FRAME;
	*ret_evals =
		calloc(eval_count, 2 * sizeof(**ret_evals)); /* in stack and in address order */
	*ret_runs = calloc(run_count, sizeof(**ret_runs));
	if (!*ret_evals || !*ret_runs)
		return -ENOMEM;
	return reserve_frames(stack, (size_t)sample->kernel_count + sample->native_count +
					     sample->python_count);
}

int stack_merge(const struct sample *sample, struct merged_stack *stack)
{
	_cleanup_free_ struct eval *evals = NULL;
	_cleanup_free_ struct run *runs = NULL;
	struct merge m = {.sample = sample};
	uint32_t flags = sample->head.flags;
	int err;

	err = reserve(sample, &evals, &runs, stack);
	if (err)
		return err;
	m.evals = evals;
	m.runs = runs;
	m.root_reached = sample->head.native_stop == STOP_NONE &&
			 flags & (SAMPLE_ROOT_REACHED | SAMPLE_KERNEL_THREAD);
	m.chain_complete = sample->head.python_stop == STOP_NONE && flags & SAMPLE_PYTHON_COMPLETE;
	stack->unmatched_segments = stack->unmatched_evals = 0;
	collect_evals(&m);
	collect_runs(&m);
	match_runs(&m);
	match_open_run(&m);
	walk_gaps(&m, stack);
	put_frames(&m, stack);
	stack->verdict = judge(&m);
	stack->stop = stop_of(&m, stack->verdict);
	stack->root_reached = m.root_reached;
	return 0;
}

void merged_stack_done(struct merged_stack *stack)
{
	free(stack->frames);
	*stack = (struct merged_stack){0};
}
