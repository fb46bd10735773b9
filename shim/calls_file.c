/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_file.c - sendfile() to an engine socket, as a loop of pread() and send(); splice() between one and a pipe, by copying.
 */
#include "calls.h"

#include "user.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536
#define CHUNKS 16
/* Where all chunks are in use: small enough for any stack. */
#define SMALL_CHUNK 4096
#define SENDFILE_MAX ((size_t)INT_MAX & ~4095ul)

/* Buffers for concurrent calls: bit i of `busy` claims chunks[i].  Untouched pages cost nothing. */
static char chunks[CHUNKS][CHUNK] __attribute__((aligned(4096)));
static unsigned busy;

static int chunk_claim(void)
{
	unsigned seen = __atomic_load_n(&busy, __ATOMIC_RELAXED);
	unsigned i;

	do {
		if (seen == (1u << CHUNKS) - 1)
			return -1;
		i = (unsigned)__builtin_ctz(~seen);
	} while (!__atomic_compare_exchange_n(&busy, &seen, seen | 1u << i, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return (int)i;
}

static void chunk_release(int i)
{
	if (i >= 0)
		__atomic_fetch_and(&busy, ~(1u << i), __ATOMIC_RELEASE);
}

/* One transfer: where it stands. */
struct transfer {
	const struct fdref *to;
	int in;
	off_t off;
	char *buf;
	size_t size;
};

/*
 * Read and send one piece of at most n bytes: how many left the file for good; 0 at its end.  What the socket did not take will
 * be read again: nothing is lost.
 */
static ssize_t send_piece(struct transfer *t, size_t n, bool *all)
{
	ssize_t got = pread(t->in, t->buf, n < t->size ? n : t->size, t->off);
	struct iovec iov = {t->buf, (size_t)got};
	ssize_t sent;

	*all = false;
	if (got <= 0)
		return got < 0 ? -errno : 0;
	sent = io_send(t->to, &iov, 1, 0);
	if (sent < 0)
		return -errno;
	t->off += sent;
	*all = sent == got;
	return sent;
}

static ssize_t send_all(struct transfer *t, size_t n)
{
	size_t total = 0;
	bool all = true;

	while (all && total < n) {
		ssize_t sent = send_piece(t, n - total, &all);

		if (sent < 0)
			return total ? (ssize_t)total : sent;
		total += (size_t)sent;
	}
	return (ssize_t)total;
}

/* sendfile(2): the input is a file or block device, opened for reading; pread() gives EBADF and EISDIR's place is EINVAL. */
static int check_input(int in)
{
	struct fdref r = fdtab_get(in);
	int mode = r.kind == FD_SPARE ? -1 : REAL(fcntl)(in, F_GETFL);
	struct stat st;

	if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (fstat(in, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode) ? 0 : -EINVAL;
}

static ssize_t sendfile_ours(const struct fdref *r, int in, __off64_t *off, size_t n)
{
	char small[SMALL_CHUNK];
	int chunk = -1;
	struct transfer t = {.to = r, .in = in, .buf = small, .size = sizeof(small)};
	ssize_t total = r->kind == FD_SOCK ? check_input(in) : -EBADF;

	if (total < 0)
		return total;
	t.off = off ? *off : lseek(in, 0, SEEK_CUR);
	if (t.off < 0)
		return -EINVAL;
	if ((ssize_t)n < 0)
		return -EINVAL;
	n = n > SENDFILE_MAX ? SENDFILE_MAX : n;
	if (n > SMALL_CHUNK)
		chunk = chunk_claim();
	if (chunk >= 0) {
		t.buf = chunks[chunk];
		t.size = CHUNK;
	}
	total = send_all(&t, n);
	chunk_release(chunk);
	if (off)
		*off = t.off;
	else if (total > 0)
		lseek(in, t.off, SEEK_SET);
	return total;
}

/* The offset is read before all else, and written whatever the result (sys_sendfile64()). */
static ssize_t sendfile_at(const struct fdref *r, int in, __off64_t *off, size_t n)
{
	__off64_t at;
	ssize_t rc;

	if (!off)
		return sendfile_ours(r, in, NULL, n);
	if (user_copy(&at, off, sizeof(at)))
		return -EFAULT;
	rc = sendfile_ours(r, in, &at, n);
	return user_copy(off, &at, sizeof(at)) ? -EFAULT : rc;
}

/* ---- splice -----------------------------------------------------------------------------------------------------------------
 */

static bool is_pipe(int fd)
{
	return REAL(fcntl)(fd, F_GETPIPE_SZ) > 0;
}

/* A pipe that polls writable takes this much without blocking (pipe(7)). */
static ssize_t fill_unblocked(int pipe, const char *buf, size_t n)
{
	struct pollfd p = {.fd = pipe, .events = POLLOUT};
	size_t done = 0;

	while (done < n && REAL(poll)(&p, 1, 0) > 0) {
		ssize_t w = REAL(write)(pipe, buf + done, n - done < PIPE_BUF ? n - done : PIPE_BUF);

		if (w < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)w;
	}
	return done ? (ssize_t)done : -EAGAIN;
}

/* Bytes leave the socket only when the pipe has them: peek, write, then take as many away. */
static ssize_t splice_in(const struct fdref *r, int pipe, struct iovec iov, unsigned flags)
{
	bool unblocked = (flags & SPLICE_F_NONBLOCK) || (REAL(fcntl)(pipe, F_GETFL) & O_NONBLOCK);
	ssize_t n = GUARDED(core()->recv(r, &iov, 1, MSG_PEEK | (flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0)));
	struct iovec taken = {NULL, 0};

	if (n <= 0)
		return n;
	if (unblocked)
		n = fill_unblocked(pipe, iov.iov_base, (size_t)n);
	else if ((n = REAL(write)(pipe, iov.iov_base, (size_t)n)) < 0)
		n = -errno;
	if (n <= 0)
		return n;
	taken.iov_len = (size_t)n;
	return GUARDED(core()->recv(r, &taken, 1, MSG_TRUNC | MSG_DONTWAIT));
}

/* The same the other way: look at a duplicate of what the pipe holds (tee), send it, then take as much out of the pipe. */
static ssize_t splice_out(const struct fdref *r, int pipe, struct iovec iov, unsigned flags)
{
	int scratch[2], msg = (flags & SPLICE_F_MORE ? MSG_MORE : 0) | (flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0);
	struct iovec seen = iov;
	ssize_t n;

	if (pipe2(scratch, O_CLOEXEC) < 0)
		return -errno;
	n = tee(pipe, scratch[1], iov.iov_len, flags & SPLICE_F_NONBLOCK);
	if (n > 0)
		n = REAL(read)(scratch[0], iov.iov_base, (size_t)n);
	n = n < 0 ? -errno : n;
	REAL(close)(scratch[0]);
	REAL(close)(scratch[1]);
	if (n <= 0)
		return n;
	seen.iov_len = (size_t)n;
	n = io_send(r, &seen, 1, msg);
	if (n < 0)
		return -errno;
	/* Exactly what was just seen: it cannot fail, nor block. */
	for (size_t left = (size_t)n; left > 0;) {
		ssize_t gone = REAL(read)(pipe, iov.iov_base, left);

		if (gone <= 0)
			break;
		left -= (size_t)gone;
	}
	return n;
}

/* Open for this kind of access, or both? */
static bool has_mode(int fd, int mode)
{
	int flags = REAL(fcntl)(fd, F_GETFL);

	return flags >= 0 && ((flags & O_ACCMODE) == mode || (flags & O_ACCMODE) == O_RDWR);
}

/* What Linux refuses, in its order (fs/splice.c): one end is a pipe, the other a socket without an offset. */
static int splice_check(const struct fdref *in, const struct fdref *out, const void *off_in, const void *off_out)
{
	if (in->kind == FD_SPARE || out->kind == FD_SPARE || REAL(fcntl)(in->fd, F_GETFD) < 0 ||
	    REAL(fcntl)(out->fd, F_GETFD) < 0)
		return -EBADF;
	if ((off_out && is_pipe(out->fd)) || (off_in && is_pipe(in->fd)))
		return -ESPIPE;
	if ((off_out && user_readable(off_out, sizeof(loff_t))) || (off_in && user_readable(off_in, sizeof(loff_t))))
		return -EFAULT;
	if (!has_mode(in->fd, O_RDONLY) || !has_mode(out->fd, O_WRONLY))
		return -EBADF;
	return off_in || off_out || (!is_pipe(out->fd) && !is_pipe(in->fd)) ? -EINVAL : 0;
}

static ssize_t splice_ours(const struct fdref *in, const struct fdref *out, size_t n, unsigned flags)
{
	char small[SMALL_CHUNK];
	int chunk = n > SMALL_CHUNK ? chunk_claim() : -1;
	struct iovec iov = {chunk >= 0 ? chunks[chunk] : small, chunk >= 0 ? CHUNK : SMALL_CHUNK};
	ssize_t rc;

	if (n < iov.iov_len)
		iov.iov_len = n;
	rc = in->kind == FD_SOCK ? splice_in(in, out->fd, iov, flags) : splice_out(out, in->fd, iov, flags);
	chunk_release(chunk);
	return rc;
}

ssize_t splice(int in, __off64_t *off_in, int out, __off64_t *off_out, size_t n, unsigned flags)
{
	struct fdref from, to;
	bool ours = io_ours(in, &from) || io_ours(out, &to);
	int saved = errno;
	int rc;

	if (!ours)
		return REAL(splice)(in, off_in, out, off_out, n, flags);
	if (!n)
		return 0;
	if (flags & ~(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return fail(EINVAL);
	from = fdtab_get(in);
	to = fdtab_get(out);
	rc = splice_check(&from, &to, off_in, off_out);
	if (!rc && (ssize_t)n < 0)
		rc = -EINVAL;
	return finish(saved, rc ? rc : splice_ours(&from, &to, n, flags));
}

/* ---- sendfile's calls ---------------------------------------------------------------------------------------------------------
 */

/* do_sendfile() into a pipe is a splice(), and takes from anything that can be spliced. */
static bool is_splice(int out, int in, const __off64_t *off)
{
	struct fdref r;

	return !off && io_ours(in, &r) && r.kind == FD_SOCK && has_mode(out, O_WRONLY) && is_pipe(out);
}

ssize_t sendfile64(int out, int in, __off64_t *off, size_t n)
{
	struct fdref r;
	int saved = errno;

	if (io_ours(out, &r))
		return finish(saved, sendfile_at(&r, in, off, n));
	if (is_splice(out, in, off))
		return splice(in, NULL, out, NULL, n, REAL(fcntl)(out, F_GETFL) & O_NONBLOCK ? SPLICE_F_NONBLOCK : 0);
	/* From a socket to anything else: EINVAL, as the kernel says of the placeholder. */
	return REAL(sendfile64)(out, in, off, n);
}

ssize_t sendfile(int out, int in, __off_t *off, size_t n)
{
	return sendfile64(out, in, off, n);
}
