/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler's native walk, compiled for the host, in worlds whose stacks were
 * made by a model that says what must be found (host_walk_world.h). Planned
 * faults must be hit, or the test fails.
 */
#include "unit/host_walk_world.h"

#include "abi/stop_reasons.h"

#define UCONTEXT_RSP_GREG 15
#define UCONTEXT_GREG(sp, n) ((sp) + 40 + 8ull * (n))

/* The kinds of function of the random chains. */
enum { ROOT, BY_RSP, BY_RBP, BY_RBX, BY_DEREF, ODD_RETURN, EVAL, SAVES_BOTH, KINDS };

static void make_kinds(struct world *w)
{
	struct unwind_rule rule;

	assert_int_equal(world_function(w, end_rule()), ROOT);
	world_function(w, rule_of(UNWIND_RSP, 48));
	world_function(w, rbp_rule());
	rule = rule_of(UNWIND_RBX, 64);
	rule.rbx = UNWIND_AT_CFA;
	rule.rbx_offset = -24;
	world_function(w, rule);
	/* a realigned frame: gcc keeps the CFA at rbp - 8, the caller's rbp at rbp */
	rule = rule_of(UNWIND_RBP, -8);
	rule.cfa = UNWIND_CFA_DEREF;
	rule.deref_offset = -32;
	rule.rbp = UNWIND_AT_REGISTER;
	world_function(w, rule);
	rule = rule_of(UNWIND_RSP, 96);
	rule.ra_offset = -40;
	world_function(w, rule);
	rule = rbp_rule();
	rule.flags = UNWIND_RULE_EVAL;
	rule.rbx = UNWIND_AT_CFA;
	rule.rbx_offset = -56;
	world_function(w, rule);
	rule = rule_of(UNWIND_RSP, 2000); /* wider than the read window */
	rule.rbp = rule.rbx = UNWIND_AT_CFA;
	rule.rbp_offset = -1800;
	rule.rbx_offset = -16;
	world_function(w, rule);
}

static void call_kind(struct world *w, uint32_t kind)
{
	uint64_t cfa = w->sp, extra = 8ull * below(40);

	switch (kind) {
	case BY_RSP:
		model_call(w, kind, 48, 0, 0);
		break;
	case BY_RBP:
		model_call(w, kind, 16 + extra, cfa - 16, 0);
		break;
	case BY_RBX:
		model_call(w, kind, 64 + extra, 0, cfa - 64);
		break;
	case BY_DEREF:
		model_call(w, kind, 128 + extra, cfa - 64, 0);
		break;
	case ODD_RETURN:
		model_call(w, kind, 96, 0, 0);
		break;
	case EVAL:
		model_call(w, kind, 64 + extra, cfa - 16, next_random());
		break;
	case SAVES_BOTH:
		model_call(w, kind, 2000, next_random(), next_random());
		break;
	default:
		model_call(w, ROOT, 8, 0, 0);
	}
}

static void call_by_rsp(struct world *w, uint32_t function, uint32_t times)
{
	uint32_t bytes = (uint32_t)w->functions[function].rule.cfa_offset;

	while (times--)
		model_call(w, function, bytes, 0, 0);
}

static void random_chains(void **state)
{
	(void)state;
	for (uint32_t run = 0; run < 300; run++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t depth = 1 + below(80);

		make_kinds(w);
		world_map_functions(w);
		/* what the registers hold at the root is nobody's business */
		w->rbp = next_random();
		w->rbx = next_random();
		call_kind(w, ROOT);
		while (w->frame_count < depth)
			call_kind(w, 1 + below(KINDS - 1));
		world_walk(w);
		expect_root(w);
	}
}

static void leaf_by_any_register(void **state)
{
	(void)state;
	for (uint8_t r = UNWIND_RAX; r <= UNWIND_R15; r++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t root = world_function(w, end_rule());
		uint32_t leaf = world_function(w, rule_of(r, r == UNWIND_RSP ? 32 : -0x100));

		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		model_call(w, leaf, 32, 0, 0);
		w->rbp = w->rbx = 0;
		w->walk.registers[r] = w->sp + 32 + 0x100;
		if (r == UNWIND_RBP)
			w->rbp = w->sp + 32 + 0x100;
		if (r == UNWIND_RBX)
			w->rbx = w->sp + 32 + 0x100;
		world_walk(w);
		expect_root(w);
	}
}

