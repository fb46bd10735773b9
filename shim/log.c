/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - formats a line on the stack and hands it to the kernel in one piece, so that lines of several processes do not mix.
 */
#include "log.h"

#include "fdtab.h"
#include "real.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#define LINE_MAX_BYTES 512

static enum log_level level_on = LOG_LEVEL_WARN;

void log_set_level(enum log_level level)
{
	level_on = level;
}

bool log_wants(enum log_level level)
{
	return level <= level_on;
}

static bool stderr_usable(void)
{
	enum fd_kind kind = fdtab_get(STDERR_FILENO).kind;

	return kind == FD_KERNEL || kind == FD_EPOLL;
}

void log_line(int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES] = "mtcpshim: ";
	size_t prefix = sizeof("mtcpshim: ") - 1;
	int saved = errno;
	va_list ap;
	int len;

	if (level > (int)level_on || !stderr_usable())
		return;
	va_start(ap, fmt);
	len = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, ap);
	va_end(ap);
	if (len > 0) {
		size_t total = prefix + (size_t)len;

		if (total > sizeof(line) - 2)
			total = sizeof(line) - 2;
		line[total] = '\n';
		/* A log that cannot be written (descriptor 2 closed) is no concern of the program's. */
		if (REAL(write)(STDERR_FILENO, line, total + 1) < 0)
			errno = saved;
	}
	errno = saved;
}
