/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording showed, on one screen: at most 30 lines of 100 columns. Takes
 * the mixed view, merges frames by name, and counts a function once per stack
 * however often it recurs.
 */
#include "output/exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/sanitize.h"
#include "merge/stack_merge.h"
#include "output/frame_view.h"
#include "profile/intern.h"

#define HOTTEST 10
#define PROCESSES_SHOWN 2
#define LABEL_COLUMNS 80 /* 100 less the numbers in front */
#define COMM_BYTES_MAX 32

struct function {
	uint32_t label;
	uint64_t self, total;
	size_t last_seen; /* in sample + 1 */
};

struct summary {
	const struct profile *profile;
	struct frame_labels *labels;
	struct function *functions; /* by label */
	size_t function_count;
	bool colour;
	FILE *to;
};

static void summary_done(struct summary *s)
{
	frame_labels__free(s->labels);
	free(s->functions);
}

/* Below its first Python frame every stack of a Python thread has the same start-up code. */
static size_t first_telling_frame(const struct summary *s, const struct frame_list *frames)
{
	for (size_t i = 0; i < frames->count; i++)
		if (profile__frame(s->profile, frames->ids[i])->kind == FRAME_PYTHON)
			return i;
	return 0;
}

static void count_stack(struct summary *s, size_t sample, const struct frame_list *frames,
			uint64_t count)
{
	for (size_t i = first_telling_frame(s, frames); i < frames->count; i++) {
		struct function *f = &s->functions[frame_labels__id(s->labels, frames->ids[i])];

		/* a marker tells of the stack and is no function */
		if (profile__frame(s->profile, frames->ids[i])->kind == FRAME_MARKER)
			continue;
		if (f->last_seen != sample + 1)
			f->total += count;
		f->last_seen = sample + 1;
		if (i + 1 == frames->count)
			f->self += count;
	}
}

static int count_functions(struct summary *s)
{
	_cleanup_(frame_list_done) struct frame_list frames = {0};

	for (size_t i = 0; i < profile__sample_count(s->profile); i++) {
		const struct profile_sample *sample = profile__sample(s->profile, i);
		int err = frame_view_stack(s->profile, FRAMES_MIXED, sample->stack, &frames);

		if (err)
			return err;
		count_stack(s, i, &frames, sample->count);
	}
	return 0;
}

static int compare_self(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->self != y->self)
		return x->self > y->self ? -1 : 1;
	return x->label < y->label ? -1 : x->label > y->label;
}

static int compare_total(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return x->label < y->label ? -1 : x->label > y->label;
}

/* Bytes and columns of the character at p: from U+1100 on two columns are reckoned, at most. */
static size_t character(const char *p, size_t *ret_columns)
{
	unsigned char c = (unsigned char)*p;
	size_t size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	*ret_columns = size > 3 || (size == 3 && c >= 0xe1) ? 2 : 1;
	return strnlen(p, size);
}

static size_t columns_of(const char *text)
{
	size_t all = 0, columns;

	while (*text) {
		text += character(text, &columns);
		all += columns;
	}
	return all;
}

