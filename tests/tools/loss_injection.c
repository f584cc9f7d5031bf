/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses on purpose, and the sums that must hold exactly all the same
 * (include/abi/sample_abi.h): runs = the outcomes' sum, and each written sample is
 * decoded or among the records that the reader says it dropped. Run by
 * tests/bpf/run. One line per check: "PASS name" or "FAIL name why".
 *
 * The target is a child that spins at the bottom of a recursion; its one mapping
 * is all of user memory, without a table, so the walk goes by frame pointers.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/stop_reasons.h"
#include "collect/bpf_session.h"
#include "collect/ring_reader.h"
#include "collect/sample_decode.h"

#define HZ 4999
#define DEPTH 180 /* words of one chunk: two samples fill a ring of 4 KB */
#define RINGS_MAX 1024

static bool failed;

static void check(bool ok, const char *name, const char *format, ...)
{
	va_list arguments;

	printf("%s %s", ok ? "PASS" : "FAIL", name);
	if (!ok) {
		printf(" ");
		va_start(arguments, format);
		vprintf(format, arguments);
		va_end(arguments);
		failed = true;
	}
	printf("\n");
}

/* What the rings held, record by record. */
struct found {
	uint64_t records, chunks, closings; /* closing: a SAMPLE record */
	uint64_t decoded, malformed, orphan_chunks;
	uint64_t deepest, foreign;
};

/* --- the target --- */

static volatile int spinning = 1;

/* Asking for the frame's address gives it a frame pointer, whatever the flags say. */
__attribute__((noinline)) static int recurse(int depth)
{
	void *volatile frame = __builtin_frame_address(0);

	if (depth == 0)
		while (spinning)
			;
	else
		depth += recurse(depth - 1);
	return depth + !frame;
}

static pid_t start_target(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(recurse(DEPTH));
	}
	return pid;
}

