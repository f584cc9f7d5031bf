/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds CPython's state in a process. Takes what the file says (python_facts)
 * and where it is mapped; gives the layout and the pthread key that leads from a
 * thread to its PyThreadState.
 *
 * Nothing is believed because a table says so: interpreters and threads are
 * walked and must point back at each other, and the key is accepted only if some
 * thread's slot of it holds a thread state that names this very thread. Offsets
 * that moved between patch releases are searched for by the same proof; another
 * libc, another build or another layout fails it.
 */
#include "python/python_runtime.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/stop_reasons.h"
#include "base/cleanup.h"

#define INTERPRETERS_MAX 256
#define THREADS_MAX 4096
#define READS_MAX (1u << 16)	 /* of all attempts: a hostile process's lists lead anywhere */
#define DISCOVERY_TRIES 3	 /* the lists change while they are read */
#define TYPE_NAME_OFFSET 24	 /* PyTypeObject.tp_name, */
#define OBJECT_GROWTH 16	 /* of PyObject under Py_GIL_DISABLED or Py_TRACE_REFS */
#define TYPE_BASICSIZE_OFFSET 32 /* PyTypeObject.tp_basicsize, GIL builds of every version */
#define HEAD_SEARCH_BYTES 4096	 /* of _PyRuntime */
#define KEY_SEARCH_THREADS 16

/* glibc's struct pthread on x86-64, 2.36 to 2.43 (facts/cpython.md §1.4) */
#define PTHREAD_SPECIFIC_OFFSET 0x510
#define PTHREAD_FIRST_BLOCK_OFFSET 0x310
#define PTHREAD_KEYS_MAX 1024
#define PTHREAD_BLOCK_KEYS 32
#define PTHREAD_KEYS_SEARCHED 128

struct thread_entry {
	uint64_t tstate;
	uint64_t self; /* pthread_self */
};

struct discovery {
	const struct remote_memory *memory;
	pid_t pid;
	const struct python_layout *layout;
	uint64_t runtime;
	uint32_t reads;
	struct thread_entry threads[THREADS_MAX];
	size_t thread_count;
};

struct pthread_slot { /* glibc's struct pthread_key_data */
	uint64_t sequence;
	uint64_t data;
};

static int read_word(struct discovery *d, uint64_t address, uint64_t *ret_value)
{
	if (d->reads++ >= READS_MAX)
		return -E2BIG;
	return remote_memory_u64(d->memory, d->pid, address, ret_value);
}

/* -EBADMSG if the list is not one of this interpreter's threads. */
static int collect_interpreter(struct discovery *d, uint64_t interpreter)
{
	const struct python_layout *l = d->layout;
	uint64_t tstate, next, owner, self;
	int err;

	err = read_word(d, interpreter + l->interp_threads_head, &tstate);
	if (err)
		return err;
	for (; tstate && d->thread_count < THREADS_MAX; tstate = next) {
		if (tstate % 8)
			return -EBADMSG;
		err = read_word(d, tstate + l->walk.tstate_interp, &owner);
		if (err || owner != interpreter)
			return err ? err : -EBADMSG;
		err = read_word(d, tstate + l->walk.tstate_next, &next);
		if (!err)
			err = read_word(d, tstate + l->walk.tstate_thread_id, &self);
		if (err)
			return err;
		d->threads[d->thread_count++] = (struct thread_entry){tstate, self};
	}
	return 0;
}

static int collect_threads(struct discovery *d, uint64_t interpreter)
{
	int err = 0;

	d->thread_count = 0;
	for (int i = 0; interpreter && i < INTERPRETERS_MAX && !err; i++) {
		if (interpreter % 8)
			return -EBADMSG;
		err = collect_interpreter(d, interpreter);
		if (!err)
			err = read_word(d, interpreter + d->layout->interp_next, &interpreter);
	}
	return err;
}

/* For a _PyRuntime whose interpreters.head is not where the table says. */
static bool search_threads(struct discovery *d)
{
	uint64_t words[HEAD_SEARCH_BYTES / 8];

	if (remote_memory_read(d->memory, d->pid, d->runtime, words, sizeof(words)))
		return false;
	for (size_t i = 0; i < HEAD_SEARCH_BYTES / 8; i++) {
		if (words[i] && collect_threads(d, words[i]) == 0 && d->thread_count > 0)
			return true;
	}
	d->thread_count = 0;
	return false;
}

static bool is_tstate_of(struct discovery *d, uint64_t tstate, uint64_t self)
{
	for (size_t i = 0; tstate && i < d->thread_count; i++) {
		if (d->threads[i].tstate == tstate && d->threads[i].self == self)
			return true;
	}
	return false;
}

/* One block of pthread_getspecific slots. False where the thread has none. */
static bool read_key_block(struct discovery *d, uint64_t self, uint32_t block,
			   struct pthread_slot slots[static PTHREAD_BLOCK_KEYS])
{
	uint64_t address = self + PTHREAD_FIRST_BLOCK_OFFSET;

