/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes what record and replay found: the profile by an exporter, the numbers,
 * and a summary for people. Files are opened first and renamed last, together:
 * a run that fails in between leaves none of them.
 */
#include "cli/result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/output_file.h"
#include "profile/intern.h"

/* In the order of enum frame_selection. */
const char *const frame_selection_names[] = {"mixed", "python", "native", "full", NULL};

struct result {
	const struct result_options *options; /* borrowed */
	const struct exporter *exporter;
	struct output_file *profile;
	struct output_file *stats; /* NULL: not asked for */
	bool automatic;		   /* mixprof-NAME-DATE.html on a terminal */
};

void result_set_log_level(const struct result_options *options)
{
	if (options->quiet)
		log_set_level(LOG_LEVEL_ERROR);
	else if (options->verbose)
		log_set_level(LOG_LEVEL_DEBUG);
}

static int unknown_format(const char *format)
{
	char names[128] = "";

	for (size_t i = 0; exporters[i]; i++) {
		size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
			 exporters[i]->name);
	}
	log_error("there is no format \"%s\"; give one of: %s", format, names);
	return STATUS_USAGE;
}

static int choose_exporter(struct result *result)
{
	const struct result_options *options = result->options;
	const char *format = options->format;

	if (!format && options->path && strcmp(options->path, "-") != 0) {
		result->exporter = exporter_for_path(options->path);
		if (result->exporter)
			return STATUS_OK;
		log_error("the name \"%s\" does not tell the format; end it in .folded or .html, "
			  "or give --format",
			  options->path);
		return STATUS_USAGE;
	}
	if (!format)
		format = result->automatic ? "html" : "folded";
	result->exporter = exporter_find(format);
	return result->exporter ? STATUS_OK : unknown_format(format);
}

/* Letters, digits, "." and "_" of a foreign name; everything else becomes "_", and it never begins
 * with ".". */
static void make_file_name(const char *name, const char *extension, char *path, size_t size)
{
	char safe[32];
	struct tm now_parts;
	time_t now = time(NULL);
	char date[32] = "";

	snprintf(safe, sizeof(safe), "%s", name[0] ? name : "profile");
	for (char *c = safe; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    *c))
			*c = '_';
	if (localtime_r(&now, &now_parts))
		strftime(date, sizeof(date), "%Y%m%d-%H%M%S", &now_parts);
	snprintf(path, size, "mixprof-%s-%s%s", safe, date, extension);
}

static const char *shown(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard output" : path;
}

static int open_output(const char *path, struct output_file **ret_file)
{
	int err = output_file__open(path, ret_file);

	if (!err)
		return STATUS_OK;
	log_error("cannot write \"%s\": %s", shown(path), strerror(-err));
	return STATUS_FAILED;
}

static int open_profile(struct result *result, const char *name)
{
	const char *path = result->options->path;
	char automatic_path[128];

	if (result->automatic) {
		make_file_name(name, result->exporter->extension, automatic_path,
			       sizeof(automatic_path));
		path = automatic_path;
	}
	return open_output(path ? path : "-", &result->profile);
}

static int check_paths(const struct result_options *options)
{
	const char *path = options->path ? options->path : isatty(STDOUT_FILENO) ? "" : "-";

	if (!options->stats_path || strcmp(options->stats_path, path) != 0)
		return STATUS_OK;
	log_error("the profile and --stats cannot both go to \"%s\"; give one of them another file",
		  shown(path));
	return STATUS_USAGE;
}

int result__open(const struct result_options *options, const char *name, struct result **ret_result)
{
	_cleanup_(result__freep) struct result *result = calloc(1, sizeof(*result));
	int status;

	if (!result) {
		log_error("out of memory");
		return STATUS_FAILED;
	}
	result->options = options;
	result->automatic = !options->path && isatty(STDOUT_FILENO);
	status = check_paths(options);
	if (!status)
		status = choose_exporter(result);
	if (!status)
		status = open_profile(result, name);
	if (!status && options->stats_path)
		status = open_output(options->stats_path, &result->stats);
	if (!status)
		*ret_result = take_ptr(result);
	return status;
}

