/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect/system_probe where each check fails: a made-up root directory, kernel
 * release, capability mask, perf_event_open and program loader.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/capability.h>
#include <cmocka.h>

#include "collect/system_probe.h"

#define BIT(capability) (UINT64_C(1) << (capability))
/* The six of facts/kernel-and-safety.md §3. */
#define SIX                                                                                        \
	(BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_SYS_PTRACE) | BIT(CAP_CHECKPOINT_RESTORE) |     \
	 BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_SYSLOG))

static char root[64];
static int clock_err, cycles_err, program_err;
static const char *refused_program;
static unsigned int programs_tried;
static struct system_probe_inputs inputs;
static struct probe_result results[SYSTEM_PROBE_RESULTS_MAX];
static size_t count;

static int fake_event(struct perf_event_attr *attr)
{
	assert_int_equal(attr->size, sizeof(*attr));
	assert_true(attr->disabled);
	return attr->type == PERF_TYPE_SOFTWARE ? clock_err : cycles_err;
}

static int fake_program(const char *program)
{
	programs_tried++;
	return refused_program && strcmp(program, refused_program) == 0 ? program_err : 0;
}

static void make_file(const char *path, const char *text, size_t size)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), (ssize_t)size);
	close(fd);
}

static void write_file(const char *path, const char *text)
{
	make_file(path, text, strlen(text));
}

static void remove_file(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(unlink(full), 0);
}

/* A system on which all is well. */
static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/mixprof-probe-XXXXXX");
	assert_non_null(mkdtemp(root));
	make_file("/sys/kernel/btf/vmlinux", "\x9f\xeb\x01\x00rest", 8);
	write_file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	write_file("/proc/sys/kernel/perf_event_paranoid", "2\n");
	write_file("/proc/sys/kernel/kptr_restrict", "1\n");
	write_file("/proc/sys/kernel/yama/ptrace_scope", "1\n");
	write_file("/proc/sys/kernel/perf_event_max_sample_rate", "100000\n");
	write_file("/proc/sys/net/core/bpf_jit_enable", "1\n");
	clock_err = cycles_err = 0;
	refused_program = NULL;
	programs_tried = 0;
	inputs = (struct system_probe_inputs){
		.root = root,
		.kernel_release = "6.1.0-50-amd64",
		.capabilities = SIX,
		.memlock_bytes = 8 << 20,
		.try_event = fake_event,
		.try_program = fake_program,
	};
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void probe(void)
{
	count = system_probe_run(&inputs, results);
	assert_true(count > 0 && count <= SYSTEM_PROBE_RESULTS_MAX);
}

static const struct probe_result *find(const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(results[i].name, name) == 0)
			return &results[i];
	return NULL;
}

/* Whatever does not work is one sentence, cut nowhere, and has a remedy. */
static void check_texts(void)
{
	for (size_t i = 0; i < count; i++) {
		const struct probe_result *r = &results[i];

		assert_true(r->finding[0] != '\0');
		assert_true(strlen(r->finding) < sizeof(r->finding) - 1);
		assert_true(strlen(r->remedy) < sizeof(r->remedy) - 1);
		if (r->status == PROBE_FAILED || r->status == PROBE_WARNING)
			assert_true(r->remedy[0] != '\0');
		if (r->status == PROBE_FAILED)
			assert_true(r->code == -EPERM || r->code == -ENOTSUP);
	}
}

/* Exactly this check fails, with this code, and its texts hold these words. */
static void expect_failure(const char *name, int code, const char *finding, const char *remedy)
{
	const struct probe_result *failure;

	probe();
	check_texts();
	failure = system_probe_failure(results, count);
	assert_non_null(failure);
	assert_string_equal(failure->name, name);
	assert_int_equal(failure->code, code);
	if (!strstr(failure->finding, finding) || !strstr(failure->remedy, remedy))
		fail_msg("%s; %s", failure->finding, failure->remedy);
	for (const struct probe_result *r = failure + 1; r < results + count; r++)
		assert_int_not_equal(r->status, PROBE_FAILED);
}

static void expect_status(const char *name, enum probe_status status, const char *finding)
{
	const struct probe_result *result;

	probe();
	check_texts();
	assert_null(system_probe_failure(results, count));
	result = find(name);
	assert_non_null(result);
	assert_int_equal(result->status, status);
	if (!strstr(result->finding, finding))
		fail_msg("%s", result->finding);
}

