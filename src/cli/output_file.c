/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary name and rename. Owns the stream and the temporary file. A list of
 * the temporary names is kept for the signal handler that gives up: it is
 * changed with signals blocked, so that the handler sees it whole.
 */
#include "cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

struct output_file {
	FILE *stream;
	char *path;	 /* as given */
	char *target;	 /* symbolic links resolved; NULL: written in place */
	char *temporary; /* NULL: written in place, or renamed already */
	struct output_file *next;
};

static struct output_file *open_files;

static void change_list(struct output_file *file, int add)
{
	struct output_file **link = &open_files;
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (add) {
		file->next = open_files;
		open_files = file;
	} else {
		while (*link && *link != file)
			link = &(*link)->next;
		if (*link)
			*link = file->next;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void output_file_abandon_all(void)
{
	for (struct output_file *file = open_files; file; file = file->next)
		if (file->temporary)
			unlink(file->temporary);
}

static int open_in_place(struct output_file *file, int fd)
{
	if (fd < 0)
		return -errno;
	file->stream = fdopen(fd, "w");
	if (!file->stream) { /* EINVAL: not open for writing, as a closed standard output */
		int err = errno == EINVAL ? -EBADF : -errno;

		close(fd);
		return err;
	}
	return 0;
}

/* As open(O_CREAT, 0666) would have made it. umask can only be read by setting it. */
static int give_usual_mode(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	return fchmod(fd, 0666 & ~mask) ? -errno : 0;
}

static int open_temporary(struct output_file *file)
{
	int fd, err;

	if (asprintf(&file->temporary, "%s.tmp-XXXXXX", file->target) < 0) {
		file->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		free(take_ptr(file->temporary));
		return err;
	}
	err = give_usual_mode(fd);
	if (err) {
		close(fd);
		return err;
	}
	return open_in_place(file, fd);
}

static int open_path(struct output_file *file)
{
	struct stat st;

	if (strcmp(file->path, "-") == 0)
		return open_in_place(file, fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
	if (stat(file->path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return -EISDIR;
		if (!S_ISREG(st.st_mode))
			return open_in_place(file,
					     open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY));
		file->target = realpath(file->path, NULL);
	} else {
		file->target = strdup(file->path);
	}
	return file->target ? open_temporary(file) : -ENOMEM;
}

int output_file__open(const char *path, struct output_file **ret_file)
{
	_cleanup_(output_file__freep) struct output_file *file = calloc(1, sizeof(*file));
	int err;

	if (!file)
		return -ENOMEM;
	change_list(file, 1);
	file->path = strdup(path);
	if (!file->path)
		return -ENOMEM;
	err = open_path(file);
	if (err)
		return err;
	*ret_file = take_ptr(file);
	return 0;
}

FILE *output_file__stream(struct output_file *file)
{
	return file->stream;
}

int output_file__fd(struct output_file *file)
{
	return fileno(file->stream);
}

const char *output_file__path(const struct output_file *file)
{
	return file->path;
}

int output_file__commit(struct output_file *file)
{
	FILE *stream = take_ptr(file->stream);
	int err = 0;

	if (fflush(stream) || ferror(stream))
		err = errno ? -errno : -EIO;
	/* The rename must not reach the disk before the bytes do. */
	if (!err && file->temporary && fsync(fileno(stream)))
		err = -errno;
	if (fclose(stream) && !err)
		err = -errno;
	if (err || !file->temporary)
		return err;
	if (rename(file->temporary, file->target))
		return -errno;
	free(take_ptr(file->temporary));
	return 0;
}

void output_file__free(struct output_file *file)
{
	if (!file)
		return;
	change_list(file, 0);
	if (file->stream)
		fclose(file->stream);
	if (file->temporary)
		unlink(file->temporary);
	free(file->temporary);
	free(file->target);
	free(file->path);
	free(file);
}
