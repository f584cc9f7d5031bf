/* SPDX-License-Identifier: Apache-2.0 */
/*
 * _Py_DebugOffsets as Debian sid's python3.13 (3.13.18) and python3.14 (3.14.10)
 * carry them: {position, value} of the fields that matter, taken from those files
 * with readelf and a parse of pycore_debug_offsets.h, not with mixprof.
 */
#ifndef MIXPROF_TESTS_DEBUG_OFFSETS_SAMPLE_H
#define MIXPROF_TESTS_DEBUG_OFFSETS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SAMPLE_BYTES 1024

struct sample_field {
	uint16_t position;
	uint32_t value;
};

static const struct sample_field sample_3_13[] = {
	{8, 0x030d12f0}, {16, 0},    {24, 283408}, {32, 608},  {40, 632},  {48, 194984}, {56, 7272},
	{64, 7264},	 {72, 7344}, {152, 312},   {160, 0},   {168, 8},   {176, 16},	 {184, 72},
	{192, 152},	 {200, 160}, {208, 232},   {224, 80},  {232, 8},   {240, 0},	 {248, 56},
	{256, 72},	 {264, 70},  {272, 208},   {280, 112}, {288, 120}, {296, 128},	 {304, 136},
	{312, 68},	 {344, 200}, {352, 16},	   {360, 8},   {512, 40},  {520, 16},	 {528, 32},
	{536, 64},	 {544, 32},  {552, 16},	   {560, 40},
};

static const struct sample_field sample_3_14[] = {
	{8, 0x030e0af0}, {16, 0},    {24, 316616}, {32, 784},  {40, 808},  {48, 225864}, {56, 7280},
	{64, 7272},	 {72, 7344}, {176, 832},   {184, 0},   {192, 8},   {200, 16},	 {208, 72},
	{216, 152},	 {224, 160}, {232, 232},   {248, 88},  {256, 8},   {264, 0},	 {272, 56},
	{280, 80},	 {288, 74},  {312, 216},   {320, 112}, {328, 120}, {336, 128},	 {344, 136},
	{352, 68},	 {384, 208}, {400, 16},	   {408, 8},   {592, 40},  {600, 16},	 {608, 32},
	{616, 64},	 {624, 32},  {632, 16},	   {640, 40},
};

static inline void sample_set(uint8_t *bytes, uint16_t position, uint64_t value)
{
	memcpy(bytes + position, &value, sizeof(value));
}

static inline void sample_fill(uint8_t bytes[static SAMPLE_BYTES],
			       const struct sample_field *fields, size_t count)
{
	memset(bytes, 0, SAMPLE_BYTES);
	memcpy(bytes, "xdebugpy", 8);
	for (size_t i = 0; i < count; i++)
		sample_set(bytes, fields[i].position, fields[i].value);
}

#define SAMPLE_FILL(bytes, fields) sample_fill(bytes, fields, sizeof(fields) / sizeof((fields)[0]))

#endif
