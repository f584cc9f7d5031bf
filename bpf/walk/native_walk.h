/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The native walk: registers -> mapping -> row -> CFA, return address, saved rbp
 * and rbx -> the caller's registers. native_step() leaves one frame.
 *
 * At the leaf every register is known, so any of them may give the CFA; in
 * callers only rsp, rbp and rbx are (ld.so's _dl_runtime_resolve has CFA = rbx in
 * a frame that calls). A signal frame makes all of them known again.
 *
 * Where the unwind information ends (JIT code, stripped assembly) the order is:
 * frame pointer, validated; then the eval frame that the next unpassed Python
 * shim lies in (design.md §2: the shim is a resync point); then stop, with the
 * first reason.
 */
#ifndef MIXPROF_WALK_NATIVE_WALK_H
#define MIXPROF_WALK_NATIVE_WALK_H

#include "walk/stack_window.h"
#include "walk/unwind_lookup.h"
#include "walk/word_stream.h"

#define REGISTER_MASK 31
#define KNOWN(r) (1u << (r))
#define USER_ADDRESS_END (1ULL << 47)
/* A frame-pointer step over more than this is not believed. */
#define FRAME_POINTER_SPAN_MAX (1u << 20)
/* Return address and at most six pushed registers. */
#define FRAMELESS_WORDS_MAX 7
#define FUNCTION_SPAN_MAX (1u << 20)
#define CALL_OPCODE 0xe8

/* glibc and vDSO: rsp at the sigreturn trampoline points to a ucontext, whose gregs start at 40
 * (arch/x86/include/uapi/asm/sigcontext.h), in this order. */
#define UCONTEXT_GREGS 40

WALK_INLINE int native_put(struct walk_state *s, __u64 tag, __u64 cfa)
{
	struct walk_chunk *chunk = walk_chunk_buffer();

	if (!chunk || stream_room(s))
		return 1;
	if (s->exact_pc)
		tag |= NATIVE_TAG_EXACT_PC;
	stream_put(s, chunk, (s->regs[UNWIND_RIP] & ADDRESS_MASK) | tag << NATIVE_TAG_SHIFT);
	s->native_words++;
	if (tag & NATIVE_TAG_EVAL) {
		stream_put(s, chunk, s->regs[UNWIND_RSP]);
		stream_put(s, chunk, cfa);
		s->native_words += 2;
	}
	s->native_frames++;
	return 0;
}

/* Puts the trampoline's frame and takes all registers from the ucontext at rsp. */
WALK_STEP int native_signal_step(struct walk_state *s)
{
	__u64 *gregs;

	if (!s)
		return STOP_UNWIND_UNREADABLE;
	/* a handler returns to the trampoline's first byte: the one before is another function's */
	s->exact_pc = 1;
	gregs = s->window; /* free for the moment: the stack goes on elsewhere */
	s->window_bytes = 0;
	if (walk_read_user(gregs, 17 * sizeof(*gregs), s->regs[UNWIND_RSP] + UCONTEXT_GREGS))
		return STOP_UNWIND_UNREADABLE;
	native_put(s, 0, 0);
	s->regs[UNWIND_R8] = gregs[0];
	s->regs[UNWIND_R9] = gregs[1];
	s->regs[UNWIND_R10] = gregs[2];
	s->regs[UNWIND_R11] = gregs[3];
	s->regs[UNWIND_R12] = gregs[4];
	s->regs[UNWIND_R13] = gregs[5];
	s->regs[UNWIND_R14] = gregs[6];
	s->regs[UNWIND_R15] = gregs[7];
	s->regs[UNWIND_RDI] = gregs[8];
	s->regs[UNWIND_RSI] = gregs[9];
	s->regs[UNWIND_RBP] = gregs[10];
	s->regs[UNWIND_RBX] = gregs[11];
	s->regs[UNWIND_RDX] = gregs[12];
	s->regs[UNWIND_RAX] = gregs[13];
	s->regs[UNWIND_RCX] = gregs[14];
	s->regs[UNWIND_RSP] = gregs[15];
	s->regs[UNWIND_RIP] = gregs[16];
	s->known = (1u << UNWIND_REGISTERS) - 1;
	s->exact_pc = 1;
	return 0;
}

