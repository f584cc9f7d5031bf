/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler's Python walk, compiled for the host: thread states, frame chains
 * of every kind since 3.11, the read window, hostile values; and the resync of
 * the native walk by what it found. A model pushes the frames and so knows them.
 */
#include "unit/host_walk_world.h"

#include "abi/stop_reasons.h"
#include "python/python_layout.h"

#define HEAP 0x560000000000ull
#define HEAP_BYTES (1u << 20)
#define TSTATE (HEAP + 0x1000)
#define ROOT_CFRAME (HEAP + 0x2000)
#define BASE_FRAME (HEAP + 0x3000)
#define GENERATORS (HEAP + 0x10000)
#define CODES (HEAP + 0x80000)
#define CODE_TYPE (HEAP + 0x8000)
#define THREAD_POINTER 0x7fff80000740ull
#define DATASTACK 0x7e0000000000ull
#define CHUNK_BYTES 16384u
#define CHUNK_GAP 0x100000ull
#define KEY 5

struct py_item {
	uint8_t kind;
	uint64_t address, instr;
};

enum version { V311, V312, V313, V314, V315, VERSIONS };

struct py_world {
	struct world *w;
	enum version version;
	const struct py_layout *l;
	struct py_item items[8192]; /* outermost first */
	uint32_t count;
	uint64_t frame, cframe, stack, chunk, top, generator;
	uint32_t chunks;
};

static struct py_layout layout_of(enum version version)
{
	struct py_layout l = {
		.version = 0x030d,
		.chain = PY_CHAIN_SHIM,
		.owner_shim_min = 3,
		.tstate_frame = 72,
		.tstate_thread_id = 152,
		.tstate_base_frame = PY_OFFSET_NONE,
		.tstate_datastack_chunk = 240,
		.frame_code = 0,
		.frame_previous = 8,
		.frame_instr = 56,
		.frame_owner = 70,
		.frame_size = 80,
		.object_type = 8,
	};

	if (version == V311)
		return python_layout_find(0x030b07f0)->walk;
	if (version == V312)
		return python_layout_find(0x030c01f0)->walk;
	if (version >= V314) {
		l.frame_owner = 74;
		l.frame_size = 88;
	}
	if (version == V315)
		l.tstate_base_frame = 80;
	return l;
}

static void set_chunk(struct py_world *p, uint64_t chunk)
{
	poke(p->w, TSTATE + p->l->tstate_datastack_chunk, chunk);
}

static void new_chunk(struct py_world *p)
{
	uint64_t chunk = DATASTACK + CHUNK_GAP * (12 - p->chunks++); /* new ones anywhere */

	if (!world_memory(p->w, chunk, 1))
		world_region(p->w, chunk, CHUNK_BYTES);
	poke(p->w, chunk, p->chunk);
	poke(p->w, chunk + 8, CHUNK_BYTES);
	p->chunk = chunk;
	p->top = chunk + 24;
	set_chunk(p, chunk);
}

static void py_world_init(struct py_world *p, enum version version)
{
	struct world *w = world_new();

	*p = (struct py_world){.w = w, .version = version, .stack = STACK_TOP};
	world_region(w, HEAP, HEAP_BYTES);
	world_region(w, THREAD_POINTER & ~4095ull, 8192);
	w->walk.layout = layout_of(version);
	p->l = &w->walk.layout;
	w->walk.thread_pointer = THREAD_POINTER;
	w->walk.python = (struct py_process){
		.layout = 1,
		.source = PY_TSTATE_PTHREAD_KEY,
		.pthread_key = KEY,
		.specific_offset = 0x510,
		.specific_first = 0x310,
		.code_type = CODE_TYPE,
	};
	poke(w, THREAD_POINTER + 0x310 + 16 * KEY + 8, TSTATE);
	poke(w, TSTATE + p->l->tstate_thread_id, THREAD_POINTER);
	if (p->l->chain == PY_CHAIN_CFRAME || p->l->chain == PY_CHAIN_CFRAME_SHIM) {
		p->cframe = ROOT_CFRAME;
		poke(w, TSTATE + p->l->tstate_frame, ROOT_CFRAME);
	}
	if (version == V315) {
		poke(w, TSTATE + p->l->tstate_base_frame, BASE_FRAME);
		poke_u8(w, BASE_FRAME + p->l->frame_owner, 4);
		p->frame = BASE_FRAME;
	}
	p->generator = GENERATORS;
	new_chunk(p);
}