static void all_is_well(void **state)
{
	(void)state;
	probe();
	check_texts();
	for (size_t i = 0; i < count; i++)
		assert_int_equal(results[i].status, PROBE_OK);
	assert_int_equal(programs_tried, 8);
}

static void old_kernel(void **state)
{
	(void)state;
	inputs.kernel_release = "5.4.0-216-generic";
	inputs.capabilities |= BIT(CAP_SYS_RESOURCE);
	expect_failure("kernel", -ENOTSUP, "5.4.0-216-generic is older than 5.8", "newer kernel");
	assert_int_equal(programs_tried, 0);
	inputs.kernel_release = "4.18.0-553.el8";
	expect_failure("kernel", -ENOTSUP, "4.18", "newer kernel");
	inputs.kernel_release = "5.8.0";
	expect_status("kernel", PROBE_OK, "5.8.0");
	inputs.kernel_release = "10.0";
	expect_status("kernel", PROBE_OK, "10.0");
	inputs.kernel_release = "custom";
	expect_status("kernel", PROBE_INFO, "custom");
}

static void btf_missing_or_damaged(void **state)
{
	(void)state;
	write_file("/sys/kernel/btf/vmlinux", "ELF");
	expect_failure("btf", -ENOTSUP, "damaged", "another kernel");
	write_file("/sys/kernel/btf/vmlinux", "");
	expect_failure("btf", -ENOTSUP, "damaged", "another kernel");
	remove_file("/sys/kernel/btf/vmlinux");
	expect_failure("btf", -ENOTSUP, "no /sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF");
}