static void stop_target(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- sessions --- */

static struct bpf_session *make_session(size_t ring_bytes, pid_t target)
{
	struct bpf_session_options options = {
		.scope = SCOPE_PROCESSES, .hz = HZ, .ring_bytes = ring_bytes};
	struct bpf_session *session = NULL;
	int err = bpf_session__new(&options, &session);
	struct process_config *config;
	size_t count;

	if (!err)
		err = bpf_session__open_events(session);
	if (err) {
		check(false, "session", "%s", strerror(-err));
		exit(1);
	}
	bpf_session__mappings(session, &count)[0] =
		(struct mapping){.start = 4096, .end = 1ull << 47, .flags = MAPPING_ANONYMOUS};
	config = bpf_session__processes(session, &count);
	config->mapping_run = 1;
	config->python.stop = STOP_PY_NOT_PYTHON;
	config->generation = 2;
	if (bpf_session__set_slot(session, target, 0))
		check(false, "set_slot", "%s", strerror(errno));
	return session;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000l};

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

static void sample_for(struct bpf_session *session, unsigned int ms)
{
	bpf_session__enable(session);
	sleep_ms(ms);
	bpf_session__disable(session);
}

static struct bpf_session_stats stats_of(struct bpf_session *session)
{
	struct bpf_session_stats stats = {0};

	if (bpf_session__stats(session, &stats))
		check(false, "stats", "not readable");
	return stats;
}

static struct ring_reader *make_reader(struct bpf_session *session, size_t queue_bytes,
				       unsigned int interval_ms)
{
	struct ring_reader *reader = NULL;
	const int *fds;
	size_t count = bpf_session__rings(session, &fds);
	int err = ring_reader__new(fds, count, queue_bytes, interval_ms, &reader);

	if (err) {
		check(false, "ring_reader", "%s", strerror(-err));
		exit(1);
	}
	return reader;
}

static struct sample_decoder *decoders[RINGS_MAX];

static void take_record(const struct ring_record *record, uint32_t pid, struct found *found)
{
	struct record_header header;
	struct sample sample;

	if (!decoders[record->ring] && sample_decoder__new(&decoders[record->ring]))
		exit(1);
	memcpy(&header, record->data, sizeof(header));
	found->records++;
	found->chunks += header.kind == RECORD_STACK_CHUNK;
	found->closings += header.kind == RECORD_SAMPLE;
	if (sample_decoder__push(decoders[record->ring], record->data, record->size, &sample) != 1)
		return;
	found->foreign += sample.head.pid != pid;
	if (sample.native_count > found->deepest)
		found->deepest = sample.native_count;
}

/* Everything that the rings and the queue still hold, then the decoders' sums. */
static struct found drain(struct ring_reader *reader, uint32_t pid)
{
	struct found found = {0};
	struct ring_record record;

	ring_reader__stop(reader);
	while (ring_reader__next(reader, 0, &record) == 1)
		take_record(&record, pid, &found);
	for (int i = 0; i < RINGS_MAX; i++) {
		struct sample_decoder_stats stats;

		if (!decoders[i])
			continue;
		sample_decoder__stats(decoders[i], &stats);
		found.decoded += stats.samples;
		found.malformed += stats.malformed;
		found.orphan_chunks += stats.orphan_chunks;
		sample_decoder__free(decoders[i]);
		decoders[i] = NULL;
	}
	return found;
}

static void check_outcomes(const char *name, const struct bpf_session_stats *s)
{
	uint64_t sum = 0;

	for (int i = RUN_TOTAL + 1; i < RUN_OUTCOME_MAX; i++)
		sum += s->outcome[i];
	check(s->outcome[RUN_TOTAL] == sum && s->outcome[RUN_TOTAL] > 0, name,
	      "%" PRIu64 " runs, %" PRIu64 " outcomes", s->outcome[RUN_TOTAL], sum);
	fprintf(stderr,
		"  %s: runs %" PRIu64 " = filtered %" PRIu64 " + idle %" PRIu64
		" + written %" PRIu64 " + ring_full %" PRIu64 " + no_scratch %" PRIu64 "\n",
		name, s->outcome[RUN_TOTAL], s->outcome[RUN_FILTERED], s->outcome[RUN_IDLE],
		s->outcome[RUN_WRITTEN], s->outcome[RUN_RING_FULL], s->outcome[RUN_NO_SCRATCH]);
}

/* --- the cases --- */

/* Room for all: nothing is lost, and everything says so. */
static void nothing_lost(pid_t target)
{
	struct bpf_session *session = make_session(1 << 20, target);
	struct ring_reader *reader = make_reader(session, 16 << 20, 10);
	struct bpf_session_stats s;
	struct found found;
	struct ring_reader_stats r;

	sample_for(session, 500);
	found = drain(reader, target);
	ring_reader__stats(reader, &r);
	s = stats_of(session);
	check_outcomes("no_loss/runs_equal_outcomes", &s);
	check(s.outcome[RUN_WRITTEN] > 50, "no_loss/samples_written", "%" PRIu64 " in 500 ms",
	      s.outcome[RUN_WRITTEN]);
	check(s.outcome[RUN_RING_FULL] == 0 && s.outcome[RUN_NO_SCRATCH] == 0 &&
		      r.dropped_records == 0,
	      "no_loss/nothing_lost", "ring_full %" PRIu64 ", dropped %" PRIu64,
	      s.outcome[RUN_RING_FULL], r.dropped_records);
	check(found.decoded == s.outcome[RUN_WRITTEN] && found.malformed == 0 &&
		      found.orphan_chunks == 0,
	      "no_loss/decoded_equals_written", "%" PRIu64 " of %" PRIu64, found.decoded,
	      s.outcome[RUN_WRITTEN]);
	check(found.foreign == 0, "no_loss/only_the_target", "%" PRIu64 " others", found.foreign);
	check(found.deepest >= DEPTH, "no_loss/whole_stacks", "%" PRIu64 " frames at most",
	      found.deepest);
	ring_reader__free(reader);
	bpf_session__free(session);
}

/* A ring of 4 KB that nobody reads. */
static void ring_full(pid_t target)
{
	struct bpf_session *session = make_session(4096, target);
	struct bpf_session_stats s;
	struct ring_reader *reader;
	struct found found;

	sample_for(session, 300);
	s = stats_of(session);
	reader = make_reader(session, 1 << 20, 10);
	found = drain(reader, target);
	check_outcomes("ring_full/runs_equal_outcomes", &s);
	check(s.outcome[RUN_RING_FULL] > 0, "ring_full/is_hit", "the ring never filled");
	check(s.outcome[RUN_WRITTEN] > 0 && found.decoded == s.outcome[RUN_WRITTEN] &&
		      found.malformed == 0,
	      "ring_full/decoded_equals_written",
	      "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " malformed", found.decoded,
	      s.outcome[RUN_WRITTEN], found.malformed);
	ring_reader__free(reader);
	bpf_session__free(session);
}

/* Ring and reader are in a race: samples are lost in between, again and again. */
static void ring_full_now_and_then(pid_t target)
{
	struct bpf_session *session = make_session(4096, target);
	struct ring_reader *reader = make_reader(session, 16 << 20, 3);
	struct bpf_session_stats s;
	struct found found;

	sample_for(session, 500);
	found = drain(reader, target);
	s = stats_of(session);
	check_outcomes("ring_race/runs_equal_outcomes", &s);
	check(s.outcome[RUN_RING_FULL] > 0 && s.outcome[RUN_WRITTEN] > 4, "ring_race/both_happen",
	      "ring_full %" PRIu64 ", written %" PRIu64, s.outcome[RUN_RING_FULL],
	      s.outcome[RUN_WRITTEN]);
	check(found.decoded == s.outcome[RUN_WRITTEN] && found.malformed == 0,
	      "ring_race/decoded_equals_written",
	      "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " malformed", found.decoded,
	      s.outcome[RUN_WRITTEN], found.malformed);
	check(found.chunks == found.closings + found.orphan_chunks, "ring_race/orphans_explained",
	      "%" PRIu64 " chunks, %" PRIu64 " samples, %" PRIu64 " orphans", found.chunks,
	      found.closings, found.orphan_chunks);
	ring_reader__free(reader);
	bpf_session__free(session);
}

/*
 * A queue that holds a few records and is read too seldom. The sampler wrote one
 * chunk and one closing record per sample; the reader says how many of them it
 * dropped, and those it kept are counted here by kind.
 */
static void queue_full(pid_t target)
{
	struct bpf_session *session = make_session(1 << 20, target);
	struct ring_reader *reader = make_reader(session, 5 * 4096, 10);
	struct found early = {0}, found;
	struct ring_reader_stats r;
	struct ring_record record;
	struct bpf_session_stats s;
	uint64_t written, dropped_closings;

	bpf_session__enable(session);
	for (int i = 0; i < 20; i++) {
		sleep_ms(25);
		for (int n = 0; n < 3 && ring_reader__next(reader, 0, &record) == 1; n++)
			take_record(&record, target, &early);
	}
	bpf_session__disable(session);
	found = drain(reader, target);
	ring_reader__stats(reader, &r);
	s = stats_of(session);
	written = s.outcome[RUN_WRITTEN];
	found.records += early.records;
	found.chunks += early.chunks;
	found.closings += early.closings;
	check_outcomes("queue_full/runs_equal_outcomes", &s);
	check(r.dropped_records > 0 && s.outcome[RUN_RING_FULL] == 0, "queue_full/is_hit",
	      "dropped %" PRIu64 ", ring_full %" PRIu64, r.dropped_records,
	      s.outcome[RUN_RING_FULL]);
	check(r.records == found.records, "queue_full/kept_equals_read", "%" PRIu64 " and %" PRIu64,
	      r.records, found.records);
	check(found.records + r.dropped_records == 2 * written, "queue_full/records_explained",
	      "%" PRIu64 " read + %" PRIu64 " dropped, %" PRIu64 " samples written", found.records,
	      r.dropped_records, written);
	dropped_closings = r.dropped_records - (written - found.chunks);
	check(found.closings == found.decoded + found.malformed &&
		      written == found.decoded + found.malformed + dropped_closings,
	      "queue_full/written_explained",
	      "written %" PRIu64 ", decoded %" PRIu64 ", malformed %" PRIu64 ", dropped %" PRIu64,
	      written, found.decoded, found.malformed, dropped_closings);
	check(found.decoded > 0, "queue_full/some_decoded", "none");
	fprintf(stderr,
		"  queue_full: dropped %" PRIu64 " records, decoded %" PRIu64
		", without chunk %" PRIu64 ", orphans %" PRIu64 "\n",
		r.dropped_records, found.decoded, found.malformed, found.orphan_chunks);
	ring_reader__free(reader);
	bpf_session__free(session);
}

#define IDLE_TICKS 10 /* of 10 ms, as the kernel counts them: the first may be rounding */

/* Of all CPUs, since boot. */
static uint64_t idle_ticks(void)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long user, nice, system, idle = 0;

	if (!f || fscanf(f, "cpu %llu %llu %llu %llu", &user, &nice, &system, &idle) != 4)
		idle = 0;
	if (f)
		fclose(f);
	return idle;
}