	if (self == 0 || self % 8)
		return false;
	if (block &&
	    (read_word(d, self + PTHREAD_SPECIFIC_OFFSET + 8ULL * block, &address) || address == 0))
		return false;
	return remote_memory_read(d->memory, d->pid, address, slots,
				  PTHREAD_BLOCK_KEYS * sizeof(slots[0])) == 0;
}

static bool is_key_proven(struct discovery *d, uint32_t key)
{
	struct pthread_slot slots[PTHREAD_BLOCK_KEYS];

	for (size_t i = 0; i < d->thread_count; i++) {
		uint64_t self = d->threads[i].self;

		if (read_key_block(d, self, key / PTHREAD_BLOCK_KEYS, slots) &&
		    is_tstate_of(d, slots[key % PTHREAD_BLOCK_KEYS].data, self))
			return true;
	}
	return false;
}

static bool search_key(struct discovery *d, uint32_t *ret_key)
{
	struct pthread_slot slots[PTHREAD_BLOCK_KEYS];
	size_t threads =
		d->thread_count < KEY_SEARCH_THREADS ? d->thread_count : KEY_SEARCH_THREADS;

	for (size_t i = 0; i < threads; i++) {
		uint64_t self = d->threads[i].self;

		for (uint32_t key = 0; key < PTHREAD_KEYS_SEARCHED; key++) {
			if (key % PTHREAD_BLOCK_KEYS == 0 &&
			    !read_key_block(d, self, key / PTHREAD_BLOCK_KEYS, slots)) {
				key += PTHREAD_BLOCK_KEYS - 1;
				continue;
			}
			if (is_tstate_of(d, slots[key % PTHREAD_BLOCK_KEYS].data, self)) {
				*ret_key = key;
				return true;
			}
		}
	}
	return false;
}

static bool find_key(struct discovery *d, uint32_t *ret_key)
{
	struct {
		uint32_t is_initialized;
		uint32_t key;
	} tss;

	if (d->layout->runtime_autotss_key != UINT32_MAX &&
	    remote_memory_read(d->memory, d->pid, d->runtime + d->layout->runtime_autotss_key, &tss,
			       sizeof(tss)) == 0 &&
	    tss.is_initialized == 1 && tss.key < PTHREAD_KEYS_MAX && is_key_proven(d, tss.key)) {
		*ret_key = tss.key;
		return true;
	}
	return search_key(d, ret_key);
}

/* Does any thread run Python code? Before that, start-up may not have bound the key yet. */
static bool is_running(struct discovery *d)
{
	const struct py_layout *walk = &d->layout->walk;

	for (size_t i = 0; i < d->thread_count; i++) {
		uint64_t frame = 0;
		int err = read_word(d, d->threads[i].tstate + walk->tstate_frame, &frame);

		if (!err && frame && walk->chain != PY_CHAIN_SHIM)
			err = read_word(d, frame + walk->cframe_current_frame, &frame);
		if (!err && frame)
			return true;
	}
	return false;
}

/* Also set while the interpreter shuts down. */
static bool is_finalizing(struct discovery *d)
{
	uint64_t finalizing = 0;

	return d->layout->runtime_finalizing != UINT32_MAX &&
	       read_word(d, d->runtime + d->layout->runtime_finalizing, &finalizing) == 0 &&
	       finalizing != 0;
}

static void set_tstate_current(struct discovery *d, struct py_process *config)
{
	uint64_t address, value;

	if (d->layout->runtime_tstate_current == UINT32_MAX)
		return;
	address = d->runtime + d->layout->runtime_tstate_current;
	if (read_word(d, address, &value))
		return;
	for (size_t i = 0; value && i < d->thread_count; i++) {
		if (d->threads[i].tstate == value)
			value = 0;
	}
	if (value == 0) /* nobody holds the GIL, or a thread state that we know */
		config->tstate_current = address;
}

/* One attempt. 0, -EAGAIN, -EOPNOTSUPP if nothing could be proven, or the read's error. */
static int discover_once(struct discovery *d, struct py_process *config)
{
	uint64_t head;
	bool moved = false;
	int err;

	err = read_word(d, d->runtime + d->layout->runtime_interpreters_head, &head);
	if (err)
		return err;
	if (head == 0 || is_finalizing(d))
		return -EAGAIN;
	err = collect_threads(d, head);
	if (err == -ESRCH)
		return err;
	if (err) {
		moved = true;
		if (!search_threads(d))
			return -EOPNOTSUPP;
	}
	if (d->thread_count == 0)
		return -EAGAIN;
	if (!find_key(d, &config->pthread_key))
		return is_running(d) ? -EOPNOTSUPP : -EAGAIN;
	config->source = PY_TSTATE_PTHREAD_KEY;
	config->specific_offset = PTHREAD_SPECIFIC_OFFSET;
	config->specific_first = PTHREAD_FIRST_BLOCK_OFFSET;
	if (!moved)
		set_tstate_current(d, config);
	return 0;
}

