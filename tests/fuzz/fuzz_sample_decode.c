/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring records from any bytes: {u16 size, record} pairs go to one decoder. What
 * it accepts must be consistent with its own head, and everything it was given is
 * accounted for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "collect/sample_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check(const struct sample *sample)
{
	uint64_t sum = 0;
	uint32_t frames = 0;

	must(sample->kernel_count == sample->head.kernel_words);
	must(sample->native_count == sample->head.native_frames);
	must(memchr(sample->head.comm, 0, sizeof(sample->head.comm)));
	for (uint32_t i = 0; i < sample->kernel_count; i++)
		sum += sample->kernel[i];
	for (uint32_t i = 0; i < sample->native_count; i++)
		must(sample->native[i].is_eval ||
		     (!sample->native[i].sp && !sample->native[i].cfa));
	for (uint32_t i = 0; i < sample->python_count; i++)
		frames += sample->python[i].kind == PYTHON_ITEM_FRAME;
	must(frames == sample->head.python_frames);
	*(volatile uint64_t *)&sum = sum; /* the kernel words were read */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct sample_decoder *decoder = NULL;
	struct sample_decoder_stats stats;
	uint64_t samples = 0, malformed = 0;

	must(sample_decoder__new(&decoder) == 0);
	while (!cursor_done(&c)) {
		size_t wanted = cursor_u16(&c);
		size_t record_size = wanted < cursor_left(&c) ? wanted : cursor_left(&c);
		uint8_t *record = malloc(record_size ? record_size
						     : 1); /* its own memory: ASan guards its end */
		struct sample sample;
		int result;

		must(record);
		if (record_size > 0)
			memcpy(record, cursor_bytes(&c, record_size), record_size);
		result = sample_decoder__push(decoder, record, record_size, &sample);
		if (result == 1)
			check(&sample);
		samples += result == 1;
		malformed += result < 0;
		free(record);
	}
	sample_decoder__stats(decoder, &stats);
	must(stats.samples == samples && stats.malformed == malformed);
	sample_decoder__free(decoder);
	return 0;
}
