/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks behind `mixprof doctor` and behind the sentence that a refused
 * recording prints. Features are tried, not inferred from versions; the kernel's
 * version decides only below 5.8, where the ring buffer does not exist, and where
 * locked memory is limited (below 5.11). What a missing capability would make
 * fail anyway is not tried again: one cause, one failure.
 */
#include "collect/system_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/capability.h>

#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "feature_probe.skel.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

#define USUAL_HZ 99

struct probe {
	const struct system_probe_inputs *inputs;
	struct probe_result *results;
	size_t count;
	unsigned int major, minor; /* of the kernel; 0.0: not known */
	bool may_load;		   /* capabilities for bpf() and perf_event_open() */
};

struct feature {
	const char *name;    /* of the result */
	const char *program; /* in feature_probe.bpf.c */
	const char *what;
};

static const struct feature features[] = {
	{"bpf:task_fields", "task_fields", "reading task_struct by BTF"},
	{"bpf:ring_buffers", "per_cpu_rings", "BPF ring buffers in an array of maps"},
	{"bpf:kernel_stack", "kernel_stack", "bpf_get_stack in a perf_event program"},
	{"bpf:user_registers", "user_registers", "bpf_task_pt_regs"},
	{"bpf:user_memory", "user_memory", "bpf_probe_read_user"},
	{"bpf:global_functions", "global_functions", "global functions with a pointer argument"},
	{"bpf:boot_clock", "boot_clock", "bpf_ktime_get_boot_ns"},
	{"bpf:cgroup_id", "cgroup_id", "bpf_get_current_cgroup_id"},
};

const char *probe_status_name(enum probe_status status)
{
	static const char *const names[] = {"ok", "info", "warning", "failed"};

	return names[status];
}

__attribute__((format(printf, 4, 5))) static struct probe_result *
add(struct probe *probe, const char *name, enum probe_status status, const char *format, ...)
{
	struct probe_result *result = &probe->results[probe->count++];
	va_list args;

	*result = (struct probe_result){.name = name, .status = status};
	if (status == PROBE_FAILED)
		result->code = -ENOTSUP;
	va_start(args, format);
	vsnprintf(result->finding, sizeof(result->finding), format, args);
	va_end(args);
	return result;
}

static void advise(struct probe_result *result, const char *remedy)
{
	snprintf(result->remedy, sizeof(result->remedy), "%s", remedy);
}