static void caller_by_unknown_register(void **state)
{
	static const uint8_t registers[] = {UNWIND_RAX, UNWIND_RDI, UNWIND_R8, UNWIND_R12,
					    UNWIND_R15};

	(void)state;
	for (size_t i = 0; i < sizeof(registers); i++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t root = world_function(w, end_rule());
		uint32_t middle = world_function(w, rule_of(registers[i], 32));
		uint32_t leaf = world_function(w, rule_of(UNWIND_RSP, 32));

		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		model_call(w, middle, 32, 0, 0);
		w->walk.registers[registers[i]] = w->sp;
		model_call(w, leaf, 32, 0, 0);
		world_walk(w);
		expect_stop(w, 2, STOP_UNWIND_REGISTER);
	}
}

/* Where a rule says a saved register is lost, a CFA that needs it stops the walk. */
static void caller_by_lost_rbp(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	struct unwind_rule rule = rule_of(UNWIND_RSP, 32);
	uint32_t root, middle, leaf;

	(void)state;
	rule.rbp = UNWIND_UNKNOWN;
	root = world_function(w, end_rule());
	middle = world_function(w, rbp_rule());
	leaf = world_function(w, rule);
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	model_call(w, middle, 32, w->sp - 16, 0);
	model_call(w, leaf, 32, 0, 0);
	world_walk(w); /* rbp happens to be right, but nothing says so */
	expect_stop(w, 2, STOP_UNWIND_REGISTER);
}

/* Lost in one frame, saved by the next: known again where it is needed. */
static void rbp_lost_and_found(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	struct unwind_rule loses = rule_of(UNWIND_RSP, 32), saves = rule_of(UNWIND_RSP, 48);
	uint32_t root, by_rbp, saver, loser;

	(void)state;
	loses.rbp = UNWIND_UNKNOWN;
	saves.rbp = UNWIND_AT_CFA;
	saves.rbp_offset = -16;
	root = world_function(w, end_rule());
	by_rbp = world_function(w, rbp_rule());
	saver = world_function(w, saves);
	loser = world_function(w, loses);
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	model_call(w, by_rbp, 64, w->sp - 16, 0);
	model_call(w, saver, 48, 7, 0);
	model_call(w, loser, 32, 9, 0);
	world_walk(w);
	expect_root(w);
}

/* A call that never returns ends its function: its return address is the next one's first byte. */
static void call_at_the_end_of_a_function(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	uint32_t caller = world_function(w, rule_of(UNWIND_RSP, 64));
	uint32_t leaf = world_function(w, rule_of(UNWIND_RSP, 32));

	(void)state;
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	model_call(w, caller, 64, 0, 0);
	w->pc = w->frames[w->frame_count - 1].pc = pc_in(leaf) - PC_IN_FUNCTION;
	model_call(w, leaf, 32, 0, 0);
	world_walk(w);
	expect_root(w);
}

static void plt_entry(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < 16; at++) {
		_cleanup_(world_freep) struct world *w = world_new();
		struct unwind_rule plt = {.cfa = UNWIND_CFA_PLT,
					  .cfa_register = UNWIND_RSP,
					  .cfa_offset = 8,
					  .deref_offset = 11,
					  .ra_offset = -8};
		uint32_t root = world_function(w, end_rule());
		uint32_t entry = world_function(w, plt);

		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		model_call(w, entry, at >= 11 ? 16 : 8, 0, 0);
		w->pc = w->pc - PC_IN_FUNCTION + 0x20 + at;
		w->frames[w->frame_count - 1].pc = w->pc;
		world_walk(w);
		expect_root(w);
	}
}

/* root -> many -> interrupted by a signal -> restorer -> handler */
static struct world *signal_world(uint64_t *ret_ucontext)
{
	struct world *w = world_new();
	struct unwind_rule signal = {.cfa = UNWIND_CFA_SIGNAL};
	uint32_t root = world_function(w, end_rule());
	uint32_t by_rsp = world_function(w, rule_of(UNWIND_RSP, 32));
	uint32_t by_r10 = world_function(w, rule_of(UNWIND_R10, 0));
	uint32_t restorer = world_function(w, signal);
	uint32_t handler = world_function(w, rbp_rule());
	uint64_t ucontext, interrupted_sp;

	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	call_by_rsp(w, by_rsp, 5);
	w->rbp = 0x1234;
	ucontext = w->sp; /* by_r10's CFA */
	model_call(w, by_r10, 200, 0, 0);
	w->frames[w->frame_count - 1].exact = true;
	interrupted_sp = w->sp;
	/* below the red zone; its registers cross into the next page */
	w->sp = *ret_ucontext = ((w->sp - 128 - 1024) & ~4095ull) - 64;
	poke(w, UCONTEXT_GREG(w->sp, 2), ucontext); /* r10 */
	poke(w, UCONTEXT_GREG(w->sp, 10), w->rbp);
	poke(w, UCONTEXT_GREG(w->sp, UCONTEXT_RSP_GREG), interrupted_sp);
	poke(w, UCONTEXT_GREG(w->sp, 16), w->pc);
	w->pc = pc_in(restorer);
	model_expect(w, 0);
	w->frames[w->frame_count - 1].exact = true; /* a handler returns to its first byte */
	model_call(w, handler, 64, w->sp - 16, 0);
	return w;
}