static void py_world_done(struct py_world *p)
{
	world_free(p->w);
}
#define PY_WORLD(name, version)                                                                    \
	_cleanup_(py_world_done) struct py_world name;                                             \
	py_world_init(&name, version)

static void put_item(struct py_world *p, uint8_t kind, uint64_t address, uint64_t instr)
{
	p->items[p->count++] = (struct py_item){kind, address, instr};
}

static void set_current(struct py_world *p, uint64_t frame)
{
	p->frame = frame;
	if (p->cframe)
		poke(p->w, p->cframe + p->l->cframe_current_frame, frame);
	else
		poke(p->w, TSTATE + p->l->tstate_frame, frame);
}

static uint64_t code_object(struct py_world *p, uint32_t n)
{
	uint64_t code = CODES + 64ull * n;

	poke(p->w, code + p->l->object_type, CODE_TYPE);
	return code;
}

/* A native call of the eval loop: its C frame holds a _PyCFrame (to 3.12) and a shim (from 3.12).
 */
static void py_enter_at(struct py_world *p, uint64_t place)
{
	if (p->cframe) {
		poke(p->w, place + p->l->cframe_previous, p->cframe);
		p->cframe = place;
		poke(p->w, TSTATE + p->l->tstate_frame, place);
		poke(p->w, place + p->l->cframe_current_frame, p->frame);
	}
	if (p->version == V311) {
		put_item(p, PYTHON_ITEM_SEGMENT_END, place, 0);
		return;
	}
	place += 64;
	/* 3.12: interp->interpreter_trampoline; later None, tagged or not */
	poke(p->w, place + p->l->frame_code, p->version == V312 ? code_object(p, 0) : CODES | 1);
	poke(p->w, place + p->l->frame_previous, p->frame);
	poke_u8(p->w, place + p->l->frame_owner, 3);
	put_item(p, PYTHON_ITEM_SEGMENT_END, place, 0);
	set_current(p, place);
}

static void py_enter(struct py_world *p)
{
	p->stack -= 256 + 8ull * below(200);
	py_enter_at(p, p->stack);
}

static void py_push(struct py_world *p, uint32_t bytes, bool generator)
{
	uint64_t code = code_object(p, below(1000)), instr = next_random(), frame;

	if (!generator && p->top + bytes > p->chunk + CHUNK_BYTES)
		new_chunk(p);
	frame = generator ? p->generator : p->top;
	if (generator)
		p->generator += bytes + 16;
	else
		p->top += bytes;
	poke(p->w, frame + p->l->frame_code, p->version >= V314 ? code | 1 : code);
	poke(p->w, frame + p->l->frame_previous, p->frame);
	poke(p->w, frame + p->l->frame_instr, instr);
	poke_u8(p->w, frame + p->l->frame_owner, generator ? 1 : 0);
	put_item(p, PYTHON_ITEM_FRAME, code, instr);
	set_current(p, frame);
}

static uint32_t frame_bytes(const struct py_world *p)
{
	return p->l->frame_size + 8 * below(30);
}

/* The innermost `count` items of the model are what the walk found, and all of it. */
static void expect_items(const struct py_world *p, uint32_t count)
{
	const struct sample *sample = &p->w->sample;

	assert_int_equal(sample->python_count, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct py_item *want = &p->items[p->count - 1 - i];
		const struct python_item *got = &sample->python[i];

		assert_int_equal(got->kind, want->kind);
		assert_int_equal(got->address, want->address);
		assert_int_equal(got->instr, want->instr);
	}
}

static void expect_complete(const struct py_world *p)
{
	expect_items(p, p->count);
	assert_true(p->w->sample.head.flags & SAMPLE_PYTHON_COMPLETE);
	assert_int_equal(p->w->sample.head.python_stop, 0);
}