/* The first line of a small file under the root, without its newline. 0 or negative errno. */
static int read_line(const struct probe *probe, const char *path, char *line, size_t size)
{
	_cleanup_close_ int fd = -1;
	char full[512];
	ssize_t length;

	snprintf(full, sizeof(full), "%s%s", probe->inputs->root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read(fd, line, size - 1);
	if (length < 0)
		return -errno;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

static bool read_number(const struct probe *probe, const char *path, int *ret_value)
{
	char line[32];

	return read_line(probe, path, line, sizeof(line)) == 0 &&
	       sscanf(line, "%d", ret_value) == 1;
}

static bool has_capability(const struct probe *probe, int capability)
{
	return probe->inputs->capabilities >> capability & 1;
}

static bool is_below(const struct probe *probe, unsigned int major, unsigned int minor)
{
	return probe->major &&
	       (probe->major < major || (probe->major == major && probe->minor < minor));
}

static void check_kernel(struct probe *probe)
{
	const char *release = probe->inputs->kernel_release;

	if (sscanf(release, "%u.%u", &probe->major, &probe->minor) != 2) {
		probe->major = 0;
		add(probe, "kernel", PROBE_INFO, "the kernel calls itself \"%.40s\"", release);
	} else if (is_below(probe, 5, 8)) {
		advise(add(probe, "kernel", PROBE_FAILED, "Linux %.40s is older than 5.8", release),
		       "boot a newer kernel, 5.15 or later if you can");
	} else {
		add(probe, "kernel", PROBE_OK, "Linux %.40s", release);
	}
}

static void check_btf(struct probe *probe)
{
	char start[8];
	int err = read_line(probe, "/sys/kernel/btf/vmlinux", start, sizeof(start));

	/* Little-endian BTF magic, 0xeb9f. */
	if (!err && memcmp(start, "\x9f\xeb", 2) == 0)
		add(probe, "btf", PROBE_OK, "the kernel describes its types (BTF)");
	else if (!err)
		advise(add(probe, "btf", PROBE_FAILED, "/sys/kernel/btf/vmlinux is damaged"),
		       "boot another kernel, and report this one");
	else if (err == -ENOENT)
		advise(add(probe, "btf", PROBE_FAILED, "the kernel has no /sys/kernel/btf/vmlinux"),
		       "mount /sys, or boot a kernel built with CONFIG_DEBUG_INFO_BTF=y");
	else
		advise(add(probe, "btf", PROBE_FAILED, "/sys/kernel/btf/vmlinux cannot be read: %s",
			   strerror(-err)),
		       "run mixprof as root");
}

static void check_lockdown(struct probe *probe)
{
	char line[80];

	if (read_line(probe, "/sys/kernel/security/lockdown", line, sizeof(line)) ||
	    strstr(line, "[none]"))
		add(probe, "lockdown", PROBE_OK, "kernel lockdown is off");
	else if (strstr(line, "[confidentiality]"))
		advise(add(probe, "lockdown", PROBE_FAILED,
			   "kernel lockdown is in confidentiality mode: BPF may not read memory"),
		       "boot with lockdown=integrity or without lockdown");
	else
		add(probe, "lockdown", PROBE_OK, "kernel lockdown lets BPF read memory (%.30s)",
		    line);
}

static void append_missing(char *list, size_t size, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static void check_capabilities(struct probe *probe)
{
	bool is_admin = has_capability(probe, CAP_SYS_ADMIN);
	char missing[96] = "";
	struct probe_result *result;

	if (!is_admin && !has_capability(probe, CAP_BPF))
		append_missing(missing, sizeof(missing), "CAP_BPF");
	if (!is_admin && !has_capability(probe, CAP_PERFMON))
		append_missing(missing, sizeof(missing), "CAP_PERFMON");
	probe->may_load = !missing[0];
	if (!has_capability(probe, CAP_SYS_PTRACE))
		append_missing(missing, sizeof(missing), "CAP_SYS_PTRACE");
	if (!missing[0]) {
		add(probe, "capabilities", PROBE_OK,
		    "may load BPF programs and read other processes");
		return;
	}
	result = add(probe, "capabilities", PROBE_FAILED, "not permitted: %s missing", missing);
	result->code = -EPERM;
	advise(result, "run mixprof as root (sudo), or grant these capabilities");
}

/* Capabilities without which a recording works, and shows less. */
static void check_lesser_capabilities(struct probe *probe)
{
	char missing[96] = "";

	if (!has_capability(probe, CAP_CHECKPOINT_RESTORE) && !has_capability(probe, CAP_SYS_ADMIN))
		append_missing(missing, sizeof(missing), "CAP_CHECKPOINT_RESTORE");
	if (!has_capability(probe, CAP_DAC_READ_SEARCH))
		append_missing(missing, sizeof(missing), "CAP_DAC_READ_SEARCH");
	if (missing[0])
		advise(add(probe, "file_access", PROBE_WARNING,
			   "%s missing: some programs' files cannot be opened", missing),
		       "run mixprof as root (sudo), or grant these capabilities");
	else
		add(probe, "file_access", PROBE_OK,
		    "may open the files that processes have mapped");
}

static void check_kernel_names(struct probe *probe)
{
	bool may_see = has_capability(probe, CAP_SYSLOG);
	int restrict_level = 0;

	read_number(probe, "/proc/sys/kernel/kptr_restrict", &restrict_level);
	if (restrict_level >= 2)
		advise(add(probe, "kptr_restrict", PROBE_WARNING,
			   "kernel.kptr_restrict is %d: kernel frames have no names",
			   restrict_level),
		       "sysctl kernel.kptr_restrict=1");
	else if (!may_see)
		advise(add(probe, "kptr_restrict", PROBE_WARNING,
			   "CAP_SYSLOG missing: kernel frames have no names"),
		       "run mixprof as root (sudo), or grant CAP_SYSLOG");
	else
		add(probe, "kptr_restrict", PROBE_OK, "kernel symbols can be read");
}

static void check_yama(struct probe *probe)
{
	int scope = 0;
	struct probe_result *result;

	read_number(probe, "/proc/sys/kernel/yama/ptrace_scope", &scope);
	if (scope < 3) {
		add(probe, "ptrace_scope", PROBE_OK, "other processes' memory can be read");
		return;
	}
	result = add(probe, "ptrace_scope", PROBE_FAILED,
		     "kernel.yama.ptrace_scope is %d: nobody may read other processes' memory",
		     scope);
	result->code = -EPERM;
	advise(result, "set kernel.yama.ptrace_scope=2 in sysctl.d and reboot");
}

/* Only kernels below 5.11 count BPF memory as locked; with CAP_SYS_RESOURCE the limit is raised. */
static void check_memlock(struct probe *probe)
{
	struct probe_result *result;

	if (!is_below(probe, 5, 11) || has_capability(probe, CAP_SYS_RESOURCE) ||
	    probe->inputs->memlock_bytes >= UINT64_C(512) << 20) {
		add(probe, "memlock", PROBE_OK, "BPF memory is not limited by RLIMIT_MEMLOCK");
		return;
	}
	result = add(probe, "memlock", PROBE_FAILED, "locked memory is limited to %" PRIu64 " KB",
		     probe->inputs->memlock_bytes >> 10);
	result->code = -EPERM;
	advise(result, "grant CAP_SYS_RESOURCE, or run \"ulimit -l unlimited\" first");
}

static int try_event(const struct probe *probe, uint32_t type, uint64_t config)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = type,
		.config = config,
		.freq = 1,
		.sample_freq = 1,
		.disabled = 1,
	};

	return probe->inputs->try_event(&attr);
}

static void check_clock(struct probe *probe)
{
	int err = try_event(probe, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK);
	struct probe_result *result;
	int paranoid = 0;

	read_number(probe, "/proc/sys/kernel/perf_event_paranoid", &paranoid);
	if (!err) {
		add(probe, "perf_event_paranoid", PROBE_OK,
		    "perf events can be opened (kernel.perf_event_paranoid is %d)", paranoid);
		return;
	}
	if (err != -EACCES && err != -EPERM) {
		advise(add(probe, "perf_event_paranoid", PROBE_FAILED,
			   "no perf event can be opened: %s", strerror(-err)),
		       "boot a kernel built with CONFIG_PERF_EVENTS=y");
		return;
	}
	result = add(probe, "perf_event_paranoid", PROBE_FAILED,
		     "perf events are refused (kernel.perf_event_paranoid is %d)", paranoid);
	result->code = -EPERM;
	/* Debian's level 3 refuses CAP_PERFMON; else a container's seccomp filter does it. */
	advise(result, paranoid > 2 ? "sysctl kernel.perf_event_paranoid=2, or run mixprof as root"
				    : "allow perf_event_open in this container's seccomp profile");
}

static void check_pmu(struct probe *probe)
{
	int err = try_event(probe, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);

	if (!err)
		add(probe, "pmu", PROBE_OK, "hardware cycles can be counted");
	else
		add(probe, "pmu", PROBE_INFO, "no hardware cycles (%s): cpu-clock is used",
		    strerror(-err));
}

static void check_rate(struct probe *probe)
{
	int hz = 0;

	if (!read_number(probe, "/proc/sys/kernel/perf_event_max_sample_rate", &hz))
		add(probe, "max_sample_rate", PROBE_INFO,
		    "kernel.perf_event_max_sample_rate cannot be read");
	else if (hz < USUAL_HZ)
		advise(add(probe, "max_sample_rate", PROBE_WARNING,
			   "kernel.perf_event_max_sample_rate is %d: recordings are slower", hz),
		       "sysctl kernel.perf_event_max_sample_rate=1000");
	else
		add(probe, "max_sample_rate", PROBE_OK, "up to %d samples per second and CPU", hz);
}

static void check_jit(struct probe *probe)
{
	int enabled = 1;

	if (read_number(probe, "/proc/sys/net/core/bpf_jit_enable", &enabled) && enabled == 0)
		advise(add(probe, "bpf_jit", PROBE_WARNING,
			   "the BPF compiler is off: each sample costs several times as much"),
		       "sysctl net.core.bpf_jit_enable=1");
	else
		add(probe, "bpf_jit", PROBE_OK, "BPF programs are compiled");
}

static void check_feature(struct probe *probe, const struct feature *feature)
{
	int err = probe->inputs->try_program(feature->program);
	struct probe_result *result;

	if (!err) {
		add(probe, feature->name, PROBE_OK, "%s", feature->what);
		return;
	}
	result = add(probe, feature->name, PROBE_FAILED, "the kernel refuses %s: %s", feature->what,
		     strerror(-err));
	if (err == -EPERM || err == -EACCES) {
		result->code = -EPERM;
		advise(result,
		       "run mixprof as root outside of containers, or allow bpf() in this one");
	} else {
		advise(result, "boot a newer kernel, 5.15 or later");
	}
}

size_t system_probe_run(const struct system_probe_inputs *inputs, struct probe_result *results)
{
	struct probe probe = {.inputs = inputs, .results = results};

	check_kernel(&probe);
	check_btf(&probe);
	check_lockdown(&probe);
	check_capabilities(&probe);
	check_memlock(&probe);
	check_yama(&probe);
	if (probe.may_load) {
		check_clock(&probe);
		check_pmu(&probe);
	}
	check_rate(&probe);
	check_lesser_capabilities(&probe);
	check_kernel_names(&probe);
	check_jit(&probe);
	/* Without these every program would be refused, and the cause is told already. */
	if (!system_probe_failure(results, probe.count))
		for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
			check_feature(&probe, &features[i]);
	return probe.count;
}

const struct probe_result *system_probe_failure(const struct probe_result *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (results[i].status == PROBE_FAILED)
			return &results[i];
	return NULL;
}

int system_probe_first_failure(char *message, size_t size)
{
	struct probe_result results[SYSTEM_PROBE_RESULTS_MAX] = {0};
	struct system_probe_inputs inputs;
	const struct probe_result *failure;

	system_probe_inputs_init(&inputs);
	failure = system_probe_failure(results, system_probe_run(&inputs, results));
	if (!failure)
		return 0;
	snprintf(message, size, "%s; %s", failure->finding, failure->remedy);
	return failure->code;
}

static int open_event(struct perf_event_attr *attr)
{
	/* CPU 0 cannot be missing where hotplug is usual; else any that this thread may run on. */
	long fd = syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int load_program(const char *name)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct feature_probe_bpf *skeleton = feature_probe_bpf__open();
	struct bpf_program *program;
	int err = skeleton ? 0 : -errno;

	program = skeleton ? bpf_object__find_program_by_name(skeleton->obj, name) : NULL;
	if (program)
		err = bpf_program__set_autoload(program, true);
	else if (!err)
		err = -ENOENT;
	if (!err)
		err = feature_probe_bpf__load(skeleton);
	feature_probe_bpf__destroy(skeleton);
	libbpf_set_print(print);
	return err;
}

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

void system_probe_inputs_init(struct system_probe_inputs *inputs)
{
	static struct utsname name;
	struct rlimit memlock = {.rlim_cur = RLIM_INFINITY};

	uname(&name);
	getrlimit(RLIMIT_MEMLOCK, &memlock);
	*inputs = (struct system_probe_inputs){
		.root = "",
		.kernel_release = name.release,
		.capabilities = effective_capabilities(),
		.memlock_bytes = memlock.rlim_cur == RLIM_INFINITY ? UINT64_MAX : memlock.rlim_cur,
		.try_event = open_event,
		.try_program = load_program,
	};
}
