/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses argv by a table. GNU conventions: --name VALUE, --name=VALUE, -xVALUE,
 * -x VALUE, clusters of flags, operands anywhere, "--" ends the options. Wrong
 * usage is told here, in one sentence that names the remedy; the caller only
 * turns it into exit status 2.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"

#define NAME_BYTES_MAX 32

static const struct option_spec help_spec = {
	.letter = 'h',
	.kind = OPTION_FLAG,
	.name = "help",
	.help = "show this help",
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein, with one row; words longer than a name are cut. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t a_size = strnlen(a, NAME_BYTES_MAX), b_size = strnlen(b, NAME_BYTES_MAX);
	size_t row[NAME_BYTES_MAX + 1];

	for (size_t j = 0; j <= b_size; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_size];
}

const char *options_nearest(const char *word,
			    const char *(*candidate)(const void *context, size_t i),
			    const void *context)
{
	size_t best = 3 < strlen(word) / 2 ? 3 : strlen(word) / 2;
	const char *nearest = NULL, *name;

	for (size_t i = 0; (name = candidate(context, i)); i++) {
		size_t distance = edit_distance(word, name);

		/* A beginning, such as "freq" for "frequency", is near however much is missing. */
		if (strlen(word) >= 3 && strncmp(word, name, strlen(word)) == 0)
			distance = 1;
		if (distance > 0 && distance <= best && (!nearest || distance < best)) {
			best = distance;
			nearest = name;
		}
	}
	return nearest;
}

static const char *option_name(const void *context, size_t i)
{
	const struct option_spec *specs = context;

	return specs[i].name;
}

static const struct option_spec *find_long(const struct option_spec *specs, const char *name,
					   size_t size)
{
	if (strlen(help_spec.name) == size && strncmp(help_spec.name, name, size) == 0)
		return &help_spec;
	for (; specs->name; specs++)
		if (strlen(specs->name) == size && strncmp(specs->name, name, size) == 0)
			return specs;
	return NULL;
}

static const struct option_spec *find_short(const struct option_spec *specs, char letter)
{
	if (letter == help_spec.letter)
		return &help_spec;
	for (; specs->name; specs++)
		if (specs->letter == letter && letter != '\0')
			return specs;
	return NULL;
}

static int wrong_choice(const struct option_spec *spec, const char *text)
{
	char list[128] = "";

	for (size_t i = 0; spec->choices[i]; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", spec->choices[i]);
	}
	log_error("--%s does not know \"%s\"; give one of: %s", spec->name, text, list);
	return -EINVAL;
}

static int set_choice(const struct option_spec *spec, int *value, const char *text)
{
	for (int i = 0; spec->choices[i]; i++) {
		if (strcmp(spec->choices[i], text) == 0) {
			*value = i;
			return 0;
		}
	}
	return wrong_choice(spec, text);
}

static int set_number(const struct option_spec *spec, uint32_t *value, const char *text)
{
	uint32_t number;

	if (parse_u32(text, &number) || number == 0) {
		log_error("--%s needs a whole number above 0, not \"%s\"", spec->name, text);
		return -EINVAL;
	}
	*value = number;
	return 0;
}

static int set_duration(const struct option_spec *spec, uint64_t *value, const char *text)
{
	uint64_t ns;

	if (parse_duration_ns(text, &ns) || ns == 0) {
		log_error("--%s needs a time such as 250ms, 10s or 5m, not \"%s\"", spec->name,
			  text);
		return -EINVAL;
	}
	*value = ns;
	return 0;
}

/* text is NULL for flags only. */
static int set_value(const struct option_spec *spec, void *values, const char *text)
{
	void *value = (char *)values + spec->offset;

	switch (spec->kind) {
	case OPTION_FLAG:
		*(bool *)value = true;
		return 0;
	case OPTION_TEXT:
	case OPTION_LIST:
	case OPTION_FILE:
		if (text[0] == '\0') {
			log_error("--%s needs %s, not an empty word", spec->name, spec->argument);
			return -EINVAL;
		}
		*(const char **)value = text;
		return 0;
	case OPTION_NUMBER:
		return set_number(spec, value, text);
	case OPTION_DURATION:
		return set_duration(spec, value, text);
	case OPTION_CHOICE:
		return set_choice(spec, value, text);
	}
	return -EINVAL;
}