static void expect_py_stop(const struct py_world *p, uint32_t items, uint16_t stop)
{
	expect_items(p, items);
	assert_false(p->w->sample.head.flags & SAMPLE_PYTHON_COMPLETE);
	assert_int_equal(p->w->sample.head.python_stop, stop);
}

static void random_chains(void **state)
{
	(void)state;
	for (uint32_t run = 0; run < 80 * VERSIONS; run++) {
		PY_WORLD(p, run % VERSIONS);
		uint32_t depth = below(200), generators = below(3) ? 0 : 3;

		for (uint32_t i = 0; i < depth; i++) {
			if (i == 0 || below(6) == 0)
				py_enter(&p);
			py_push(&p, frame_bytes(&p), below(10) < generators);
			if (below(40) == 0 && p.chunks < 6)
				new_chunk(&p);
		}
		world_walk(p.w);
		expect_complete(&p);
		assert_false(p.w->sample.head.flags & SAMPLE_PYTHON_ENTERING);
	}
}

/* Windows of 2 KB, and the last one starts where the chunk does. */
static void window_is_reused(void **state)
{
	(void)state;
	for (enum version v = V311; v < VERSIONS; v++) {
		PY_WORLD(p, v);

		py_enter(&p);
		while (p.top + 400 < p.chunk + CHUNK_BYTES)
			py_push(&p, frame_bytes(&p), false);
		/* a read across the chunk's start would fail here, and cost one more */
		p.w->fault_start = p.chunk - 4096;
		p.w->fault_end = p.chunk;
		world_walk(p.w);
		expect_complete(&p);
		assert_int_equal(p.w->faults_hit, 0);
		assert_in_range(p.w->reads, 8, 8 + 14);
	}
}

/* Frames of older chunks: found, and through windows as well, which may begin below the chunk. */
static void older_chunks(void **state)
{
	PY_WORLD(p, V313);

	(void)state;
	py_enter(&p);
	for (int chunk = 0; chunk < 5; chunk++) {
		while (p.top + 400 < p.chunk + CHUNK_BYTES)
			py_push(&p, frame_bytes(&p), false);
		new_chunk(&p);
	}
	world_walk(p.w); /* the newest chunk is empty */
	expect_complete(&p);
	assert_true(p.count > 300);
	assert_true(p.w->reads < p.count / 3);
}

static void unreadable_frame(void **state)
{
	(void)state;
	for (uint32_t depth = 0; depth < 40; depth++) {
		PY_WORLD(p, depth % VERSIONS);
		uint64_t bad = 0;

		py_enter(&p);
		for (uint32_t i = 0; i < 40; i++) {
			py_push(&p, frame_bytes(&p), i % 3 == 0);
			if (i == depth)
				bad = p.frame;
		}
		p.w->fault_start = bad + 16;
		p.w->fault_end = bad + 24;
		world_walk(p.w);
		if (depth == 39 && p.version == V311)
			continue; /* the newest frame of 3.11 is judged before it is walked */
		expect_py_stop(&p, 39 - depth, STOP_PY_FRAME_UNREADABLE);
		assert_true(p.w->faults_hit > 0);
	}
}

static void bad_frames(void **state)
{
	(void)state;
	for (enum version v = V312; v < VERSIONS; v++) {
		PY_WORLD(p, v);
		uint64_t middle;

		py_enter(&p);
		py_push(&p, 96, false);
		middle = p.frame;
		py_push(&p, 96, false);
		py_push(&p, 96, false);
		poke(p.w, middle + p.l->frame_code, 0);
		world_walk(p.w);
		expect_py_stop(&p, 2, STOP_PY_BAD_FRAME);
		poke(p.w, middle + p.l->frame_code, 1ull << 48);
		world_walk(p.w);
		expect_py_stop(&p, 2, STOP_PY_BAD_FRAME);
		poke(p.w, p.frame + p.l->frame_previous, middle + 4);
		world_walk(p.w);
		expect_py_stop(&p, 1, STOP_PY_FRAME_UNREADABLE);
	}
}

