// SPDX-License-Identifier: Apache-2.0
/*
 * Owns the sampler object, its maps and one perf event per online CPU. Knows the
 * kernel's side of things and nothing of processes, files or symbols: those come
 * in as ABI structs.
 *
 * Enabled time is read from the perf events themselves, so that expected = time
 * enabled x rate holds per CPU whatever happened between enable and disable.
 */
#include "collect/bpf_session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/units.h"
#include "sampler.skel.h"

struct mapped {
	void *memory;
	size_t size;
};

struct bpf_session {
	struct sampler_bpf *skeleton;
	uint32_t hz;
	bool hardware;
	int cpu_count;
	int *ring_fds;	/* cpu_count */
	int *event_fds; /* cpu_count; -1: CPU offline */
	struct bpf_link **links;
	size_t ring_bytes;
	struct mapped mappings, processes, layouts, tables, rules;
	struct mapped segments[UNWIND_SEGMENTS_MAX];
	int segment_fds[UNWIND_SEGMENTS_MAX];
	uint32_t segment_count;
	uint64_t enabled_ns; /* of events already closed */
};

static int libbpf_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	/* libbpf's own words are for debugging; what the user reads is ours */
	if (log_get_level() < LOG_LEVEL_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, format, arguments);
}

static int map_array(int fd, size_t value_size, size_t count, struct mapped *to)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = (value_size * count + page - 1) & ~(page - 1);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	to->memory = memory;
	to->size = size;
	return 0;
}

static int map_arrays(struct bpf_session *s)
{
	struct {
		struct bpf_map *map;
		struct mapped *to;
	} arrays[] = {
		{s->skeleton->maps.mappings, &s->mappings},
		{s->skeleton->maps.processes, &s->processes},
		{s->skeleton->maps.py_layouts, &s->layouts},
		{s->skeleton->maps.unwind_tables, &s->tables},
		{s->skeleton->maps.unwind_rules, &s->rules},
	};

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		/* array elements are 8-byte aligned, as all our values are */
		int err = map_array(bpf_map__fd(arrays[i].map), bpf_map__value_size(arrays[i].map),
				    bpf_map__max_entries(arrays[i].map), arrays[i].to);

		if (err)
			return err;
	}
	return 0;
}

