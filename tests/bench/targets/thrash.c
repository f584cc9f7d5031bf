/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The neighbour from whom caches are cold: thrash MEGABYTES. Touches every line
 * of that much memory, in an order that no prefetcher guesses, for ever.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64u

int main(int argc, char **argv)
{
	size_t lines = ((argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20) / LINE_BYTES, line = 0;
	unsigned char *memory = aligned_alloc(LINE_BYTES, lines * LINE_BYTES);

	if (!memory)
		return 1;
	memset(memory, 1, lines * LINE_BYTES);
	for (;;) {
		line = (line * 6364136223846793005u + 1442695040888963407u) % lines;
		(*(volatile unsigned char *)(memory + line * LINE_BYTES))++;
	}
}
