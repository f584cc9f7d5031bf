/* SPDX-License-Identifier: Apache-2.0 */
/* --stats as a JSON parser of others reads it (jq), and the summary as a terminal shows it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "abi/stop_reasons.h"
#include "merge/stack_merge.h"
#include "output/exporter.h"
#include "profile_builder.h"

static int setup(void **state)
{
	return profile__new((struct profile **)state);
}

static int teardown(void **state)
{
	profile__free(*state);
	return 0;
}

static struct profile_process *add_process(struct profile *profile, uint32_t pid, const char *comm,
					   uint64_t samples)
{
	struct profile_process *process;
	uint32_t index;

	assert_int_equal(profile__add_process(profile, pid, build_string(profile, comm), &index),
			 0);
	process = profile__process(profile, index);
	process->samples = samples;
	return process;
}

static struct run_stats example_stats(void)
{
	struct run_stats stats = {.kernel = "6.18.44",
				  .arch = "x86_64",
				  .event = "cpu-clock",
				  .hz = 99,
				  .seconds = 5.0,
				  .expected_known = true,
				  .expected = 1000,
				  .run = 990,
				  .filtered = 30,
				  .idle = 50,
				  .written = 905,
				  .lost_ring_full = 5,
				  .roots_user = 900,
				  .roots_reached = 899,
				  .bpf_ns_mean = 9000.5,
				  .bpf_ns_p50 = 8800,
				  .bpf_ns_p99 = 21000,
				  .cpu_seconds = 0.0514,
				  .rss_peak_bytes = 31457280,
				  .map_bytes = 8388608,
				  .first_sample_ms = 180};

	stats.verdicts[VERDICT_EXACT] = 880;
	stats.verdicts[VERDICT_ENTERING] = 5;
	stats.verdicts[VERDICT_NATIVE] = 19;
	stats.verdicts[VERDICT_TRUNCATED] = 1;
	stats.stops[STOP_UNWIND_NO_ROW] = 1;
	return stats;
}

/* Runs jq over the JSON; what the filter gives, without the newline. */
static void check_jq(const char *json, const char *filter, const char *expected)
{
	char path[] = "/tmp/mixprof-test-XXXXXX", command[1024], seen[4096];
	int fd = mkstemp(path);
	FILE *jq;
	size_t size;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, json, strlen(json)), strlen(json));
	close(fd);
	snprintf(command, sizeof(command), "jq -c '%s' < %s", filter, path);
	jq = popen(command, "r");
	assert_non_null(jq);
	size = fread(seen, 1, sizeof(seen) - 1, jq);
	assert_int_equal(pclose(jq), 0);
	unlink(path);
	while (size > 0 && seen[size - 1] == '\n')
		size--;
	seen[size] = '\0';
	assert_string_equal(seen, expected);
}

static void require_jq(void)
{
	if (system("command -v jq > /dev/null") != 0) {
		print_message("skipped: no jq to parse the JSON with\n");
		skip();
	}
}

static void keys_of_the_contract(void **state)
{
	struct run_stats stats = example_stats();
	struct profile_process *process;
	char *json;

	require_jq();
	add_process(*state, 7, "small", 1);
	process = add_process(*state, 4242, "python3", 904);
	process->runtime = build_string(*state, "cpython");
	process->version = build_string(*state, "3.12.1");
	process->verdicts[VERDICT_EXACT] = 880;
	process->roots_user = 900;
	process->roots_reached = 899;
	json = build_text(to, export_stats_json(*state, &stats, to));
	check_jq(json, "keys_unsorted",
		 "[\"mixprof\",\"kernel\",\"arch\",\"event\",\"hz\",\"seconds\",\"samples\","
		 "\"verdicts\",\"roots\",\"stops\",\"bpf_ns\",\"daemon\",\"processes\"]");
	check_jq(json, "[.mixprof,.kernel,.arch,.event,.hz,.seconds]",
		 "[\"" MIXPROF_VERSION "\",\"6.18.44\",\"x86_64\",\"cpu-clock\",99,5]");
	check_jq(json, ".samples",
		 "{\"expected\":1000,\"run\":990,\"undelivered\":10,\"filtered\":30,\"idle\":50,"
		 "\"written\":905,\"lost\":{\"ring_full\":5},\"unexplained\":0}");
	check_jq(json, ".verdicts",
		 "{\"exact\":880,\"entering\":5,\"resynced\":0,\"truncated\":1,\"partial\":0,"
		 "\"native\":19}");
	check_jq(json, "[.roots,.stops]", "[{\"user\":900,\"reached\":899},{\"unwind_no_row\":1}]");
	check_jq(json, ".bpf_ns.mean == 9000.5 and .bpf_ns.p50 == 8800 and .bpf_ns.p99 == 21000",
		 "true");
	check_jq(json, ".daemon.cpu_seconds == 0.051", "true");
	check_jq(json, ".daemon|del(.cpu_seconds)",
		 "{\"rss_peak_bytes\":31457280,\"map_bytes\":8388608,\"first_sample_ms\":180}");
	check_jq(json, "[.processes[].pid]", "[4242,7]");
	check_jq(json, ".processes[0]|[.comm,.runtime,.version,.samples,.verdicts.exact,.roots]",
		 "[\"python3\",\"cpython\",\"3.12.1\",904,880,{\"user\":900,\"reached\":899}]");
	free(json);
}