/* Does a word at the address point to the name of PyCode_Type? */
static bool is_code_type_name(struct discovery *d, uint64_t address)
{
	char name[sizeof("code")];
	uint64_t pointer;

	return read_word(d, address, &pointer) == 0 &&
	       remote_memory_read(d->memory, d->pid, pointer, name, sizeof(name)) == 0 &&
	       memcmp(name, "code", sizeof(name)) == 0;
}

/*
 * PyCode_Type tells a build whose structures differ (Py_GIL_DISABLED, Py_TRACE_REFS) by its
 * tp_basicsize. Until the dynamic linker has mapped and relocated the file's data, other bytes
 * or none are there: tp_name tells that.
 */
static int check_code_type(struct discovery *d, uint64_t code_type)
{
	uint64_t basicsize;
	int err;

	if (!code_type || !d->layout->type_basicsize)
		return 0;
	if (!is_code_type_name(d, code_type + TYPE_NAME_OFFSET))
		return is_code_type_name(d, code_type + TYPE_NAME_OFFSET + OBJECT_GROWTH)
			       ? -EOPNOTSUPP
			       : -EAGAIN;
	err = read_word(d, code_type + TYPE_BASICSIZE_OFFSET, &basicsize);
	if (err)
		return err;
	return basicsize == d->layout->type_basicsize ? 0 : -EOPNOTSUPP;
}

static int discover_state(const struct remote_memory *memory, pid_t pid, struct python_runtime *r)
{
	_cleanup_free_ struct discovery *d = malloc(sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	*d = (struct discovery){
		.memory = memory, .pid = pid, .layout = &r->layout, .runtime = r->config.runtime};
	err = check_code_type(d, r->config.code_type);
	if (err)
		return err;
	for (int tries = 0; tries < DISCOVERY_TRIES; tries++) {
		err = discover_once(d, &r->config);
		if (err != -EOPNOTSUPP)
			break;
	}
	return err == -E2BIG ? -EOPNOTSUPP : err;
}

/* Versions that do not say what they are: by the size of _PyRuntime (facts/cpython.md §7). */
static uint32_t version_by_runtime_size(uint64_t size)
{
	switch (size) {
	case 1520:
		return 0x03070000;
	case 1464:
		return 0x03080000;
	case 656:
		return 0x03090000;
	case 672:
		return 0x030a0000;
	}
	return 0;
}

/* PY_VERSION_HEX: major, minor, micro, release level and serial; 0 in the last two: not known. */
static void format_version(uint32_t hex, char *text, size_t size)
{
	static const char *const levels[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
	const char *level = levels[hex >> 4 & 15];
	int length;

	if (hex == 0)
		return;
	length = snprintf(text, size, "%u.%u", hex >> 24, hex >> 16 & 255);
	if (hex & 0xffff)
		length += snprintf(text + length, size - (size_t)length, ".%u", hex >> 8 & 255);
	if (level)
		snprintf(text + length, size - (size_t)length, "%s%u", level, hex & 15);
}

static int find_layout(const struct python_facts *facts, struct python_runtime *r)
{
	const struct python_layout *table;

	if (facts->debug_offsets_size) {
		size_t size = facts->debug_offsets_size < PYTHON_DEBUG_OFFSETS_MAX
				      ? facts->debug_offsets_size
				      : PYTHON_DEBUG_OFFSETS_MAX;

		return python_layout_from_debug_offsets(facts->debug_offsets, size, &r->layout);
	}
	table = python_layout_find(r->version_hex);
	if (!table)
		return -EOPNOTSUPP;
	r->layout = *table;
	return 0;
}

static uint16_t stop_of(int err)
{
	switch (err) {
	case 0:
		return STOP_NONE;
	case -EAGAIN:
		return STOP_PY_NOT_INITIALIZED;
	case -EOPNOTSUPP:
		return STOP_PY_UNSUPPORTED;
	}
	return STOP_PY_STATE_UNREADABLE;
}

int python_runtime_discover(const struct remote_memory *memory, pid_t pid,
			    const struct python_facts *facts, uint64_t bias,
			    struct python_runtime *ret_runtime)
{
	struct python_runtime r = {.version_hex = facts->version};
	int err;

	if (facts->eval_range_count == 0) {
		r.config.stop = STOP_PY_NOT_PYTHON;
		*ret_runtime = r;
		return -EOPNOTSUPP;
	}
	if (!r.version_hex)
		r.version_hex = version_by_runtime_size(facts->runtime_size);
	format_version(r.version_hex, r.version, sizeof(r.version));
	r.config.eval_entry = facts->eval_entry + bias;
	err = facts->runtime ? find_layout(facts, &r) : -EOPNOTSUPP;
	if (err == -EBADMSG)
		err = -EOPNOTSUPP; /* a table we cannot make sense of */
	if (!err) {
		r.config.runtime = facts->runtime + bias;
		r.config.code_type = facts->code_type ? facts->code_type + bias : 0;
		err = discover_state(memory, pid, &r);
	}
	r.config.stop = stop_of(err);
	*ret_runtime = r;
	return err;
}