static void signal_frame(void **state)
{
	uint64_t ucontext;
	_cleanup_(world_freep) struct world *w = signal_world(&ucontext);

	(void)state;
	world_walk(w);
	expect_root(w);
	assert_int_equal(w->sample.native_count, 9);
}

static void signal_frame_unreadable(void **state)
{
	uint64_t ucontext;
	_cleanup_(world_freep) struct world *w = signal_world(&ucontext);

	(void)state;
	w->fault_start = UCONTEXT_GREG(ucontext, 16) & ~4095ull; /* rip's page is gone */
	w->fault_end = w->fault_start + 4096;
	world_walk(w);
	expect_stop(w, 2, STOP_UNWIND_UNREADABLE);
	assert_true(w->faults_hit > 0);
}

static void end_alone(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());

	(void)state;
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	w->sp = 8; /* it needs no stack at all */
	world_walk(w);
	expect_root(w);
	assert_int_equal(w->reads, 0);
}

static void zero_return_address_is_the_root(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t f = world_function(w, rule_of(UNWIND_RSP, 32));

	(void)state;
	world_map_functions(w);
	call_by_rsp(w, f, 3);
	world_walk(w);
	expect_root(w);
}

/* The two stacks after clone's `syscall`. */
static void thread_start(void **state)
{
	(void)state;
	for (int variant = 0; variant < 4; variant++) {
		_cleanup_(world_freep) struct world *w = world_new();
		struct unwind_rule gap = rule_of(UNWIND_RSP, 8);
		uint32_t root, caller, clone;

		gap.flags = UNWIND_RULE_ENTRY | UNWIND_RULE_THREAD_START;
		root = world_function(w, end_rule());
		caller = world_function(w, rule_of(UNWIND_RSP, 32));
		clone = world_function(w, gap);
		world_map_functions(w);
		if (variant == 0) { /* the caller's: a return address is there */
			model_call(w, root, 8, 0, 0);
			model_call(w, caller, 32, 0, 0);
		}
		if (variant == 1) /* a new stack holds the start routine's argument */
			w->pc = 0x12345678;
		if (variant == 2)
			w->pc = 0;
		model_call(w, clone, 8, 0, 0);
		if (variant == 3) {
			w->fault_start = w->sp;
			w->fault_end = w->sp + 8;
		}
		world_walk(w);
		expect_root(w);
		assert_int_equal(w->sample.native_count, variant == 0 ? 3 : 1);
		if (variant == 3)
			assert_true(w->faults_hit > 0);
	}
}

/* --- frame pointers --- */

/* A chain of `depth` frames in code without a table, then the root in code with one. */
static struct world *frame_pointer_world(uint32_t depth)
{
	struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	uint32_t jit;

	world_map_functions(w);
	jit = world_function(w, rbp_rule()); /* the model's rule: not in the table */
	world_map(w, pc_in(jit) - PC_IN_FUNCTION, pc_in(jit) - PC_IN_FUNCTION + FUNCTION_BYTES,
		  FILE_BIAS, 0);
	model_call(w, root, 8, 0, 0);
	for (uint32_t i = 0; i < depth; i++) {
		model_call(w, jit, 16 + 8ull * below(300), w->sp - 16, 0);
		w->frames[w->frame_count - 1].by_frame_pointer = true;
	}
	return w;
}

static void frame_pointers(void **state)
{
	(void)state;
	for (uint32_t depth = 1; depth < 50; depth++) {
		_cleanup_(world_freep) struct world *w = frame_pointer_world(depth);

		world_walk(w);
		expect_root(w);
	}
}

