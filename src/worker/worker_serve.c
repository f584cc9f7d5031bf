/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's side of the symbol worker: the one place where foreign ELF and DWARF
 * bytes are parsed. Gives up what it can of its parent's rights, then answers
 * requests until the socket closes.
 *
 * What it keeps of a file is a cache: each request brings the file's descriptor, so
 * anything may be dropped and read again. An image holds all that was ever read of
 * its file, tens of megabytes, so only the last one stays open, for the requests
 * that follow an object's first; symbols and Python's facts outlive it.
 */
#include <elf.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "object/elf_image.h"
#include "object/fde_index.h"
#include "object/fragment_list.h"
#include "python/python_object.h"
#include "symbol/elf_symbols.h"
#include "unwind/cfi_reader.h"
#include "unwind/syscall_gap.h"
#include "unwind/unwind_table.h"
#include "worker/symbol_worker.h"
#include "worker/worker_protocol.h"
#include "worker/worker_serve.h"

#define FILES_MAX 64
#define NOBODY 65534
#define HEAP_BYTES_MAX (1ull << 30) /* libLLVM, 110 MB, takes 67 MB at its peak */
#define DESCRIPTORS_MAX 64	    /* one image, one request, one answer, and a few */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAS_SANITIZER 1
#endif

struct served_file {
	uint32_t object;
	uint64_t last_used;	     /* serial number of the request; 0: slot empty */
	struct elf_image *image;     /* NULL: to be opened when needed */
	struct elf_symbols *symbols; /* NULL until names are asked for */
	struct fde_index fdes;
	struct frame_section sections[2]; /* .eh_frame, .debug_frame */
	size_t section_count;
	bool has_fdes;
	struct fragment_list fragments;
	bool has_fragments;
	struct python_facts python;
	bool has_python;
};

struct server {
	int socket;
	uint64_t serial;
	struct served_file files[FILES_MAX];
	struct worker_packet packet; /* the request */
};

/* Keeps what was learned from it. */
static void release_image(struct served_file *file)
{
	if (file->has_fdes)
		fde_index_done(&file->fdes);
	file->has_fdes = false;
	elf_image__free(file->image);
	file->image = NULL;
}

static void drop_file(struct served_file *file)
{
	release_image(file);
	elf_symbols__free(file->symbols);
	fragment_list_done(&file->fragments);
	memset(file, 0, sizeof(*file));
}

static struct served_file *find_file(struct server *server, uint32_t object)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (server->files[i].last_used != 0 && server->files[i].object == object)
			return &server->files[i];
	return NULL;
}

/* The object's slot, in place of the one unused for longest if it has none yet. */
static struct served_file *find_or_add_file(struct server *server, uint32_t object)
{
	struct served_file *file = find_file(server, object);

	if (!file) {
		file = &server->files[0];
		for (size_t i = 1; i < FILES_MAX; i++)
			if (server->files[i].last_used < file->last_used)
				file = &server->files[i];
		drop_file(file);
		file->object = object;
	}
	file->last_used = ++server->serial;
	return file;
}

/* One image is open at a time. */
static int load_image(struct server *server, struct served_file *file)
{
	if (file->image)
		return 0;
	for (size_t i = 0; i < FILES_MAX; i++)
		release_image(&server->files[i]);
	return elf_image__open(server->packet.fd, &file->image);
}

static int load_fdes(struct served_file *file)
{
	static const char *const names[] = {".eh_frame", ".debug_frame"};
	int err;

	if (file->has_fdes)
		return 0;
	file->section_count = 0;
	for (size_t i = 0; i < 2; i++) {
		struct elf_section section;

		if (elf_image__find_section(file->image, names[i], &section) || !section.data)
			continue;
		file->sections[file->section_count++] = (struct frame_section){
			.data = section.data,
			.size = section.data_size,
			.vaddr = section.vaddr,
			.is_debug_frame = i == 1,
		};
	}
	err = fde_index_read(file->sections, file->section_count, &file->fdes);
	file->has_fdes = !err;
	return err;
}

static int starts_like_function(void *context, const struct fde *fde)
{
	const struct served_file *file = context;
	struct unwind_rule rule;
	int err = cfi_first_rule(fde, file->sections, file->section_count, &rule);

	return err ? err : (rule.flags & UNWIND_RULE_ENTRY) != 0;
}

/* A file whose interpreter cannot be made out is a file without one. */
static int load_python(struct served_file *file)
{
	struct python_facts python = {};
	int err;

	if (file->has_python)
		return 0;
	err = load_fdes(file);
	if (err)
		return err;
	err = python_object_read(
		&(struct python_object_input){
			.image = file->image,
			.fdes = &file->fdes,
			.starts_like_function = starts_like_function,
			.context = file,
		},
		&python);
	if (err == -ENOMEM)
		return err;
	if (!err && python.eval_range_count > 0)
		file->python = python;
	file->has_python = true;
	return 0;
}

