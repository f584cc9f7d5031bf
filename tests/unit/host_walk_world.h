/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world to walk in: memory in regions with nothing between them, faults at
 * chosen addresses, one file of functions whose rules go the real way (rows ->
 * unwind_table -> table_store -> segments), and a model of the stack that knows
 * what the walk must find because it made the calls itself.
 */
#ifndef MIXPROF_TESTS_HOST_WALK_WORLD_H
#define MIXPROF_TESTS_HOST_WALK_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/sample_decode.h"
#include "unwind/host_walk.h"
#include "unwind/table_store.h"

#define WORLD_REGIONS_MAX 16
#define WORLD_FUNCTIONS_MAX 64
#define WORLD_FRAMES_MAX 4200
#define WORLD_TABLES_MAX 8
#define WORLD_RULES_MAX 512

#define FILE_VADDR 0x1000ull /* of function 0 */
#define FILE_BIAS 0x555500000000ull
#define FUNCTION_BYTES 0x100ull
#define PC_IN_FUNCTION 0x50ull
#define STACK_TOP 0x7ffff0000000ull
#define STACK_BYTES (1ull << 20)

struct region {
	uint64_t start, size;
	uint8_t *bytes; /* owned, exactly size: ASan sees a step beyond */
};

struct expected_frame {
	uint64_t pc, sp, cfa;
	bool eval, exact, by_frame_pointer, resynced;
};

struct world {
	struct region regions[WORLD_REGIONS_MAX];
	uint32_t region_count;
	uint64_t fault_start, fault_end; /* reads that touch it fail, and are counted */
	uint32_t faults_hit, reads;

	void *segments[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count;
	struct unwind_table tables[WORLD_TABLES_MAX];
	struct unwind_rule rules[WORLD_RULES_MAX];
	struct table_store *store;
	struct mapping mappings[MAPPINGS_PER_PROCESS_MAX];
	struct cfi_row functions[WORLD_FUNCTIONS_MAX];
	uint32_t function_count;

	/* the model: the frame under way, and those it was called from (outermost first) */
	uint64_t sp, rbp, rbx, pc;
	struct expected_frame frames[WORLD_FRAMES_MAX];
	uint32_t frame_count;

	struct host_walk walk;
	struct sample_decoder *decoder;
	uint32_t chunks;
	struct sample sample;
};

static uint64_t world_random_state = 0x9e3779b97f4a7c15ull;

static inline uint64_t next_random(void)
{
	world_random_state ^= world_random_state << 13;
	world_random_state ^= world_random_state >> 7;
	world_random_state ^= world_random_state << 17;
	return world_random_state;
}

static inline uint32_t below(uint32_t limit)
{
	return (uint32_t)(next_random() % limit);
}

/* --- memory --- */

static inline uint8_t *world_memory(struct world *w, uint64_t address, uint64_t size)
{
	for (uint32_t i = 0; i < w->region_count; i++) {
		struct region *r = &w->regions[i];

		if (address >= r->start && size <= r->size && address - r->start <= r->size - size)
			return r->bytes + (address - r->start);
	}
	return NULL;
}

static inline void world_region(struct world *w, uint64_t start, uint64_t size)
{
	struct region *r = &w->regions[w->region_count++];

	assert_true(w->region_count <= WORLD_REGIONS_MAX);
	*r = (struct region){start, size, calloc(1, size)};
	assert_non_null(r->bytes);
}

static inline void poke(struct world *w, uint64_t address, uint64_t value)
{
	uint8_t *p = world_memory(w, address, 8);

	assert_non_null(p);
	memcpy(p, &value, 8);
}

static inline void poke_u8(struct world *w, uint64_t address, uint8_t value)
{
	uint8_t *p = world_memory(w, address, 1);

	assert_non_null(p);
	*p = value;
}

/* Like bpf_probe_read_user: all of it, or zeros and a failure. */
static inline int world_read(void *context, uint64_t address, void *to, size_t size)
{
	struct world *w = context;
	const uint8_t *from = world_memory(w, address, size);
	bool fault = address < w->fault_end && address + size > w->fault_start;

	w->reads++;
	w->faults_hit += fault;
	if (!from || fault) {
		memset(to, 0, size);
		return -EFAULT;
	}
	memcpy(to, from, size);
	return 0;
}

static inline int world_chunk(void *context, const struct chunk_record *chunk)
{
	struct world *w = context;

	w->chunks++;
	assert_in_range(chunk->words, 1, 1024);
	return sample_decoder__push(w->decoder, chunk, chunk->header.size, &w->sample);
}

/* --- tables --- */

static inline int world_make_segment(void *context, uint32_t number, void **ret_memory)
{
	struct world *w = context;

	assert_int_equal(number, w->segment_count);
	w->segments[number] = calloc(1, UNWIND_SEGMENT_BYTES);
	assert_non_null(w->segments[number]);
	w->segment_count++;
	*ret_memory = w->segments[number];
	return 0;
}

static inline int world_write_table(void *context, uint32_t number,
				    const struct unwind_table *table)
{
	assert_in_range(number, 1, WORLD_TABLES_MAX - 1);
	((struct world *)context)->tables[number] = *table;
	return 0;
}

static inline int world_write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	assert_in_range(number, 1, WORLD_RULES_MAX - 1);
	((struct world *)context)->rules[number] = *rule;
	return 0;
}