WALK_INLINE void native_enter_caller(struct walk_state *s, __u64 pc, __u64 sp, __u64 rbp, __u64 rbx,
				     __u32 known)
{
	s->regs[UNWIND_RIP] = pc;
	s->regs[UNWIND_RSP] = sp;
	s->regs[UNWIND_RBP] = rbp;
	s->regs[UNWIND_RBX] = rbx;
	s->known = known | KNOWN(UNWIND_RIP) | KNOWN(UNWIND_RSP);
	s->exact_pc = 0;
}

/* Leaves in s->call_target where the call before a return address led. Nonzero: an indirect one. */
WALK_STEP int call_target_find(struct walk_state *s, __u64 return_address)
{
	__u8 opcode = 0;
	__s32 distance = 0;

	if (!s)
		return 1;
	if (walk_read_user(&opcode, sizeof(opcode), return_address - 5) || opcode != CALL_OPCODE)
		return 1;
	if (walk_read_user(&distance, sizeof(distance), return_address - 4))
		return 1;
	s->call_target = return_address + (__s64)distance;
	return 0;
}

/*
 * rbp may be the caller's: gcc gives a leaf function no frame even with -fno-omit-frame-pointer,
 * and no function has one in its prologue. A step by it would leave the caller out. The proof is a
 * word on top of the stack, pushed by a direct call of a function that begins nearer below pc
 * than the one that the step by rbp takes pc for. Leaves its address in s->return_at, or 0.
 */
WALK_STEP int native_find_frameless(struct walk_state *s, __u64 return_address)
{
	__u64 pc, entry, word = 0;
	int i;

	if (!s)
		return 1;
	s->return_at = 0;
	if (call_target_find(s, return_address))
		return 0;
	pc = s->regs[UNWIND_RIP];
	entry = s->call_target;
	/* a frame that calls has pushed something more: the ABI aligns rsp */
	for (i = s->exact_pc ? 0 : 1; i < FRAMELESS_WORDS_MAX; i++) {
		if (stack_read(s, s->regs[UNWIND_RSP] + 8 * i, &word))
			return 0;
		if (mapping_find(s, word - 1) || call_target_find(s, word))
			continue;
		if (pc - s->call_target > FUNCTION_SPAN_MAX)
			continue;
		if (entry <= pc && s->call_target <= entry)
			continue;
		s->return_at = s->regs[UNWIND_RSP] + 8 * i;
		return 0;
	}
	return 0;
}

/* A step by rbp, believed only if it rises and its return address is executable. */
WALK_STEP int native_frame_pointer_step(struct walk_state *s)
{
	__u64 rbp, saved_rbp = 0, pc = 0;

	if (!s || !(s->known & KNOWN(UNWIND_RBP)))
		return STOP_UNWIND_FRAME_POINTER;
	rbp = s->regs[UNWIND_RBP];
	if (rbp < s->regs[UNWIND_RSP] || rbp - s->regs[UNWIND_RSP] > FRAME_POINTER_SPAN_MAX)
		return STOP_UNWIND_FRAME_POINTER;
	if (stack_read(s, rbp, &saved_rbp) || stack_read(s, rbp + 8, &pc))
		return STOP_UNWIND_FRAME_POINTER;
	if (mapping_find(s, pc - 1))
		return STOP_UNWIND_FRAME_POINTER;
	native_find_frameless(s, pc);
	if (s->return_at) {
		/* deeper, something was pushed: perhaps rbp, perhaps with another value since */
		if (s->return_at != s->regs[UNWIND_RSP] || stack_read(s, s->return_at, &pc))
			return STOP_UNWIND_FRAME_POINTER;
		saved_rbp = rbp;
		rbp = s->return_at - 8;
	}
	native_put(s, NATIVE_TAG_FRAME_POINTER, 0);
	native_enter_caller(s, pc, rbp + 16, saved_rbp, 0, KNOWN(UNWIND_RBP));
	return 0;
}

/* Leaves in s->next_shim the innermost shim that lies above rsp; 0 if there is none. */
WALK_STEP int native_find_shim(struct walk_state *s)
{
	int i;

	if (!s)
		return 1;
	s->next_shim = 0;
	for (i = 0; i < SHIMS_MAX; i++) {
		if (s->shim_next >= s->shim_count)
			return 0;
		s->next_shim = s->shims[s->shim_next & (SHIMS_MAX - 1)];
		if (s->next_shim >= s->regs[UNWIND_RSP])
			return 0;
		s->shim_next++;
		s->next_shim = 0;
	}
	return 0;
}