static void cycles_end(void **state)
{
	(void)state;
	for (enum version v = V311; v < VERSIONS; v++) {
		PY_WORLD(p, v);

		py_enter(&p);
		py_push(&p, 96, false);
		poke(p.w, p.frame + p.l->frame_previous, p.frame);
		world_walk(p.w);
		assert_int_equal(p.w->sample.head.python_stop, STOP_PY_DEPTH);
		assert_int_equal(p.w->sample.head.python_frames, PYTHON_FRAMES_MAX);
		if (v == V311)
			continue;
		py_enter(&p); /* shims only: more of them than are kept */
		poke(p.w, p.frame + p.l->frame_previous, p.frame);
		world_walk(p.w);
		assert_int_equal(p.w->sample.head.python_stop, STOP_PY_DEPTH);
		assert_int_equal(p.w->sample.python_count, PYTHON_FRAMES_MAX);
		assert_int_equal(p.w->sample.head.python_frames, 0);
	}
}

static void depth_limit(void **state)
{
	(void)state;
	for (uint32_t depth = PYTHON_FRAMES_MAX - 2; depth <= PYTHON_FRAMES_MAX; depth++) {
		PY_WORLD(p, V313);

		py_enter(&p);
		while (p.count < depth + 1) /* 8 chunks hold 1,632 frames */
			py_push(&p, 80, p.count > 1600);
		world_walk(p.w);
		/* the step that sees the chain's end is one of them */
		if (depth + 1 < PYTHON_FRAMES_MAX)
			expect_complete(&p);
		else
			expect_py_stop(&p, PYTHON_FRAMES_MAX, STOP_PY_DEPTH);
		assert_true(p.w->chunks >= 5);
	}
}

/* A _PyCFrame that was linked but not filled yet: the one before it is the truth. */
static void entering(void **state)
{
	enum { UNALIGNED, NOWHERE, NO_CODE, WRONG_TYPE, VARIANTS };

	(void)state;
	for (int i = 0; i < VARIANTS * 2; i++) {
		PY_WORLD(p, i % 2 ? V312 : V311);
		uint64_t garbage = HEAP + 0x4000, cframe;

		py_enter(&p);
		py_push(&p, 96, false);
		py_enter(&p);
		py_push(&p, 96, false);
		py_push(&p, 96, false);
		cframe = p.stack - 512;
		poke(p.w, cframe + p.l->cframe_previous, p.cframe);
		poke(p.w, TSTATE + p.l->tstate_frame, cframe);
		switch (i / 2) {
		case UNALIGNED:
			garbage = p.frame + 1;
			break;
		case NOWHERE:
			garbage = 0x1234567890;
			break;
		case NO_CODE:
			poke(p.w, garbage + p.l->frame_code, 0x777);
			break;
		default:
			poke(p.w, garbage + p.l->frame_code, CODES);
			poke(p.w, CODES + p.l->object_type, CODE_TYPE + 64);
		}
		poke(p.w, cframe + p.l->cframe_current_frame, garbage);
		world_walk(p.w);
		expect_complete(&p);
		assert_true(p.w->sample.head.flags & SAMPLE_PYTHON_ENTERING);
		/* a chain that cannot be read at all */
		poke(p.w, cframe + p.l->cframe_previous, 0x10);
		world_walk(p.w);
		expect_py_stop(&p, 0, STOP_PY_STATE_UNREADABLE);
	}
}

/* No Python code runs: a thread state and nothing else. */
static void empty_chains(void **state)
{
	(void)state;
	for (enum version v = V311; v < VERSIONS; v++) {
		PY_WORLD(p, v);

		set_current(&p, p.frame);
		world_walk(p.w);
		expect_complete(&p);
		set_chunk(&p, 0);
		world_walk(p.w);
		expect_complete(&p);
		set_chunk(&p, 0x18); /* unreadable: frames are then read alone */
		py_enter(&p);
		for (int i = 0; i < 20; i++)
			py_push(&p, 96, false);
		world_walk(p.w);
		expect_complete(&p);
	}
}