/* The process with the most samples. NULL: none. */
static const struct profile_process *busiest_process(const struct profile *profile)
{
	const struct profile_process *busiest = NULL;

	for (size_t i = 0; i < profile__process_count(profile); i++) {
		const struct profile_process *process = profile__process(profile, (uint32_t)i);

		if (!busiest || process->samples > busiest->samples)
			busiest = process;
	}
	return busiest;
}

/* "python3 (1234)" or "python3 (1234) and 2 more", from the profile alone so that a replay says the
 * same. */
static char *make_title(const struct profile *profile)
{
	const struct profile_process *busiest = busiest_process(profile);
	size_t count = profile__process_count(profile);
	char more[32] = "", *title;

	if (!busiest)
		return NULL;
	if (count > 1)
		snprintf(more, sizeof(more), " and %zu more", count - 1);
	if (asprintf(&title, "%s (%" PRIu32 ")%s",
		     string_table__get(profile__strings(profile), busiest->comm), busiest->pid,
		     more) < 0)
		return NULL;
	return title;
}

static int write_all(struct result *result, struct profile *profile, const struct run_stats *stats)
{
	_cleanup_free_ char *title = make_title(profile);
	struct export_options options = {
		.frames = (enum frame_selection)result->options->frames,
		.no_lines = result->options->no_lines,
		.title = title,
	};
	int err;

	err = result->exporter->write(profile, stats, &options,
				      output_file__stream(result->profile));
	if (!err && result->stats)
		err = export_stats_json(profile, stats, output_file__stream(result->stats));
	return err;
}

static int commit(struct output_file *file)
{
	int err = output_file__commit(file);

	if (!err)
		return STATUS_OK;
	log_error("cannot write \"%s\": %s", shown(output_file__path(file)), strerror(-err));
	return STATUS_FAILED;
}

/* Losses are told whatever the output is; only -q keeps them to --stats. */
static void warn_of_losses(const struct run_stats *stats)
{
	uint64_t lost = stats->lost_ring_full + stats->lost_queue_full + stats->lost_malformed +
			stats->lost_no_scratch;

	if (lost)
		log_warning("%" PRIu64 " of %" PRIu64
			    " samples were lost; a lower --frequency loses fewer",
			    lost, lost + stats->written);
}

static void tell(struct result *result, struct profile *profile, const struct run_stats *stats)
{
	const char *path = output_file__path(result->profile);
	/* On a terminal the summary is the result that is looked at; else it is a message. */
	FILE *to = result->automatic ? stdout : stderr;

	warn_of_losses(stats);
	if (strcmp(path, "-") == 0 || log_get_level() < LOG_LEVEL_INFO)
		return;
	log_info("wrote %s (%" PRIu64 " samples)", path, profile__total(profile));
	if (isatty(fileno(to)) && export_summary(profile, stats, to))
		log_debug("the summary could not be written");
}

int result__write(struct result *result, struct pipeline *pipeline)
{
	struct profile *profile = pipeline__profile(pipeline);
	struct run_stats stats;
	int err, status;

	pipeline__stats(pipeline, &stats);
	err = write_all(result, profile, &stats);
	if (err) {
		log_error("cannot write \"%s\": %s", shown(output_file__path(result->profile)),
			  strerror(-err));
		return STATUS_FAILED;
	}
	status = result->stats ? commit(result->stats) : STATUS_OK;
	if (!status)
		status = commit(result->profile);
	if (!status)
		tell(result, profile, &stats);
	return status;
}

void result__free(struct result *result)
{
	if (!result)
		return;
	output_file__free(result->profile);
	output_file__free(result->stats);
	free(result);
}
