/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_sendfile.c - sendfile() and splice() with a connection at one end.
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* A file of len bytes of the pattern, with no name. */
static int pattern_file(size_t len)
{
	char name[] = "/tmp/mtp-file-XXXXXX", buf[4096];
	int file = MUST(mkostemp(name, O_CLOEXEC));

	MUST(unlink(name));
	for (size_t at = 0; at < len; at += sizeof(buf)) {
		size_t part = len - at < sizeof(buf) ? len - at : sizeof(buf);

		fill(buf, part, at);
		MUST(write(file, buf, part));
	}
	MUST(lseek(file, 0, SEEK_SET));
	return file;
}

static void offsets_server(void)
{
	int fd = pair();

	recv_and_say("all", fd, 1 << 20);
	MUST(close(fd));
}

static void offsets_client(void)
{
	int fd = pair(), file = pattern_file(10000);
	off_t offset = 1000;
	off64_t offset64 = 5000;

	T(sendfile(fd, file, &offset, 2000));
	say("offset %ld, position %ld", (long)offset, (long)lseek(file, 0, SEEK_CUR));
	T(sendfile64(fd, file, &offset64, 100));
	say("offset %ld, position %ld", (long)offset64, (long)lseek(file, 0, SEEK_CUR));
	T(sendfile(fd, file, NULL, 3000));
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	T(sendfile(fd, file, NULL, 1000000));
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	T(sendfile(fd, file, NULL, 10));
	T(sendfile(fd, file, NULL, 0));
	offset = 20000;
	T(sendfile(fd, file, &offset, 10));
	say("offset %ld", (long)offset);
	offset = -1;
	T(sendfile(fd, file, &offset, 10));
	MUST(close(file));
	MUST(close(fd));
}

static void errors_server(void)
{
	int fd = pair(), file = pattern_file(100), fresh = tcp_socket(), pipes[2], closed = dup(fd);

	MUST(pipe(pipes));
	MUST(close(closed));
	T(sendfile(closed, file, NULL, 10));
	T(sendfile(fd, closed, NULL, 10));
	T(sendfile(fd, fd, NULL, 10));
	T(sendfile(fd, pipes[0], NULL, 10));
	T(sendfile(file, fd, NULL, 10));
	T(sendfile(fresh, file, NULL, 10));
	T(sigpipes());
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	T(shutdown(fd, SHUT_WR));
	T(sendfile(fd, file, NULL, 10));
	T(sigpipes());
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fresh));
	MUST(close(file));
	MUST(close(fd));
}

static void large_server(void)
{
	int fd = pair();

	recv_and_say("blocking", fd, 3000000);
	recv_and_say("non-blocking", fd, 3000000);
	recv_and_say("with head", fd, 3000);
	MUST(close(fd));
}

static void large_client(void)
{
	size_t len = 3000000;
	int fd = pair(), file = pattern_file(len);
	off_t offset = 0;

	T(sendfile(fd, file, NULL, len));
	set_nonblock(fd, true);
	while ((size_t)offset < len) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (sendfile(fd, file, &offset, len - offset) < 0) {
			MUST(errno == EAGAIN ? 0 : -1);
			MUST(poll(&p, 1, -1));
		}
	}
	/* A head with MSG_MORE, then the file: as web servers do. */
	set_nonblock(fd, false);
	offset = 0;
	send_pattern(fd, 500, 0);
	T(send(fd, "head", 4, MSG_MORE));
	T(sendfile(fd, file, &offset, 2496));
	MUST(close(file));
	MUST(close(fd));
}

/* ---- splice ------------------------------------------------------------------------------------------------------------------
 */