static void layouts_refused(void **state)
{
	PY_WORLD(p, V313);
	const struct py_layout good = *p.l;
	struct py_layout *l = &p.w->walk.layout;

	(void)state;
	py_enter(&p);
	py_push(&p, 96, false);
	world_walk(p.w);
	expect_complete(&p);
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		*l = good;                                                                         \
		l->field = (value);                                                                \
		world_walk(p.w);                                                                   \
		expect_py_stop(&p, 0, STOP_PY_BAD_LAYOUT);                                         \
	} while (0)
	REFUSED(tstate_frame, PY_OFFSET_MAX + 1);
	REFUSED(tstate_thread_id, PY_OFFSET_MAX + 1);
	REFUSED(frame_size, PY_FRAME_BYTES_MAX + 8);
	REFUSED(frame_size, 8);
	REFUSED(frame_code, 73);
	REFUSED(frame_code, 4);
	REFUSED(frame_previous, 80);
	REFUSED(frame_previous, PY_OFFSET_NONE);
	REFUSED(frame_instr, 76);
	REFUSED(frame_owner, 80);
	REFUSED(frame_owner, PY_OFFSET_NONE);
#undef REFUSED
}

/* Any layout and any state: the walk ends, within its memory (ASan). */
static void random_layouts(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		static struct py_world p;
		static bool made;
		struct py_layout *l;

		if (!made) {
			py_world_init(&p, V312);
			py_enter(&p);
			for (int n = 0; n < 30; n++)
				py_push(&p, 96, n % 4 == 0);
			made = true;
		}
		l = &p.w->walk.layout;
		*l = layout_of(below(VERSIONS));
		for (uint32_t n = below(4); n; n--)
			((uint8_t *)l)[below(sizeof(*l))] = (uint8_t)next_random();
		world_walk(p.w);
		assert_true(p.w->sample.head.python_frames <= PYTHON_FRAMES_MAX);
		if (i == 19999)
			py_world_done(&p);
	}
}

static void thread_states(void **state)
{
	PY_WORLD(p, V313);
	struct py_process *python = &p.w->walk.python;

	(void)state;
	py_enter(&p);
	py_push(&p, 96, false);
	world_walk(p.w);
	expect_complete(&p);
	poke(p.w, TSTATE + p.l->tstate_thread_id, THREAD_POINTER + 1); /* a stale key */
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_STATE_MISMATCH);
	poke(p.w, THREAD_POINTER + 0x310 + 16 * KEY + 8, 0);
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_NO_THREAD);
	poke(p.w, THREAD_POINTER + 0x310 + 16 * KEY + 8, 0x40);
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_STATE_UNREADABLE);
	p.w->walk.thread_pointer = 0x100;
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_STATE_UNREADABLE);
	p.w->walk.thread_pointer = THREAD_POINTER;
	python->source = PY_TSTATE_NONE;
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_NO_THREAD);
	python->stop = STOP_PY_UNSUPPORTED;
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_UNSUPPORTED);
}

static void keys_of_the_second_level(void **state)
{
	static const uint32_t keys[] = {0, 31, 32, 33, 63, 64, 1023};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		PY_WORLD(p, V313);
		uint64_t block = HEAP + 0x6000, slot;

		poke(p.w, THREAD_POINTER + 0x310 + 16 * KEY + 8, 0);
		p.w->walk.python.pthread_key = keys[i];
		py_enter(&p);
		py_push(&p, 96, false);
		world_walk(p.w); /* no block, or an empty slot */
		expect_py_stop(&p, 0, STOP_PY_NO_THREAD);
		if (keys[i] >= 32)
			poke(p.w, THREAD_POINTER + 0x510 + 8 * (keys[i] / 32), block);
		else
			block = THREAD_POINTER + 0x310;
		slot = block + 16 * (keys[i] % 32) + 8;
		poke(p.w, slot, TSTATE);
		world_walk(p.w);
		expect_complete(&p);
	}
}

