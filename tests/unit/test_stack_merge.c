/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge against a model: a random true stack is made first, the sample is
 * derived from it as the sampler would see it, and the merge must give the truth
 * back. Then the sample is cut and damaged in the ways that samples are.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/stop_reasons.h"
#include "merge/stack_merge.h"

#define FRAMES 8192
#define ROUNDS 4000

enum true_kind { TRUE_KERNEL, TRUE_NATIVE, TRUE_EVAL, TRUE_PYTHON, TRUE_END };

struct true_frame {
	enum true_kind kind;
	uint64_t id;	  /* pc or code: unique */
	uint64_t sp, cfa; /* evals */
	uint64_t address; /* TRUE_END: inside of the eval that follows it */
	bool resynced;
	bool gone; /* cut out of the sample */
};

struct model {
	struct true_frame frames[FRAMES]; /* leaf first; an eval's segment comes right before it */
	size_t count;
	size_t evals;
};

struct fixture {
	struct model model;
	struct sample sample;
	uint64_t kernel[FRAMES];
	struct native_frame native[FRAMES];
	struct python_item python[FRAMES];
	struct merged_stack stack;
};

static uint64_t random_state = 88172645463325252ULL;

static uint32_t random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 16) % bound);
}

static struct true_frame *add(struct model *model, enum true_kind kind)
{
	struct true_frame *frame = &model->frames[model->count];

	assert_true(model->count < FRAMES);
	*frame = (struct true_frame){.kind = kind, .id = 0x1000 + 16 * model->count};
	model->count++;
	return frame;
}

static void add_many(struct model *model, enum true_kind kind, size_t count)
{
	while (count--)
		add(model, kind);
}

/* One eval that runs `python` frames; *sp is the stack pointer of its callee and moves up. */
static void add_eval(struct model *model, uint64_t *sp, size_t python)
{
	uint64_t size = 64 + 8 * random_below(40);
	uint64_t shim = *sp + 8 * random_below((uint32_t)size / 8);
	struct true_frame *eval;

	add_many(model, TRUE_PYTHON, python);
	add(model, TRUE_END)->address = shim;
	eval = add(model, TRUE_EVAL);
	eval->sp = *sp;
	eval->cfa = *sp + size;
	*sp = eval->cfa + 16 * random_below(20);
	model->evals++;
}

static void make_model(struct model *model, size_t evals, size_t native_max)
{
	uint64_t sp = 0x7ffc00000000ULL + 16 * random_below(1000);

	model->count = model->evals = 0;
	add_many(model, TRUE_KERNEL, random_below(6));
	while (evals--) {
		add_many(model, TRUE_NATIVE, random_below((uint32_t)native_max + 1));
		add_eval(model, &sp, 1 + random_below(4));
	}
	add_many(model, TRUE_NATIVE, 1 + random_below(4)); /* main, _start */
}

/* The sample of what is not gone. */
static void derive(struct fixture *f)
{
	struct sample *s = &f->sample;

	memset(s, 0, sizeof(*s));
	s->kernel = f->kernel;
	s->native = f->native;
	s->python = f->python;
	s->head.flags = SAMPLE_ROOT_REACHED | SAMPLE_PYTHON_COMPLETE;
	for (size_t i = 0; i < f->model.count; i++) {
		const struct true_frame *t = &f->model.frames[i];

		if (t->gone)
			continue;
		if (t->kind == TRUE_KERNEL)
			f->kernel[s->kernel_count++] = t->id;
		else if (t->kind == TRUE_NATIVE || t->kind == TRUE_EVAL)
			f->native[s->native_count++] =
				(struct native_frame){.pc = t->id,
						      .sp = t->sp,
						      .cfa = t->cfa,
						      .is_eval = t->kind == TRUE_EVAL,
						      .resynced = t->resynced};
		else
			f->python[s->python_count++] = (struct python_item){
				.kind = t->kind == TRUE_END ? PYTHON_ITEM_SEGMENT_END
							    : PYTHON_ITEM_FRAME,
				.address = t->kind == TRUE_END ? t->address : t->id};
	}
}