static int make_rings(struct bpf_session *s)
{
	for (int cpu = 0; cpu < s->cpu_count; cpu++)
		s->ring_fds[cpu] = -1;
	for (int cpu = 0; cpu < s->cpu_count; cpu++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "mixprof_ring", 0, 0, s->ring_bytes,
					NULL);

		if (fd < 0)
			return fd;
		s->ring_fds[cpu] = fd;
		if (bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.rings), &cpu, &fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

static uint32_t max_sample_rate(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/perf_event_max_sample_rate", "re");
	uint32_t rate = 0;

	if (!f || fscanf(f, "%u", &rate) != 1 || rate == 0)
		return UINT32_MAX;
	return rate;
}

static int load_skeleton(struct bpf_session *s, const struct bpf_session_options *options)
{
	int err;

	s->skeleton = sampler_bpf__open();
	if (!s->skeleton)
		return -errno;
	s->skeleton->rodata->config.scope = options->scope;
	s->skeleton->rodata->config.ring_bytes = options->ring_bytes;
	s->skeleton->rodata->config.self_pid = getpid();
	err = bpf_map__set_max_entries(s->skeleton->maps.rings, s->cpu_count);
	if (err)
		return err;
	return sampler_bpf__load(s->skeleton);
}

/* Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; later ones do not mind. */
static void raise_memlock(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

int bpf_session__new(const struct bpf_session_options *options, struct bpf_session **ret_session)
{
	_cleanup_(bpf_session__freep) struct bpf_session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	libbpf_set_print(libbpf_message);
	s->cpu_count = libbpf_num_possible_cpus();
	if (s->cpu_count < 0)
		return s->cpu_count;
	s->hz = options->hz;
	if (s->hz > max_sample_rate())
		s->hz = max_sample_rate();
	s->ring_bytes = options->ring_bytes;
	s->ring_fds = calloc(s->cpu_count, sizeof(*s->ring_fds));
	s->event_fds = calloc(s->cpu_count, sizeof(*s->event_fds));
	s->links = calloc(s->cpu_count, sizeof(*s->links));
	if (!s->ring_fds || !s->event_fds || !s->links) {
		s->cpu_count =
			0; /* 0, as calloc() leaves them, is a descriptor, but none of ours */
		return -ENOMEM;
	}
	for (int cpu = 0; cpu < s->cpu_count; cpu++)
		s->ring_fds[cpu] = s->event_fds[cpu] = -1;
	raise_memlock();
	err = load_skeleton(s, options);
	if (err)
		return err;
	err = map_arrays(s);
	if (err)
		return err;
	err = make_rings(s);
	if (err)
		return err;
	*ret_session = take_ptr(s);
	return 0;
}

static int open_event(int cpu, uint32_t type, uint64_t config, uint32_t hz)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = type,
		.config = config,
		.freq = 1,
		.sample_freq = hz,
		.disabled = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int bpf_session__open_events(struct bpf_session *s)
{
	int opened = 0, probe = open_event(0, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, s->hz);

	s->hardware = probe >= 0;
	if (probe >= 0)
		close(probe);
	for (int cpu = 0; cpu < s->cpu_count; cpu++) {
		int fd = s->hardware ? open_event(cpu, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES,
						  s->hz)
				     : open_event(cpu, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK,
						  s->hz);

		if (fd == -ENODEV) /* offline */
			continue;
		if (fd < 0)
			return fd;
		s->event_fds[cpu] = fd;
		s->links[cpu] =
			bpf_program__attach_perf_event(s->skeleton->progs.mixprof_sample, fd);
		if (!s->links[cpu])
			return -errno;
		/* attaching enables the event; it starts with __enable */
		if (ioctl(fd, PERF_EVENT_IOC_DISABLE, 0))
			return -errno;
		opened++;
	}
	return opened ? 0 : -ENODEV;
}

static int for_each_event(struct bpf_session *s, unsigned long request)
{
	int err = 0;

	for (int cpu = 0; cpu < s->cpu_count; cpu++)
		if (s->event_fds[cpu] >= 0 && ioctl(s->event_fds[cpu], request, 0))
			err = -errno;
	return err;
}

int bpf_session__enable(struct bpf_session *s)
{
	return for_each_event(s, PERF_EVENT_IOC_ENABLE);
}

int bpf_session__disable(struct bpf_session *s)
{
	return for_each_event(s, PERF_EVENT_IOC_DISABLE);
}

static void unmap(struct mapped *m)
{
	if (m->memory)
		munmap(m->memory, m->size);
}

void bpf_session__free(struct bpf_session *s)
{
	if (!s)
		return;
	for (int cpu = 0; cpu < s->cpu_count; cpu++) {
		if (s->links && s->links[cpu])
			bpf_link__destroy(s->links[cpu]); /* closes the event as well */
		else if (s->event_fds && s->event_fds[cpu] >= 0)
			close(s->event_fds[cpu]);
		if (s->ring_fds && s->ring_fds[cpu] >= 0)
			close(s->ring_fds[cpu]);
	}
	for (uint32_t i = 0; i < s->segment_count; i++) {
		unmap(&s->segments[i]);
		close(s->segment_fds[i]);
	}
	unmap(&s->mappings);
	unmap(&s->processes);
	unmap(&s->layouts);
	unmap(&s->tables);
	unmap(&s->rules);
	if (s->skeleton)
		sampler_bpf__destroy(s->skeleton);
	free(s->ring_fds);
	free(s->event_fds);
	free(s->links);
	free(s);
}

size_t bpf_session__rings(const struct bpf_session *s, const int **ret_fds)
{
	*ret_fds = s->ring_fds;
	return s->cpu_count;
}

const char *bpf_session__event(const struct bpf_session *s)
{
	return s->hardware ? "cycles" : "cpu-clock";
}

uint32_t bpf_session__hz(const struct bpf_session *s)
{
	return s->hz;
}

struct mapping *bpf_session__mappings(struct bpf_session *s, size_t *ret_count)
{
	*ret_count = bpf_map__max_entries(s->skeleton->maps.mappings);
	return s->mappings.memory;
}

struct process_config *bpf_session__processes(struct bpf_session *s, size_t *ret_count)
{
	*ret_count = bpf_map__max_entries(s->skeleton->maps.processes);
	return s->processes.memory;
}

struct py_layout *bpf_session__layouts(struct bpf_session *s)
{
	return s->layouts.memory;
}

int bpf_session__set_slot(struct bpf_session *s, uint32_t pid, uint32_t slot)
{
	if (bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.process_slots), &pid, &slot, BPF_ANY))
		return -errno;
	return 0;
}