static void other_sources(void **state)
{
	PY_WORLD(p, V311);
	struct py_process *python = &p.w->walk.python;
	const uint64_t other = HEAP + 0x7000, global = HEAP + 0x7800;

	(void)state;
	py_enter(&p);
	py_push(&p, 96, false);
	/* the key gives another interpreter's thread state; the running one is the global's */
	poke(p.w, THREAD_POINTER + 0x310 + 16 * KEY + 8, other);
	poke(p.w, other + p.l->tstate_thread_id, THREAD_POINTER);
	poke(p.w, other + p.l->tstate_frame, 0x10);
	python->tstate_current = global;
	poke(p.w, global, TSTATE);
	world_walk(p.w);
	expect_complete(&p);
	/* another thread runs: back to the key */
	poke(p.w, THREAD_POINTER + 0x310 + 16 * KEY + 8, TSTATE);
	poke(p.w, global, other);
	poke(p.w, other + p.l->tstate_thread_id, THREAD_POINTER + 0x1000);
	world_walk(p.w);
	expect_complete(&p);
	poke(p.w, global, 0);
	world_walk(p.w);
	expect_complete(&p);
	python->source = PY_TSTATE_TLS_OFFSET;
	python->tls_offset = -0x80;
	poke(p.w, THREAD_POINTER - 0x80, TSTATE);
	world_walk(p.w);
	expect_complete(&p);
	python->tls_offset = -0x8000;
	world_walk(p.w);
	expect_py_stop(&p, 0, STOP_PY_STATE_UNREADABLE);
}

/* --- resync --- */

#define DELTA 0x140 /* CFA - shim */

struct resync_world {
	struct py_world p;
	uint32_t root, eval, c, jit;
};

#define OUTER_STACK_TOP (STACK_TOP + (2ull << 20))
static uint32_t outer_shims; /* entries outside of the native stack that a test looks at */

/* root -> eval -> c -> eval -> c, then code that no row covers. */
static void resync_world_init(struct resync_world *r, bool jit_has_frame_pointer)
{
	struct unwind_rule eval = rbp_rule();
	struct world *w;

	py_world_init(&r->p, V313);
	w = r->p.w;
	world_region(w, OUTER_STACK_TOP - (1 << 20), 1 << 20);
	eval.flags = UNWIND_RULE_EVAL;
	eval.rbx = UNWIND_AT_CFA;
	eval.rbx_offset = -56;
	r->root = world_function(w, end_rule());
	r->eval = world_function(w, eval);
	r->c = world_function(w, rbp_rule());
	world_map_functions(w);
	r->jit = world_function(w, jit_has_frame_pointer ? rbp_rule() : rule_of(UNWIND_RSP, 48));
	world_map(w, pc_in(r->jit) - PC_IN_FUNCTION,
		  pc_in(r->jit) - PC_IN_FUNCTION + FUNCTION_BYTES, FILE_BIAS, 0);
	for (uint32_t i = 0; i < outer_shims; i++)
		py_enter_at(&r->p, OUTER_STACK_TOP - 256 * (i + 1));
	model_call(w, r->root, 64, 0, 0);
	for (int i = 0; i < 2; i++) {
		uint64_t cfa = w->sp;

		model_call(w, r->eval, 0x200, cfa - 16, next_random());
		py_enter_at(&r->p, cfa - DELTA - 64);
		py_push(&r->p, 96, false);
		model_call(w, r->c, 64, w->sp - 16, 0);
	}
	w->walk.python.resync_delta = DELTA;
	w->walk.python.resync_rbp = -16;
	w->walk.python.resync_rbx = -56;
	w->walk.python.eval_entry = pc_in(r->eval) - PC_IN_FUNCTION;
}

static void resync_world_done(struct resync_world *r)
{
	py_world_done(&r->p);
}
#define RESYNC_WORLD(name, with_frame_pointer)                                                     \
	_cleanup_(resync_world_done) struct resync_world name;                                     \
	resync_world_init(&name, with_frame_pointer)

/* Makes the model's frame `back` below the top the resynced eval frame, and forgets those between
 * it and the leaf. */
static void model_resync(struct resync_world *r, uint32_t back)
{
	struct world *w = r->p.w;
	uint32_t eval = w->frame_count - 1 - back;
	struct expected_frame leaf = w->frames[w->frame_count - 1];

	w->frames[eval].pc = w->walk.python.eval_entry;
	w->frames[eval].sp = w->frames[eval].cfa - DELTA;
	w->frames[eval].resynced = w->frames[eval].exact = true;
	w->frames[eval + 1] = leaf;
	w->frame_count = eval + 2;
}