enum frameless { OWN_FRAME, NO_FRAME, PUSHED, STALE_WORD, INDIRECT, FRAMELESS_VARIANTS };

static void write_call(struct world *w, uint32_t caller, uint32_t callee)
{
	uint64_t target = pc_in(callee) - PC_IN_FUNCTION;

	poke_u8(w, pc_in(caller) - 5, 0xe8);
	for (int i = 0; i < 4; i++)
		poke_u8(w, pc_in(caller) - 4 + i, (target - pc_in(caller)) >> (8 * i));
}

/* root calls outer, inner (both with a frame pointer), leaf; code without a table, by direct calls.
 */
static struct world *direct_call_world(enum frameless variant, bool leaf_first)
{
	struct world *w = world_new();
	uint32_t root = world_function(w, end_rule()), leaf, inner, outer, end;
	bool has_frame = variant == OWN_FRAME || variant == STALE_WORD;

	world_map_functions(w);
	leaf = world_function(w, rbp_rule());
	inner = world_function(w, rbp_rule());
	outer = world_function(w, rbp_rule());
	end = w->function_count;
	if (!leaf_first) {
		leaf = outer;
		outer = root + 1;
	}
	if (!has_frame)
		w->functions[leaf].rule = rule_of(UNWIND_RSP, 8);
	world_map(w, FILE_BIAS + FILE_VADDR + FUNCTION_BYTES,
		  FILE_BIAS + FILE_VADDR + end * FUNCTION_BYTES, FILE_BIAS, 0);
	world_region(w, FILE_BIAS + FILE_VADDR, end * FUNCTION_BYTES);
	write_call(w, root, outer);
	if (variant != INDIRECT)
		write_call(w, outer, inner);
	write_call(w, inner, leaf);
	model_call(w, root, 8, 0, 0);
	model_call(w, outer, 64, w->sp - 16, 0);
	model_call(w, inner, 64, w->sp - 16, 0);
	model_call(w, leaf, has_frame || variant == PUSHED ? 24 : 8, has_frame ? w->sp - 16 : 0, 0);
	for (uint32_t i = 1; i < w->frame_count; i++)
		w->frames[i].by_frame_pointer = true;
	if (variant == STALE_WORD) /* of a call that is over, of the outermost function */
		poke(w, w->sp, pc_in(root));
	return w;
}

static void frame_pointer_of_the_caller(void **state)
{
	(void)state;
	for (int variant = 0; variant < FRAMELESS_VARIANTS; variant++) {
		for (int leaf_first = 0; leaf_first < 2; leaf_first++) {
			_cleanup_(world_freep) struct world *w =
				direct_call_world(variant, leaf_first);

			if (variant == PUSHED)
				w->frames[w->frame_count - 1].by_frame_pointer = false;
			world_walk(w);
			if (variant == PUSHED) {
				expect_stop(w, 1, STOP_UNWIND_NO_TABLE);
			} else if (variant == INDIRECT) {
				/* nothing tells: the caller is left out */
				assert_true(root_reached(w));
				assert_int_equal(w->sample.native_count, w->frame_count - 1);
			} else {
				expect_root(w);
			}
		}
	}
}

static void frame_pointer_refused(void **state)
{
	enum { BELOW_SP, TOO_FAR, UNALIGNED, UNREADABLE, BAD_RETURN, VARIANTS };

	(void)state;
	for (int variant = 0; variant < VARIANTS; variant++) {
		_cleanup_(world_freep) struct world *w = frame_pointer_world(6);

		switch (variant) {
		case BELOW_SP:
			w->rbp = w->sp - 8;
			break;
		case TOO_FAR:
			world_region(w, STACK_TOP + (4ull << 20), 8192);
			w->rbp = STACK_TOP + (4ull << 20);
			poke(w, w->rbp + 8, pc_in(0));
			break;
		case UNALIGNED:
			w->rbp += 4;
			break;
		case UNREADABLE:
			w->fault_start = w->rbp + 8;
			w->fault_end = w->rbp + 16;
			break;
		default:
			poke(w, w->rbp + 8, 0xdeadbeef);
		}
		w->frames[w->frame_count - 1].by_frame_pointer = false;
		world_walk(w);
		expect_stop(w, 1, STOP_UNWIND_NO_TABLE);
		if (variant == UNREADABLE)
			assert_true(w->faults_hit > 0);
	}
}

