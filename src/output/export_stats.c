/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --stats: one JSON object with the keys of shared/cli.md. Takes the numbers of a
 * run and its processes; gives text that is JSON whatever a comm holds, and whatever
 * LC_NUMERIC says: decimals are written from integers.
 */
#include "output/exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "abi/stop_reasons.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/sanitize.h"
#include "merge/stack_merge.h"
#include "profile/intern.h"

static const char *const stop_names[STOP_REASON_MAX] = {
#define STOP(id, NAME, name, sentence) [id] = (name),
#include "abi/stop_reasons.def"
#undef STOP
};

static void put_string(struct buffer *out, const char *s, size_t size)
{
	_cleanup_free_ char *clean = sanitize_name(s, size, 3 * size);

	if (!clean) {
		out->failed = true;
		return;
	}
	buffer_u8(out, '"');
	for (const char *c = clean; *c; c++) {
		if (*c == '"' || *c == '\\')
			buffer_u8(out, '\\');
		buffer_u8(out, (uint8_t)*c);
	}
	buffer_u8(out, '"');
}

static void put_key_string(struct buffer *out, const char *key, const char *s, size_t size_max)
{
	buffer_printf(out, "\"%s\":", key);
	put_string(out, s, strnlen(s, size_max));
}

/* Three decimals; what is no number, or beyond any run, is null. */
static void put_decimal(struct buffer *out, double value)
{
	int64_t thousandths;

	if (!isfinite(value) || fabs(value) > 1e15) {
		buffer_string(out, "null");
		return;
	}
	thousandths = llround(fabs(value) * 1000);
	buffer_printf(out, "%s%" PRId64 ".%03d", value < 0 && thousandths ? "-" : "",
		      thousandths / 1000, (int)(thousandths % 1000));
}

static void put_samples(struct buffer *out, const struct run_stats *s)
{
	buffer_string(out, "\"samples\":{\"expected\":");
	if (s->expected_known)
		buffer_printf(out, "%" PRIu64 ",\"run\":%" PRIu64 ",\"undelivered\":%" PRId64,
			      s->expected, s->run, (int64_t)(s->expected - s->run));
	else
		buffer_printf(out, "null,\"run\":%" PRIu64 ",\"undelivered\":null", s->run);
	buffer_printf(out, ",\"filtered\":%" PRIu64 ",\"idle\":%" PRIu64 ",\"written\":%" PRIu64,
		      s->filtered, s->idle, s->written);
	buffer_printf(out, ",\"lost\":{\"ring_full\":%" PRIu64, s->lost_ring_full);
	if (s->lost_no_scratch)
		buffer_printf(out, ",\"no_scratch\":%" PRIu64, s->lost_no_scratch);
	if (s->lost_queue_full)
		buffer_printf(out, ",\"queue_full\":%" PRIu64, s->lost_queue_full);
	if (s->lost_malformed)
		buffer_printf(out, ",\"malformed\":%" PRIu64, s->lost_malformed);
	buffer_printf(out, "},\"unexplained\":%" PRId64 "}", run_stats_unexplained(s));
}

static void put_verdicts(struct buffer *out, const uint64_t *verdicts)
{
	buffer_string(out, "\"verdicts\":{");
	for (int i = 0; i < VERDICT_COUNT; i++)
		buffer_printf(out, "%s\"%s\":%" PRIu64, i ? "," : "", verdict_name(i), verdicts[i]);
	buffer_u8(out, '}');
}

static void put_roots(struct buffer *out, uint64_t user, uint64_t reached)
{
	buffer_printf(out, "\"roots\":{\"user\":%" PRIu64 ",\"reached\":%" PRIu64 "}", user,
		      reached);
}

