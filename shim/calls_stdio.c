/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_stdio.c - fdopen() of a socket that is or may become the engine's, and dprintf() to one.
 *
 * libc's streams read and write with system calls of their own, behind our back: such a stream is made with fopencookie()
 * instead, and fileno() is told its descriptor, which libc does not know of cookie streams.
 */
#include "calls.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAMS_MAX 1024

/* Open streams: a slot is claimed by its cookie's descriptor, used by setting `stream`. */
static struct stream {
	FILE *stream;
	int fd_plus_1; /* 0: free */
} streams[STREAMS_MAX];
static unsigned used; /* slots at and above were never used: 0 in almost every process */

static struct stream *stream_claim(int fd)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		int free_slot = 0;
		unsigned seen = __atomic_load_n(&used, __ATOMIC_RELAXED);

		if (!__atomic_compare_exchange_n(&streams[i].fd_plus_1, &free_slot, fd + 1, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		while (seen <= i && !__atomic_compare_exchange_n(&used, &seen, i + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			;
		return &streams[i];
	}
	return NULL;
}

static void stream_release(struct stream *s)
{
	__atomic_store_n(&s->stream, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&s->fd_plus_1, 0, __ATOMIC_RELEASE);
}

int stdio_fileno(FILE *f)
{
	unsigned n = __atomic_load_n(&used, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < n; i++)
		if (__atomic_load_n(&streams[i].stream, __ATOMIC_ACQUIRE) == f)
			return streams[i].fd_plus_1 - 1;
	return -1;
}

static ssize_t cookie_read(void *cookie, char *buf, size_t n)
{
	return read(((struct stream *)cookie)->fd_plus_1 - 1, buf, n);
}

/* fopencookie(3): bytes written, 0 for an error. */
static ssize_t cookie_write(void *cookie, const char *buf, size_t n)
{
	ssize_t sent = write(((struct stream *)cookie)->fd_plus_1 - 1, buf, n);

	return sent < 0 ? 0 : sent;
}

static int cookie_seek(void *cookie, off64_t *off, int whence)
{
	return fail(ESPIPE);
}

static int cookie_close(void *cookie)
{
	struct stream *s = cookie;
	int fd = s->fd_plus_1 - 1;

	stream_release(s);
	return close(fd);
}

static bool stream_ours(int fd)
{
	enum fd_kind kind;

	if (fdtab_is_kernel(fd))
		return false;
	kind = fdtab_kind(fd);
	return kind == FD_FRESH || kind == FD_SOCK;
}

FILE *fdopen(int fd, const char *mode)
{
	static const cookie_io_functions_t calls = {cookie_read, cookie_write, cookie_seek, cookie_close};
	struct stream *s;
	FILE *f;

	if (!stream_ours(fd))
		return REAL(fdopen)(fd, mode);
	s = stream_claim(fd);
	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	f = fopencookie(s, mode, calls);
	if (!f) {
		stream_release(s);
		return NULL;
	}
	/* glibc's "e" in a mode is close-on-exec. */
	if (strchr(mode, 'e'))
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	__atomic_store_n(&s->stream, f, __ATOMIC_RELEASE);
	return f;
}

/* ---- dprintf ----------------------------------------------------------------------------------------------------------------
 */

static int print(int fd, const char *format, va_list ap)
{
	char *text;
	int len = vasprintf(&text, format, ap);
	ssize_t n = 0;

	if (len < 0)
		return -1;
	for (int done = 0; n >= 0 && done < len; done += (int)n)
		n = write(fd, text + done, (size_t)(len - done));
	free(text);
	return n < 0 ? -1 : len;
}

/* libc prints to everything that is not the engine's, in its own way. */
static bool prints_here(int fd)
{
	struct fdref r;

	return io_ours(fd, &r);
}

int vdprintf(int fd, const char *format, va_list ap)
{
	return prints_here(fd) ? print(fd, format, ap) : REAL(vdprintf)(fd, format, ap);
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
	return prints_here(fd) ? print(fd, format, ap) : REAL(__vdprintf_chk)(fd, flag, format, ap);
}

int dprintf(int fd, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vdprintf(fd, format, ap);
	va_end(ap);
	return n;
}

int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = __vdprintf_chk(fd, flag, format, ap);
	va_end(ap);
	return n;
}

/* ---- fileno -----------------------------------------------------------------------------------------------------------------
 */

int fileno(FILE *f)
{
	int fd = __atomic_load_n(&used, __ATOMIC_RELAXED) ? stdio_fileno(f) : -1;

	return fd >= 0 ? fd : REAL(fileno)(f);
}

int fileno_unlocked(FILE *f)
{
	int fd = __atomic_load_n(&used, __ATOMIC_RELAXED) ? stdio_fileno(f) : -1;

	return fd >= 0 ? fd : REAL(fileno_unlocked)(f);
}
