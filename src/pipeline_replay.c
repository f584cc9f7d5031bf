// SPDX-License-Identifier: Apache-2.0
/*
 * A capture run through the same stages. Two passes over the file: the answers
 * (an answer comes after the record that asked for it), then records and process
 * views in their order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "pipeline_state.h"

static int replay_native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			       char **names, uint64_t *starts)
{
	struct pipeline *p = context;

	for (size_t i = 0; i < count; i++) {
		struct names_key key = {vaddrs[i], object};
		const void *answer;
		size_t size;
		int result;

		if (capture_answers__find(p->answers, CAPTURE_NAMES, &key, sizeof(key), &result,
					  &answer, &size))
			continue;
		if (result && size == sizeof(starts[i])) {
			memcpy(&starts[i], answer, size);
		} else if (!result) {
			names[i] = strndup(answer, size);
			if (!names[i])
				return -ENOMEM;
		}
	}
	return 0;
}

static const char *replay_kernel_name(void *context, uint64_t address, const char **ret_module)
{
	struct pipeline *p = context;
	const char *answer, *end;
	size_t size;
	int result;

	if (capture_answers__find(p->answers, CAPTURE_KERNEL_NAME, &address, sizeof(address),
				  &result, (const void **)&answer, &size) ||
	    result)
		return NULL;
	end = memchr(answer, 0, size); /* two strings: name, module */
	if (!end || end + 1 >= answer + size || answer[size - 1] != '\0')
		return NULL;
	*ret_module = end + 1;
	return answer;
}

static int replay_memory_read(void *context, pid_t pid, uint64_t address, void *to, size_t size)
{
	struct pipeline *p = context;
	struct memory_key key = {address, pid, size};
	const void *answer;
	size_t answer_size;
	int result, err;

	err = capture_answers__find(p->answers, CAPTURE_MEMORY, &key, sizeof(key), &result, &answer,
				    &answer_size);
	if (err)
		return -EFAULT;
	if (result || answer_size != size)
		return result ? result : -EFAULT;
	memcpy(to, answer, size);
	return 0;
}

static int check_meta(const struct capture_entry *entry)
{
	char meta[CAPTURE_META_BYTES_MAX];
	size_t size = capture_meta(meta);

	return entry->size == size && memcmp(entry->payload, meta, size) == 0 ? 0 : -EPROTO;
}

static int take_stats(struct pipeline *p, const struct capture_entry *entry)
{
	if (entry->size != sizeof(p->final))
		return -EBADMSG;
	memcpy(&p->final, entry->payload, sizeof(p->final));
	p->has_final = true;
	p->final.kernel[sizeof(p->final.kernel) - 1] = '\0';
	p->final.arch[sizeof(p->final.arch) - 1] = '\0';
	p->final.event[sizeof(p->final.event) - 1] = '\0';
	return 0;
}

static int collect_entry(struct pipeline *p, const struct capture_entry *entry)
{
	switch (entry->kind) {
	case CAPTURE_META:
		p->is_our_version = true;
		return check_meta(entry);
	case CAPTURE_STATS:
		return take_stats(p, entry);
	case CAPTURE_NAMES:
	case CAPTURE_KERNEL_NAME:
	case CAPTURE_MEMORY:
		return capture_answers__add(p->answers, entry);
	default:
		return 0;
	}
}

static struct replay_view *find_view(struct pipeline *p, uint32_t pid)
{
	struct replay_view *view = p->views;

	while (view && view->view.pid != pid)
		view = view->next;
	return view;
}

static int set_view(struct pipeline *p, const struct capture_entry *entry)
{
	struct process_view view;
	struct replay_view *known;
	int err = process_view_decode(entry->payload, entry->size, &view);

	if (err)
		return err;
	known = find_view(p, view.pid);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known) {
			process_view_done(&view);
			return -ENOMEM;
		}
		known->next = p->views;
		p->views = known;
	}
	process_view_done(&known->view);
	known->view = view;
	return 0;
}

static int replay_record(struct pipeline *p, const struct capture_entry *entry)
{
	struct sample_decoder *decoder;
	struct replay_view *view;
	struct sample sample;
	uint32_t ring;
	int err;

	if (entry->size < sizeof(ring))
		return -EBADMSG;
	memcpy(&ring, entry->payload, sizeof(ring));
	err = pipeline_decoder(p, ring, &decoder);
	if (err)
		return err;
	/* a malformed record was counted while recording; it is as malformed now */
	if (sample_decoder__push(decoder, entry->payload + sizeof(ring), entry->size - sizeof(ring),
				 &sample) != 1)
		return 0;
	view = find_view(p, sample.head.pid);
	if (view && view->view.start_ns &&
	    (view->view.exec_id != sample.head.exec_id ||
	     view->view.start_ns != sample.head.start_ns))
		view = NULL;
	return sample_counter__add(p->counter, &sample, view ? &view->view : NULL, NULL);
}

static int replay_entry(struct pipeline *p, const struct capture_entry *entry)
{
	if (entry->kind == CAPTURE_PROCESS)
		return set_view(p, entry);
	if (entry->kind == CAPTURE_RECORD)
		return replay_record(p, entry);
	return 0;
}

static int one_pass(struct pipeline *p, int fd,
		    int (*handle)(struct pipeline *, const struct capture_entry *))
{
	_cleanup_(capture_reader__freep) struct capture_reader *reader = NULL;
	struct capture_entry entry;
	int got;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	got = capture_reader__new(fd, &reader);
	if (got)
		return got;
	while ((got = capture_reader__next(reader, &entry)) == 1) {
		got = handle(p, &entry);
		if (got)
			return got;
	}
	return got;
}

static const char *replay_failure(int err)
{
	switch (err) {
	case -EBADMSG:
		return "the file is not a capture, or it is damaged";
	case -ENODATA:
		return "the capture is cut: the recording did not end cleanly";
	case -EPROTO:
		return "the capture was made by another version of mixprof: replay it with that "
		       "one";
	case -ESPIPE:
		return "a capture is read twice: give a file, not a pipe";
	default:
		return strerror(-err);
	}
}

int pipeline__replay(int capture_fd, struct pipeline **ret_pipeline, struct pipeline_error *error)
{
	_cleanup_(pipeline__freep) struct pipeline *p = calloc(1, sizeof(*p));
	int err = p ? 0 : -ENOMEM;

	*error = (struct pipeline_error){0};
	if (!err) {
		p->names = (struct name_source){.native_names = replay_native_names,
						.kernel_name = replay_kernel_name,
						.memory = {replay_memory_read, p},
						.context = p};
		err = capture_answers__new(&p->answers);
	}
	if (!err)
		err = sample_counter__new(&p->names, &p->counter);
	if (!err)
		err = one_pass(p, capture_fd, collect_entry);
	if (!err && !p->is_our_version)
		err = -EPROTO;
	if (!err)
		err = one_pass(p, capture_fd, replay_entry);
	if (err) {
		pipeline_error_set(error, err, "%s", replay_failure(err));
		return err;
	}
	*ret_pipeline = take_ptr(p);
	return 0;
}