/* rbp = rsp is the least, FRAME_POINTER_SPAN_MAX the most that is believed. */
static void frame_pointer_span(void **state)
{
	static const struct {
		uint64_t span;
		bool believed;
	} cases[] = {{0, true}, {1u << 20, true}, {(1u << 20) + 8, false}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		_cleanup_(world_freep) struct world *w = frame_pointer_world(1);

		world_region(w, STACK_TOP + (4 << 20), 2 << 20);
		w->sp = STACK_TOP + (4 << 20) + 4096;
		w->rbp = w->sp + cases[i].span;
		poke(w, w->rbp, 0);
		poke(w, w->rbp + 8, pc_in(0));
		w->frames[w->frame_count - 1].by_frame_pointer = cases[i].believed;
		world_walk(w);
		if (cases[i].believed)
			expect_root(w);
		else
			expect_stop(w, 1, STOP_UNWIND_NO_TABLE);
	}
}

static void over_budget(void **state)
{
	(void)state;
	for (int with_frame_pointer = 0; with_frame_pointer < 2; with_frame_pointer++) {
		_cleanup_(world_freep) struct world *w = world_with_budget(0);
		uint32_t f = world_function(w, rbp_rule()), table;

		table = world_map_functions(w);
		assert_int_equal(w->tables[table].flags, UNWIND_TABLE_OVER_BUDGET);
		for (int i = 0; i < 4; i++) {
			model_call(w, f, 64, w->sp - 16, 0);
			w->frames[i].by_frame_pointer = i > 0;
		}
		if (with_frame_pointer) {
			world_walk(w); /* the outermost has 0 for its return address */
			expect_stop(w, 4, STOP_UNWIND_OVER_BUDGET);
		} else {
			w->rbp = 0;
			w->frames[3].by_frame_pointer = false;
			world_walk(w);
			expect_stop(w, 1, STOP_UNWIND_OVER_BUDGET);
		}
	}
}

/* --- ends --- */

