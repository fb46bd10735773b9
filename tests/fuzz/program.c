/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * program.c - the program's side under the fuzzers: socket calls as the input says, with what they must never return checked.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "tests/common/audit.h"
#include "tests/fuzz/world.h"

#define CHUNK 32768

ssize_t program_send(struct world *w, struct conn *c, size_t n, int flags)
{
	static uint8_t bytes[CHUNK];
	struct iovec iov[2] = {{bytes, n / 3}, {bytes + n / 3, n - n / 3}};
	uint32_t from = audit_send_seq(c);
	ssize_t got;

	for (size_t i = 0; i < n; i++)
		bytes[i] = packet_pattern((uint32_t)(from + i));
	got = engine_send(w->e, c, iov, 2, flags, w->now);
	if (got > (ssize_t)n)
		world_fault("send() took %zd of %zu bytes", got, n);
	world_trace(w, "send(%zu, %#x) = %zd", n, (unsigned)flags, got);
	world_settle(w);
	return got;
}

ssize_t program_recv(struct world *w, struct conn *c, size_t n, int flags)
{
	static uint8_t bytes[CHUNK];
	struct iovec iov = {bytes, n};
	uint32_t from = audit_recv_seq(c);
	unsigned inq = engine_inq(c);
	ssize_t got = engine_recv(w->e, c, &iov, 1, flags, w->now);

	world_trace(w, "recv(%zu, %#x) = %zd", n, (unsigned)flags, got);
	if (got > (ssize_t)n)
		world_fault("recv() returned %zd for %zu bytes", got, n);
	if (got > 0 && w->unread_known && (size_t)got > inq)
		world_fault("recv() returned %zd, and only %u were there", got, inq);
	for (ssize_t i = 0; i < got && w->unread_known && !(flags & (MSG_TRUNC | MSG_OOB)); i++)
		if (bytes[i] != packet_pattern((uint32_t)(from + i)))
			world_fault("recv() returned a wrong byte at sequence number %u", (uint32_t)(from + i));
	world_settle(w);
	return got;
}

/* ---- options ---- */

/* Half of the calls name an option that there is. */
static void choose_option(struct input_bytes *in, int *level, int *name)
{
	static const struct {
		int level, name;
	} known[] = {
	    {SOL_SOCKET, SO_RCVBUF},
	    {SOL_SOCKET, SO_SNDBUF},
	    {SOL_SOCKET, SO_KEEPALIVE},
	    {SOL_SOCKET, SO_LINGER},
	    {SOL_SOCKET, SO_OOBINLINE},
	    {SOL_SOCKET, SO_RCVLOWAT},
	    {SOL_SOCKET, SO_REUSEADDR},
	    {SOL_SOCKET, SO_REUSEPORT},
	    {IPPROTO_TCP, TCP_NODELAY},
	    {IPPROTO_TCP, TCP_CORK},
	    {IPPROTO_TCP, TCP_MAXSEG},
	    {IPPROTO_TCP, TCP_KEEPIDLE},
	    {IPPROTO_TCP, TCP_KEEPINTVL},
	    {IPPROTO_TCP, TCP_KEEPCNT},
	    {IPPROTO_TCP, TCP_SYNCNT},
	    {IPPROTO_TCP, TCP_LINGER2},
	    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
	    {IPPROTO_TCP, TCP_WINDOW_CLAMP},
	    {IPPROTO_TCP, TCP_QUICKACK},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT},
	    {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
	    {IPPROTO_TCP, TCP_CONGESTION},
	    {IPPROTO_TCP, TCP_INFO},
	    {IPPROTO_TCP, TCP_FASTOPEN},
	    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
	    {IPPROTO_TCP, TCP_FASTOPEN_KEY},
	    {IPPROTO_TCP, TCP_SAVE_SYN},
	    {IPPROTO_TCP, TCP_SAVED_SYN},
	    {IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE},
	    {IPPROTO_IP, IP_TOS},
	    {IPPROTO_IP, IP_TTL},
	    {IPPROTO_IPV6, IPV6_V6ONLY},
	};
	uint8_t which = in_u8(in);

	*level = which & 128 ? in_u8(in) : known[which % (sizeof(known) / sizeof(known[0]))].level;
	*name = which & 128 ? in_u8(in) : known[which % (sizeof(known) / sizeof(known[0]))].name;
}

