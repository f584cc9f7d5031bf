// SPDX-License-Identifier: Apache-2.0
/*
 * Turns the frames of one merged stack into profile frames. Native addresses that
 * are new are asked for in one request per object and sample; a return address is
 * looked up at address - 1, inside its call. Code objects are verified once per
 * epoch, 100 ms of sample time, so that replay meets the same epochs as the
 * recording did.
 */
#include "resolve/frame_resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/process_abi.h"
#include "base/cleanup.h"
#include "base/hash_map.h"
#include "base/sanitize.h"
#include "profile/intern.h"
#include "resolve/code_cache.h"

#define EPOCH_NS 100000000ull
#define NAMES_PER_REQUEST 256
#define LABEL_MAX 320
#define NAME_BYTES_MAX 1100 /* what arrives is cut at 1,024, and "..." */

struct native_key {
	uint64_t vaddr; /* looked up */
	uint32_t object;
	uint32_t flags; /* how the frame shows: kind and flags of profile_frame */
};

struct python_key {
	uint64_t code;
	uint64_t instr;
	uint32_t process;
	uint32_t version;
};

struct frame_resolver {
	const struct name_source *source;
	struct profile *profile;
	struct code_cache *codes;
	struct hash_map *native, *python, *kernel; /* -> frame id */
	uint64_t epoch_start_ns;
	uint32_t epoch;
	uint32_t *ids; /* of the stack under way, leaf first, then turned round */
	size_t capacity;
	uint64_t stops[STOP_REASON_MAX];
};

int frame_resolver__new(const struct name_source *source, struct profile *profile,
			struct frame_resolver **ret_resolver)
{
	_cleanup_(frame_resolver__freep) struct frame_resolver *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->source = source;
	r->profile = profile;
	err = code_cache__new(&source->memory, &r->codes);
	if (!err)
		err = hash_map__new(sizeof(struct native_key), &r->native);
	if (!err)
		err = hash_map__new(sizeof(struct python_key), &r->python);
	if (!err)
		err = hash_map__new(sizeof(uint64_t), &r->kernel);
	if (err)
		return err;
	*ret_resolver = take_ptr(r);
	return 0;
}

void frame_resolver__free(struct frame_resolver *r)
{
	if (!r)
		return;
	code_cache__free(r->codes);
	hash_map__free(r->native);
	hash_map__free(r->python);
	hash_map__free(r->kernel);
	free(r->ids);
	free(r);
}

const uint64_t *frame_resolver__stops(const struct frame_resolver *r)
{
	return r->stops;
}

/* Names and paths come from files, memory and captures: cleaned here, once, whatever their way. */
static int intern_clean(struct frame_resolver *r, const char *text, uint32_t *ret_id)
{
	_cleanup_free_ char *clean = sanitize_name(text, strlen(text), NAME_BYTES_MAX);

	if (!clean)
		return -ENOMEM;
	return string_table__intern(profile__strings(r->profile), clean, strlen(clean), ret_id);
}

static int add_frame(struct frame_resolver *r, uint8_t kind, uint8_t flags, const char *name,
		     const char *file, int32_t line, uint32_t *ret_id)
{
	struct profile_frame frame = {.kind = kind, .flags = flags, .line = line};
	int err = intern_clean(r, name, &frame.name);

	if (!err)
		err = intern_clean(r, file, &frame.file);
	return err ? err : profile__add_frame(r->profile, &frame, ret_id);
}