/* No target runs: what the events hit is not in scope, or idle. */
static void filtered_and_idle(pid_t target)
{
	struct bpf_session *session = make_session(1 << 20, target);
	struct bpf_session_stats s;
	pid_t other = start_target();
	uint64_t idle = 0;

	kill(target, SIGSTOP);
	waitpid(target, NULL, WUNTRACED);
	sample_for(session, 200);
	s = stats_of(session);
	check_outcomes("filtered/runs_equal_outcomes", &s);
	check(s.outcome[RUN_FILTERED] > 50 && s.outcome[RUN_WRITTEN] <= 1,
	      "filtered/others_filtered", "filtered %" PRIu64 ", written %" PRIu64,
	      s.outcome[RUN_FILTERED], s.outcome[RUN_WRITTEN]);
	stop_target(other);
	for (int i = 0; i < 100 && s.outcome[RUN_IDLE] == 0 && idle < IDLE_TICKS; i++) {
		uint64_t before = idle_ticks();

		sample_for(session, 100);
		idle += idle_ticks() - before;
		s = stats_of(session);
	}
	check_outcomes("idle/runs_equal_outcomes", &s);
	if (s.outcome[RUN_IDLE] == 0 &&
	    idle < IDLE_TICKS) /* nobody's fault: the machine is busy with other things */
		fprintf(stderr, "  idle: no CPU was idle for ten seconds\n");
	check(s.outcome[RUN_IDLE] > 0 || idle < IDLE_TICKS, "idle/is_hit",
	      "CPUs were idle for %" PRIu64 " ticks", idle);
	kill(target, SIGCONT);
	bpf_session__free(session);
}

