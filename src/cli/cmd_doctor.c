/* SPDX-License-Identifier: Apache-2.0 */
/* `mixprof doctor`: what this system lets mixprof do, and one sentence for each thing it does not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "collect/system_probe.h"

struct doctor_options {
	bool json;
};

static const struct option_spec options[] = {
	OPTION(0, FLAG, "json", NULL, "print one JSON object",
	       offsetof(struct doctor_options, json), NULL),
	{0},
};

static void print_line(const struct probe_result *result, bool in_colour)
{
	static const char *const colours[] = {"\033[32m", "\033[36m", "\033[33m", "\033[31m"};

	printf("%s%-8s%s %-21s %s%s%s\n", in_colour ? colours[result->status] : "",
	       probe_status_name(result->status), in_colour ? "\033[0m" : "", result->name,
	       result->finding, result->remedy[0] ? "; " : "", result->remedy);
}

static void print_text(const struct probe_result *results, size_t count)
{
	const char *no_color = getenv("NO_COLOR");
	bool in_colour = isatty(STDOUT_FILENO) && !(no_color && no_color[0]);

	for (size_t i = 0; i < count; i++)
		print_line(&results[i], in_colour);
	printf("\n%s\n", system_probe_failure(results, count)
				 ? "mixprof cannot record on this system: see \"failed\" above."
				 : "mixprof can record on this system.");
}

/* Findings are ASCII but for the kernel's own texts. */
static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_json(const struct probe_result *results, size_t count)
{
	printf("{\"mixprof\":\"%s\",\"can_record\":%s,\"checks\":[", MIXPROF_VERSION,
	       system_probe_failure(results, count) ? "false" : "true");
	for (size_t i = 0; i < count; i++) {
		printf("%s\n {\"name\":\"%s\",\"status\":\"%s\",\"finding\":", i ? "," : "",
		       results[i].name, probe_status_name(results[i].status));
		print_json_string(results[i].finding);
		printf(",\"remedy\":");
		print_json_string(results[i].remedy);
		printf("}");
	}
	printf("\n]}\n");
}

static int run(const struct command *self, int argc, char **argv)
{
	struct probe_result results[SYSTEM_PROBE_RESULTS_MAX];
	struct doctor_options wanted = {0};
	struct system_probe_inputs inputs;
	struct operands operands;
	size_t count;
	int status;

	if (!command_parse(self, &wanted, argc, argv, &operands, &status))
		return status;
	if (operands.before_count || operands.after_count) {
		log_error("doctor takes no operands");
		return STATUS_USAGE;
	}
	system_probe_inputs_init(&inputs);
	count = system_probe_run(&inputs, results);
	if (wanted.json)
		print_json(results, count);
	else
		print_text(results, count);
	if (fflush(stdout) || ferror(stdout)) {
		log_error("cannot write to standard output: %s", strerror(errno));
		return STATUS_FAILED;
	}
	return system_probe_failure(results, count) ? STATUS_SYSTEM : STATUS_OK;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "Tell whether mixprof can record here, and what to do if not",
	.synopsis = "[--json]",
	.options = options,
	.run = run,
};