/* A long label loses its middle: the name in front and the file at the end are what tells. */
static void print_label(FILE *to, const char *text, size_t columns_max)
{
	size_t all = columns_of(text), at = 0, cut_from, cut_to, columns;

	if (all <= columns_max) {
		fputs(text, to);
		return;
	}
	cut_from = columns_max / 2;
	cut_to = all - (columns_max - cut_from - 1);
	while (*text) {
		size_t size = character(text, &columns);

		if (at + columns <= cut_from || at >= cut_to)
			fwrite(text, 1, size, to);
		else if (at <= cut_from && at + columns > cut_from)
			fputs("…", to);
		at += columns;
		text += size;
	}
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* Rounded down, and finer where it matters: 99.99 % is not to read as 100. */
static void print_share(FILE *to, uint64_t part, uint64_t whole)
{
	double share = percent(part, whole);

	if (part == whole)
		fputs("100%", to);
	else if (share < 1 || share >= 99)
		fprintf(to, "%.2f%%", floor(share * 100) / 100);
	else
		fprintf(to, "%.1f%%", floor(share * 10) / 10);
}

static void heading(const struct summary *s, const char *text)
{
	fprintf(s->to, s->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static void print_hottest(struct summary *s, const char *title,
			  int (*compare)(const void *, const void *), bool by_self)
{
	uint64_t whole = profile__total(s->profile);

	heading(s, title);
	qsort(s->functions, s->function_count, sizeof(*s->functions), compare);
	for (size_t i = 0; i < HOTTEST && i < s->function_count; i++) {
		const struct function *f = &s->functions[i];
		uint64_t count = by_self ? f->self : f->total;

		if (count == 0)
			break;
		fprintf(s->to, "  %5.1f%%  %8" PRIu64 "  ", percent(count, whole), count);
		print_label(s->to, frame_labels__text(s->labels, f->label), LABEL_COLUMNS);
		fputc('\n', s->to);
	}
}

static void print_verdicts(const struct summary *s, const struct run_stats *stats)
{
	const char *between = "";
	uint64_t all = 0;

	for (int i = 0; i < VERDICT_COUNT; i++)
		all += stats->verdicts[i];
	fputs("verdicts  ", s->to);
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (!stats->verdicts[i])
			continue;
		fprintf(s->to, "%s%s ", between, verdict_name(i));
		print_share(s->to, stats->verdicts[i], all);
		between = ", ";
	}
	fputs(all ? "\n" : "none\n", s->to);
}

static void print_roots(const struct summary *s, const struct run_stats *stats)
{
	if (!stats->roots_user)
		return;
	fprintf(s->to, "roots     %" PRIu64 " of %" PRIu64 " user stacks followed to the root (",
		stats->roots_reached, stats->roots_user);
	print_share(s->to, stats->roots_reached, stats->roots_user);
	fputs(")\n", s->to);
}

static void print_losses(const struct summary *s, const struct run_stats *stats)
{
	uint64_t lost = stats->lost_ring_full + stats->lost_no_scratch + stats->lost_queue_full +
			stats->lost_malformed;
	int64_t unexplained = run_stats_unexplained(stats);

	fprintf(s->to, "lost      %" PRIu64 " of %" PRIu64 " samples", lost,
		stats->run - stats->filtered - stats->idle);
	if (stats->expected_known && stats->expected > stats->run)
		fprintf(s->to, "; %" PRIu64 " of %" PRIu64 " ticks not delivered by the kernel",
			stats->expected - stats->run, stats->expected);
	if (unexplained)
		fprintf(s->to, "; %" PRId64 " unexplained", unexplained);
	fputc('\n', s->to);
}

static int print_process(const struct summary *s, const struct profile_process *p)
{
	const struct string_table *strings = profile__strings(s->profile);
	const char *comm = string_table__get(strings, p->comm);
	_cleanup_free_ char *clean = sanitize_name(comm, strlen(comm), COMM_BYTES_MAX);

	if (!clean)
		return -ENOMEM;
	fprintf(s->to, "%" PRIu32 " %s", p->pid, clean);
	if (p->runtime)
		fprintf(s->to, " (%.12s %.12s)", string_table__get(strings, p->runtime),
			string_table__get(strings, p->version));
	fprintf(s->to, ", %" PRIu64 " samples", p->samples);
	return 0;
}

static int print_processes(const struct summary *s)
{
	_cleanup_free_ const struct profile_process **ranked = NULL;
	size_t count = profile__process_count(s->profile);
	int err = profile__rank_processes(s->profile, &ranked);

	for (size_t i = 0; i < count && i < PROCESSES_SHOWN && !err; i++) {
		fputs(i ? "          " : "processes ", s->to);
		err = print_process(s, ranked[i]);
		if (i + 1 == PROCESSES_SHOWN && count > PROCESSES_SHOWN)
			fprintf(s->to, ", and %zu more", count - PROCESSES_SHOWN);
		fputc('\n', s->to);
	}
	return err;
}

static int summary_init(struct summary *s)
{
	const char *no_color = getenv("NO_COLOR");
	int err = frame_labels__new(s->profile, true, NULL, &s->labels);

	if (err)
		return err;
	s->function_count = frame_labels__count(s->labels);
	s->functions = calloc(s->function_count, sizeof(*s->functions));
	if (!s->functions)
		return -ENOMEM;
	for (size_t i = 0; i < s->function_count; i++)
		s->functions[i].label = (uint32_t)i;
	s->colour = !(no_color && *no_color) && isatty(fileno(s->to));
	return 0;
}

int export_summary(const struct profile *profile, const struct run_stats *stats, FILE *to)
{
	_cleanup_(summary_done) struct summary s = {.profile = profile, .to = to};
	int err = summary_init(&s);

	if (!err)
		err = count_functions(&s);
	if (err)
		return err;
	fprintf(to, "samples   %" PRIu64 " in %.1f s (%.15s, %" PRIu32 " Hz)\n",
		profile__total(profile), stats->seconds, stats->event, stats->hz);
	print_verdicts(&s, stats);
	print_roots(&s, stats);
	print_losses(&s, stats);
	err = print_processes(&s);
	if (err)
		return err;
	print_hottest(&s, "hottest by self", compare_self, true);
	print_hottest(&s, "hottest by total", compare_total, false);
	return exporter_finish(to);
}