/* The histogram of run times: of written runs, in buckets that fit their sum. */
static void run_times(pid_t target)
{
	struct bpf_session *session = make_session(1 << 20, target);
	uint64_t count = 0, low = 0, high = 0, half = 0, p50 = 0;
	struct bpf_session_stats s;

	sample_for(session, 300);
	s = stats_of(session);
	for (unsigned int i = 0; i < RUN_NS_BUCKETS; i++) {
		count += s.run_ns[i];
		low += s.run_ns[i] * run_ns_bucket_start(i);
		high += s.run_ns[i] * run_ns_bucket_start(i + 1);
	}
	for (unsigned int i = 0; i < RUN_NS_BUCKETS && half * 2 < count; i++) {
		half += s.run_ns[i];
		p50 = run_ns_bucket_start(i);
	}
	check(count == s.outcome[RUN_WRITTEN] && count > 0, "run_ns/count_equals_written",
	      "%" PRIu64 " in buckets, %" PRIu64 " written", count, s.outcome[RUN_WRITTEN]);
	check(low <= s.written_ns && s.written_ns <= high, "run_ns/sum_within_buckets",
	      "%" PRIu64 " ns, buckets say %" PRIu64 " to %" PRIu64, s.written_ns, low, high);
	check(p50 >= 500 && p50 < 1000000, "run_ns/median_is_sane", "%" PRIu64 " ns", p50);
	fprintf(stderr, "  run_ns: median %" PRIu64 " ns, mean %" PRIu64 " ns\n", p50,
		count ? s.written_ns / count : 0);
	bpf_session__free(session);
}

int main(void)
{
	pid_t target;

	setvbuf(stdout, NULL, _IOLBF, 0);
	target = start_target();
	nothing_lost(target);
	ring_full(target);
	ring_full_now_and_then(target);
	queue_full(target);
	filtered_and_idle(target);
	run_times(target);
	stop_target(target);
	return failed;
}
