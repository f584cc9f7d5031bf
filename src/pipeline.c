// SPDX-License-Identifier: Apache-2.0
/*
 * Wires the stages of a live recording and owns their lifetimes:
 *
 *	sampler (kernel) -> ring_reader's thread -> queue -> here, one thread:
 *	decode -> follow (refresh when a sample asks) -> merge -> resolve -> profile
 *
 * With a capture, every record and every answer from outside is written down in
 * the order in which it is used, so that pipeline_replay.c can do the same again.
 */
#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "collect/system_probe.h"
#include "pipeline_state.h"

#define RING_BYTES (1u << 20)
#define QUEUE_BYTES (64u << 20)
#define DRAIN_INTERVAL_MS 50
#define RUN_NS_MAX 100000000ull
#define TABLE_BUDGET_BYTES (64ull << 20)

static uint64_t boot_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

void pipeline_error_set(struct pipeline_error *error, int code, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
}

int pipeline_decoder(struct pipeline *p, uint32_t ring, struct sample_decoder **ret_decoder)
{
	if (ring >= p->decoder_count) {
		struct sample_decoder **grown;

		if (ring >= CAPTURE_RINGS_MAX)
			return -EBADMSG;
		grown = reallocarray(p->decoders, ring + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + p->decoder_count, 0, (ring + 1 - p->decoder_count) * sizeof(*grown));
		p->decoders = grown;
		p->decoder_count = ring + 1;
	}
	if (!p->decoders[ring]) {
		int err = sample_decoder__new(&p->decoders[ring]);

		if (err)
			return err;
	}
	*ret_decoder = p->decoders[ring];
	return 0;
}

/* --- answers from outside, written down when a capture is made --- */

/* A name, or where the function without one begins. */
static void capture_name(struct pipeline *p, const struct names_key *key, const char *name,
			 uint64_t start)
{
	if (name)
		(void)capture_writer__put_answer(p->capture, CAPTURE_NAMES, key, sizeof(*key), 0,
						 name, strlen(name));
	else
		(void)capture_writer__put_answer(p->capture, CAPTURE_NAMES, key, sizeof(*key),
						 -ENOENT, &start, sizeof(start));
}

/* Asks once more for those without a name: where do their functions begin? */
static void find_starts(struct pipeline *p, uint32_t object, const uint64_t *vaddrs, size_t count,
			char *const *names, uint64_t *starts)
{
	for (size_t i = 0; i < count; i++) {
		if (names[i])
			continue;
		/* in one request: a stripped file has no names at all, seldom one that is missing
		 */
		(void)symbol_worker__find_starts(p->worker, object, vaddrs, count, starts);
		return;
	}
}

static int live_native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			     char **names, uint64_t *starts)
{
	struct pipeline *p = context;
	int err = symbol_worker__find_names(p->worker, object, vaddrs, count, names);

	if (!err)
		find_starts(p, object, vaddrs, count, names, starts);
	for (size_t i = 0; p->capture && i < count; i++)
		capture_name(p, &(struct names_key){vaddrs[i], object}, err ? NULL : names[i],
			     starts[i]);
	return err;
}

/*
 * kallsyms takes 50 ms: read on a thread while the sampler is loaded, and there before the first
 * sample, since a process that has just begun must not wait for its configuration meanwhile.
 */
static void *read_kernel_names(void *context)
{
	struct pipeline *p = context;

	p->kernel_error = kernel_symbols__new(&p->kernel);
	return NULL;
}

static void begin_kernel_names(struct pipeline *p)
{
	if (pthread_create(&p->kernel_reader, NULL, read_kernel_names, p) == 0)
		p->is_reading_kernel = true;
	else
		(void)read_kernel_names(p);
}

static void end_kernel_names(struct pipeline *p)
{
	if (p->is_reading_kernel)
		pthread_join(p->kernel_reader, NULL);
	p->is_reading_kernel = false;
}

