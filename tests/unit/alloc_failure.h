/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out at will. A test that includes this is linked with --wrap for
 * each function below (the Makefile has the list): calls from the test and from
 * libmixprof.a come here, those inside of libraries do not. sweep() lets the first,
 * the second, ... allocation of a scenario fail until it meets none that it could.
 * Definitions, not declarations: a test is one file and includes this once.
 */
#ifndef MIXPROF_TESTS_UNIT_ALLOC_FAILURE_H
#define MIXPROF_TESTS_UNIT_ALLOC_FAILURE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#define ALLOC_LIVE_SLOTS (1u << 15)
#define ALLOC_REMOVED ((const void *)1)

/* volatile: a compiler knows that malloc() looks at no variable of ours */
static struct {
	volatile unsigned int fail_at; /* counts down to the one that fails; 0: none does */
	volatile bool hit;	       /* one has failed */
	volatile bool reported;	       /* and attempt() has seen -ENOMEM */
	volatile bool retries;	       /* what failed is tried once more, with memory there again */
	volatile bool is_tracking;
	volatile size_t live_count;
	const void *live[ALLOC_LIVE_SLOTS]; /* ours, not freed yet: open addressing */
} alloc_failure;

static bool alloc_fails(void)
{
	if (alloc_failure.fail_at == 0)
		return false;
	alloc_failure.fail_at--;
	if (alloc_failure.fail_at > 0)
		return false;
	alloc_failure.hit = true;
	errno = ENOMEM;
	return true;
}

static size_t alloc_slot(const void *p)
{
	return ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 49;
}

static void *alloc_track(void *p)
{
	size_t slot = alloc_slot(p);

	if (!p || !alloc_failure.is_tracking)
		return p;
	if (alloc_failure.live_count == ALLOC_LIVE_SLOTS / 2)
		abort();
	while ((uintptr_t)alloc_failure.live[slot] > (uintptr_t)ALLOC_REMOVED)
		slot = (slot + 1) % ALLOC_LIVE_SLOTS;
	alloc_failure.live[slot] = p;
	alloc_failure.live_count++;
	return p;
}

static void alloc_untrack(const void *p)
{
	size_t slot = alloc_slot(p);

	if (!p || !alloc_failure.is_tracking)
		return;
	for (size_t i = 0; i < ALLOC_LIVE_SLOTS && alloc_failure.live[slot]; i++) {
		if (alloc_failure.live[slot] == p) {
			alloc_failure.live[slot] = ALLOC_REMOVED;
			alloc_failure.live_count--;
			return;
		}
		slot = (slot + 1) % ALLOC_LIVE_SLOTS;
	}
}

/* --- what --wrap puts in place --- */

#define ALLOC_WRAP(type, name, parameters, arguments)                                              \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return alloc_fails() ? NULL : alloc_track(__real_##name arguments);                \
	}

ALLOC_WRAP(void *, malloc, (size_t size), (size))
ALLOC_WRAP(void *, calloc, (size_t count, size_t size), (count, size))
ALLOC_WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
ALLOC_WRAP(char *, strdup, (const char *s), (s))
ALLOC_WRAP(char *, strndup, (const char *s, size_t size), (s, size))

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	alloc_untrack(p);
	__real_free(p);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	if (alloc_fails())
		return NULL;
	alloc_untrack(p);
	return alloc_track(__real_realloc(p, size));
}

void *__real_reallocarray(void *p, size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	if (alloc_fails())
		return NULL;
	alloc_untrack(p);
	return alloc_track(__real_reallocarray(p, count, size));
}

int __wrap_asprintf(char **ret_text, const char *format, ...);
int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list arguments;
	int length;

	if (alloc_fails())
		return -1;
	va_start(arguments, format);
	length = vasprintf(ret_text, format, arguments);
	va_end(arguments);
	if (length >= 0)
		alloc_track(*ret_text);
	return length;
}

/* Its memory is libc's until the stream is closed: not tracked, LeakSanitizer sees it. */
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size)
{
	return alloc_fails() ? NULL : __real_open_memstream(text, size);
}

#define ALLOC_WRAP_ZSTD(type, name, parameters, arguments, failure)                                \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return alloc_fails() ? (failure) : __real_##name arguments;                        \
	}