static int kernel_frame(struct frame_resolver *r, uint64_t address, uint32_t *ret_id)
{
	const char *name, *module = "";
	char label[LABEL_MAX];
	uint8_t flags = 0;
	uint64_t value;
	int err;

	if (hash_map__find(r->kernel, &address, &value)) {
		*ret_id = value;
		return 0;
	}
	name = r->source->kernel_name(r->source->context, address, &module);
	if (!name) {
		snprintf(label, sizeof(label), "kernel+0x%llx", (unsigned long long)address);
		name = label;
		module = "";
		flags = FRAME_UNNAMED;
	}
	err = add_frame(r, FRAME_KERNEL, flags, name, module, 0, ret_id);
	return err ? err : hash_map__set(r->kernel, &address, *ret_id);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct native_place { /* where a native frame is to be looked up */
	const struct view_mapping *mapping;
	uint64_t address;
	struct native_key key;
};

/*
 * What an address is called that no symbol covers: its function's place in the file, so that a
 * stripped function is one frame; where even that is not known, its own.
 */
static void unnamed_label(const struct process_view *view, const struct native_place *place,
			  uint64_t start, char label[static LABEL_MAX])
{
	const struct view_mapping *mapping = place->mapping;
	uint64_t offset;

	if (!mapping) {
		snprintf(label, LABEL_MAX, "[unknown]");
		return;
	}
	if (*process_view_path(view, mapping) == '\0') {
		snprintf(label, LABEL_MAX, "[anonymous]"); /* its addresses differ in each run */
		return;
	}
	offset = place->address - mapping->start + mapping->offset;
	if (start && place->key.vaddr - start <= offset)
		offset -= place->key.vaddr - start;
	snprintf(label, LABEL_MAX, "%.256s+0x%llx", base_name(process_view_path(view, mapping)),
		 (unsigned long long)offset);
}

static void place_native(const struct process_view *view, const struct native_frame *frame,
			 bool has_segment, struct native_place *place)
{
	uint32_t kind = FRAME_NATIVE, flags = has_segment ? FRAME_EVAL : 0;

	memset(place, 0, sizeof(*place));
	place->address = frame->exact_pc ? frame->pc : frame->pc - 1;
	place->mapping = view ? process_view_find(view, place->address) : NULL;
	if (place->mapping && place->mapping->flags & MAPPING_INTERPRETER)
		kind = FRAME_INTERPRETER;
	place->key.flags = kind | flags << 8;
	place->key.vaddr = place->address;
	if (place->mapping && place->mapping->object) {
		place->key.object = place->mapping->object;
		place->key.vaddr = place->address - place->mapping->bias;
	}
}

/* Frames without an object differ by process: they are not cached. */
static int native_frame_id(struct frame_resolver *r, const struct process_view *view,
			   const struct native_place *place, const char *name, uint64_t start,
			   uint32_t *ret_id)
{
	const char *file = place->mapping ? process_view_path(view, place->mapping) : "";
	uint8_t flags = place->key.flags >> 8;
	char label[LABEL_MAX];
	int err;

	if (!name) {
		unnamed_label(view, place, start, label);
		name = label;
		flags |= FRAME_UNNAMED;
	} else if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, "@plt") == 0) {
		flags |= FRAME_PLT;
	}
	err = add_frame(r, place->key.flags & 0xff, flags, name, file, 0, ret_id);
	if (err || !place->key.object)
		return err;
	return hash_map__set(r->native, &place->key, *ret_id);
}

/* Recursion: the same address again and again. */
static bool is_asked(const struct native_place *places, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(&places[i].key, &places[count].key, sizeof(places[i].key)) == 0)
			return true;
	return false;
}

/* One request for all addresses of one object that are not known yet, starting at frame `from`. */
static int ask_object(struct frame_resolver *r, const struct sample *sample,
		      const struct merged_stack *merged, const struct process_view *view,
		      size_t from, uint32_t object)
{
	struct native_place places[NAMES_PER_REQUEST];
	uint64_t vaddrs[NAMES_PER_REQUEST] = {0}, value;
	uint64_t starts[NAMES_PER_REQUEST] = {0};
	char *names[NAMES_PER_REQUEST] = {0};
	size_t count = 0;
	uint32_t id;
	int err, failed;

	for (size_t i = from; i < merged->count && count < NAMES_PER_REQUEST; i++) {
		const struct merged_frame *frame = &merged->frames[i];

		if (frame->kind != MERGED_NATIVE)
			continue;
		place_native(view, &sample->native[frame->index], frame->has_segment,
			     &places[count]);
		if (places[count].key.object != object ||
		    hash_map__find(r->native, &places[count].key, &value) ||
		    is_asked(places, count))
			continue;
		vaddrs[count] = places[count].key.vaddr;
		count++;
	}
	err = r->source->native_names(r->source->context, object, vaddrs, count, names, starts);
	failed = err == -ENOMEM ? err : 0;
	for (size_t i = 0; i < count; i++) {
		/* no answer: the address keeps its number; a finding about the file, not an error
		 */
		if (!failed)
			failed = native_frame_id(r, view, &places[i], err ? NULL : names[i],
						 starts[i], &id);
		free(names[i]);
	}
	return failed;
}

static int native_frame(struct frame_resolver *r, const struct sample *sample,
			const struct merged_stack *merged, const struct process_view *view,
			size_t position, uint32_t *ret_id)
{
	const struct merged_frame *frame = &merged->frames[position];
	struct native_place place;
	uint64_t value;
	int err;

	place_native(view, &sample->native[frame->index], frame->has_segment, &place);
	if (!place.key.object)
		return native_frame_id(r, view, &place, NULL, 0, ret_id);
	if (!hash_map__find(r->native, &place.key, &value)) {
		err = ask_object(r, sample, merged, view, position, place.key.object);
		if (err)
			return err;
		if (!hash_map__find(r->native, &place.key, &value))
			return -ENOMEM;
	}
	*ret_id = value;
	return 0;
}