/* The value lies in memory of exactly its length. */
static void call_option(struct world *w, struct conn *c, struct input_bytes *in)
{
	uint8_t how = in_u8(in);
	socklen_t len = how & 63;
	uint8_t *value = malloc(len ? len : 1);
	int level, name;

	choose_option(in, &level, &name);
	memset(value, 0, len ? len : 1);
	if (how & 64) {
		engine_getsockopt(w->e, c, level, name, value, &len, w->now);
	} else {
		in_bytes(in, value, len);
		/* Weeks of retransmissions are what was asked for, and too long to wait for the end. */
		if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT && len >= sizeof(int))
			value[2] = value[3] = 0;
		engine_setsockopt(w->e, c, level, name, value, len, w->now);
	}
	free(value);
}

/* ---- the calls ---- */

/* What the numbers of the bytes will be is not known yet: they are zeros, and nobody compares them. */
static void fast_open(struct world *w, struct conn *c, const struct endpoint *to)
{
	static uint8_t zeros[3000];
	struct iovec iov = {zeros, sizeof(zeros)};

	w->sent_known = w->unread_known = false;
	engine_fastopen(w->e, c, to, &iov, 1, w->now);
}

static void call_open(struct world *w, struct input_bytes *in, unsigned slot)
{
	struct endpoint to = {ip_from_v4(rte_cpu_to_be_32(0x0a000002)), (uint16_t)(PEER_PORT + in_u8(in) % FLOWS)};
	uint8_t how = in_u8(in);
	int err;

	if (how & 1) {
		w->sock[slot] = w->sock[0] ? engine_accept(w->e, w->sock[0], &err) : NULL;
		return;
	}
	w->sock[slot] = engine_socket(w->e);
	if (!w->sock[slot])
		return;
	if (how & 2)
		engine_bind(w->e, w->sock[slot], &(struct endpoint){.port = (uint16_t)(how & 4 ? 0 : OUR_PORT + (how >> 4))});
	/* To ourselves, off the link, to the peer. */
	if (how & 8)
		to = (struct endpoint){ip_from_v4(rte_cpu_to_be_32(0x0a000001)), OUR_PORT};
	if (how & 32)
		fast_open(w, w->sock[slot], &to);
	else
		engine_connect(w->e, w->sock[slot], &to, w->now);
}

static void call_listen(struct world *w, struct conn *c, struct input_bytes *in)
{
	int8_t backlog = (int8_t)in_u8(in);

	engine_listen(w->e, c, backlog, w->now);
}

static void call_disconnect(struct world *w, unsigned slot, struct input_bytes *in)
{
	if (in_u8(in) & 1)
		engine_disconnect(w->e, w->sock[slot], w->now);
	else
		engine_shutdown(w->e, w->sock[slot], in_u8(in) % 4, w->now);
}

static void call_end(struct world *w, unsigned slot, bool hard)
{
	if (hard)
		engine_abort(w->e, w->sock[slot], w->now);
	else
		engine_close(w->e, w->sock[slot], w->now);
	w->sock[slot] = NULL;
}

static void call_look(struct conn *c)
{
	struct endpoint end;

	engine_sockname(c, &end);
	engine_peername(c, &end);
	engine_outq(c);
	engine_outq_unsent(c);
	engine_at_mark(c);
	engine_ready(c);
	engine_error(c);
}

/* Program data is of the pattern whatever its number: the connection may end and begin anew in between. */
static int send_flags(uint8_t bits)
{
	return (bits & 1 ? MSG_MORE : 0) | (bits & 2 ? MSG_OOB : 0);
}

static int recv_flags(uint8_t bits)
{
	return (bits & 1 ? MSG_PEEK : 0) | (bits & 2 ? MSG_OOB : 0) | (bits & 4 ? MSG_TRUNC : 0);
}

void program_call(struct world *w, struct input_bytes *in)
{
	uint8_t what = in_u8(in);
	unsigned slot = (what >> 4) % SOCKS;
	struct conn *c = w->sock[slot];
	uint16_t n;

	world_trace(w, "call %u on %u, state %d", what & 15, slot, c ? engine_state(c) : 0);
	if (!c) {
		call_open(w, in, slot);
		world_settle(w);
		return;
	}
	switch (what & 7) {
	case 0:
	case 1:
		n = in_u16(in);
		program_send(w, c, n % CHUNK, send_flags(in_u8(in)));
		break;
	case 2:
	case 3:
		n = in_u16(in);
		program_recv(w, c, n % CHUNK, recv_flags(in_u8(in)));
		break;
	case 4:
		call_disconnect(w, slot, in);
		break;
	case 5:
		call_end(w, slot, what & 8);
		break;
	case 6:
		call_option(w, c, in);
		break;
	default:
		call_look(c);
		call_listen(w, c, in);
	}
	world_settle(w);
}