static uint64_t merged_id(const struct fixture *f, const struct merged_frame *frame)
{
	switch (frame->kind) {
	case MERGED_KERNEL:
		return f->kernel[frame->index];
	case MERGED_NATIVE:
		return f->native[frame->index].pc;
	default:
		return f->python[frame->index].address;
	}
}

/* Whatever the sample: each frame once, each kind in its own order, the kernel's first. */
static void check_invariants(const struct fixture *f)
{
	const struct merged_stack *stack = &f->stack;
	uint32_t next[4] = {0};

	for (size_t i = 0; i < stack->count; i++) {
		const struct merged_frame *frame = &stack->frames[i];

		assert_in_range(frame->kind, MERGED_NATIVE, MERGED_KERNEL);
		if (frame->kind == MERGED_KERNEL)
			assert_int_equal(next[MERGED_NATIVE] + next[MERGED_PYTHON], 0);
		if (frame->kind == MERGED_PYTHON)
			while (next[MERGED_PYTHON] < f->sample.python_count &&
			       f->python[next[MERGED_PYTHON]].kind != PYTHON_ITEM_FRAME)
				next[MERGED_PYTHON]++;
		assert_int_equal(frame->index, next[frame->kind]++);
		assert_int_equal(frame->is_eval,
				 frame->kind == MERGED_NATIVE && f->native[frame->index].is_eval);
		assert_true(frame->is_eval || !frame->has_segment);
	}
	while (next[MERGED_PYTHON] < f->sample.python_count)
		assert_int_not_equal(f->python[next[MERGED_PYTHON]++].kind, PYTHON_ITEM_FRAME);
	assert_int_equal(next[MERGED_NATIVE], f->sample.native_count);
	assert_int_equal(next[MERGED_KERNEL], f->sample.kernel_count);
}

static void merge(struct fixture *f)
{
	assert_int_equal(stack_merge(&f->sample, &f->stack), 0);
	check_invariants(f);
}

/* The merged list is the truth, less what is gone. */
static void check_truth(const struct fixture *f)
{
	size_t at = 0;

	for (size_t i = 0; i < f->model.count; i++) {
		const struct true_frame *t = &f->model.frames[i];

		if (t->gone || t->kind == TRUE_END)
			continue;
		assert_true(at < f->stack.count);
		assert_int_equal(merged_id(f, &f->stack.frames[at]), t->id);
		at++;
	}
	assert_int_equal(at, f->stack.count);
}

static void check_verdict(const struct fixture *f, enum verdict verdict, uint16_t stop)
{
	assert_string_equal(verdict_name(f->stack.verdict), verdict_name(verdict));
	assert_int_equal(f->stack.stop, stop);
}

/* The index of the n-th eval of the model, innermost first. */
static size_t eval_at(const struct model *model, size_t n)
{
	for (size_t i = 0; i < model->count; i++)
		if (model->frames[i].kind == TRUE_EVAL && n-- == 0)
			return i;
	fail();
	return 0;
}

/* Marks the segment right before the eval, its end included. Its frames only: keep_end. */
static void drop_segment(struct model *model, size_t eval, bool keep_end)
{
	for (size_t i = eval; i-- > 0 && model->frames[i].kind >= TRUE_PYTHON;)
		model->frames[i].gone = model->frames[i].kind == TRUE_PYTHON || !keep_end;
}

static size_t natives_before(const struct model *model, size_t index)
{
	size_t count = 0;

	for (size_t i = 0; i < index; i++)
		count += model->frames[i].kind == TRUE_NATIVE || model->frames[i].kind == TRUE_EVAL;
	return count;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	merged_stack_done(&f->stack);
	free(f);
	return 0;
}

