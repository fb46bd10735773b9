/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake.h - what the fake core (fakecore.c) tells the test about the calls that reached it, and how the test makes it fail.
 *
 * The fake core serves "sockets" that give back what was written to them: enough to see that each wrapper hands its arguments
 * over and gives the result back.  It needs no DPDK, and every error can be had at will.
 */
#ifndef TESTS_THIN_FAKE_H
#define TESTS_THIN_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* How often each function of struct core_ops was called; shared with forked children. */
struct fake_calls {
	unsigned up, take, bind, listen, connect, accept, shutdown, retain, release, recv, send, getsockopt, setsockopt;
	unsigned getsockname, getpeername, ioctl, getfl, setfl, sigio, poll, select, epoll_ctl, epoll_wait, epoll_retain,
	    epoll_release, threads_up;
	unsigned fd_closing, exiting;
	/* Of the last call. */
	int flags, backlog, option, closing;
	unsigned nopts;
	bool kernel_too, nonblock;
	uint16_t port; /* of bind or connect, host order */
	size_t iov_bytes;
	/* Set by the test: recv() raises it, and, if `restarts`, breaks off for the handler as a wait does. */
	int raises;
	bool restarts;
	unsigned cancelled;
};

/* The fake core's other exported symbol. */
struct fake_calls *fake_calls(void);

/* Environment variables that the fake core obeys: results of engine_up() and take() (a negative errno). */
#define FAKE_UP "FAKE_UP"
#define FAKE_TAKE "FAKE_TAKE"

/* What the fake epoll_wait() reports. */
#define FAKE_EVENT_DATA 4242

#endif