static int unreadable_code(struct frame_resolver *r, int error, uint32_t *ret_id)
{
	r->stops[error == -EBADMSG ? STOP_NAME_BAD_CODE : STOP_NAME_CODE_UNREADABLE]++;
	return add_frame(r, FRAME_PYTHON, FRAME_UNNAMED, "[unreadable]", "", 0, ret_id);
}

/* 1: the frame is not shown (the helper frame of an inlined __init__). */
static int python_frame(struct frame_resolver *r, const struct python_item *item,
			const struct process_view *view, uint32_t process, uint32_t *ret_id)
{
	struct python_key key = {.code = item->address, .instr = item->instr, .process = process};
	struct cached_code cached;
	uint64_t value;
	int32_t line = 0;
	int err;

	if (!view || !view->has_python)
		return unreadable_code(r, -EFAULT, ret_id);
	err = code_cache__find(r->codes, view, process, item->address, r->epoch, &cached);
	if (err)
		return err;
	if (!cached.code)
		return unreadable_code(r, cached.error, ret_id);
	if (cached.code->is_init_shim)
		return 1;
	key.version = cached.version;
	if (hash_map__find(r->python, &key, &value)) {
		*ret_id = value;
		return 0;
	}
	if (python_code_line(cached.code, &view->layout, item->address, item->instr, &line)) {
		r->stops[STOP_NAME_NO_LINE]++;
		line = 0;
	}
	err = add_frame(r, FRAME_PYTHON, 0, cached.code->name, cached.code->filename, line, ret_id);
	return err ? err : hash_map__set(r->python, &key, *ret_id);
}

static int marker_frame(struct frame_resolver *r, uint16_t stop, uint32_t *ret_id)
{
	static const char *const names[STOP_REASON_MAX] = {
#define STOP(id, NAME, name, sentence) [id] = (name),
#include "abi/stop_reasons.def"
#undef STOP
	};
	const char *name = stop < STOP_REASON_MAX && names[stop] ? names[stop] : "unknown";
	char label[LABEL_MAX];

	snprintf(label, sizeof(label), "[truncated:%s]", name);
	return add_frame(r, FRAME_MARKER, 0, label, "", 0, ret_id);
}

static void turn_round(uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		uint32_t id = ids[i];

		ids[i] = ids[count - 1 - i];
		ids[count - 1 - i] = id;
	}
}

static int resolve_one(struct frame_resolver *r, const struct sample *sample,
		       const struct merged_stack *merged, const struct process_view *view,
		       uint32_t process, size_t position, uint32_t *ret_id)
{
	const struct merged_frame *frame = &merged->frames[position];

	switch (frame->kind) {
	case MERGED_KERNEL:
		return kernel_frame(r, sample->kernel[frame->index], ret_id);
	case MERGED_PYTHON:
		return python_frame(r, &sample->python[frame->index], view, process, ret_id);
	default:
		return native_frame(r, sample, merged, view, position, ret_id);
	}
}

int frame_resolver__resolve(struct frame_resolver *r, const struct sample *sample,
			    const struct merged_stack *merged, const struct process_view *view,
			    uint32_t process, uint32_t *ret_stack)
{
	size_t count = 0;
	int err;

	if (merged->count + 1 > r->capacity) {
		uint32_t *grown = reallocarray(r->ids, merged->count + 64, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->ids = grown;
		r->capacity = merged->count + 64;
	}
	/* signed: rings of different CPUs are drained one after the other */
	if ((int64_t)(sample->head.time_ns - r->epoch_start_ns) >= (int64_t)EPOCH_NS) {
		r->epoch_start_ns = sample->head.time_ns;
		r->epoch++;
	}
	for (size_t i = 0; i < merged->count; i++) {
		err = resolve_one(r, sample, merged, view, process, i, &r->ids[count]);
		if (err < 0)
			return err;
		count += err == 0;
	}
	if (!merged->root_reached && !(sample->head.flags & SAMPLE_KERNEL_THREAD)) {
		err = marker_frame(r, merged->stop, &r->ids[count++]);
		if (err)
			return err;
	}
	turn_round(r->ids, count);
	return profile__add_stack(r->profile, r->ids, count, ret_stack);
}