static void gives_the_truth_back(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		make_model(&f->model, random_below(12), 5);
		derive(f);
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_EXACT, STOP_NONE);
		assert_true(f->stack.root_reached);
		assert_int_equal(f->stack.unmatched_evals + f->stack.unmatched_segments, 0);
		for (size_t i = 0; i < f->stack.count; i++)
			assert_int_equal(f->stack.frames[i].has_segment,
					 f->stack.frames[i].is_eval);
	}
}

static void innermost_segment_missing_is_entering(void **state)
{
	struct fixture *f = *state;
	size_t entering = 0;

	for (int round = 0; round < ROUNDS; round++) {
		size_t eval;
		bool near;

		make_model(&f->model, 1 + random_below(8), 3);
		eval = eval_at(&f->model, 0);
		drop_segment(&f->model, eval, false);
		near = natives_before(&f->model, eval) <= 1;
		derive(f);
		merge(f);
		check_truth(f);
		check_verdict(f, near ? VERDICT_ENTERING : VERDICT_PARTIAL, STOP_NONE);
		assert_int_equal(f->stack.unmatched_evals, 1);
		entering += near;
		f->sample.head.flags |= SAMPLE_PYTHON_ENTERING; /* the sampler saw it */
		merge(f);
		check_verdict(f, VERDICT_ENTERING, STOP_NONE);
	}
	assert_in_range(entering, ROUNDS / 8, ROUNDS - ROUNDS / 8);
}

static void any_other_segment_missing_is_partial(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		size_t evals = 2 + random_below(8);

		make_model(&f->model, evals, 4);
		/* from one on, as on a greenlet's stack, or a single one */
		for (size_t n = 1 + random_below((uint32_t)evals - 1); n < evals; n++) {
			drop_segment(&f->model, eval_at(&f->model, n), false);
			if (random_below(2))
				break;
		}
		derive(f);
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_PARTIAL, STOP_NONE);
	}
}

static void unlinked_frame_leaves_an_empty_segment(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		size_t evals = 1 + random_below(6), n = random_below((uint32_t)evals);

		make_model(&f->model, evals, 4);
		drop_segment(&f->model, eval_at(&f->model, n), true);
		derive(f);
		merge(f);
		check_truth(f);
		/* inner ones run a destructor: all of the chain is known */
		check_verdict(f, n == 0 ? VERDICT_ENTERING : VERDICT_EXACT, STOP_NONE);
	}
}

static void native_cut_at_the_root_is_truncated(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		make_model(&f->model, random_below(8), 5);
		for (size_t i = random_below((uint32_t)f->model.count); i < f->model.count; i++)
			if (f->model.frames[i].kind == TRUE_NATIVE ||
			    f->model.frames[i].kind == TRUE_EVAL)
				f->model.frames[i].gone = true;
		derive(f);
		f->sample.head.user_sp = 0x7ffc00000000ULL;
		f->sample.head.flags &= ~SAMPLE_ROOT_REACHED;
		f->sample.head.native_stop = STOP_UNWIND_NO_ROW;
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_TRUNCATED, STOP_UNWIND_NO_ROW);
		assert_false(f->stack.root_reached);
	}
}

static void truncated_and_stale_addresses_are_partial(void **state)
{
	struct fixture *f = *state;

	make_model(&f->model, 2, 0);
	f->model.frames[eval_at(&f->model, 1) - 1].address = 0x1000; /* below the stack */
	for (size_t i = eval_at(&f->model, 0) + 1; i < f->model.count; i++)
		f->model.frames[i].gone = f->model.frames[i].kind < TRUE_PYTHON;
	derive(f);
	f->sample.head.flags &= ~SAMPLE_ROOT_REACHED;
	f->sample.head.native_stop = STOP_UNWIND_UNREADABLE;
	merge(f);
	check_truth(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_UNWIND_UNREADABLE);
}

