/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect/ring_reader on real BPF ring buffers, filled by a six-instruction
 * program that copies its input packet into a ring. Needs the right to load BPF:
 * skipped without it. Every record must come out once, in order, or be counted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "collect/ring_reader.h"

#define RINGS 3
#define RECORD_BYTES 64
#define RING_BYTES (256u << 10)

static int ring_fds[RINGS], program_fds[RINGS];

static int load_program(int ring_fd)
{
	const struct bpf_insn program[] = {
		/* bpf_skb_load_bytes(skb, 0, fp - 64, 64) */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 3, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 3, .imm = -RECORD_BYTES},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = RECORD_BYTES},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_load_bytes},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .imm = 0, .off = 1},
		{.code = BPF_JMP | BPF_EXIT},
		/* return bpf_ringbuf_output(ring, fp - 64, 64, BPF_RB_NO_WAKEUP) */
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = ring_fd},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -RECORD_BYTES},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = RECORD_BYTES},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = BPF_RB_NO_WAKEUP},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "to_ring", "Dual BSD/GPL", program,
			     sizeof(program) / sizeof(*program), NULL);
}

static int open_rings(void **state)
{
	(void)state;
	for (int i = 0; i < RINGS; i++) {
		ring_fds[i] = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, RING_BYTES, NULL);
		if (ring_fds[i] == -EPERM || (i == 0 && ring_fds[i] == -ENOSYS)) {
			ring_fds[0] = -1;
			return 0;
		}
		assert_true(ring_fds[i] >= 0);
		program_fds[i] = load_program(ring_fds[i]);
		assert_true(program_fds[i] >= 0);
	}
	return 0;
}

static int close_rings(void **state)
{
	(void)state;
	for (int i = 0; ring_fds[0] >= 0 && i < RINGS; i++) {
		close(program_fds[i]);
		close(ring_fds[i]);
	}
	return 0;
}

static void need_bpf(void)
{
	if (ring_fds[0] < 0) {
		print_message("bpf(2) is not permitted here\n");
		skip();
	}
}

/* One record of the given number; false: the ring is full. */
static bool produce(int ring, uint64_t number)
{
	uint8_t packet[RECORD_BYTES];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = 1);

	memset(packet, (int)(number & 0xff), sizeof(packet));
	memcpy(packet, &number, sizeof(number));
	assert_int_equal(bpf_prog_test_run_opts(program_fds[ring], &run), 0);
	return run.retval == 0;
}

static void check_record(const struct ring_record *record, uint64_t *expected)
{
	uint8_t bytes[RECORD_BYTES];
	uint64_t number;

	assert_in_range(record->ring, 0, RINGS - 1);
	assert_int_equal(record->size, RECORD_BYTES);
	memcpy(&number, record->data, sizeof(number));
	assert_int_equal(number, expected[record->ring]);
	memset(bytes, (int)(number & 0xff), sizeof(bytes));
	assert_memory_equal((const uint8_t *)record->data + 8, bytes + 8, sizeof(bytes) - 8);
	expected[record->ring]++;
}

static void every_record_comes_out_in_order(void **state)
{
	uint64_t produced[RINGS] = {0}, expected[RINGS] = {0};
	struct ring_reader *reader = NULL;
	struct ring_reader_stats stats;
	struct ring_record record;

	(void)state;
	need_bpf();
	assert_int_equal(ring_reader__new(ring_fds, RINGS, 1u << 20, 5, &reader), 0);
	for (int n = 0; n < 9000; n++) {
		int ring = n % RINGS;

		if (produce(ring, produced[ring]))
			produced[ring]++;
		if (n % 1000 == 999)
			usleep(15000); /* some drains by the interval */
		while (n % 7 == 0 && ring_reader__next(reader, 0, &record))
			check_record(&record, expected);
	}
	assert_int_equal(ring_reader__stop(reader), 0);
	while (ring_reader__next(reader, 0, &record))
		check_record(&record, expected);
	assert_memory_equal(expected, produced, sizeof(expected));
	ring_reader__stats(reader, &stats);
	assert_int_equal(stats.records, produced[0] + produced[1] + produced[2]);
	assert_int_equal(stats.bytes, stats.records * RECORD_BYTES);
	assert_int_equal(stats.dropped_records, 0);
	assert_true(stats.drains >= 2 && stats.queue_peak_bytes >= RECORD_BYTES);
	ring_reader__free(reader);
}

static void full_queue_drops_whole_records_and_counts(void **state)
{
	uint64_t expected[RINGS] = {0};
	struct ring_reader *reader = NULL;
	struct ring_reader_stats stats;
	struct ring_record record;
	const uint64_t produced = 1000, fitting = 4096 / (RECORD_BYTES + 8);

	(void)state;
	need_bpf();
	assert_int_equal(ring_reader__new(ring_fds, RINGS, 4096, 5, &reader), 0);
	for (uint64_t n = 0; n < produced; n++)
		assert_true(produce(0, n));
	assert_int_equal(ring_reader__stop(reader), 0);
	ring_reader__stats(reader, &stats);
	assert_int_equal(stats.records, fitting);
	assert_int_equal(stats.dropped_records, produced - fitting);
	assert_true(stats.queue_peak_bytes <= 4096);
	while (ring_reader__next(reader, 0, &record))
		check_record(&record, expected);
	assert_int_equal(expected[0], fitting);
	ring_reader__free(reader);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void waiting_ends_with_a_record_or_the_time(void **state)
{
	uint64_t expected[RINGS] = {0}, start;
	struct ring_reader *reader = NULL;
	struct ring_record record;
	struct pollfd ready;

	(void)state;
	need_bpf();
	assert_int_equal(ring_reader__new(ring_fds, RINGS, 4096, 20, &reader), 0);
	ready = (struct pollfd){.fd = ring_reader__fd(reader), .events = POLLIN};
	start = now_ms();
	assert_int_equal(ring_reader__next(reader, 60, &record), 0);
	assert_in_range(now_ms() - start, 59, 5000);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_true(produce(1, 0) && produce(1, 1));
	assert_int_equal(ring_reader__next(reader, 5000, &record), 1);
	check_record(&record, expected);
	assert_int_equal(poll(&ready, 1, 5000), 1); /* the second one is queued */
	assert_int_equal(ring_reader__next(reader, 5000, &record), 1);
	check_record(&record, expected);
	assert_int_equal(ring_reader__next(reader, 0, &record), 0);
	assert_int_equal(poll(&ready, 1, 0), 0);
	ring_reader__free(reader); /* stops the thread by itself */
}

static void wrong_arguments_are_refused(void **state)
{
	struct ring_reader *reader = NULL;
	int closed = -1;

	(void)state;
	assert_int_equal(ring_reader__new(&closed, 0, 4096, 5, &reader), -EINVAL);
	assert_int_equal(ring_reader__new(&closed, 1, 4096, 0, &reader), -EINVAL);
	assert_int_equal(ring_reader__new(&closed, 1, 1, 5, &reader), -EINVAL);
	assert_true(ring_reader__new(&closed, 1, 4096, 5, &reader) < 0);
	assert_null(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_arguments_are_refused),
		cmocka_unit_test_setup_teardown(every_record_comes_out_in_order, open_rings,
						close_rings),
		cmocka_unit_test_setup_teardown(full_queue_drops_whole_records_and_counts,
						open_rings, close_rings),
		cmocka_unit_test_setup_teardown(waiting_ends_with_a_record_or_the_time, open_rings,
						close_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