static int fill_facts(struct served_file *file, struct object_facts *facts)
{
	const struct elf_segment *segments;
	size_t count = elf_image__segments(file->image, &segments);

	if (count > OBJECT_SEGMENTS_MAX)
		return -ENOEXEC;
	facts->build_id_size = (uint32_t)elf_image__build_id(file->image, facts->build_id);
	facts->segment_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		facts->segments[i] = (struct object_segment){
			.vaddr = segments[i].vaddr,
			.offset = segments[i].offset,
			.file_size = segments[i].file_size,
			.memory_size = segments[i].memory_size,
			.flags = segments[i].flags & (PF_R | PF_W | PF_X),
		};
	}
	facts->is_executable = elf_image__is_executable(file->image);
	facts->python = file->python;
	return 0;
}

/* What the file says and does not fit together is the file's fault, and must not look like ours. */
static int settle_facts(struct served_file *file, struct object_facts *facts)
{
	if (!object_facts_check(facts))
		return 0;
	memset(&file->python, 0, sizeof(file->python));
	memset(&facts->python, 0, sizeof(facts->python));
	return object_facts_check(facts) ? -ENOEXEC : 0;
}

/* Facts that pass the parent's check, so that the marks of a table are those it was told of. */
static int load_facts(struct server *server, struct served_file *file, struct object_facts *facts)
{
	int err = load_image(server, file);

	memset(facts, 0, sizeof(*facts));
	if (!err)
		err = load_python(file);
	if (!err)
		err = fill_facts(file, facts);
	if (!err)
		err = settle_facts(file, facts);
	return err;
}

static int answer_facts(struct server *server, struct buffer *answer)
{
	struct served_file *file = find_or_add_file(server, server->packet.header.object);
	struct object_facts facts;
	int err = load_facts(server, file, &facts);

	if (err)
		drop_file(file);
	else
		buffer_append(answer, &facts, sizeof(facts));
	return err;
}

static const uint8_t *code_at(void *image, uint64_t vaddr, size_t size)
{
	return elf_image__bytes_at(image, vaddr, size);
}

static int build_table(struct served_file *file, struct buffer *answer)
{
	struct cfi_mark marks[PYTHON_EVAL_RANGES_MAX];
	const struct python_facts *python = &file->python;
	struct cfi_rows rows = {};
	int err;

	for (uint32_t i = 0; i < python->eval_range_count; i++) {
		marks[i] = (struct cfi_mark){
			.start = python->eval_ranges[i].start,
			.end = python->eval_ranges[i].end,
			.flags = UNWIND_RULE_EVAL,
		};
	}
	err = cfi_read_rows(&file->fdes, file->sections, file->section_count, marks,
			    python->eval_range_count, &rows);
	if (err)
		return err;
	cfi_fill_syscall_gaps(&rows, code_at, file->image);
	err = rows.count > 0 ? unwind_table_build(&rows, answer) : -ENOENT;
	cfi_rows_done(&rows);
	return err;
}

static int answer_table(struct server *server, struct buffer *answer)
{
	struct served_file *file = find_or_add_file(server, server->packet.header.object);
	struct object_facts facts;
	int err = load_facts(server, file, &facts);

	if (!err)
		err = load_fdes(file);
	if (!err)
		err = build_table(file, answer);
	release_image(file);
	return err;
}

static int load_symbols(struct server *server, struct served_file *file)
{
	int err;

	if (file->symbols)
		return 0;
	err = load_image(server, file);
	if (!err)
		err = elf_symbols__new(file->image, &file->symbols);
	release_image(file);
	return err;
}

static int answer_names(struct server *server, struct buffer *answer)
{
	const struct worker_header *request = &server->packet.header;
	struct served_file *file = find_or_add_file(server, request->object);
	int err;

	if (request->size % sizeof(uint64_t) != 0)
		return -EINVAL;
	err = load_symbols(server, file);
	for (size_t at = 0; !err && at < request->size; at += sizeof(uint64_t)) {
		uint64_t vaddr;

		memcpy(&vaddr, server->packet.payload + at, sizeof(vaddr));
		worker_name_append(answer, elf_symbols__find(file->symbols, vaddr));
	}
	return err;
}

static int load_fragments(struct server *server, struct served_file *file)
{
	int err;

	if (file->has_fragments)
		return 0;
	err = load_image(server, file);
	if (!err)
		err = load_fdes(file);
	if (!err)
		err = fragment_list_copy(&file->fdes, &file->fragments);
	file->has_fragments = !err;
	release_image(file);
	return err;
}