static void resync_by_shim(void **state)
{
	RESYNC_WORLD(r, false);
	struct world *w = r.p.w;

	(void)state;
	model_call(w, r.jit, 48, 0xdeadbeef, 0);
	model_resync(&r, 2); /* c, eval */
	world_walk(w);
	expect_complete(&r.p);
	expect_root(w);
	assert_int_equal(w->sample.native_count, 5);
}

/* More shims than are kept: the innermost are those that matter. */
static void resync_among_many_shims(void **state)
{
	(void)state;
	for (outer_shims = 250; outer_shims <= 300; outer_shims += 10) {
		RESYNC_WORLD(r, false);
		struct world *w = r.p.w;

		model_call(w, r.jit, 48, 0xdeadbeef, 0);
		model_resync(&r, 2);
		world_walk(w);
		expect_complete(&r.p);
		expect_root(w);
	}
	outer_shims = 0;
}

/* Not learned yet: the walk ends where it is lost, with its reason. */
static void no_resync_before_it_is_learned(void **state)
{
	RESYNC_WORLD(r, false);

	(void)state;
	r.p.w->walk.python.resync_delta = 0;
	model_call(r.p.w, r.jit, 48, 0xdeadbeef, 0);
	world_walk(r.p.w);
	expect_stop(r.p.w, 1, STOP_UNWIND_NO_TABLE);
}

/* rbp is the C function's: its step stays below the shim, and is believed. */
static void frame_pointer_below_the_shim(void **state)
{
	RESYNC_WORLD(r, true);
	struct world *w = r.p.w;

	(void)state;
	model_call(w, r.jit, 48, w->sp - 16, 0);
	w->frames[w->frame_count - 1].by_frame_pointer = true;
	world_walk(w);
	expect_root(w);
	assert_int_equal(w->sample.native_count, 6);
}

/* Code called by the eval function that leaves its rbp alone: a step by it would skip the eval. */
static void frame_pointer_of_the_eval(void **state)
{
	(void)state;
	for (int learned = 0; learned < 2; learned++) {
		RESYNC_WORLD(r, false);
		struct world *w = r.p.w;

		/* one more eval, and the code right under it */
		uint64_t cfa = w->sp;

		model_call(w, r.eval, 0x200, cfa - 16, 7);
		py_enter_at(&r.p, cfa - DELTA - 64);
		model_call(w, r.jit, 48, 0, 0);
		if (learned) {
			model_resync(&r, 1);
			world_walk(w);
			expect_root(w);
			assert_int_equal(w->sample.native_count, 7);
		} else {
			w->walk.python.resync_delta = 0;
			w->frames[w->frame_count - 2] = w->frames[w->frame_count - 1];
			w->frame_count--;
			w->frames[w->frame_count - 1].by_frame_pointer = true;
			world_walk(w);
			expect_root(w);
			assert_int_equal(w->sample.native_count, 6);
		}
	}
}

/* Lost above the innermost eval: its shim lies below rsp and is passed over. */
static void passed_shims_are_not_used(void **state)
{
	RESYNC_WORLD(r, false);
	struct world *w = r.p.w;
	uint64_t cfa;

	(void)state;
	model_call(w, r.jit, 48, 0xdeadbeef, 0); /* lost under two evals, called by a third */
	cfa = w->sp;
	model_call(w, r.eval, 0x200, cfa - 16, 7);
	py_enter_at(&r.p, cfa - DELTA - 64);
	w->frames[4].pc = 0; /* c of the middle level is not seen */
	world_walk(w);
	expect_complete(&r.p);
	assert_true(root_reached(w));
	/* eval, jit | resynced eval, c, eval, root */
	assert_int_equal(w->sample.native_count, 6);
	assert_int_equal(w->sample.native[1].pc, pc_in(r.jit));
	assert_true(w->sample.native[2].resynced);
	assert_int_equal(w->sample.native[2].cfa, w->frames[3].cfa);
	assert_int_equal(w->sample.native[2].sp, w->frames[3].cfa - DELTA);
	assert_int_equal(w->sample.native[3].pc, w->frames[2].pc);
	assert_int_equal(w->sample.native[4].cfa, w->frames[1].cfa);
	assert_int_equal(w->sample.native[5].pc, w->frames[0].pc);
}

