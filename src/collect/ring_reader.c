/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one thread that drains every CPU's BPF ring buffer into a record_queue.
 * The sampler asks for few wakeups, so the thread also drains every interval_ms.
 * It takes every signal as blocked, allocates nothing and opens nothing: what it
 * does per record is one copy.
 *
 * Two eventfds: `stop_fd` ends the thread; `ready_fd` is readable while records
 * are queued. The consumer clears ready_fd only when it saw an empty queue, and
 * sets it again if a record arrived meanwhile, so no wakeup is lost.
 */
#include "collect/ring_reader.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "collect/record_queue.h"

struct ring_context { /* one per ring: libbpf's callback is not told which ring it serves */
	struct ring_reader *reader;
	uint32_t ring;
};

struct ring_reader {
	struct record_queue *queue;
	struct ring_buffer *rings;
	struct ring_context *contexts;
	int stop_fd;
	int ready_fd;
	unsigned int interval_ms;
	bool thread_started;
	pthread_t thread;
	_Atomic int thread_error;
	_Atomic uint64_t records, bytes, dropped_records, queue_peak_bytes, drains;
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static int take_record(void *ctx, void *data, size_t size)
{
	struct ring_context *context = ctx;
	struct ring_reader *reader = context->reader;
	uint64_t used;

	if (size > UINT32_MAX ||
	    !record_queue__push(reader->queue, context->ring, data, (uint32_t)size)) {
		count(&reader->dropped_records, 1);
		return 0;
	}
	count(&reader->records, 1);
	count(&reader->bytes, size);
	used = record_queue__used_bytes(reader->queue);
	if (used > atomic_load_explicit(&reader->queue_peak_bytes, memory_order_relaxed))
		atomic_store_explicit(&reader->queue_peak_bytes, used, memory_order_relaxed);
	return 0;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: the counter is at its maximum, which is readable, too */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void clear_fd(int fd)
{
	uint64_t value;

	while (read(fd, &value, sizeof(value)) < 0 && errno == EINTR)
		;
}

static int drain(struct ring_reader *reader)
{
	int taken = ring_buffer__consume(reader->rings);

	count(&reader->drains, 1);
	if (taken > 0)
		signal_fd(reader->ready_fd);
	return taken < 0 ? taken : 0;
}

static void *drain_thread(void *arg)
{
	struct ring_reader *reader = arg;
	struct pollfd fds[2] = {
		{.fd = reader->stop_fd, .events = POLLIN},
		{.fd = ring_buffer__epoll_fd(reader->rings), .events = POLLIN},
	};
	int err = 0;

	while (err == 0 && !(fds[0].revents & POLLIN)) {
		if (poll(fds, 2, (int)reader->interval_ms) < 0 && errno != EINTR)
			err = -errno;
		else
			err = drain(reader); /* after a stop: the last one */
	}
	atomic_store(&reader->thread_error, err);
	return NULL;
}

static int start_thread(struct ring_reader *reader)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&reader->thread, NULL, drain_thread, reader);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return err;
	reader->thread_started = true;
	pthread_setname_np(reader->thread, "mixprof-rings");
	return 0;
}

static int open_rings(struct ring_reader *reader, const int *ring_fds, size_t ring_count)
{
	reader->contexts = calloc(ring_count, sizeof(*reader->contexts));
	if (!reader->contexts)
		return -ENOMEM;
	for (size_t i = 0; i < ring_count; i++) {
		struct ring_context *context = &reader->contexts[i];
		int err = 0;

		context->reader = reader;
		context->ring = (uint32_t)i;
		if (i > 0) {
			err = ring_buffer__add(reader->rings, ring_fds[i], take_record, context);
		} else {
			reader->rings = ring_buffer__new(ring_fds[0], take_record, context, NULL);
			if (!reader->rings)
				err = -errno;
		}
		if (err)
			return err;
	}
	return 0;
}

int ring_reader__new(const int *ring_fds, size_t ring_count, size_t queue_bytes,
		     unsigned int interval_ms, struct ring_reader **ret_reader)
{
	_cleanup_(ring_reader__freep) struct ring_reader *reader = NULL;
	int err;

	if (ring_count == 0 || ring_count > UINT32_MAX || interval_ms == 0 || interval_ms > 60000)
		return -EINVAL;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->interval_ms = interval_ms;
	reader->ready_fd = -1;
	reader->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reader->stop_fd < 0)
		return -errno;
	reader->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reader->ready_fd < 0)
		return -errno;
	err = record_queue__new(queue_bytes, &reader->queue);
	if (err)
		return err;
	err = open_rings(reader, ring_fds, ring_count);
	if (err)
		return err;
	err = start_thread(reader);
	if (err)
		return err;
	*ret_reader = take_ptr(reader);
	return 0;
}

int ring_reader__stop(struct ring_reader *reader)
{
	int err;

	if (!reader->thread_started)
		return atomic_load(&reader->thread_error);
	signal_fd(reader->stop_fd);
	err = -pthread_join(reader->thread, NULL);
	if (err)
		return err;
	reader->thread_started = false;
	return atomic_load(&reader->thread_error);
}

void ring_reader__free(struct ring_reader *reader)
{
	if (!reader)
		return;
	ring_reader__stop(reader);
	ring_buffer__free(reader->rings);
	free(reader->contexts);
	record_queue__free(reader->queue);
	if (reader->stop_fd >= 0)
		close(reader->stop_fd);
	if (reader->ready_fd >= 0)
		close(reader->ready_fd);
	free(reader);
}

static bool take_queued(struct ring_reader *reader, struct ring_record *ret_record)
{
	struct ring_record record;

	if (!record_queue__next(reader->queue, &record.ring, &record.size, &record.data))
		return false;
	*ret_record = record;
	return true;
}

int ring_reader__next(struct ring_reader *reader, unsigned int timeout_ms,
		      struct ring_record *ret_record)
{
	struct pollfd ready = {.fd = reader->ready_fd, .events = POLLIN};

	if (take_queued(reader, ret_record))
		return 1;
	clear_fd(reader->ready_fd);
	if (record_queue__has_next(reader->queue)) {
		signal_fd(reader->ready_fd);
		return take_queued(reader, ret_record);
	}
	if (timeout_ms == 0)
		return 0;
	/* a signal ends the wait early: the caller may have to act on it */
	poll(&ready, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
	return take_queued(reader, ret_record);
}

int ring_reader__fd(const struct ring_reader *reader)
{
	return reader->ready_fd;
}

void ring_reader__stats(struct ring_reader *reader, struct ring_reader_stats *ret_stats)
{
	*ret_stats = (struct ring_reader_stats){
		.records = atomic_load_explicit(&reader->records, memory_order_relaxed),
		.bytes = atomic_load_explicit(&reader->bytes, memory_order_relaxed),
		.dropped_records =
			atomic_load_explicit(&reader->dropped_records, memory_order_relaxed),
		.queue_peak_bytes =
			atomic_load_explicit(&reader->queue_peak_bytes, memory_order_relaxed),
		.drains = atomic_load_explicit(&reader->drains, memory_order_relaxed),
	};
}
