/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to standard error, one write per message so that lines of several
 * processes never mix. Control characters are replaced: a message may quote a
 * file name or a process name, and those must not drive the terminal.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX 2048

static _Atomic int current_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

static void defuse(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') ||
		    text[i] == 0x7f)
			text[i] = '?';
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char prefix[] = "mixprof: ";
	char text[MESSAGE_BYTES_MAX];
	size_t size = sizeof(prefix) - 1;
	va_list args;
	int length;

	if ((int)level > atomic_load(&current_level))
		return;
	memcpy(text, prefix, size);
	va_start(args, format);
	length = vsnprintf(text + size, sizeof(text) - size - 1, format, args);
	va_end(args);
	if (length < 0)
		return;
	size += (size_t)length < sizeof(text) - size - 1 ? (size_t)length : sizeof(text) - size - 2;
	defuse(text, size);
	text[size++] = '\n';
	/* Nothing useful can be done about a standard error that cannot be written. */
	if (write(STDERR_FILENO, text, size) < 0)
		return;
}