/* Evals and what lies around them are lost; the walk went on at a later eval. */
static void lost_middle_is_resynced(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		size_t evals = 2 + random_below(8), n, from, to;

		make_model(&f->model, evals, 4);
		n = 1 + random_below((uint32_t)evals - 1);
		to = eval_at(&f->model, n);
		f->model.frames[to].resynced = true;
		from = random_below((uint32_t)to);
		for (size_t i = from; i < to; i++)
			if (f->model.frames[i].kind == TRUE_NATIVE ||
			    f->model.frames[i].kind == TRUE_EVAL)
				f->model.frames[i].gone = true;
		derive(f);
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_RESYNCED, STOP_UNWIND_LOST);
		assert_true(f->stack.root_reached);
	}
}

static void cut_chain_is_partial_and_placed(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		bool cut = false;
		size_t from;

		make_model(&f->model, 1 + random_below(6), 4);
		do
			from = random_below((uint32_t)f->model.count);
		while (f->model.frames[from].kind != TRUE_PYTHON);
		/* the frame at `from` is kept, what lies rootward of it was not walked */
		for (size_t i = from + 1; i < f->model.count; i++) {
			cut = cut || f->model.frames[i].kind >= TRUE_PYTHON;
			if (f->model.frames[i].kind >= TRUE_PYTHON)
				f->model.frames[i].gone = true;
		}
		assert_true(cut);
		derive(f);
		f->sample.head.flags &= ~SAMPLE_PYTHON_COMPLETE;
		f->sample.head.python_stop = STOP_PY_DEPTH;
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_PARTIAL, STOP_PY_DEPTH);
		for (size_t i = 1; i < f->stack.count; i++) /* its eval is known to run it */
			if (f->stack.frames[i].is_eval &&
			    f->stack.frames[i - 1].kind == MERGED_PYTHON)
				assert_true(f->stack.frames[i].has_segment);
	}
}

static void corrupt_address_is_never_exact(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		size_t evals = 1 + random_below(10);
		struct true_frame *end, *other;
		size_t matched = 0;

		make_model(&f->model, evals, 4);
		end = &f->model.frames[eval_at(&f->model, random_below((uint32_t)evals)) - 1];
		other = &f->model.frames[eval_at(&f->model, random_below((uint32_t)evals))];
		/* beside an eval, or in one that has a segment of its own */
		do
			end->address = other->sp - 16 + random_below(600);
		while (end->address >= end[1].sp && end->address < end[1].cfa);
		derive(f);
		merge(f);
		check_verdict(f, VERDICT_PARTIAL, STOP_NONE);
		assert_true(f->stack.unmatched_segments && f->stack.unmatched_evals);
		/* one wrong address does not take the others off their evals */
		for (size_t i = 0; i < f->stack.count; i++)
			matched += f->stack.frames[i].has_segment;
		assert_int_equal(matched, evals - 1);
	}
}

static void survives_garbage(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t space = 1 + random_below(200);

		memset(&f->sample, 0, sizeof(f->sample));
		f->sample.kernel = f->kernel;
		f->sample.native = f->native;
		f->sample.python = f->python;
		f->sample.kernel_count = random_below(4);
		f->sample.native_count = random_below(40);
		f->sample.python_count = random_below(40);
		f->sample.head.flags = random_below(64);
		f->sample.head.native_stop = (uint16_t)(random_below(2) * random_below(256));
		f->sample.head.python_stop = (uint16_t)(random_below(2) * random_below(256));
		for (uint32_t i = 0; i < f->sample.native_count; i++)
			f->native[i] = (struct native_frame){.sp = random_below(space),
							     .cfa = random_below(space),
							     .is_eval = random_below(2),
							     .resynced = random_below(8) == 0};
		for (uint32_t i = 0; i < f->sample.python_count; i++)
			f->python[i] = (struct python_item){
				.kind = (uint8_t)(1 + random_below(3)),
				.address = random_below(16) ? random_below(space) : UINT64_MAX};
		merge(f);
		assert_true(f->stack.verdict < VERDICT_COUNT);
		if (f->sample.head.native_stop || f->sample.head.python_stop)
			assert_true(f->stack.verdict != VERDICT_EXACT);
	}
}

