/* SPDX-License-Identifier: Apache-2.0 */
/* What pipeline.c (live) and pipeline_replay.c share: the object behind pipeline.h, and the keys of
 * a capture's answers. */
#ifndef MIXPROF_PIPELINE_STATE_H
#define MIXPROF_PIPELINE_STATE_H

#include <pthread.h>
#include <stdio.h>

#include "collect/bpf_session.h"
#include "collect/capture.h"
#include "collect/ring_reader.h"
#include "collect/sample_decode.h"
#include "follow/object_table.h"
#include "follow/process_follower.h"
#include "pipeline.h"
#include "resolve/name_source.h"
#include "resolve/sample_counter.h"
#include "symbol/kernel_symbols.h"
#include "unwind/table_store.h"
#include "worker/symbol_worker.h"

struct names_key {
	uint64_t vaddr;
	uint64_t object;
};

struct memory_key {
	uint64_t address;
	uint32_t pid;
	uint32_t size;
};

struct replay_view { /* the last PROCESS entry of a pid */
	struct process_view view;
	struct replay_view *next;
};

struct pipeline {
	struct sample_counter *counter;
	struct name_source names;
	struct sample_decoder **decoders; /* by ring */
	size_t decoder_count;
	uint64_t malformed;
	struct run_stats final; /* of a recording that has ended, or of a capture */
	bool has_final;
	/* live only */
	struct bpf_session *session;
	struct ring_reader *reader;
	struct symbol_worker *worker;
	struct table_store *store;
	struct object_table *objects;
	struct process_follower *follower;
	struct kernel_symbols *kernel; /* NULL: not readable */
	pthread_t kernel_reader;
	bool is_reading_kernel;
	int kernel_error; /* of reading them */
	struct capture_writer *capture;
	uint64_t created_ns;		 /* CLOCK_BOOTTIME */
	uint64_t started_ns, stopped_ns; /* of the events */
	uint64_t first_sample_ns;
	bool running;
	/* replay only */
	struct capture_answers *answers;
	struct replay_view *views;
	bool is_our_version; /* the capture's META entry says so */
};

/* Decoder of a ring, made on first use. */
int pipeline_decoder(struct pipeline *p, uint32_t ring, struct sample_decoder **ret_decoder);
void pipeline_error_set(struct pipeline_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A capture is read by the version that wrote it. */
#define CAPTURE_RINGS_MAX 4096
#define CAPTURE_META_BYTES_MAX 128

static inline size_t capture_meta(char meta[static CAPTURE_META_BYTES_MAX])
{
	return snprintf(meta, CAPTURE_META_BYTES_MAX,
			"mixprof-capture-1 view=%zu mapping=%zu stats=%zu abi=%d\n",
			sizeof(struct process_view), sizeof(struct view_mapping),
			sizeof(struct run_stats), SAMPLE_ABI_VERSION);
}

#endif