static void splice_in_server(void)
{
	char buf[64];
	int fd = pair(), pipes[2], closed = -1;

	MUST(pipe(pipes));
	/* The flag is about the pipe; the socket waits unless it is told not to. */
	set_nonblock(fd, true);
	T(splice(fd, NULL, pipes[1], NULL, 64, 0));
	T(splice(fd, NULL, pipes[1], NULL, 64, SPLICE_F_NONBLOCK));
	set_nonblock(fd, false);
	T(splice(closed, NULL, pipes[1], NULL, 64, 0));
	T(splice(fd, &(off64_t){0}, pipes[1], NULL, 64, 0));
	T(splice(fd, NULL, fd, NULL, 64, 0));
	T(splice(fd, NULL, pipes[1], NULL, 0, 0));
	tell("send");
	T(splice(fd, NULL, pipes[1], NULL, 64, 0));
	T(read(pipes[0], buf, sizeof(buf)));
	say("sum %08x", sum(SUM_INIT, buf, 10));
	hear("closed");
	await(fd, POLLRDHUP);
	T(splice(fd, NULL, pipes[1], NULL, 64, 0));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fd));
}

static void splice_in_client(void)
{
	int fd = pair();

	hear("send");
	MUST(send(fd, "0123456789", 10, 0));
	await_acked(fd);
	MUST(close(fd));
	tell("closed");
}

static void splice_out_server(void)
{
	int fd = pair();

	recv_and_say("got", fd, 1 << 20);
	MUST(close(fd));
}

static void splice_out_client(void)
{
	int fd = pair(), pipes[2];

	MUST(pipe(pipes));
	set_nonblock(pipes[0], true);
	T(splice(pipes[0], NULL, fd, NULL, 64, SPLICE_F_NONBLOCK));
	MUST(write(pipes[1], "0123456789", 10));
	T(splice(pipes[0], NULL, fd, NULL, 4, SPLICE_F_MORE));
	T(splice(pipes[0], NULL, fd, NULL, 64, SPLICE_F_MOVE));
	MUST(close(pipes[1]));
	T(splice(pipes[0], NULL, fd, NULL, 64, 0));
	MUST(close(pipes[0]));
	MUST(close(fd));
}

/* What the calls for files and pipes say of a connection. */
static void odd_calls_server(void)
{
	int fd = pair(), file = pattern_file(100), zero = MUST(open("/dev/zero", O_RDWR | O_CLOEXEC)), pipes[2];
	struct iovec iov = {"x", 1};
	off64_t at = 0;

	MUST(pipe(pipes));
	T(tee(fd, pipes[1], 10, 0));
	T(tee(pipes[0], fd, 10, 0));
	T(vmsplice(fd, &iov, 1, 0));
	T(copy_file_range(fd, NULL, file, NULL, 10, 0));
	T(copy_file_range(file, NULL, fd, NULL, 10, 0));
	T(copy_file_range(fd, &at, fd, NULL, 10, 0));
	T(lseek(fd, 0, SEEK_CUR));
	T(pread(fd, &at, 1, 0));
	T(pwrite(fd, &at, 1, 0));
	T(preadv(fd, &iov, 1, 0));
	T(pwritev(fd, &iov, 1, 0));
	T(ftruncate(fd, 0));
	T(fsync(fd));
	T(fdatasync(fd));
	T(posix_fallocate(fd, 0, 1));
	T(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL));
	T(readahead(fd, 0, 10));
	T(splice(file, NULL, fd, NULL, 10, 0));
	T(splice(fd, NULL, file, NULL, 10, 0));
	T(splice(fd, NULL, pipes[0], NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(pipes[1], NULL, fd, NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(fd, NULL, pipes[1], NULL, 10, 0x100));
	T(splice(fd, NULL, pipes[1], NULL, -1, SPLICE_F_NONBLOCK));
	T(sendfile(fd, zero, NULL, 10));
	T(sendfile(fd, zero, &at, 10));
	T(sendfile(fd, file, NULL, -1));
	T(sendfile(zero, fd, NULL, 10));
	/* A pipe takes from anything. */
	set_nonblock(fd, true);
	T(sendfile(pipes[1], fd, NULL, 10));
	T(sendfile(pipes[1], fd, &at, 10));
	tell("send");
	await_inq(fd, 5);
	T(sendfile(pipes[0], fd, NULL, 10));
	T(sendfile(pipes[1], fd, NULL, 0));
	T(sendfile(pipes[1], fd, NULL, 10));
	T(read(pipes[0], &at, sizeof(at)));
	set_nonblock(fd, false);
	MUST(close(zero));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(file));
	MUST(close(fd));
}