static void put_stops(struct buffer *out, const uint64_t *stops)
{
	const char *comma = "";

	buffer_string(out, "\"stops\":{");
	for (int i = 0; i < STOP_REASON_MAX; i++) {
		if (!stops[i])
			continue;
		/* an id without a name cannot be, but its count is not to vanish */
		if (stop_names[i])
			buffer_printf(out, "%s\"%s\":%" PRIu64, comma, stop_names[i], stops[i]);
		else
			buffer_printf(out, "%s\"stop_%d\":%" PRIu64, comma, i, stops[i]);
		comma = ",";
	}
	buffer_u8(out, '}');
}

static void put_daemon(struct buffer *out, const struct run_stats *s)
{
	buffer_string(out, "\"daemon\":{\"cpu_seconds\":");
	put_decimal(out, s->cpu_seconds);
	buffer_printf(out, ",\"rss_peak_bytes\":%" PRIu64 ",\"map_bytes\":%" PRIu64,
		      s->rss_peak_bytes, s->map_bytes);
	if (s->first_sample_ms >= 0)
		buffer_printf(out, ",\"first_sample_ms\":%" PRId64 "}", s->first_sample_ms);
	else
		buffer_string(out, ",\"first_sample_ms\":null}");
}

static void put_process(struct buffer *out, const struct profile *profile,
			const struct profile_process *process)
{
	const struct string_table *strings = profile__strings(profile);

	buffer_printf(out, "{\"pid\":%" PRIu32 ",", process->pid);
	put_key_string(out, "comm", string_table__get(strings, process->comm), SIZE_MAX);
	buffer_u8(out, ',');
	put_key_string(out, "runtime", string_table__get(strings, process->runtime), SIZE_MAX);
	buffer_u8(out, ',');
	put_key_string(out, "version", string_table__get(strings, process->version), SIZE_MAX);
	buffer_printf(out, ",\"samples\":%" PRIu64 ",\n   ", process->samples);
	put_verdicts(out, process->verdicts);
	buffer_u8(out, ',');
	put_roots(out, process->roots_user, process->roots_reached);
	buffer_u8(out, '}');
}

static void put_processes(struct buffer *out, const struct profile *profile)
{
	_cleanup_free_ const struct profile_process **ranked = NULL;

	if (profile__rank_processes(profile, &ranked)) {
		out->failed = true;
		return;
	}
	buffer_string(out, "\"processes\":[");
	for (size_t i = 0; i < profile__process_count(profile); i++) {
		buffer_string(out, i ? ",\n  " : "\n  ");
		put_process(out, profile, ranked[i]);
	}
	buffer_u8(out, ']');
}

int export_stats_json(const struct profile *profile, const struct run_stats *s, FILE *to)
{
	_cleanup_(buffer_done) struct buffer out = {0};

	buffer_string(&out, "{");
	put_key_string(&out, "mixprof", MIXPROF_VERSION, SIZE_MAX);
	buffer_u8(&out, ',');
	put_key_string(&out, "kernel", s->kernel, sizeof(s->kernel));
	buffer_u8(&out, ',');
	put_key_string(&out, "arch", s->arch, sizeof(s->arch));
	buffer_u8(&out, ',');
	put_key_string(&out, "event", s->event, sizeof(s->event));
	buffer_printf(&out, ",\"hz\":%" PRIu32 ",\"seconds\":", s->hz);
	put_decimal(&out, s->seconds);
	buffer_string(&out, ",\n ");
	put_samples(&out, s);
	buffer_string(&out, ",\n ");
	put_verdicts(&out, s->verdicts);
	buffer_string(&out, ",\n ");
	put_roots(&out, s->roots_user, s->roots_reached);
	buffer_string(&out, ",\n ");
	put_stops(&out, s->stops);
	buffer_string(&out, ",\n \"bpf_ns\":{\"mean\":");
	put_decimal(&out, s->bpf_ns_mean);
	buffer_printf(&out, ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 "},\n ", s->bpf_ns_p50,
		      s->bpf_ns_p99);
	put_daemon(&out, s);
	buffer_string(&out, ",\n ");
	put_processes(&out, profile);
	buffer_string(&out, "}\n");
	if (out.failed)
		return -ENOMEM;
	fwrite(out.data, 1, out.size, to);
	return exporter_finish(to);
}