static void rule_ends(void **state)
{
	static const struct {
		struct unwind_rule rule;
		uint16_t stop;
	} cases[] = {
		{{.cfa = UNWIND_CFA_NONE}, STOP_UNWIND_NO_ROW},
		{{.cfa = UNWIND_CFA_UNSUPPORTED}, STOP_UNWIND_BAD_RULE},
		{{.cfa = UNWIND_CFA_REGISTER,
		  .cfa_register = UNWIND_RSP,
		  .cfa_offset = 0,
		  .ra_offset = -8},
		 STOP_UNWIND_NOT_RISING},
		{{.cfa = UNWIND_CFA_REGISTER,
		  .cfa_register = UNWIND_RSP,
		  .cfa_offset = -64,
		  .ra_offset = -8},
		 STOP_UNWIND_NOT_RISING},
		{{.cfa = UNWIND_CFA_REGISTER,
		  .cfa_register = UNWIND_R9,
		  .cfa_offset = 0,
		  .ra_offset = -8},
		 STOP_UNWIND_NOT_RISING}, /* r9 is far beyond user addresses */
		{{.cfa = UNWIND_CFA_DEREF,
		  .cfa_register = UNWIND_RSP,
		  .cfa_offset = 4,
		  .ra_offset = -8},
		 STOP_UNWIND_UNREADABLE}, /* no ABI stacks words there */
		{{.cfa = UNWIND_CFA_DEREF,
		  .cfa_register = UNWIND_R8,
		  .cfa_offset = 0,
		  .ra_offset = -8},
		 STOP_UNWIND_UNREADABLE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t root = world_function(w, end_rule());
		uint32_t ok = world_function(w, rule_of(UNWIND_RSP, 32));
		uint32_t bad = world_function(w, cases[i].rule);

		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		model_call(w, ok, 32, 0, 0);
		w->pc = pc_in(bad);
		w->sp -= 128;
		model_expect(w, 0);
		w->walk.registers[UNWIND_R8] = 0x1000;
		w->walk.registers[UNWIND_R9] = 1ull << 47;
		world_walk(w);
		expect_stop(w, 1, cases[i].stop);
	}
}

static void pc_outside(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	uint32_t f = world_function(w, rule_of(UNWIND_RSP, 32));

	(void)state;
	world_map_functions(w);
	/* a mapping goes on where the table has no page */
	w->mappings[0].end += 1 << 20;
	model_call(w, root, 8, 0, 0);
	model_call(w, f, 32, 0, 0);
	w->pc = w->mappings[0].end - 16;
	model_expect(w, 0);
	world_walk(w);
	expect_stop(w, 1, STOP_UNWIND_NO_ROW);
	w->pc = w->frames[w->frame_count - 1].pc = FILE_BIAS + FILE_VADDR + 4096 + 1;
	world_walk(w); /* right behind the only page */
	expect_stop(w, 1, STOP_UNWIND_NO_ROW);
	w->pc = w->frames[w->frame_count - 1].pc = w->mappings[0].end + 1;
	world_walk(w);
	expect_stop(w, 1, STOP_UNWIND_NO_MAPPING);
	w->pc = w->frames[w->frame_count - 1].pc = w->mappings[0].start - 1;
	world_walk(w);
	expect_stop(w, 1, STOP_UNWIND_NO_MAPPING);
	w->walk.mapping_count = 0;
	world_walk(w);
	expect_stop(w, 1, STOP_UNWIND_NO_MAPPING);
}

/* Past the end of its FDE, a thread in a system call is looked up one byte earlier. */
static void interrupted_past_a_function(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	uint32_t f = world_function(w, rule_of(UNWIND_RSP, 32));
	uint32_t none = world_function(w, (struct unwind_rule){0});

	(void)state;
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	model_call(w, f, 32, 0, 0);
	w->pc = w->frames[w->frame_count - 1].pc = pc_in(none) - PC_IN_FUNCTION;
	world_walk(w);
	expect_root(w);
	w->pc = ++w->frames[w->frame_count - 1].pc;
	world_walk(w);
	expect_stop(w, 1, STOP_UNWIND_NO_ROW);
}

/* --- the stack's memory --- */

static void unreadable_at_depth(void **state)
{
	(void)state;
	for (uint32_t depth = 1; depth < 20; depth++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t root = world_function(w, end_rule());
		uint32_t f = world_function(w, rule_of(UNWIND_RSP, 4096));

		world_map_functions(w);
		model_call(w, root, 2048, 0, 0);
		call_by_rsp(w, f, 20);
		/* the page that holds the return address of the frame at `depth` */
		w->fault_start = (w->sp + depth * 4096 - 8) & ~4095ull;
		w->fault_end = w->fault_start + 4096;
		world_walk(w);
		expect_stop(w, depth, STOP_UNWIND_UNREADABLE);
		assert_true(w->faults_hit > 0);
		w->fault_end = w->fault_start;
		world_walk(w);
		expect_root(w);
	}
}

/* A frame at every place of the region's first and last pages: the window must not ask for more. */
static void windows_at_the_edges(void **state)
{
	(void)state;
	for (uint64_t place = 0; place <= 2048; place += 8) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint32_t root = world_function(w, end_rule());
		uint32_t f = world_function(w, rule_of(UNWIND_RSP, 16));

		world_map_functions(w);
		w->sp = STACK_TOP - place; /* place 0: the return address ends the stack */
		w->pc = pc_in(root);
		model_expect(w, 0);
		model_call(w, f, 16, 0, 0);
		world_walk(w);
		expect_root(w);
		w->frame_count = 0;
		w->sp = STACK_TOP - STACK_BYTES + 16 + place;
		w->pc = pc_in(root);
		model_expect(w, 0);
		model_call(w, f, 16, 0, 0);
		world_walk(w);
		expect_root(w);
	}
}

static void window_is_reused(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	uint32_t f = world_function(w, rule_of(UNWIND_RSP, 48));

	(void)state;
	world_map_functions(w);
	model_call(w, root, 8, 0, 0);
	call_by_rsp(w, f, 200); /* 9,600 bytes in windows of 960 and more */
	world_walk(w);
	expect_root(w);
	assert_in_range(w->reads, 10, 13);
}

static void depth_limit(void **state)
{
	(void)state;
	for (uint32_t depth = NATIVE_FRAMES_MAX - 1; depth <= NATIVE_FRAMES_MAX + 1; depth++) {
		_cleanup_(world_freep) struct world *w = world_new();
		struct unwind_rule eval = rule_of(UNWIND_RSP, 32);
		uint32_t root, f, e;

		eval.flags = UNWIND_RULE_EVAL;
		root = world_function(w, end_rule());
		f = world_function(w, rule_of(UNWIND_RSP, 16));
		e = world_function(w, eval);
		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		while (w->frame_count < depth)
			call_by_rsp(w, w->frame_count % 2 ? f : e, 1);
		world_walk(w);
		if (depth <= NATIVE_FRAMES_MAX)
			expect_root(w);
		else
			expect_stop(w, NATIVE_FRAMES_MAX, STOP_UNWIND_DEPTH);
		/* 1,023 or 1,024 of them are evals of three words; a chunk holds 1,022 to 1,024 */
		assert_int_equal(w->sample.head.native_words,
				 w->sample.native_count + 2 * (depth > 2048 ? 1024 : 1023));
		assert_in_range(w->chunks, 4, 5);
	}
}