static void unknown_is_null(void **state)
{
	struct run_stats stats = example_stats();
	char *json;

	require_jq();
	stats.expected_known = false;
	stats.first_sample_ms = -1;
	stats.bpf_ns_mean = NAN;
	stats.lost_queue_full = 3;
	stats.lost_malformed = 2;
	stats.run = 1000;
	memset(stats.event, 'e', sizeof(stats.event)); /* not terminated */
	json = build_text(to, export_stats_json(*state, &stats, to));
	check_jq(json, "[.samples.expected,.samples.undelivered,.daemon.first_sample_ms]",
		 "[null,null,null]");
	check_jq(json, "[.bpf_ns.mean,.event]", "[null,\"eeeeeeeeeeeeeeee\"]");
	check_jq(json, ".samples.lost", "{\"ring_full\":5,\"queue_full\":3,\"malformed\":2}");
	check_jq(json, ".samples.unexplained", "10");
	check_jq(json, ".processes", "[]");
	free(json);
}

/* Every byte that a comm may hold, and what JSON escapes. */
static void any_comm_is_valid_json(void **state)
{
	struct run_stats stats = example_stats();
	char comm[256], *json;

	require_jq();
	for (int i = 1; i < 256; i++)
		comm[i - 1] = (char)i;
	comm[255] = '\0';
	add_process(*state, 3, comm, 3);
	add_process(*state, 2, "a\"b\\c</script>", 2);
	add_process(*state, 1, "gr\xc3\xbc\xc3\x9f", 1);
	json = build_text(to, export_stats_json(*state, &stats, to));
	check_jq(json, "[.processes[1:][].comm]", "[\"a\\\"b\\\\c</script>\",\"grüß\"]");
	check_jq(json, ".processes[0].comm[31:126]|explode == [range(32;127)]", "true");
	check_jq(json, ".processes[0].comm|explode|map(select(. < 32))", "[]");
	free(json);
}

static void full_disk_is_an_error(void **state)
{
	struct run_stats stats = example_stats();
	FILE *full = fopen("/dev/full", "w");

	if (!full) {
		print_message("no /dev/full here\n");
		skip();
	}
	assert_int_equal(export_stats_json(*state, &stats, full), -ENOSPC);
	fclose(full);
}

static size_t columns(const char *line)
{
	size_t count = 0;

	for (; *line; line++)
		count += ((unsigned char)*line & 0xc0) != 0x80;
	return count;
}

/* The worst of everything still fits one screen of 30 lines by 100 columns, without colour codes.
 */
static void summary_fits_a_screen(void **state)
{
	struct run_stats stats = example_stats();
	char stack[512], *text, *rest, *line;
	int lines = 0;

	for (uint32_t i = 0; i < 5; i++)
		add_process(*state, UINT32_MAX - i, "a comm with a name\x1b[31m of many bytes", 9);
	for (int i = 0; i < 40; i++) {
		snprintf(stack, sizeof(stack),
			 "e:eval p:function_with_quite_a_long_qualified_name_%d@/usr/lib/python3/"
			 "dist-packages/some/package/with/a/long/path/module_%d.py@%d "
			 "n:%s_%d",
			 i, i, i,
			 "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"
			 "漢字",
			 i);
		build_sample(*state, 0, "c", stack, 1);
	}
	for (int i = 0; i < VERDICT_COUNT; i++)
		stats.verdicts[i] = 1000000 + (uint64_t)i;
	stats.run += 123456789;
	text = build_text(to, export_summary(*state, &stats, to));
	rest = text;
	assert_null(strchr(text, '\x1b'));
	while ((line = strsep(&rest, "\n")) && rest) {
		lines++;
		if (columns(line) > 100)
			fail_msg("%zu columns: %s", columns(line), line);
	}
	assert_in_range(lines, 25, 30);
	free(text);
}

static void summary_tells_the_hottest(void **state)
{
	struct run_stats stats = example_stats();
	struct profile_process *process = add_process(*state, 4242, "python3", 10);
	char *text;

	process->runtime = build_string(*state, "cpython");
	process->version = build_string(*state, "3.12.1");
	/* lines of one function are merged; a recursion counts once per stack */
	build_sample(*state, 0, "c", "n:main e:eval p:run@a.py@1 e:eval p:fib@a.py@7 p:fib@a.py@8",
		     4);
	build_sample(*state, 0, "c", "n:main e:eval p:run@a.py@2 e:eval p:fib@a.py@9", 3);
	build_sample(*state, 0, "c", "n:main e:eval p:run@a.py@2 i:call n:memcpy", 2);
	build_sample(*state, 0, "c", "m:[truncated:unwind_no_row] n:main", 1);
	text = build_text(to, export_summary(*state, &stats, to));
	assert_string_equal(
		text, "samples   10 in 5.0 s (cpu-clock, 99 Hz)\n"
		      "verdicts  exact 97.2%, entering 0.55%, truncated 0.11%, native 2.0%\n"
		      "roots     899 of 900 user stacks followed to the root (99.88%)\n"
		      "lost      5 of 910 samples; 10 of 1000 ticks not delivered by the kernel\n"
		      "processes 4242 python3 (cpython 3.12.1), 10 samples\n"
		      "\nhottest by self\n"
		      "   70.0%         7  fib (a.py)\n"
		      "   20.0%         2  memcpy\n"
		      "   10.0%         1  main\n"
		      /* main counts only where it is not below Python's first frame */
		      "\nhottest by total\n"
		      "   90.0%         9  run (a.py)\n"
		      "   70.0%         7  fib (a.py)\n"
		      "   20.0%         2  memcpy\n"
		      "   10.0%         1  main\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_of_the_contract, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_is_null, setup, teardown),
		cmocka_unit_test_setup_teardown(any_comm_is_valid_json, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(summary_fits_a_screen, setup, teardown),
		cmocka_unit_test_setup_teardown(summary_tells_the_hottest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
