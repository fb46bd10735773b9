/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_file.c - sendfile() to an engine socket, as a loop of pread() and send(); splice(), which is refused as the kernel
 * refuses descriptors without splice support (EINVAL: every caller has a read/write loop for that).
 */
#include "calls.h"

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

ssize_t sendfile64(int out, int in, __off64_t *off, size_t n)
{
	struct fdref r;
	int saved = errno;

	if (io_ours(out, &r))
		return finish(saved, sendfile_ours(&r, in, off, n));
	/* From a socket: EINVAL, as the kernel says of the placeholder. */
	return REAL(sendfile64)(out, in, off, n);
}

ssize_t sendfile(int out, int in, __off_t *off, size_t n)
{
	return sendfile64(out, in, off, n);
}

ssize_t splice(int in, __off64_t *off_in, int out, __off64_t *off_out, size_t n, unsigned flags)
{
	struct fdref r;

	if (io_ours(in, &r) || io_ours(out, &r))
		return fail(r.kind == FD_SOCK ? EINVAL : EBADF);
	return REAL(splice)(in, off_in, out, off_out, n, flags);
}