/* zstd's error codes are sizes: the largest ones */
#define ALLOC_ZSTD_ERROR ((size_t)-ZSTD_error_memory_allocation)

ALLOC_WRAP_ZSTD(ZSTD_CCtx *, ZSTD_createCCtx, (void), (), NULL)
ALLOC_WRAP_ZSTD(ZSTD_DCtx *, ZSTD_createDCtx, (void), (), NULL)
ALLOC_WRAP_ZSTD(size_t, ZSTD_compressStream2,
		(ZSTD_CCtx * c, ZSTD_outBuffer *out, ZSTD_inBuffer *in, ZSTD_EndDirective end),
		(c, out, in, end), ALLOC_ZSTD_ERROR)
ALLOC_WRAP_ZSTD(size_t, ZSTD_decompressStream,
		(ZSTD_DCtx * d, ZSTD_outBuffer *out, ZSTD_inBuffer *in), (d, out, in),
		ALLOC_ZSTD_ERROR)

/* --- the sweep --- */

static void alloc_failure_begin(unsigned int fail_at, bool retries)
{
	memset(alloc_failure.live, 0, sizeof(alloc_failure.live));
	alloc_failure.live_count = 0;
	alloc_failure.hit = false;
	alloc_failure.reported = false;
	alloc_failure.retries = retries;
	alloc_failure.fail_at = fail_at;
	alloc_failure.is_tracking = true;
}

static void alloc_failure_end(void)
{
	alloc_failure.fail_at = 0;
	alloc_failure.is_tracking = false;
}

/* For a scenario's calls of what is under test: their result, or that of the second try. */
#define attempt(call)                                                                              \
	({                                                                                         \
		int result_ = (call);                                                              \
                                                                                                   \
		if (result_ == -ENOMEM) {                                                          \
			alloc_failure.reported = true;                                             \
			if (alloc_failure.retries)                                                 \
				result_ = (call);                                                  \
		}                                                                                  \
		result_;                                                                           \
	})

/* The same for functions that return NULL when memory runs out. */
#define attempt_pointer(call)                                                                      \
	({                                                                                         \
		__auto_type pointer_ = (call);                                                     \
                                                                                                   \
		if (!pointer_) {                                                                   \
			alloc_failure.reported = true;                                             \
			if (alloc_failure.retries)                                                 \
				pointer_ = (call);                                                 \
		}                                                                                  \
		pointer_;                                                                          \
	})

enum sweep_flag {
	SWEEP_FINAL = 1 << 0, /* a failure is for good: nothing is tried again */
	SWEEP_SPARE = 1 << 1, /* some of the memory is only nice to have */
};

/* One run in which allocation n fails. False: there was none. */
static bool sweep_once(int (*scenario)(void), unsigned int n, bool retries, unsigned int flags)
{
	int err;

	alloc_failure_begin(n, retries);
	err = scenario();
	alloc_failure_end();
	if (alloc_failure.live_count)
		fail_msg("allocation %u fails: %zu others leak", n, alloc_failure.live_count);
	if (alloc_failure.hit && !alloc_failure.reported && !(flags & SWEEP_SPARE))
		fail_msg("allocation %u fails, and nobody says so", n);
	if (err != (alloc_failure.reported && !retries ? -ENOMEM : 0))
		fail_msg("allocation %u fails: %s%d", n, retries ? "in spite of memory " : "", err);
	return alloc_failure.hit;
}

/*
 * The scenario creates, uses, checks and frees; it returns 0, or the -ENOMEM that attempt()
 * gave it. It runs twice for each of its allocations: ending where that one fails, and going
 * on, when all must be as if nothing had happened. `step` 0: each; else every step-th after
 * the first 100. The number of allocations.
 */
static unsigned int sweep_stepping(int (*scenario)(void), unsigned int flags, unsigned int step)
{
	unsigned int n = 1;

	for (int retries = 0; retries < (flags & SWEEP_FINAL ? 1 : 2); retries++) {
		n = 1;
		while (sweep_once(scenario, n, retries, flags))
			n += n < 100 || !step ? 1 : step;
	}
	assert_true(n > 1);
	return n - 1;
}

static inline unsigned int sweep(int (*scenario)(void), unsigned int flags)
{
	return sweep_stepping(scenario, flags, 0);
}

#endif
