/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets, sealed memfds and lists of names. Owns nothing; stateless. What is
 * received is trusted in nothing but that the kernel keeps packets whole.
 *
 * A memfd is mapped only with its seals on: then neither its size (SIGBUS) nor its
 * bytes (checked once, used later) can change under the reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/sanitize.h"
#include "worker/worker_protocol.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define NO_NAME UINT16_MAX

union descriptor_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int worker_send(int socket, const struct worker_header *header, const void *payload, int fd)
{
	struct iovec parts[] = {
		{.iov_base = (void *)header, .iov_len = sizeof(*header)},
		{.iov_base = (void *)payload, .iov_len = header->in_memfd ? 0 : header->size},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	union descriptor_message control = {};
	ssize_t sent;

	if (!header->in_memfd && header->size > WORKER_INLINE_MAX)
		return -EMSGSIZE;
	if (fd >= 0) {
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(fd)),
		};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	do
		sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Takes the first descriptor, closes any that the alignment of the control buffer let in beside it.
 */
static int take_descriptor(struct msghdr *message)
{
	int taken = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (taken < 0)
				taken = fd;
			else
				close(fd);
		}
	}
	return taken;
}

static int check_packet(const struct worker_header *h, size_t size)
{
	if (size < sizeof(*h) || h->magic != WORKER_MAGIC || h->in_memfd > 1)
		return -EBADMSG;
	return (h->in_memfd ? size == sizeof(*h) : size - sizeof(*h) == h->size) ? 0 : -EBADMSG;
}

int worker_receive(int socket, struct worker_packet *packet)
{
	struct iovec parts[] = {
		{.iov_base = &packet->header, .iov_len = sizeof(packet->header)},
		{.iov_base = packet->payload, .iov_len = sizeof(packet->payload)},
	};
	union descriptor_message control = {};
	struct msghdr message = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	_cleanup_close_ int fd = -1;
	ssize_t size;
	int err;

	do
		size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	if (size == 0)
		return -ECONNRESET;
	fd = take_descriptor(&message);
	if (message.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	if (message.msg_flags & MSG_TRUNC)
		return -EBADMSG;
	err = check_packet(&packet->header, (size_t)size);
	if (err)
		return err;
	packet->fd = take_fd(fd);
	return 0;
}

int worker_seal(const void *bytes, size_t size, int *ret_fd)
{
	_cleanup_close_ int fd = memfd_create("mixprof", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t written = 0;

	if (fd < 0)
		return -errno;
	while (written < size) {
		ssize_t step = write(fd, (const uint8_t *)bytes + written, size - written);

		if (step < 0 && errno == EINTR)
			continue;
		if (step <= 0)
			return step < 0 ? -errno : -EIO;
		written += (size_t)step;
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
		return -errno;
	*ret_fd = take_fd(fd);
	return 0;
}

int worker_map_sealed(int fd, uint64_t size, size_t max, void **ret_memory)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;
	void *memory;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) < 0)
		return -EBADMSG;
	if (size == 0 || size > max || status.st_size < 0 || (uint64_t)status.st_size != size)
		return -EBADMSG;
	/* private: kernels before 6.7 refuse shared mappings of what is sealed against writing */
	memory = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	return 0;
}

void worker_name_append(struct buffer *answer, const char *name)
{
	size_t size = name ? strnlen(name, WORKER_NAME_BYTES_MAX) : 0;

	buffer_u16(answer, name ? (uint16_t)size : NO_NAME);
	if (name)
		buffer_append(answer, name, size);
}

static int decode_name(struct cursor *c, char **ret_name)
{
	uint16_t size = cursor_u16(c);
	const void *bytes;

	*ret_name = NULL;
	if (c->failed)
		return -EBADMSG;
	if (size == NO_NAME)
		return 0;
	bytes = cursor_bytes(c, size);
	if (size == 0 || size > WORKER_NAME_BYTES_MAX || !bytes || memchr(bytes, '\0', size))
		return -EBADMSG;
	*ret_name = sanitize_name(bytes, size, WORKER_NAME_BYTES_MAX);
	return *ret_name ? 0 : -ENOMEM;
}

int worker_names_decode(const void *answer, size_t size, size_t count, char **names)
{
	struct cursor c = cursor_of(answer, size);
	char **decoded = calloc(count ? count : 1, sizeof(*decoded));
	int err = decoded ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < count; i++)
		err = decode_name(&c, &decoded[i]);
	if (!err && cursor_left(&c) > 0)
		err = -EBADMSG;
	if (!err)
		memcpy(names, decoded, count * sizeof(*names));
	for (size_t i = 0; err && decoded && i < count; i++)
		free(decoded[i]);
	free(decoded);
	return err;
}