static const char *live_kernel_name(void *context, uint64_t address, const char **ret_module)
{
	struct pipeline *p = context;
	const char *module = "";
	const char *name = p->kernel ? kernel_symbols__find(p->kernel, address, &module) : NULL;

	if (p->capture) {
		_cleanup_(buffer_done) struct buffer answer = {0};

		if (name) {
			buffer_append(&answer, name, strlen(name) + 1);
			buffer_append(&answer, module, strlen(module) + 1);
		}
		(void)capture_writer__put_answer(p->capture, CAPTURE_KERNEL_NAME, &address,
						 sizeof(address), name ? 0 : -ENOENT, answer.data,
						 answer.size);
	}
	*ret_module = module;
	return name;
}

static int live_memory_read(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct pipeline *p = context;
	int err = remote_memory_read(&remote_memory_live, pid, address, to, size);

	if (p->capture) {
		struct memory_key key = {address, pid, size};

		(void)capture_writer__put_answer(p->capture, CAPTURE_MEMORY, &key, sizeof(key), err,
						 to, err ? 0 : size);
	}
	return err;
}

static int capture_view(struct pipeline *p, const struct process_view *view)
{
	_cleanup_(buffer_done) struct buffer bytes = {0};

	if (!p->capture || !view)
		return 0;
	process_view_encode(view, &bytes);
	return bytes.failed
		       ? -ENOMEM
		       : capture_writer__put(p->capture, CAPTURE_PROCESS, bytes.data, bytes.size);
}

static int capture_begin(struct pipeline *p, int fd)
{
	char meta[CAPTURE_META_BYTES_MAX];
	int err = capture_writer__new(fd, &p->capture);

	if (err)
		return err;
	return capture_writer__put(p->capture, CAPTURE_META, meta, capture_meta(meta));
}

/* --- set-up --- */

static int make_segment(void *context, uint32_t number, void **ret_memory)
{
	return bpf_session__make_segment(context, number, ret_memory);
}

static int write_table(void *context, uint32_t number, const struct unwind_table *table)
{
	return bpf_session__write_table(context, number, table);
}

static int write_rule(void *context, uint32_t number, const struct unwind_rule *rule)
{
	return bpf_session__write_rule(context, number, rule);
}

static int set_slot(void *context, uint32_t pid, uint32_t slot)
{
	return bpf_session__set_slot(context, pid, slot);
}

static int clear_slot(void *context, uint32_t pid)
{
	return bpf_session__clear_slot(context, pid);
}

/* One descriptor is kept per file met, two per process followed. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int make_session(struct pipeline *p, const struct pipeline_options *options,
			struct pipeline_error *error)
{
	struct bpf_session_options session = {
		.scope = SCOPE_PROCESSES, .hz = options->hz, .ring_bytes = RING_BYTES};
	char why[256];
	int err;

	raise_descriptor_limit();
	err = bpf_session__new(&session, &p->session);
	if (!err)
		err = bpf_session__open_events(p->session);
	if (!err)
		return 0;
	if (err == -EMFILE || err == -ENFILE) {
		pipeline_error_set(error, err,
				   "the limit of open files is too low for the sampler: raise it "
				   "with `ulimit -n`");
		return err;
	}
	error->system_cannot = true;
	if (system_probe_first_failure(why, sizeof(why)))
		pipeline_error_set(error, err, "%s", why);
	else
		pipeline_error_set(
			error, err,
			"the kernel refused the sampler (%s): run `mixprof doctor` to see why",
			strerror(-err));
	return err;
}

static int make_follower(struct pipeline *p)
{
	struct table_store_ops ops = {make_segment, write_table, write_rule, p->session};
	struct follower_target target = {
		.set_slot = set_slot, .clear_slot = clear_slot, .context = p->session};
	int err;

	err = symbol_worker__new(&p->worker);
	if (!err)
		err = table_store__new(&ops, TABLE_BUDGET_BYTES, &p->store);
	if (!err)
		err = object_table__new(p->worker, p->store, &p->objects);
	if (err)
		return err;
	target.mappings = bpf_session__mappings(p->session, &target.mapping_count);
	target.processes = bpf_session__processes(p->session, &target.process_count);
	target.layouts = bpf_session__layouts(p->session);
	return process_follower__new(&target, p->objects, &remote_memory_live, &p->follower);
}

static int follow_all(struct pipeline *p, const struct pipeline_options *options,
		      struct pipeline_error *error)
{
	for (size_t i = 0; i < options->pid_count; i++) {
		int err = process_follower__add(p->follower, options->pids[i]);

		if (err) {
			pipeline_error_set(
				error, err,
				err == -ESRCH ? "no process has PID %d: name a running one with -p"
					      : "cannot read process %d: run as root, or see "
						"`mixprof doctor`",
				(int)options->pids[i]);
			error->system_cannot = err == -EACCES || err == -EPERM;
			return err;
		}
		err = capture_view(p, process_follower__view(p->follower, options->pids[i]));
		if (err)
			return err;
	}
	return 0;
}

static int make_reader(struct pipeline *p)
{
	const int *rings;
	size_t count = bpf_session__rings(p->session, &rings);

	return ring_reader__new(rings, count, QUEUE_BYTES, DRAIN_INTERVAL_MS, &p->reader);
}

static int make_stages(struct pipeline *p, const struct pipeline_options *options,
		       struct pipeline_error *error)
{
	int err = make_session(p, options, error);

	if (err)
		return err;
	err = make_follower(p);
	if (!err && options->capture_fd >= 0)
		err = capture_begin(p, options->capture_fd);
	if (!err)
		err = follow_all(p, options, error);
	if (err)
		return err;
	p->names = (struct name_source){.native_names = live_native_names,
					.kernel_name = live_kernel_name,
					.memory = {live_memory_read, p},
					.context = p};
	end_kernel_names(p);
	if (p->kernel_error == -ENOMEM)
		return -ENOMEM;
	err = sample_counter__new(&p->names, &p->counter);
	if (!err)
		err = make_reader(p);
	if (!err && p->kernel_error) /* a profile without them is poorer: kernel+0xADDRESS */
		log_warning("kernel addresses are hidden, so kernel frames have no names: run as "
			    "root or set kernel.kptr_restrict to 0");
	return err;
}

