/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of a capture, for replay (capture.h). Takes answer entries in
 * recorded order; a question is {kind, key bytes}, its answers are a list and a
 * place in it. Questions are found by a 64-bit hash and compared in full, so that
 * two keys with one hash are only slow.
 */
#include "collect/capture.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/hash_map.h"

/* A capture of the whole machine for an hour has some 10 MB of answers. */
#define ANSWERS_BYTES_MAX (512u << 20)
#define ERRNO_MAX 4095

struct answer {
	struct answer *next;
	int result;
	size_t size;
	uint8_t bytes[];
};

struct question {
	struct question *next_of_hash;
	struct answer *first;
	struct answer *last;
	struct answer *upcoming; /* what the next __find returns; NULL: the last one again */
	uint16_t kind;
	size_t key_size;
	uint8_t key[];
};

struct capture_answers {
	struct hash_map *questions; /* hash -> first struct question of that hash */
	size_t bytes;
};

int capture_answers__new(struct capture_answers **ret_answers)
{
	_cleanup_free_ struct capture_answers *answers = calloc(1, sizeof(*answers));
	int err;

	if (!answers)
		return -ENOMEM;
	err = hash_map__new(sizeof(uint64_t), &answers->questions);
	if (err)
		return err;
	*ret_answers = take_ptr(answers);
	return 0;
}

static void free_questions(struct question *question)
{
	while (question) {
		struct question *next_question = question->next_of_hash;
		struct answer *answer = question->first;

		while (answer) {
			struct answer *next = answer->next;

			free(answer);
			answer = next;
		}
		free(question);
		question = next_question;
	}
}

void capture_answers__free(struct capture_answers *answers)
{
	const void *key;
	size_t position = 0;
	uint64_t value;

	if (!answers)
		return;
	while (hash_map__next(answers->questions, &position, &key, &value))
		free_questions((struct question *)(uintptr_t)value);
	hash_map__free(answers->questions);
	free(answers);
}

static uint64_t question_hash(uint16_t kind, const void *key, size_t key_size)
{
	return hash_bytes(key, key_size) + kind;
}

static bool is_question(const struct question *question, uint16_t kind, const void *key,
			size_t key_size)
{
	return question->kind == kind && question->key_size == key_size &&
	       (key_size == 0 || memcmp(question->key, key, key_size) == 0);
}

static struct question *find_question(const struct capture_answers *answers, uint16_t kind,
				      const void *key, size_t key_size)
{
	uint64_t hash = question_hash(kind, key, key_size), value;
	struct question *question;

	if (!hash_map__find(answers->questions, &hash, &value))
		return NULL;
	question = (struct question *)(uintptr_t)value;
	while (question && !is_question(question, kind, key, key_size))
		question = question->next_of_hash;
	return question;
}

static int add_question(struct capture_answers *answers, uint16_t kind, const void *key,
			size_t key_size, struct question **ret_question)
{
	uint64_t hash = question_hash(kind, key, key_size), value = 0;
	_cleanup_free_ struct question *question = calloc(1, sizeof(*question) + key_size);
	int err;

	if (!question)
		return -ENOMEM;
	question->kind = kind;
	question->key_size = key_size;
	memcpy(question->key, key, key_size);
	if (hash_map__find(answers->questions, &hash, &value))
		question->next_of_hash = (struct question *)(uintptr_t)value;
	err = hash_map__set(answers->questions, &hash, (uint64_t)(uintptr_t)question);
	if (err)
		return err;
	*ret_question = take_ptr(question);
	return 0;
}

static bool is_answer_kind(uint16_t kind)
{
	return (kind >= CAPTURE_MAPS && kind <= CAPTURE_MEMORY) || kind == CAPTURE_PROCESS;
}

int capture_answers__add(struct capture_answers *answers, const struct capture_entry *entry)
{
	struct cursor c = cursor_of(entry->payload, entry->size);
	_cleanup_free_ struct answer *answer = NULL;
	struct question *question;
	uint32_t key_size;
	const void *key;
	int result, err;

	if (!is_answer_kind(entry->kind))
		return -EINVAL;
	key_size = cursor_u32(&c);
	key = cursor_bytes(&c, key_size);
	result = cursor_s32(&c);
	if (c.failed || result > 0 || result < -ERRNO_MAX)
		return -EBADMSG;
	/* structs included: many small answers must not pass below the cap */
	answers->bytes += sizeof(*answer) + sizeof(*question) + entry->size;
	if (answers->bytes > ANSWERS_BYTES_MAX)
		return -EFBIG;
	answer = calloc(1, sizeof(*answer) + cursor_left(&c));
	if (!answer)
		return -ENOMEM;
	answer->result = result;
	answer->size = cursor_left(&c);
	memcpy(answer->bytes, c.pos, answer->size);
	question = find_question(answers, entry->kind, key, key_size);
	if (!question) {
		err = add_question(answers, entry->kind, key, key_size, &question);
		if (err)
			return err;
	}
	if (question->last)
		question->last->next = answer;
	else
		question->first = answer;
	if (!question->upcoming)
		question->upcoming = answer;
	question->last = take_ptr(answer);
	return 0;
}

int capture_answers__find(struct capture_answers *answers, uint16_t kind, const void *key,
			  size_t key_size, int *ret_result, const void **ret_answer,
			  size_t *ret_size)
{
	struct question *question = find_question(answers, kind, key, key_size);
	const struct answer *answer;

	if (!question)
		return -ENOENT;
	answer = question->upcoming ? question->upcoming : question->last;
	if (question->upcoming)
		question->upcoming = question->upcoming->next;
	*ret_result = answer->result;
	*ret_answer = answer->bytes;
	*ret_size = answer->size;
	return 0;
}