/* Installs rows; gives the table's number. */
static inline uint32_t world_install(struct world *w, struct cfi_row *rows, size_t count)
{
	struct cfi_rows all = {.rows = rows, .count = count};
	struct unwind_table_image image;
	struct buffer blob = {0};
	uint32_t number = 0;

	assert_int_equal(unwind_table_build(&all, &blob), 0);
	assert_int_equal(unwind_table_parse(blob.data, blob.size, &image), 0);
	assert_int_equal(table_store__install(w->store, &image, &number), 0);
	buffer_done(&blob);
	w->walk.segment_count = w->segment_count;
	return number;
}

static inline void world_map(struct world *w, uint64_t start, uint64_t end, uint64_t bias,
			     uint32_t table)
{
	w->mappings[w->walk.mapping_count++] =
		(struct mapping){.start = start, .end = end, .bias = bias, .table = table};
	assert_true(w->walk.mapping_count <= MAPPINGS_PER_PROCESS_MAX);
}

static inline struct world *world_with_budget(uint64_t budget_bytes)
{
	struct world *w = calloc(1, sizeof(*w));
	struct table_store_ops ops = {world_make_segment, world_write_table, world_write_rule, w};

	assert_non_null(w);
	assert_int_equal(table_store__new(&ops, budget_bytes, &w->store), 0);
	assert_int_equal(sample_decoder__new(&w->decoder), 0);
	world_region(w, STACK_TOP - STACK_BYTES, STACK_BYTES);
	w->sp = STACK_TOP;
	w->walk = (struct host_walk){
		.mappings = w->mappings,
		.tables = w->tables,
		.table_count = WORLD_TABLES_MAX,
		.rules = w->rules,
		.rule_count = WORLD_RULES_MAX,
		.segments = w->segments,
		.python = {.stop = 64 /* py_not_python */},
		.read = world_read,
		.chunk = world_chunk,
		.context = w,
	};
	return w;
}

static inline struct world *world_new(void)
{
	return world_with_budget(64ull << 20);
}

static inline void world_free(struct world *w)
{
	for (uint32_t i = 0; i < w->region_count; i++)
		free(w->regions[i].bytes);
	for (uint32_t i = 0; i < w->segment_count; i++)
		free(w->segments[i]);
	table_store__free(w->store);
	sample_decoder__free(w->decoder);
	free(w);
}
DEFINE_CLEANUP(struct world *, world_freep, world_free)

/* --- functions and calls --- */

static inline uint32_t world_function(struct world *w, struct unwind_rule rule)
{
	uint32_t n = w->function_count++;

	assert_true(n < WORLD_FUNCTIONS_MAX);
	w->functions[n] = (struct cfi_row){FILE_VADDR + n * FUNCTION_BYTES, rule};
	return n;
}

/* An address inside function n, in the process. */
static inline uint64_t pc_in(uint32_t n)
{
	return FILE_BIAS + FILE_VADDR + n * FUNCTION_BYTES + PC_IN_FUNCTION;
}

/* The functions' table and mapping; returns the table's number. */
static inline uint32_t world_map_functions(struct world *w)
{
	uint32_t table = world_install(w, w->functions, w->function_count);

	world_map(w, FILE_BIAS + FILE_VADDR,
		  FILE_BIAS + FILE_VADDR + w->function_count * FUNCTION_BYTES, FILE_BIAS, table);
	return table;
}

/* The frame under way, as the walk must show it from `cfa`. */
static inline void model_expect(struct world *w, uint64_t cfa)
{
	const struct unwind_rule *rule = NULL;
	struct expected_frame *f = &w->frames[w->frame_count++];
	uint64_t number = (w->pc - FILE_BIAS - FILE_VADDR) / FUNCTION_BYTES;

	assert_true(w->frame_count <= WORLD_FRAMES_MAX);
	*f = (struct expected_frame){.pc = w->pc};
	if (number < w->function_count)
		rule = &w->functions[number].rule;
	if (rule && rule->flags & UNWIND_RULE_EVAL && !(rule->flags & UNWIND_RULE_END)) {
		f->eval = true;
		f->sp = w->sp;
		f->cfa = cfa;
	}
}