int pipeline__new(const struct pipeline_options *options, struct pipeline **ret_pipeline,
		  struct pipeline_error *error)
{
	_cleanup_(pipeline__freep) struct pipeline *p = calloc(1, sizeof(*p));
	int err;

	*error = (struct pipeline_error){0};
	if (!p) {
		pipeline_error_set(error, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	p->created_ns = boot_time_ns();
	begin_kernel_names(p);
	err = make_stages(p, options, error);
	if (err) {
		if (!error->code)
			pipeline_error_set(error, err, "cannot set the recording up: %s",
					   strerror(-err));
		return err;
	}
	*ret_pipeline = take_ptr(p);
	return 0;
}

void pipeline__free(struct pipeline *p)
{
	if (!p)
		return;
	end_kernel_names(p);
	ring_reader__free(p->reader);
	sample_counter__free(p->counter);
	process_follower__free(p->follower);
	object_table__free(p->objects);
	table_store__free(p->store);
	symbol_worker__free(p->worker);
	kernel_symbols__free(p->kernel);
	bpf_session__free(p->session);
	capture_writer__free(p->capture);
	capture_answers__free(p->answers);
	while (p->views) {
		struct replay_view *view = p->views;

		p->views = view->next;
		process_view_done(&view->view);
		free(view);
	}
	for (size_t i = 0; i < p->decoder_count; i++)
		sample_decoder__free(p->decoders[i]);
	free(p->decoders);
	free(p);
}

/* --- running --- */

int pipeline__start(struct pipeline *p, struct pipeline_error *error)
{
	int err;

	p->started_ns = boot_time_ns();
	err = bpf_session__enable(p->session);
	if (err) {
		pipeline_error_set(error, err, "cannot start the sampling events: %s",
				   strerror(-err));
		return err;
	}
	p->running = true;
	return 0;
}

/* The view the sample was taken under, brought up to date first if the sample asks for it. */
static int view_of_sample(struct pipeline *p, const struct sample *sample,
			  const struct process_view **ret_view)
{
	const struct sample_record *head = &sample->head;
	const struct process_view *view = process_follower__view(p->follower, head->pid);
	bool unknown = view && view->start_ns == 0;
	int changed;

	if (view && (unknown || head->flags & SAMPLE_NEEDS_REFRESH) &&
	    head->exec_id >= view->exec_id) {
		changed = process_follower__refresh(p->follower, head->pid, head->start_ns,
						    head->exec_id, boot_time_ns());
		if (changed == -ENOMEM)
			return changed;
		view = process_follower__view(p->follower, head->pid);
		if (changed == 1) {
			int err = capture_view(p, view);

			if (err)
				return err;
		}
	}
	/* a sample of the program that ran before an exec must not get the names of the next one */
	if (view && view->start_ns &&
	    (view->exec_id != head->exec_id || view->start_ns != head->start_ns))
		view = NULL;
	*ret_view = view;
	return 0;
}

/* Exact samples teach where the eval function keeps its shim (abi/python_abi.h). */
static void learn_resync(struct pipeline *p, const struct sample *sample,
			 const struct merged_stack *merged)
{
	uint32_t segment = 0;

	if (merged->verdict != VERDICT_EXACT)
		return;
	for (uint32_t i = 0; i < sample->native_count; i++) {
		const struct native_frame *frame = &sample->native[i];

		if (!frame->is_eval)
			continue;
		while (segment < sample->python_count &&
		       sample->python[segment].kind != PYTHON_ITEM_SEGMENT_END)
			segment++;
		if (segment == sample->python_count)
			return;
		process_follower__observe_eval(p->follower, sample->head.pid, frame->pc - 1,
					       frame->cfa - sample->python[segment].address);
		segment++;
	}
}

static int handle_sample(struct pipeline *p, const struct sample *sample,
			 const struct process_view *view)
{
	const struct merged_stack *merged;
	int err;

	if (!p->first_sample_ns)
		p->first_sample_ns = sample->head.time_ns;
	err = sample_counter__add(p->counter, sample, view, &merged);
	if (!err)
		learn_resync(p, sample, merged);
	return err;
}

static int capture_record(struct pipeline *p, const struct ring_record *record)
{
	_cleanup_(buffer_done) struct buffer bytes = {0};

	buffer_u32(&bytes, record->ring);
	buffer_append(&bytes, record->data, record->size);
	return bytes.failed
		       ? -ENOMEM
		       : capture_writer__put(p->capture, CAPTURE_RECORD, bytes.data, bytes.size);
}

/* The record goes to the capture after the views that its sample needs, and before its names. */
static int handle_record(struct pipeline *p, const struct ring_record *record)
{
	const struct process_view *view = NULL;
	struct sample_decoder *decoder;
	struct sample sample;
	int err = pipeline_decoder(p, record->ring, &decoder), got;

	if (err)
		return err;
	got = sample_decoder__push(decoder, record->data, record->size, &sample);
	if (got < 0)
		p->malformed++;
	if (got == 1) {
		err = view_of_sample(p, &sample, &view);
		if (err)
			return err;
	}
	if (p->capture) {
		err = capture_record(p, record);
		if (err)
			return err;
	}
	return got == 1 ? handle_sample(p, &sample, view) : 0;
}

/* Until none is queued, or until the time. */
static int handle_records(struct pipeline *p, unsigned int timeout_ms, uint64_t until_ns)
{
	struct ring_record record;
	int got;

	for (;;) {
		got = ring_reader__next(p->reader, timeout_ms, &record);
		if (got <= 0)
			return got;
		got = handle_record(p, &record);
		if (got || boot_time_ns() >= until_ns)
			return got;
		timeout_ms = 0;
	}
}

/* Samples may come faster than they can be named: the caller wants to end the recording all the
 * same. */
int pipeline__run(struct pipeline *p, unsigned int timeout_ms)
{
	return handle_records(p, timeout_ms, boot_time_ns() + RUN_NS_MAX);
}

int pipeline__stop(struct pipeline *p, struct pipeline_error *error)
{
	int err;

	if (!p->running)
		return 0;
	p->running = false;
	err = bpf_session__disable(p->session);
	p->stopped_ns = boot_time_ns();
	if (!err)
		err = ring_reader__stop(p->reader);
	if (!err)
		err = handle_records(p, 0, UINT64_MAX);
	if (err) {
		pipeline_error_set(error, err, "cannot finish the recording: %s", strerror(-err));
		return err;
	}
	/* from here on the numbers stand: a capture and every writer tell the same */
	pipeline__stats(p, &p->final);
	p->has_final = true;
	if (!p->capture)
		return 0;
	err = capture_writer__put(p->capture, CAPTURE_STATS, &p->final, sizeof(p->final));
	if (!err)
		err = capture_writer__finish(p->capture);
	if (err)
		pipeline_error_set(error, err, "cannot write the capture: %s", strerror(-err));
	return err;
}

struct profile *pipeline__profile(struct pipeline *p)
{
	return sample_counter__profile(p->counter);
}

bool pipeline__targets_gone(const struct pipeline *p)
{
	return process_follower__all_gone(p->follower);
}

/* --- numbers --- */

/* The time below which a share of the runs stayed, interpolated in its bucket. */
static uint64_t run_ns_quantile(const struct bpf_session_stats *b, double share)
{
	uint64_t total = 0, seen = 0;

	for (int i = 0; i < RUN_NS_BUCKETS; i++)
		total += b->run_ns[i];
	for (int i = 0; i < RUN_NS_BUCKETS - 1; i++) {
		uint64_t low = run_ns_bucket_start(i), high = run_ns_bucket_start(i + 1);

		if (b->run_ns[i] && seen + b->run_ns[i] >= share * total)
			return low + (high - low) * ((share * total - seen) / b->run_ns[i]);
		seen += b->run_ns[i];
	}
	return 0;
}

static void sampler_stats(struct pipeline *p, struct run_stats *stats)
{
	struct bpf_session_stats b;

	if (bpf_session__stats(p->session, &b))
		return;
	stats->run = b.outcome[RUN_TOTAL];
	stats->filtered = b.outcome[RUN_FILTERED];
	stats->idle = b.outcome[RUN_IDLE];
	stats->written = b.outcome[RUN_WRITTEN];
	stats->lost_ring_full = b.outcome[RUN_RING_FULL];
	stats->lost_no_scratch = b.outcome[RUN_NO_SCRATCH];
	stats->expected_known = strcmp(bpf_session__event(p->session), "cpu-clock") == 0;
	stats->expected = (double)b.enabled_ns * stats->hz / 1e9;
	stats->map_bytes = b.map_bytes;
	if (stats->written) {
		stats->bpf_ns_mean = (double)b.written_ns / stats->written;
		stats->bpf_ns_p50 = run_ns_quantile(&b, 0.5);
		stats->bpf_ns_p99 = run_ns_quantile(&b, 0.99);
	}
}

/* The worker is part of what mixprof costs. Gone or restarted: what is left of it counts. */
static void add_worker_cost(struct pipeline *p, struct run_stats *stats)
{
	pid_t pid = symbol_worker__pid(p->worker);
	_cleanup_fclose_ FILE *status = NULL;
	struct timespec cpu;
	char path[64], line[128];
	unsigned long long kilobytes;
	clockid_t clock;

	if (pid <= 0)
		return;
	if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &cpu) == 0)
		stats->cpu_seconds += cpu.tv_sec + cpu.tv_nsec / 1e9;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1)
			stats->rss_peak_bytes += kilobytes * 1024;
}