static void without_python(struct fixture *f, uint32_t flags, uint16_t native_stop,
			   uint16_t python_stop, enum verdict verdict, uint16_t stop)
{
	f->sample.head.flags = flags;
	f->sample.head.native_stop = native_stop;
	f->sample.head.python_stop = python_stop;
	merge(f);
	check_verdict(f, verdict, stop);
}

static void threads_without_python_are_native(void **state)
{
	const uint32_t root = SAMPLE_ROOT_REACHED;
	struct fixture *f = *state;

	make_model(&f->model, 0, 5);
	derive(f);
	without_python(f, root, 0, STOP_PY_NO_THREAD, VERDICT_NATIVE, STOP_NONE);
	without_python(f, root, 0, STOP_PY_NOT_PYTHON, VERDICT_NATIVE, STOP_NONE);
	without_python(f, root, 0, STOP_PY_UNSUPPORTED, VERDICT_NATIVE, STOP_PY_UNSUPPORTED);
	without_python(f, 0, STOP_UNWIND_NO_TABLE, STOP_PY_NO_THREAD, VERDICT_TRUNCATED,
		       STOP_UNWIND_NO_TABLE);
	without_python(f, root, 0, STOP_PY_STATE_UNREADABLE, VERDICT_PARTIAL,
		       STOP_PY_STATE_UNREADABLE);
	without_python(f, root, 0, STOP_PY_STATE_MISMATCH, VERDICT_PARTIAL, STOP_PY_STATE_MISMATCH);
	/* has a thread state, runs nothing */
	without_python(f, root | SAMPLE_PYTHON_COMPLETE, 0, 0, VERDICT_EXACT, STOP_NONE);
	f->sample.native_count = 0;
	without_python(f, SAMPLE_KERNEL_THREAD, 0, 0, VERDICT_NATIVE, STOP_NONE);
	assert_true(f->stack.root_reached);
	f->sample.kernel_count = 0;
	without_python(f, 0, STOP_UNWIND_UNCONFIGURED, STOP_PY_NOT_INITIALIZED, VERDICT_TRUNCATED,
		       STOP_UNWIND_UNCONFIGURED);
}

static void eval_on_the_stack_belies_no_thread(void **state)
{
	struct fixture *f = *state;

	make_model(&f->model, 2, 3);
	for (size_t n = 0; n < 2; n++)
		drop_segment(&f->model, eval_at(&f->model, n), false);
	derive(f);
	without_python(f, SAMPLE_ROOT_REACHED, 0, STOP_PY_NO_THREAD, VERDICT_PARTIAL,
		       STOP_PY_NO_THREAD);
	without_python(f, SAMPLE_ROOT_REACHED, 0, STOP_PY_UNSUPPORTED, VERDICT_NATIVE,
		       STOP_PY_UNSUPPORTED);
	check_truth(f);
}

/* 3.15 ends each chain with a frame in the thread state, off the C stack. */
static void base_frame_segment_is_tolerated(void **state)
{
	struct fixture *f = *state;

	make_model(&f->model, 3, 3);
	derive(f);
	f->python[f->sample.python_count++] =
		(struct python_item){.kind = PYTHON_ITEM_SEGMENT_END, .address = 0x555500001000ULL};
	merge(f);
	check_verdict(f, VERDICT_EXACT, STOP_NONE);
	assert_int_equal(f->stack.unmatched_segments, 0);
	/* with a frame in it, it is a segment that was lost */
	f->python[f->sample.python_count - 1].kind = PYTHON_ITEM_FRAME;
	f->python[f->sample.python_count++] =
		(struct python_item){.kind = PYTHON_ITEM_SEGMENT_END, .address = 0x555500001000ULL};
	merge(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_NONE);
	assert_int_equal(f->stack.unmatched_segments, 1);
}