/*
 * Calls function `n`, which makes a frame of `bytes` below its CFA and then has
 * these values in rbp and rbx (0: as its caller). Where its rule says that it
 * saved one, the caller's value is written there.
 */
static inline void model_call(struct world *w, uint32_t n, uint64_t bytes, uint64_t rbp,
			      uint64_t rbx)
{
	const struct unwind_rule *rule = &w->functions[n].rule;
	uint64_t cfa = w->sp, return_address = w->pc;

	w->sp = cfa - bytes;
	w->pc = pc_in(n);
	model_expect(w, cfa);
	if (rule->flags & UNWIND_RULE_END)
		return;
	poke(w, cfa + (int64_t)rule->ra_offset, return_address);
	if (rule->rbp == UNWIND_AT_CFA)
		poke(w, cfa + (int64_t)rule->rbp_offset, w->rbp);
	if (rule->rbp == UNWIND_AT_REGISTER)
		poke(w, rbp + (int64_t)rule->rbp_offset, w->rbp);
	if (rule->rbx == UNWIND_AT_CFA)
		poke(w, cfa + (int64_t)rule->rbx_offset, w->rbx);
	if (rbp)
		w->rbp = rbp;
	if (rbx)
		w->rbx = rbx;
	if (rule->cfa == UNWIND_CFA_DEREF)
		poke(w, w->rbp + (int64_t)rule->cfa_offset,
		     cfa - (uint64_t)(int64_t)rule->deref_offset);
}

static inline void world_walk(struct world *w)
{
	struct sample_record record;
	uint64_t *r = w->walk.registers;

	r[UNWIND_RIP] = w->pc;
	r[UNWIND_RSP] = w->sp;
	r[UNWIND_RBP] = w->rbp;
	r[UNWIND_RBX] = w->rbx;
	w->reads = w->faults_hit = w->chunks = 0;
	assert_int_equal(host_walk(&w->walk, &record), 0);
	assert_int_equal(sample_decoder__push(w->decoder, &record, sizeof(record), &w->sample), 1);
}

static inline bool root_reached(const struct world *w)
{
	return w->sample.head.flags & SAMPLE_ROOT_REACHED;
}

/* The model's innermost `count` frames are what the walk found, and all that it found. */
static inline void expect_frames(const struct world *w, uint32_t count)
{
	assert_int_equal(w->sample.native_count, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct expected_frame *want = &w->frames[w->frame_count - 1 - i];
		const struct native_frame *got = &w->sample.native[i];

		assert_int_equal(got->pc, want->pc);
		assert_int_equal(got->is_eval, want->eval);
		assert_int_equal(got->sp, want->sp);
		assert_int_equal(got->cfa, want->cfa);
		assert_int_equal(got->exact_pc, i == 0 || want->exact);
		assert_int_equal(got->by_frame_pointer, want->by_frame_pointer);
		assert_int_equal(got->resynced, want->resynced);
	}
}

static inline void expect_stop(const struct world *w, uint32_t frames, uint16_t stop)
{
	expect_frames(w, frames);
	assert_false(root_reached(w));
	assert_int_equal(w->sample.head.native_stop, stop);
}

static inline void expect_root(const struct world *w)
{
	expect_frames(w, w->frame_count);
	assert_true(root_reached(w));
	assert_int_equal(w->sample.head.native_stop, 0);
}

static inline struct unwind_rule rule_of(uint8_t reg, int32_t offset)
{
	return (struct unwind_rule){.cfa = UNWIND_CFA_REGISTER,
				    .cfa_register = reg,
				    .cfa_offset = offset,
				    .ra_offset = -8};
}

static inline struct unwind_rule end_rule(void)
{
	return (struct unwind_rule){.cfa = UNWIND_CFA_REGISTER,
				    .cfa_register = UNWIND_RSP,
				    .cfa_offset = 16,
				    .flags = UNWIND_RULE_END};
}

/* push rbp; mov rbp, rsp */
static inline struct unwind_rule rbp_rule(void)
{
	struct unwind_rule rule = rule_of(UNWIND_RBP, 16);

	rule.rbp = UNWIND_AT_CFA;
	rule.rbp_offset = -16;
	return rule;
}

#endif