static void resync_to_nowhere(void **state)
{
	(void)state;
	for (int variant = 0; variant < 3; variant++) {
		RESYNC_WORLD(r, false);
		struct world *w = r.p.w;

		model_call(w, r.jit, 48, 0xdeadbeef, 0);
		if (variant == 0)
			w->walk.python.resync_delta = DELTA + 8;
		if (variant == 1)
			poke(w, w->frames[3].cfa - 8, 0x1234);
		if (variant == 2)
			w->walk.python.resync_delta = 0x7ffffff8;
		world_walk(w);
		expect_stop(w, 1, STOP_UNWIND_NO_TABLE);
	}
}

/* The saved rbp is nothing to go on with, if the build does not save it there. */
static void resync_without_saved_registers(void **state)
{
	RESYNC_WORLD(r, false);
	struct world *w = r.p.w;

	(void)state;
	model_call(w, r.jit, 48, 0xdeadbeef, 0);
	w->walk.python.resync_rbp = 0;
	model_resync(&r, 2);
	world_walk(w);
	/* c's frame (CFA = rbp + 16) is where it ends; the eval above it is reached by its shim */
	assert_int_equal(w->sample.native_count, 5);
	assert_true(root_reached(w));
	assert_int_equal(w->sample.native[2].pc, pc_in(r.c));
	assert_true(w->sample.native[3].resynced);
	assert_true(w->sample.native[1].resynced);
}

/* What the eval function saved of its caller's rbx is what the caller's rule goes by. */
static void resync_gives_rbx_back(void **state)
{
	RESYNC_WORLD(r, false);
	struct world *w = r.p.w;
	uint64_t cfa;

	(void)state;
	w->walk.mapping_count = 0; /* once more, with a function that goes by rbx */
	w->functions[r.c].rule = rule_of(UNWIND_RBX, 64);
	world_map_functions(w);
	w->mappings[0].end -= FUNCTION_BYTES; /* jit's row is there, and must not be found */
	world_map(w, w->mappings[0].end, w->mappings[0].end + FUNCTION_BYTES, FILE_BIAS, 0);
	w->frame_count = 1;
	w->sp = w->frames[0].pc ? STACK_TOP - 64 : 0;
	w->pc = w->frames[0].pc;
	cfa = w->sp;
	model_call(w, r.c, 64, 0, cfa - 64);
	cfa = w->sp;
	model_call(w, r.eval, 0x200, cfa - 16, 7);
	py_enter_at(&r.p, cfa - DELTA - 64);
	model_call(w, r.jit, 48, 0xdeadbeef, 0xdeadbeef);
	model_resync(&r, 1);
	world_walk(w);
	expect_root(w);
	assert_int_equal(w->sample.native_count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_chains),
		cmocka_unit_test(window_is_reused),
		cmocka_unit_test(older_chunks),
		cmocka_unit_test(unreadable_frame),
		cmocka_unit_test(bad_frames),
		cmocka_unit_test(cycles_end),
		cmocka_unit_test(depth_limit),
		cmocka_unit_test(entering),
		cmocka_unit_test(empty_chains),
		cmocka_unit_test(layouts_refused),
		cmocka_unit_test(random_layouts),
		cmocka_unit_test(thread_states),
		cmocka_unit_test(keys_of_the_second_level),
		cmocka_unit_test(other_sources),
		cmocka_unit_test(resync_by_shim),
		cmocka_unit_test(resync_among_many_shims),
		cmocka_unit_test(no_resync_before_it_is_learned),
		cmocka_unit_test(frame_pointer_below_the_shim),
		cmocka_unit_test(frame_pointer_of_the_eval),
		cmocka_unit_test(passed_shims_are_not_used),
		cmocka_unit_test(resync_to_nowhere),
		cmocka_unit_test(resync_without_saved_registers),
		cmocka_unit_test(resync_gives_rbx_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