/* A chunk ends where the next frame does not fit whole, at each place it can. */
static void chunk_borders(void **state)
{
	(void)state;
	for (uint32_t plain = 0; plain < 6; plain++) {
		_cleanup_(world_freep) struct world *w = world_new();
		struct unwind_rule eval = rule_of(UNWIND_RSP, 32);
		uint32_t root, f, e;

		eval.flags = UNWIND_RULE_EVAL;
		root = world_function(w, end_rule());
		f = world_function(w, rule_of(UNWIND_RSP, 16));
		e = world_function(w, eval);
		world_map_functions(w);
		model_call(w, root, 8, 0, 0);
		call_by_rsp(w, e, 700);
		call_by_rsp(w, f, plain);
		world_walk(w);
		expect_root(w);
		assert_int_equal(w->chunks, 3);
	}
}

static int refuse_chunk(void *context, const struct chunk_record *chunk)
{
	(void)context, (void)chunk;
	return -1;
}

static void chunk_that_does_not_fit(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule());
	struct sample_record record;

	(void)state;
	world_map_functions(w);
	w->walk.registers[UNWIND_RIP] = pc_in(root);
	w->walk.chunk = refuse_chunk;
	assert_int_equal(host_walk(&w->walk, &record), -EIO);
}

/* --- lookups --- */

#define SLOTS 200 /* rules of the lookup tables: CFA = rsp + 16 + 8 * slot */

/* A walk from pc shows, by the return address it finds, which rule it took. */
static void expect_slot(struct world *w, uint64_t pc, uint32_t slot, uint64_t root_pc)
{
	w->pc = pc;
	world_walk(w);
	assert_true(root_reached(w));
	assert_int_equal(w->sample.native_count, 2);
	assert_int_equal(w->sample.native[0].pc, pc);
	assert_int_equal(w->sample.native[1].pc, root_pc + slot);
}

/* Return addresses into the root for every slot, at the stack pointer. */
static uint64_t lay_slots(struct world *w)
{
	uint32_t root = world_function(w, end_rule());
	uint64_t root_pc = pc_in(root) - PC_IN_FUNCTION + 1;

	world_map_functions(w);
	w->sp = STACK_TOP - 8192;
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		poke(w, w->sp + 8 + 8 * slot, root_pc + slot);
	return root_pc;
}

static uint32_t row_gap(uint32_t row)
{
	if (row >= 5000 && row < 5000 + 8192) /* two pages with a row for each byte */
		return 1;
	if (row == 20000)
		return 3 << UNWIND_PAGE_SHIFT; /* pages without a row */
	if (row % 1000 == 0)
		return 1 << UNWIND_PAGE_SHIFT;
	return 1 + below(40);
}

static void rows_in_segments(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint64_t root_pc = lay_slots(w), bias = 0x7f0000000000ull, vaddr = 0x401000 + 0x30;
	uint32_t count = 300000, table;
	struct cfi_row *rows = calloc(count, sizeof(*rows));

	(void)state;
	assert_non_null(rows);
	for (uint32_t i = 0; i < count; i++) {
		rows[i].pc = vaddr;
		rows[i].rule = rule_of(UNWIND_RSP, (int32_t)(16 + 8 * (i % SLOTS)));
		vaddr += row_gap(i);
	}
	table = world_install(w, rows, count);
	assert_true(w->tables[table].rows > 2 * UNWIND_SEGMENT_ROWS);
	assert_true(w->segment_count >= 3);
	world_map(w, bias + 0x401000, bias + vaddr + 4096, bias, table);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t end = i + 1 < count ? rows[i + 1].pc : vaddr;
		uint64_t unit = w->tables[table].row_position + i;
		bool at_page = (rows[i].pc ^ end) >> UNWIND_PAGE_SHIFT || (rows[i].pc & 4095) < 3;
		bool at_segment = (unit + 3) % UNWIND_SEGMENT_ROWS < 6, dense = row_gap(i) == 1;

		if (i > 2 && i + 3 < count && !at_segment && !at_page && !dense && i % 37)
			continue;
		expect_slot(w, bias + rows[i].pc, i % SLOTS, root_pc);
		if (i + 1 < count || (end - 1 - 0x401000) >> 12 < w->tables[table].pages)
			expect_slot(w, bias + end - 1, i % SLOTS, root_pc);
	}
	/* before the first row, in its page */
	w->pc = bias + rows[0].pc - 2;
	world_walk(w);
	assert_int_equal(w->sample.head.native_stop, STOP_UNWIND_NO_ROW);
	free(rows);
}