/* The inner part of the stack lies elsewhere, at higher addresses: sigaltstack, coroutines. */
static void split_stack_is_exact(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 200; round++) {
		make_model(&f->model, 5, 3);
		for (size_t i = 0; i <= eval_at(&f->model, 2); i++) {
			f->model.frames[i].sp += 1ULL << 40;
			f->model.frames[i].cfa += 1ULL << 40;
			f->model.frames[i].address += 1ULL << 40;
		}
		derive(f);
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_EXACT, STOP_NONE);
	}
}

/* Only the end of a chain may lie on no stack, not an empty segment inside of it. */
static void stray_empty_segment_is_partial(void **state)
{
	struct fixture *f = *state;
	size_t eval;

	make_model(&f->model, 3, 0);
	eval = eval_at(&f->model, 0);
	drop_segment(&f->model, eval, true);
	f->model.frames[eval - 1].address = 0x1000;
	derive(f);
	merge(f);
	check_truth(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_NONE);
	assert_int_equal(f->stack.unmatched_segments, 1);
}

/* The innermost eval enters and all outside of it is lost: the segments are not its own. */
static void entering_and_truncated(void **state)
{
	struct fixture *f = *state;
	size_t eval;

	make_model(&f->model, 3, 0);
	eval = eval_at(&f->model, 0);
	drop_segment(&f->model, eval, false);
	for (size_t i = eval + 1; i < f->model.count; i++)
		f->model.frames[i].gone = f->model.frames[i].kind < TRUE_PYTHON;
	derive(f);
	f->sample.head.flags &= ~SAMPLE_ROOT_REACHED;
	f->sample.head.native_stop = STOP_UNWIND_REGISTER;
	merge(f);
	check_truth(f);
	check_verdict(f, VERDICT_TRUNCATED, STOP_UNWIND_REGISTER);
}

static void entering_and_cut_chain(void **state)
{
	struct fixture *f = *state;
	size_t eval;

	make_model(&f->model, 3, 0);
	drop_segment(&f->model, eval_at(&f->model, 0), false);
	eval = eval_at(&f->model, 1);
	for (size_t i = eval - 1; i < f->model.count; i++)
		f->model.frames[i].gone = f->model.frames[i].kind >= TRUE_PYTHON;
	derive(f);
	f->sample.head.flags = SAMPLE_ROOT_REACHED | SAMPLE_PYTHON_ENTERING;
	f->sample.head.python_stop = STOP_PY_BAD_FRAME;
	merge(f);
	check_truth(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_PY_BAD_FRAME);
}

/* After a segment that found no eval, nothing tells where the frames of a cut chain ran. */
static void cut_chain_after_a_stray_segment_is_not_matched(void **state)
{
	struct fixture *f = *state;

	make_model(&f->model, 3, 2);
	f->model.frames[eval_at(&f->model, 0) - 1].address = 0x1000;
	for (size_t i = eval_at(&f->model, 1) - 1; i < f->model.count; i++)
		f->model.frames[i].gone = f->model.frames[i].kind >= TRUE_PYTHON;
	derive(f);
	f->sample.head.flags = SAMPLE_ROOT_REACHED;
	f->sample.head.python_stop = STOP_PY_FRAME_UNREADABLE;
	merge(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_PY_FRAME_UNREADABLE);
	for (size_t i = 0; i < f->stack.count; i++)
		assert_false(f->stack.frames[i].has_segment);
}

/* Puts a thread state before the python item at. */
static void insert_thread_state(struct fixture *f, uint32_t at)
{
	memmove(&f->python[at + 1], &f->python[at],
		(f->sample.python_count - at) * sizeof(f->python[0]));
	f->python[at] = (struct python_item){.kind = PYTHON_ITEM_THREAD_STATE};
	f->sample.python_count++;
}

/* The inner thread state's chain is cut: the outer one's segment end does not close its frames. */
static void cut_inner_thread_state_is_partial(void **state)
{
	struct fixture *f = *state;
	size_t eval;
	uint32_t at = 0;

	make_model(&f->model, 4, 0);
	eval = eval_at(&f->model, 1);
	f->model.frames[eval - 1].gone = f->model.frames[eval].gone = true;
	f->model.frames[eval_at(&f->model, 2)].resynced = true;
	derive(f);
	while (f->python[at].address != f->model.frames[eval - 2].id)
		at++;
	insert_thread_state(f, at + 1);
	merge(f);
	check_truth(f);
	check_verdict(f, VERDICT_PARTIAL, STOP_NONE);
}

