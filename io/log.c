/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - takes the log of EAL and the drivers, so that an error can be told in the driver's own words and nothing reaches the
 * application's terminal unasked.  With verbose on, lines up to "info" go to stderr as they come.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

#include "internal.h"

static struct {
	pthread_mutex_t lock;
	FILE *log, *err; /* what rte_log() writes to; what stands in for stderr while EAL starts */
	FILE *real_stderr;
	pthread_t taker; /* the thread whose stderr is taken */
	bool verbose;
	char first[200]; /* first error since the mark */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

int io_fail(struct io_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* Skip "EAL: " and "some_function(): ", which tell a user nothing. */
static const char *skip_prefix(const char *line, size_t *n)
{
	const char *call = memmem(line, *n, "(): ", 4);
	const char *start = line;

	if (call)
		start = call + 4;
	else if (*n > 5 && !memcmp(line, "EAL: ", 5))
		start = line + 5;
	*n -= start - line;
	return start;
}

static void keep_line(const char *line, size_t n)
{
	line = skip_prefix(line, &n);
	while (n && (line[n - 1] == '\n' || line[n - 1] == '.'))
		n--;
	if (n >= sizeof(state.first))
		n = sizeof(state.first) - 1;
	pthread_mutex_lock(&state.lock);
	if (!state.first[0]) {
		memcpy(state.first, line, n);
		state.first[n] = 0;
	}
	pthread_mutex_unlock(&state.lock);
}

static ssize_t write_fully(const char *buf, size_t n)
{
	/* A log that nobody can read must not fail the work: the result is of no interest. */
	ssize_t done = write(STDERR_FILENO, buf, n);

	(void)done;
	return n;
}

static ssize_t on_log(void *cookie, const char *buf, size_t n)
{
	unsigned level = rte_log_cur_msg_loglevel();

	(void)cookie;
	if (level > 0 && level <= RTE_LOG_ERR)
		keep_line(buf, n);
	if (state.verbose && level <= RTE_LOG_INFO)
		return write_fully(buf, n);
	return n;
}

static ssize_t on_stderr(void *cookie, const char *buf, size_t n)
{
	(void)cookie;
	if (!pthread_equal(pthread_self(), state.taker))
		return write_fully(buf, n);
	keep_line(buf, n);
	return state.verbose ? write_fully(buf, n) : (ssize_t)n;
}

int log_open(bool verbose)
{
	cookie_io_functions_t log = {.write = on_log}, err = {.write = on_stderr};

	state.verbose = verbose;
	if (state.log)
		return 0;
	state.log = fopencookie(NULL, "w", log);
	state.err = fopencookie(NULL, "w", err);
	if (!state.log || !state.err)
		return -ENOMEM;
	setvbuf(state.err, NULL, _IOLBF, 0);
	return rte_openlog_stream(state.log);
}

void log_mark(void)
{
	pthread_mutex_lock(&state.lock);
	state.first[0] = 0;
	pthread_mutex_unlock(&state.lock);
}

const char *log_reason(char *buf, size_t size)
{
	pthread_mutex_lock(&state.lock);
	snprintf(buf, size, "%s", state.first);
	pthread_mutex_unlock(&state.lock);
	return buf;
}

void log_stderr_take(void)
{
	state.taker = pthread_self();
	state.real_stderr = stderr;
	stderr = state.err;
}

void log_stderr_give(void)
{
	fflush(state.err);
	stderr = state.real_stderr;
}