static uint64_t place_of(uint32_t i)
{
	return 0x7f0000000000ull + i * 0x2000ull - (i % 3 == 2 ? 0x1000 : 0);
}

static void mapping_lookup(void **state)
{
	static const uint32_t counts[] = {1, 2, 3, 4095, MAPPINGS_PER_PROCESS_MAX};
	(void)state;
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		_cleanup_(world_freep) struct world *w = world_new();
		uint64_t root_pc = lay_slots(w);
		struct cfi_row rows[SLOTS];
		uint32_t table;

		for (uint32_t i = 0; i < SLOTS; i++)
			rows[i] = (struct cfi_row){0x1000 + 4096 * i,
						   rule_of(UNWIND_RSP, (int32_t)(16 + 8 * i))};
		table = world_install(w, rows, SLOTS);
		/* mapping i shows the table's page i % SLOTS; the root's own comes first. Each
		 * third touches the one before it. */
		for (uint32_t i = 1; i < counts[c]; i++) {
			uint64_t start = place_of(i);

			world_map(w, start, start + 0x1000, start - rows[i % SLOTS].pc, table);
		}
		for (uint32_t i = 1; i < counts[c]; i++) {
			uint64_t start = place_of(i);

			expect_slot(w, start, i % SLOTS, root_pc);
			expect_slot(w, start + 0xfff, i % SLOTS, root_pc);
			if (i % 3 == 1)
				continue;
			w->pc = start + 0x1001; /* + 1: the byte before is unmapped, too */
			world_walk(w);
			assert_int_equal(w->sample.native_count, 1);
			assert_int_equal(w->sample.head.native_stop, STOP_UNWIND_NO_MAPPING);
		}
	}
}

/* Descriptors that lie must end in a stop, not in a read elsewhere. */
static void hostile_tables(void **state)
{
	_cleanup_(world_freep) struct world *w = world_new();
	uint32_t root = world_function(w, end_rule()), table;
	struct unwind_table good;

	(void)state;
	table = world_map_functions(w);
	good = w->tables[table];
	model_call(w, root, 8, 0, 0);
	for (uint32_t i = 0; i < 20000; i++) {
		struct unwind_table *t = &w->tables[table];

		*t = good;
		((uint8_t *)t)[below(sizeof(*t))] = (uint8_t)next_random();
		((uint32_t *)w->segments[0])[below(8)] =
			below(3) ? below(6) : (uint32_t)next_random();
		world_walk(w);
		assert_in_range(w->sample.native_count, 1, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_chains),
		cmocka_unit_test(leaf_by_any_register),
		cmocka_unit_test(caller_by_unknown_register),
		cmocka_unit_test(caller_by_lost_rbp),
		cmocka_unit_test(rbp_lost_and_found),
		cmocka_unit_test(call_at_the_end_of_a_function),
		cmocka_unit_test(plt_entry),
		cmocka_unit_test(signal_frame),
		cmocka_unit_test(signal_frame_unreadable),
		cmocka_unit_test(end_alone),
		cmocka_unit_test(zero_return_address_is_the_root),
		cmocka_unit_test(thread_start),
		cmocka_unit_test(frame_pointers),
		cmocka_unit_test(frame_pointer_of_the_caller),
		cmocka_unit_test(frame_pointer_refused),
		cmocka_unit_test(frame_pointer_span),
		cmocka_unit_test(over_budget),
		cmocka_unit_test(rule_ends),
		cmocka_unit_test(pc_outside),
		cmocka_unit_test(interrupted_past_a_function),
		cmocka_unit_test(unreadable_at_depth),
		cmocka_unit_test(windows_at_the_edges),
		cmocka_unit_test(window_is_reused),
		cmocka_unit_test(depth_limit),
		cmocka_unit_test(chunk_borders),
		cmocka_unit_test(chunk_that_does_not_fit),
		cmocka_unit_test(rows_in_segments),
		cmocka_unit_test(mapping_lookup),
		cmocka_unit_test(hostile_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