static void daemon_stats(struct pipeline *p, struct run_stats *stats)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	stats->cpu_seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
			     (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	stats->rss_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
	add_worker_cost(p, stats);
	stats->first_sample_ms =
		p->first_sample_ns ? (int64_t)(p->first_sample_ns - p->created_ns) / 1000000 : -1;
}

void pipeline__stats(struct pipeline *p, struct run_stats *ret_stats)
{
	struct run_stats stats = {0};
	struct ring_reader_stats reader;
	struct utsname name;
	uint64_t end = p->running ? boot_time_ns() : p->stopped_ns;

	if (p->has_final) {
		*ret_stats = p->final;
		return;
	}
	uname(&name);
	snprintf(stats.kernel, sizeof(stats.kernel), "%.64s", name.release);
	snprintf(stats.arch, sizeof(stats.arch), "%.15s", name.machine);
	snprintf(stats.event, sizeof(stats.event), "%s", bpf_session__event(p->session));
	stats.hz = bpf_session__hz(p->session);
	stats.seconds = p->started_ns ? (end - p->started_ns) / 1e9 : 0;
	sampler_stats(p, &stats);
	ring_reader__stats(p->reader, &reader);
	stats.lost_queue_full = reader.dropped_records;
	stats.lost_malformed = p->malformed;
	sample_counter__stats(p->counter, &stats);
	daemon_stats(p, &stats);
	*ret_stats = stats;
}