/*
 * Goes on at the eval frame that holds next_shim: its CFA is shim + resync_delta, a
 * constant of the build. The frames between are missing, and the record says so.
 * 0, or nonzero when that cannot be.
 */
WALK_STEP int native_resync(struct walk_state *s)
{
	__u64 cfa, pc = 0, rbp = 0, rbx = 0;
	__u32 known = 0;

	if (!s || !s->next_shim || !s->python.resync_delta)
		return 1;
	cfa = s->next_shim + s->python.resync_delta;
	if (stack_read(s, cfa - 8, &pc) || mapping_find(s, pc - 1))
		return 1;
	if (s->python.resync_rbp && !stack_read(s, cfa + s->python.resync_rbp, &rbp))
		known |= KNOWN(UNWIND_RBP);
	if (s->python.resync_rbx && !stack_read(s, cfa + s->python.resync_rbx, &rbx))
		known |= KNOWN(UNWIND_RBX);
	/* the pc inside the eval is not known: its entry stands for it */
	s->regs[UNWIND_RIP] = s->python.eval_entry;
	s->regs[UNWIND_RSP] = s->next_shim;
	s->exact_pc = 1;
	native_put(s, NATIVE_TAG_EVAL | NATIVE_TAG_RESYNC, cfa);
	native_enter_caller(s, pc, cfa, rbp, rbx, known);
	return 0;
}

/* The CFA under a rule. 0, or the stop reason. */
WALK_INLINE int native_cfa(struct walk_state *s, const struct unwind_rule *rule, __u64 *ret_cfa)
{
	__u32 r = rule->cfa_register & REGISTER_MASK;
	__u64 base = s->regs[r];

	if (rule->cfa == UNWIND_CFA_PLT) {
		*ret_cfa = s->regs[UNWIND_RSP] + 8;
		if ((s->regs[UNWIND_RIP] & 15) >= (__u64)rule->deref_offset)
			*ret_cfa += 8;
		return 0;
	}
	if (!(s->known & (1u << r)))
		return STOP_UNWIND_REGISTER;
	*ret_cfa = base + (__s64)rule->cfa_offset;
	if (rule->cfa == UNWIND_CFA_REGISTER)
		return 0;
	if (rule->cfa != UNWIND_CFA_DEREF)
		return STOP_UNWIND_BAD_RULE;
	if (stack_read(s, *ret_cfa, ret_cfa))
		return STOP_UNWIND_UNREADABLE;
	*ret_cfa += (__s64)rule->deref_offset;
	return 0;
}

/* A callee-saved register of the caller; clears its bit of *known where it cannot be had. */
WALK_INLINE __u64 native_saved(struct walk_state *s, __u32 how, __s64 offset, __u64 cfa, __u32 r,
			       __u32 *known)
{
	__u64 value = s->regs[r & REGISTER_MASK];

	if (how == UNWIND_SAME)
		return value;
	if (how == UNWIND_UNKNOWN)
		goto unknown;
	if (how == UNWIND_AT_REGISTER) {
		if (!(s->known & KNOWN(UNWIND_RBP)))
			goto unknown;
		cfa = s->regs[UNWIND_RBP];
	}
	if (stack_read(s, cfa + offset, &value))
		goto unknown;
	*known |= 1u << (r & REGISTER_MASK);
	return value;
unknown:
	*known &= ~(1u << (r & REGISTER_MASK));
	return 0;
}