static void lockdown(void **state)
{
	(void)state;
	write_file("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
	expect_failure("lockdown", -ENOTSUP, "confidentiality", "lockdown=integrity");
	write_file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	expect_status("lockdown", PROBE_OK, "integrity");
	remove_file("/sys/kernel/security/lockdown");
	expect_status("lockdown", PROBE_OK, "off");
}

static void capabilities(void **state)
{
	(void)state;
	inputs.capabilities = 0;
	expect_failure("capabilities", -EPERM, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", "root");
	assert_int_equal(programs_tried, 0);
	assert_null(find("pmu"));
	inputs.capabilities = SIX & ~BIT(CAP_BPF);
	expect_failure("capabilities", -EPERM, "CAP_BPF missing", "grant");
	inputs.capabilities = SIX & ~BIT(CAP_PERFMON);
	expect_failure("capabilities", -EPERM, "CAP_PERFMON missing", "grant");
	inputs.capabilities = SIX & ~BIT(CAP_SYS_PTRACE);
	expect_failure("capabilities", -EPERM, "CAP_SYS_PTRACE missing", "grant");
	/* CAP_SYS_ADMIN stands for the first two, not for the third. */
	inputs.capabilities = BIT(CAP_SYS_ADMIN);
	expect_failure("capabilities", -EPERM, "permitted: CAP_SYS_PTRACE missing", "grant");
	inputs.capabilities = BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE);
	expect_status("capabilities", PROBE_OK, "may load");
}

static void lesser_capabilities(void **state)
{
	(void)state;
	inputs.capabilities = SIX & ~BIT(CAP_CHECKPOINT_RESTORE);
	expect_status("file_access", PROBE_WARNING, "CAP_CHECKPOINT_RESTORE missing");
	inputs.capabilities |= BIT(CAP_SYS_ADMIN);
	expect_status("file_access", PROBE_OK, "may open");
	inputs.capabilities = SIX & ~BIT(CAP_DAC_READ_SEARCH);
	expect_status("file_access", PROBE_WARNING, "CAP_DAC_READ_SEARCH missing");
	inputs.capabilities = SIX & ~BIT(CAP_SYSLOG);
	expect_status("kptr_restrict", PROBE_WARNING, "CAP_SYSLOG missing");
}

static void kernel_names(void **state)
{
	(void)state;
	write_file("/proc/sys/kernel/kptr_restrict", "2\n");
	expect_status("kptr_restrict", PROBE_WARNING, "kptr_restrict is 2");
	remove_file("/proc/sys/kernel/kptr_restrict");
	expect_status("kptr_restrict", PROBE_OK, "can be read");
}

static void yama(void **state)
{
	(void)state;
	write_file("/proc/sys/kernel/yama/ptrace_scope", "3\n");
	expect_failure("ptrace_scope", -EPERM, "ptrace_scope is 3", "reboot");
	remove_file("/proc/sys/kernel/yama/ptrace_scope");
	expect_status("ptrace_scope", PROBE_OK, "can be read");
}

static void memlock(void **state)
{
	(void)state;
	inputs.kernel_release = "5.10.0-46-amd64";
	expect_failure("memlock", -EPERM, "limited to 8192 KB", "CAP_SYS_RESOURCE");
	inputs.memlock_bytes = UINT64_MAX;
	expect_status("memlock", PROBE_OK, "not limited");
	inputs.memlock_bytes = 65536;
	inputs.capabilities |= BIT(CAP_SYS_RESOURCE);
	expect_status("memlock", PROBE_OK, "not limited");
	inputs.capabilities = SIX;
	inputs.kernel_release = "5.11.0";
	expect_status("memlock", PROBE_OK, "not limited");
}

static void events_refused(void **state)
{
	(void)state;
	clock_err = cycles_err = -EACCES;
	write_file("/proc/sys/kernel/perf_event_paranoid", "3\n");
	expect_failure("perf_event_paranoid", -EPERM, "perf_event_paranoid is 3",
		       "sysctl kernel.perf_event_paranoid=2");
	/* Refused although the sysctl allows it: a container's filter. */
	write_file("/proc/sys/kernel/perf_event_paranoid", "2\n");
	clock_err = -EPERM;
	expect_failure("perf_event_paranoid", -EPERM, "is 2", "seccomp");
	clock_err = -ENOSYS;
	expect_failure("perf_event_paranoid", -ENOTSUP, "Function not implemented",
		       "CONFIG_PERF_EVENTS");
	/* Ubuntu's 4 does not bind CAP_PERFMON: only trying tells. */
	clock_err = 0;
	write_file("/proc/sys/kernel/perf_event_paranoid", "4\n");
	expect_status("perf_event_paranoid", PROBE_OK, "is 4");
}

static void no_pmu_is_information(void **state)
{
	(void)state;
	cycles_err = -ENOENT;
	expect_status("pmu", PROBE_INFO, "cpu-clock is used");
}

static void sample_rate(void **state)
{
	(void)state;
	write_file("/proc/sys/kernel/perf_event_max_sample_rate", "50\n");
	expect_status("max_sample_rate", PROBE_WARNING, "is 50");
	remove_file("/proc/sys/kernel/perf_event_max_sample_rate");
	expect_status("max_sample_rate", PROBE_INFO, "cannot be read");
	write_file("/proc/sys/kernel/perf_event_max_sample_rate", "many\n");
	expect_status("max_sample_rate", PROBE_INFO, "cannot be read");
}

static void jit(void **state)
{
	(void)state;
	write_file("/proc/sys/net/core/bpf_jit_enable", "0\n");
	expect_status("bpf_jit", PROBE_WARNING, "compiler is off");
}

static void each_feature(void **state)
{
	static const char *const programs[][2] = {
		{"task_fields", "bpf:task_fields"},   {"per_cpu_rings", "bpf:ring_buffers"},
		{"kernel_stack", "bpf:kernel_stack"}, {"user_registers", "bpf:user_registers"},
		{"user_memory", "bpf:user_memory"},   {"global_functions", "bpf:global_functions"},
		{"boot_clock", "bpf:boot_clock"},     {"cgroup_id", "bpf:cgroup_id"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		refused_program = programs[i][0];
		program_err = -EINVAL;
		expect_failure(programs[i][1], -ENOTSUP, "Invalid argument", "newer kernel");
		program_err = -EPERM;
		expect_failure(programs[i][1], -EPERM, "not permitted", "container");
	}
}

/* The real machine: whatever it is, the answer is whole and agrees with itself. */
static void this_machine(void **state)
{
	struct system_probe_inputs real;
	const struct probe_result *failure;
	char message[512] = "untouched";
	int err;

	(void)state;
	system_probe_inputs_init(&real);
	count = system_probe_run(&real, results);
	check_texts();
	failure = system_probe_failure(results, count);
	err = system_probe_first_failure(message, sizeof(message));
	assert_int_equal(err, failure ? failure->code : 0);
	if (failure)
		assert_memory_equal(message, failure->finding, strlen(failure->finding));
	else
		assert_string_equal(message, "untouched");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_is_well),
		CASE(old_kernel),
		CASE(btf_missing_or_damaged),
		CASE(lockdown),
		CASE(capabilities),
		CASE(lesser_capabilities),
		CASE(kernel_names),
		CASE(yama),
		CASE(memlock),
		CASE(events_refused),
		CASE(no_pmu_is_information),
		CASE(sample_rate),
		CASE(jit),
		CASE(each_feature),
		CASE(this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