static void odd_calls_client(void)
{
	int fd = pair();

	hear("send");
	MUST(send(fd, "abcde", 5, 0));
	recv_and_say("got", fd, 1 << 20);
	MUST(close(fd));
}

/* Sockets that are in no state for it, and pipes that are full or have lost their other end. */
static void splice_states_server(void)
{
	int listener = listen_at(SERVER_IP, port(1)), fresh = tcp_socket(), fd = pair(), pipes[2], full[2];
	char buf[4096];

	MUST(pipe2(pipes, O_CLOEXEC));
	MUST(pipe2(full, O_CLOEXEC | O_NONBLOCK));
	MUST(write(pipes[1], "0123456789", 10));
	while (write(full[1], buf, sizeof(buf)) > 0)
		;
	T(splice(listener, NULL, pipes[1], NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(pipes[0], NULL, listener, NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(fresh, NULL, pipes[1], NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(pipes[0], NULL, fresh, NULL, 10, SPLICE_F_NONBLOCK));
	T(sigpipes());
	tell("send");
	await(fd, POLLIN);
	T(splice(fd, NULL, full[1], NULL, 10, SPLICE_F_NONBLOCK));
	T(splice(fd, NULL, full[1], NULL, 10, 0));
	say_poll("still there", fd);
	MUST(close(full[0]));
	T(splice(fd, NULL, full[1], NULL, 10, 0));
	T(sigpipes());
	MUST(shutdown(fd, SHUT_WR));
	T(splice(pipes[0], NULL, fd, NULL, 10, 0));
	T(sigpipes());
	say_poll("at the end", pipes[0]);
	meet();
	MUST(close(full[1]));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fresh));
	MUST(close(listener));
	MUST(close(fd));
}

static void splice_states_client(void)
{
	int fd = pair();

	hear("send");
	MUST(send(fd, "abcdefghij", 10, 0));
	meet();
	MUST(close(fd));
}

/* Socket to pipe to socket, 2 MB: a proxy's loop, as haproxy and socat have it. */
static void proxy_server(void)
{
	int in = pair_at(0), out = pair_at(1), pipes[2];
	size_t total = 0;
	ssize_t n;

	MUST(pipe(pipes));
	while ((n = MUST(splice(in, NULL, pipes[1], NULL, 65536, SPLICE_F_MOVE))) > 0) {
		while (n > 0) {
			ssize_t m = MUST(splice(pipes[0], NULL, out, NULL, n, SPLICE_F_MOVE));

			n -= m;
			total += m;
		}
	}
	say("passed on %zu", total);
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(in));
	MUST(close(out));
}

static void proxy_client(void)
{
	int out = pair_at(0), in = pair_at(1);

	/* Less at a time than the buffers on the way hold: this end is a single thread. */
	for (size_t at = 0; at < 2000000; at += 20000) {
		send_pattern(out, 20000, at);
		if (recv_pattern(in, 20000, at) != 20000)
			say("wrong at %zu", at);
	}
	MUST(shutdown(out, SHUT_WR));
	recv_and_say("the rest", in, 1);
	MUST(close(out));
	MUST(close(in));
}

static const struct posix_case cases[] = {
    BOTH(offsets), SERVED(errors, silent), BOTH(large),		BOTH(splice_in), BOTH(splice_out),
    BOTH(proxy),   BOTH(odd_calls),	   BOTH(splice_states),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