/* Leaves a frame by its rule. 0; 1 when the root was reached; else the stop reason + 1. */
WALK_STEP int native_rule_step(struct walk_state *s)
{
	struct unwind_rule *rule;
	__u64 cfa = 0, pc = 0, rbp, rbx, tag = 0;
	__u32 known;
	int stop, unreadable;

	if (!s)
		return 1;
	rule = walk_rule(s->rule_number);
	if (!rule || rule->cfa == UNWIND_CFA_NONE)
		return STOP_UNWIND_NO_ROW + 1;
	if (rule->cfa == UNWIND_CFA_SIGNAL) {
		stop = native_signal_step(s);
		return stop ? stop + 1 : 0;
	}
	if (rule->flags & UNWIND_RULE_END) {
		native_put(s, 0, 0);
		s->root_reached = 1;
		return 1;
	}
	stop = native_cfa(s, rule, &cfa);
	if (stop)
		return stop + 1;
	if (cfa <= s->regs[UNWIND_RSP] || cfa >= USER_ADDRESS_END)
		return STOP_UNWIND_NOT_RISING + 1;
	if (rule->flags & UNWIND_RULE_EVAL)
		tag = NATIVE_TAG_EVAL;
	unreadable = stack_read(s, cfa + (__s64)rule->ra_offset, &pc);
	if (rule->flags & UNWIND_RULE_THREAD_START) {
		if (unreadable || mapping_find(s, pc - 1))
			pc = 0;
	} else if (unreadable) {
		return STOP_UNWIND_UNREADABLE + 1;
	}
	known = s->known & (KNOWN(UNWIND_RBP) | KNOWN(UNWIND_RBX));
	rbp = native_saved(s, rule->rbp, rule->rbp_offset, cfa, UNWIND_RBP, &known);
	rbx = native_saved(s, rule->rbx, rule->rbx_offset, cfa, UNWIND_RBX, &known);
	if (native_put(s, tag, cfa))
		return 1;
	if (pc == 0) { /* a thread's first frame under code that marks no end */
		s->root_reached = 1;
		return 1;
	}
	native_enter_caller(s, pc, cfa, rbp, rbx, known);
	return 0;
}

/* A frame that its row cannot leave. 0 when the walk goes on. */
WALK_STEP int native_step_without_row(struct walk_state *s)
{
	int skips_eval;

	if (!s)
		return 1;
	native_find_shim(s);
	/* a frame pointer that leads past a shim is that of the eval function: this code has no
	 * frame of its own, and the eval frame would be skipped */
	skips_eval =
		s->python.resync_delta && s->next_shim && s->next_shim < s->regs[UNWIND_RBP] + 16;
	if (!skips_eval && native_frame_pointer_step(s) == 0)
		return 0;
	if (native_put(s, 0, 0)) /* the frame that could not be left is still a frame */
		return 1;
	return native_resync(s);
}

/*
 * The rule at pc. A thread inside a system call has its pc after the `syscall`,
 * which may be past the end of its FDE (glibc's __restore_rt): it is looked up
 * once more one byte earlier, as a return address would be.
 */
WALK_INLINE int native_find_rule(struct walk_state *s, __u64 pc)
{
	int stop = rule_find(s, s->exact_pc ? pc : pc - 1);

	if (s->exact_pc &&
	    (stop == STOP_UNWIND_NO_ROW || (!stop && s->rule_number == UNWIND_RULE_NONE)))
		stop = rule_find(s, pc - 1);
	return stop;
}

/* Leaves one frame. Nonzero ends the walk; native_stop then tells why, unless root_reached. */
WALK_STEP int native_step(struct walk_state *s)
{
	__u64 pc;
	int stop;

	if (!s)
		return 1;
	pc = s->regs[UNWIND_RIP];
	stop = mapping_find(s, s->exact_pc ? pc : pc - 1);
	if (!stop) {
		stop = native_find_rule(s, pc);
		if (!stop) {
			stop = native_rule_step(s);
			if (stop <= 1)
				return stop;
			stop--;
		}
	} else {
		s->needs_refresh = 1;
	}
	if (native_step_without_row(s) == 0)
		return 0;
	s->native_stop = stop;
	return 1;
}

WALK_STEP int native_burst(struct walk_state *s)
{
	int i;

	for (i = 0; i < BURST_FRAMES; i++)
		if (native_step(s))
			return 1;
	return 0;
}

/* The whole stack. root_reached, or native_stop tells why not. */
WALK_INLINE void native_walk(struct walk_state *s)
{
	int i;

	s->chunk_part = CHUNK_NATIVE;
	for (i = 0; i < NATIVE_FRAMES_MAX / BURST_FRAMES; i++)
		if (native_burst(s))
			break;
	if (i == NATIVE_FRAMES_MAX / BURST_FRAMES)
		s->native_stop = STOP_UNWIND_DEPTH;
	stream_flush(s);
}

#endif