static int answer_starts(struct server *server, struct buffer *answer)
{
	const struct worker_header *request = &server->packet.header;
	struct served_file *file = find_or_add_file(server, request->object);
	int err;

	if (request->size % sizeof(uint64_t) != 0)
		return -EINVAL;
	err = load_fragments(server, file);
	for (size_t at = 0; !err && at < request->size; at += sizeof(uint64_t)) {
		uint64_t vaddr;

		memcpy(&vaddr, server->packet.payload + at, sizeof(vaddr));
		buffer_u64(answer, fragment_list_start(&file->fragments, vaddr));
	}
	return err;
}

static int send_answer(struct server *server, int status, const struct buffer *answer)
{
	struct worker_header header = server->packet.header;
	bool is_table = header.kind == WORKER_READ_TABLE;
	_cleanup_close_ int fd = -1;

	header.status = answer->failed ? -ENOMEM : status;
	header.size = header.status ? 0 : answer->size;
	header.in_memfd = header.size > WORKER_INLINE_MAX || (is_table && header.size > 0);
	if (header.in_memfd) {
		int err = worker_seal(answer->data, answer->size, &fd);

		if (err) {
			header.status = err;
			header.size = 0;
			header.in_memfd = 0;
		}
	}
	return worker_send(server->socket, &header, answer->data, fd);
}

static void close_object(struct server *server)
{
	struct served_file *file = find_file(server, server->packet.header.object);

	if (file)
		drop_file(file);
}

static int serve_one(struct server *server)
{
	struct buffer answer = {};
	int err = 0;
	int sent;

	switch (server->packet.header.kind) {
	case WORKER_READ_FACTS:
		err = answer_facts(server, &answer);
		break;
	case WORKER_READ_TABLE:
		err = answer_table(server, &answer);
		break;
	case WORKER_FIND_NAMES:
		err = answer_names(server, &answer);
		break;
	case WORKER_FIND_STARTS:
		err = answer_starts(server, &answer);
		break;
	case WORKER_CLOSE:
		close_object(server);
		return 0;
	default:
		err = -EINVAL;
	}
	sent = send_answer(server, err, &answer);
	buffer_done(&answer);
	return sent;
}

int worker_serve(int socket)
{
	struct worker_header hello = {.magic = WORKER_MAGIC, .kind = WORKER_HELLO};
	_cleanup_free_ struct server *server = calloc(1, sizeof(*server));
	int err;

	if (!server)
		return -ENOMEM;
	server->socket = socket;
	err = worker_send(socket, &hello, NULL, -1);
	while (!err) {
		server->packet.fd = -1;
		err = worker_receive(socket, &server->packet);
		if (!err) {
			err = serve_one(server);
			closep(&server->packet.fd);
		}
	}
	for (size_t i = 0; i < FILES_MAX; i++)
		drop_file(&server->files[i]);
	return err == -ECONNRESET ? 0 : err;
}

static int limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit both = {.rlim_cur = value, .rlim_max = value};
	struct rlimit current;

	if (getrlimit(resource, &current) < 0)
		return -errno;
	if (current.rlim_max < value)
		both = (struct rlimit){.rlim_cur = current.rlim_max, .rlim_max = current.rlim_max};
	return setrlimit(resource, &both) < 0 ? -errno : 0;
}

/* A user namespace may not know `nobody`: then the capabilities alone are dropped. */
static void become_nobody(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0)
		return;
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return; /* dropped below are the capabilities of this uid 0 */
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int give_up_rights(void)
{
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	err = limit(RLIMIT_CORE, 0);
	if (!err)
		err = limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
#ifndef HAS_SANITIZER /* whose shadow alone exceeds it, and which starts a thread to find leaks */
	if (!err)
		err = limit(RLIMIT_DATA, HEAP_BYTES_MAX);
	if (!err)
		err = limit(RLIMIT_NPROC, 0);
#endif
	if (err)
		return err;
	become_nobody();
	err = drop_capabilities();
	if (err)
		return err;
	/* last, for a change of uid clears it */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

static int close_all_but(unsigned int fd)
{
	if (fd > 3 && close_range(3, fd - 1, 0) < 0)
		return -errno;
	return close_range(fd + 1, ~0u, 0) < 0 ? -errno : 0;
}

int symbol_worker_main(int fd)
{
	int err = fd < 3 ? -EBADF : close_all_but((unsigned int)fd);

	if (err && err != -ENOSYS) /* before 5.9: all of ours are close-on-exec */
		return 1;
	/* Large arrays go back to the kernel when they are freed. */
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	if (give_up_rights())
		return 1;
	return worker_serve(fd) ? 1 : 0;
}
