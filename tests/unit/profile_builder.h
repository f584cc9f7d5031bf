/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small profiles for the tests of output/. A stack is written as text, root
 * first, one frame per word: "n:main i:PyObject_Call e:eval p:f@a.py@3 k:do_exit".
 * n native, i interpreter, e eval with Python frames, p Python, k kernel,
 * m marker; name, file and line are parted by @. `~` stands for a space.
 */
#ifndef MIXPROF_TESTS_UNIT_PROFILE_BUILDER_H
#define MIXPROF_TESTS_UNIT_PROFILE_BUILDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/intern.h"
#include "profile/profile.h"

#define BUILDER_FRAMES 64

static inline uint32_t build_string(struct profile *profile, const char *s)
{
	uint32_t id = 0;

	assert_int_equal(string_table__intern(profile__strings(profile), s, strlen(s), &id), 0);
	return id;
}

static inline uint32_t build_frame(struct profile *profile, const char *word)
{
	struct profile_frame frame = {0};
	char text[256], *name, *file, *line;
	uint32_t id = 0;

	assert_true(strlen(word) < sizeof(text) && word[0] && word[1] == ':');
	strcpy(text, word + 2);
	for (char *c = text; *c; c++)
		if (*c == '~')
			*c = ' ';
	line = text;
	name = strsep(&line, "@");
	file = strsep(&line, "@");
	switch (word[0]) {
	case 'n':
		frame.kind = FRAME_NATIVE;
		break;
	case 'i':
		frame.kind = FRAME_INTERPRETER;
		break;
	case 'e':
		frame.kind = FRAME_INTERPRETER;
		frame.flags = FRAME_EVAL;
		break;
	case 'p':
		frame.kind = FRAME_PYTHON;
		break;
	case 'k':
		frame.kind = FRAME_KERNEL;
		break;
	case 'm':
		frame.kind = FRAME_MARKER;
		break;
	default:
		fail_msg("no such kind: %s", word);
	}
	frame.name = build_string(profile, name);
	frame.file = build_string(profile, file ? file : "");
	frame.line = line ? atoi(line) : 0;
	assert_int_equal(profile__add_frame(profile, &frame, &id), 0);
	return id;
}

static inline size_t build_frames(struct profile *profile, const char *stack, uint32_t *frames)
{
	char text[2048], *rest = text, *word;
	size_t count = 0;

	assert_true(strlen(stack) < sizeof(text));
	strcpy(text, stack);
	while ((word = strsep(&rest, " ")))
		if (*word) {
			assert_true(count < BUILDER_FRAMES);
			frames[count++] = build_frame(profile, word);
		}
	return count;
}

static inline void build_sample(struct profile *profile, uint32_t process, const char *comm,
				const char *stack, uint64_t count)
{
	uint32_t frames[BUILDER_FRAMES], id = 0;
	size_t depth = build_frames(profile, stack, frames);

	assert_int_equal(profile__add_stack(profile, frames, depth, &id), 0);
	assert_int_equal(
		profile__add_sample(profile, id, process, 1, build_string(profile, comm), count),
		0);
}

/* What `write` writes to a stream, to be freed. */
#define build_text(to, write)                                                                      \
	({                                                                                         \
		char *text_ = NULL;                                                                \
		size_t size_ = 0;                                                                  \
		FILE *to = open_memstream(&text_, &size_);                                         \
                                                                                                   \
		assert_non_null(to);                                                               \
		assert_int_equal(write, 0);                                                        \
		fclose(to);                                                                        \
		text_;                                                                             \
	})

#endif