int bpf_session__clear_slot(struct bpf_session *s, uint32_t pid)
{
	if (bpf_map_delete_elem(bpf_map__fd(s->skeleton->maps.process_slots), &pid))
		return -errno;
	return 0;
}

int bpf_session__make_segment(struct bpf_session *s, uint32_t number, void **ret_memory)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	_cleanup_close_ int fd = -1;
	struct mapped mapped = {0};
	int err;

	if (number != s->segment_count || number >= UNWIND_SEGMENTS_MAX)
		return -ENOSPC;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mixprof_rows", sizeof(uint32_t),
			    UNWIND_SEGMENT_BYTES, 1, &options);
	if (fd < 0)
		return fd;
	err = map_array(fd, UNWIND_SEGMENT_BYTES, 1, &mapped);
	if (err)
		return err;
	if (bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.unwind_segments), &number, &fd,
				BPF_ANY)) {
		err = -errno;
		unmap(&mapped);
		return err;
	}
	s->segments[number] = mapped;
	s->segment_fds[number] = take_fd(fd);
	s->segment_count++;
	*ret_memory = mapped.memory;
	return 0;
}

int bpf_session__write_table(struct bpf_session *s, uint32_t number,
			     const struct unwind_table *table)
{
	if (number >= UNWIND_TABLES_MAX)
		return -ENOSPC;
	((struct unwind_table *)s->tables.memory)[number] = *table;
	return 0;
}

int bpf_session__write_rule(struct bpf_session *s, uint32_t number, const struct unwind_rule *rule)
{
	if (number >= UNWIND_RULES_MAX)
		return -ENOSPC;
	((struct unwind_rule *)s->rules.memory)[number] = *rule;
	return 0;
}

static uint64_t enabled_time_ns(const struct bpf_session *s)
{
	uint64_t total = 0;

	for (int cpu = 0; cpu < s->cpu_count; cpu++) {
		uint64_t values[3]; /* count, time enabled, time running */

		if (s->event_fds[cpu] >= 0 &&
		    read(s->event_fds[cpu], values, sizeof(values)) == sizeof(values))
			total += values[1];
	}
	return total;
}

static uint64_t memory_bytes(const struct bpf_session *s)
{
	return s->mappings.size + s->processes.size + s->layouts.size + s->tables.size +
	       s->rules.size + (uint64_t)s->segment_count * UNWIND_SEGMENT_BYTES +
	       (uint64_t)s->cpu_count * s->ring_bytes;
}

int bpf_session__stats(struct bpf_session *s, struct bpf_session_stats *ret_stats)
{
	_cleanup_free_ struct run_counters *cpus = calloc(s->cpu_count, sizeof(*cpus));
	struct bpf_session_stats stats = {0};
	uint32_t zero = 0;

	if (!cpus)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.run_counters), &zero, cpus))
		return -errno;
	for (int cpu = 0; cpu < s->cpu_count; cpu++) {
		for (int i = 0; i < RUN_OUTCOME_MAX; i++)
			stats.outcome[i] += cpus[cpu].outcome[i];
		for (int i = 0; i < RUN_NS_BUCKETS; i++)
			stats.run_ns[i] += cpus[cpu].run_ns[i];
		stats.written_ns += cpus[cpu].written_ns;
	}
	stats.enabled_ns = enabled_time_ns(s);
	stats.map_bytes = memory_bytes(s);
	*ret_stats = stats;
	return 0;
}

uint64_t run_ns_bucket_start(unsigned int i)
{
	return i < 8 ? i : (uint64_t)(4 + i % 4) << (i / 4 - 2);
}
