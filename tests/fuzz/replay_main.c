/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target's entry point over saved inputs, without libFuzzer: what
 * `make check` does with tests/fuzz/corpus. Takes directories; prints how many
 * inputs were run, and fails if there was none.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

DEFINE_CLEANUP(DIR *, closedirp, closedir)

#define INPUT_MAX (1u << 20)

static int run_file(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ uint8_t *bytes = malloc(INPUT_MAX);
	_cleanup_free_ uint8_t *input = NULL;
	size_t size;

	if (!file || !bytes)
		return -1;
	size = fread(bytes, 1, INPUT_MAX, file);
	if (ferror(file) || size == INPUT_MAX)
		return -1;
	input = malloc(size ? size : 1); /* exactly its size, for ASan */
	if (!input)
		return -1;
	memcpy(input, bytes, size);
	return LLVMFuzzerTestOneInput(input, size);
}

static int run_directory(const char *path, unsigned int *count)
{
	_cleanup_(closedirp) DIR *directory = opendir(path);
	struct dirent *entry;
	char name[4096];

	if (!directory)
		return -1;
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (run_file(name)) {
			fprintf(stderr, "%s: cannot be run\n", name);
			return -1;
		}
		++*count;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;

	for (int i = 1; i < argc; i++)
		if (run_directory(argv[i], &count))
			return 1;
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
