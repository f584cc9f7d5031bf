/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints one line per sample of a capture, for tests/bench: the counts of its
 * frames and what its run of the sampler took.
 *
 *	sample_rows CAPTURE    ->  native python kernel run_ns root_reached
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/capture.h"
#include "collect/sample_decode.h"

#define RINGS_MAX 1024

static struct sample_decoder *decoders[RINGS_MAX];

static int print_record(const struct capture_entry *entry)
{
	struct sample sample;
	uint32_t ring;

	if (entry->size < sizeof(ring))
		return -1;
	memcpy(&ring, entry->payload, sizeof(ring));
	if (ring >= RINGS_MAX || (!decoders[ring] && sample_decoder__new(&decoders[ring])))
		return -1;
	if (sample_decoder__push(decoders[ring], entry->payload + sizeof(ring),
				 entry->size - sizeof(ring), &sample) == 1)
		printf("%u %u %u %llu %d\n", sample.head.native_frames, sample.head.python_frames,
		       sample.kernel_count, (unsigned long long)sample.head.run_ns,
		       !!(sample.head.flags & SAMPLE_ROOT_REACHED));
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(capture_reader__freep) struct capture_reader *reader = NULL;
	_cleanup_close_ int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct capture_entry entry;
	int got;

	if (fd < 0 || capture_reader__new(fd, &reader)) {
		fprintf(stderr, "usage: sample_rows CAPTURE\n");
		return 2;
	}
	while ((got = capture_reader__next(reader, &entry)) == 1) {
		if (entry.kind == CAPTURE_RECORD && print_record(&entry))
			return 1;
	}
	for (int i = 0; i < RINGS_MAX; i++)
		sample_decoder__free(decoders[i]);
	return got ? 1 : 0;
}