struct parser {
	const struct option_spec *specs;
	void *values;
	char **argv;
	int argc;
	int next; /* index of the word after the current one */
	bool help;
};

static int take_value(struct parser *parser, const struct option_spec *spec, const char *text)
{
	if (!text) {
		if (parser->next >= parser->argc) {
			log_error("--%s needs a value: --%s %s", spec->name, spec->name,
				  spec->argument);
			return -EINVAL;
		}
		text = parser->argv[parser->next++];
	}
	return set_value(spec, parser->values, text);
}

static int unknown_long(struct parser *parser, const char *word, size_t size)
{
	char name[NAME_BYTES_MAX + 1];
	const char *nearest;

	snprintf(name, sizeof(name), "%.*s", (int)smaller(size, NAME_BYTES_MAX), word);
	nearest = options_nearest(name, option_name, parser->specs);
	if (nearest)
		log_error("there is no option --%s; did you mean --%s?", name, nearest);
	else
		log_error("there is no option --%s; see \"mixprof %s --help\"", name,
			  parser->argv[0]);
	return -EINVAL;
}

static int parse_long(struct parser *parser, const char *word)
{
	size_t size = strcspn(word, "=");
	const struct option_spec *spec = find_long(parser->specs, word, size);
	const char *text = word[size] == '=' ? word + size + 1 : NULL;

	if (!spec)
		return unknown_long(parser, word, size);
	if (spec->kind != OPTION_FLAG)
		return take_value(parser, spec, text);
	if (text) {
		log_error("--%s takes no value", spec->name);
		return -EINVAL;
	}
	if (spec == &help_spec)
		parser->help = true;
	else
		set_value(spec, parser->values, NULL);
	return 0;
}

static int parse_short(struct parser *parser, const char *letters)
{
	for (; *letters; letters++) {
		const struct option_spec *spec = find_short(parser->specs, *letters);

		if (!spec) {
			log_error("there is no option -%c; see \"mixprof %s --help\"", *letters,
				  parser->argv[0]);
			return -EINVAL;
		}
		if (spec->kind != OPTION_FLAG)
			return take_value(parser, spec, letters[1] ? letters + 1 : NULL);
		if (spec == &help_spec)
			parser->help = true;
		else
			set_value(spec, parser->values, NULL);
	}
	return 0;
}

enum options_result options_parse(const struct option_spec *specs, void *values, int argc,
				  char **argv, struct operands *ret_operands)
{
	struct parser parser = {
		.specs = specs, .values = values, .argv = argv, .argc = argc, .next = 1};
	struct operands operands = {.before = argv + 1};

	while (parser.next < argc && !parser.help) {
		char *word = argv[parser.next++];
		int err = 0;

		if (strcmp(word, "--") == 0) {
			operands.has_separator = true;
			operands.after = argv + parser.next;
			operands.after_count = argc - parser.next;
			break;
		}
		if (strncmp(word, "--", 2) == 0)
			err = parse_long(&parser, word + 2);
		else if (word[0] == '-' && word[1])
			err = parse_short(&parser, word + 1);
		else
			operands.before[operands.before_count++] = word;
		if (err)
			return OPTIONS_WRONG;
	}
	if (parser.help)
		return OPTIONS_HELP;
	*ret_operands = operands;
	return OPTIONS_OK;
}

static void print_option(const struct option_spec *spec, FILE *to)
{
	char left[64];
	int length;

	length = snprintf(left, sizeof(left), spec->letter ? "  -%c, --%s" : "   %c  --%s",
			  spec->letter ? spec->letter : ' ', spec->name);
	if (spec->argument)
		length += snprintf(left + length, sizeof(left) - (size_t)length, " %s",
				   spec->argument);
	if (length > 28)
		fprintf(to, "%s\n%30s%s\n", left, "", spec->help);
	else
		fprintf(to, "%-30s%s\n", left, spec->help);
}

void options_print_help(const struct option_spec *specs, FILE *to)
{
	for (; specs->name; specs++)
		print_option(specs, to);
	print_option(&help_spec, to);
}

void options_print_names(const struct option_spec *specs, FILE *to)
{
	for (; specs->name; specs++) {
		fprintf(to, "--%s ", specs->name);
		if (specs->letter)
			fprintf(to, "-%c ", specs->letter);
	}
	fprintf(to, "--help -h");
}
