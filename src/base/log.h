/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to standard error: `mixprof: text`. One sentence, with the remedy. */
#ifndef MIXPROF_BASE_LOG_H
#define MIXPROF_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR = 0,
	LOG_LEVEL_WARNING = 1,
	LOG_LEVEL_INFO = 2,
	LOG_LEVEL_DEBUG = 3
};

void log_set_level(enum log_level level); /* INFO at start; -q: ERROR; -v: DEBUG */
enum log_level log_get_level(void);
void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