/* Two thread states on one thread: the inner chain's segments, then the outer's. */
static void second_thread_state_goes_on(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 200; round++) {
		uint32_t at = 0;

		make_model(&f->model, 4, 3);
		derive(f);
		for (int ends = 0; ends < 2; at++)
			ends += f->python[at].kind == PYTHON_ITEM_SEGMENT_END;
		insert_thread_state(f, at);
		merge(f);
		check_truth(f);
		check_verdict(f, VERDICT_EXACT, STOP_NONE);
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The best time of a merge of evals with one Python frame each; upside_down: each address falls. */
static double merge_seconds(struct fixture *f, int evals, bool upside_down)
{
	uint64_t sp = 0x7ffc00000000ULL;
	double best = 1;

	f->model.count = f->model.evals = 0;
	for (int i = 0; i < evals; i++)
		add_eval(&f->model, &sp, 1);
	derive(f);
	for (uint32_t i = 1, n = f->sample.python_count; upside_down && i < n / 2; i += 2) {
		uint64_t address = f->python[i].address;

		f->python[i].address = f->python[n - i].address;
		f->python[n - i].address = address;
	}
	merge(f);
	assert_int_equal(f->stack.unmatched_evals, upside_down ? evals - 1 : 0);
	for (int i = 0; i < 30; i++) {
		double from = seconds();

		for (int round = 0; round < 8; round++)
			assert_int_equal(stack_merge(&f->sample, &f->stack), 0);
		if (seconds() - from < best)
			best = seconds() - from;
	}
	return best / 8;
}

/* The largest sample beside one an eighth of it: a quadratic merge would take 64 times as long. */
static void largest_sample_is_not_quadratic(void **state)
{
	struct fixture *f = *state;

	for (int upside_down = 0; upside_down < 2; upside_down++) {
		double small = merge_seconds(f, NATIVE_FRAMES_MAX / 8, upside_down);
		double large = merge_seconds(f, NATIVE_FRAMES_MAX, upside_down);

		if (getenv("MIXPROF_TEST_VERBOSE"))
			print_message("merge of %d + %d frames: %.1f us, of an eighth: %.1f us\n",
				      NATIVE_FRAMES_MAX, NATIVE_FRAMES_MAX, large * 1e6,
				      small * 1e6);
		assert_true(large < 28 * small);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_truth_back),
		cmocka_unit_test(innermost_segment_missing_is_entering),
		cmocka_unit_test(any_other_segment_missing_is_partial),
		cmocka_unit_test(unlinked_frame_leaves_an_empty_segment),
		cmocka_unit_test(native_cut_at_the_root_is_truncated),
		cmocka_unit_test(truncated_and_stale_addresses_are_partial),
		cmocka_unit_test(lost_middle_is_resynced),
		cmocka_unit_test(cut_chain_is_partial_and_placed),
		cmocka_unit_test(corrupt_address_is_never_exact),
		cmocka_unit_test(survives_garbage),
		cmocka_unit_test(threads_without_python_are_native),
		cmocka_unit_test(eval_on_the_stack_belies_no_thread),
		cmocka_unit_test(base_frame_segment_is_tolerated),
		cmocka_unit_test(split_stack_is_exact),
		cmocka_unit_test(stray_empty_segment_is_partial),
		cmocka_unit_test(entering_and_truncated),
		cmocka_unit_test(entering_and_cut_chain),
		cmocka_unit_test(cut_chain_after_a_stray_segment_is_not_matched),
		cmocka_unit_test(cut_inner_thread_state_is_partial),
		cmocka_unit_test(second_thread_state_goes_on),
		cmocka_unit_test(largest_sample_is_not_quadratic),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
