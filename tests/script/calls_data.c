/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_data.c - calls that move data.  What is written follows packet_pattern(), what is read is compared with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/calls.h"

#define IOV_MAX_ 16
#define TRANSFER_MAX (1 << 22)

/* One thread, one call at a time. */
static uint8_t buffer[TRANSFER_MAX];

/* The flow of a connected descriptor, NULL if the script has not numbered it. */
static struct flow *flow_of(struct app *a, const struct fd *f)
{
	struct endpoint local, peer;

	if (engine_sockname(f->c, &local) || engine_peername(f->c, &peer))
		return NULL;
	for (unsigned i = 1; i <= FLOWS_MAX; i++) {
		struct flow *fl = &a->flows->flow[i];

		if (fl->bound && fl->local_port == local.port && fl->remote_port == peer.port)
			return fl;
	}
	return NULL;
}

/*
 * Lay out `lens` (numbers, or structs {base, len}) over the buffer, starting `skip` bytes in.  Returns the total length of what
 * is left; *n is the count of pieces.
 */
static size_t layout(struct app *a, const struct value *lens, uint64_t skip, struct iovec *iov, int *n)
{
	size_t total = 0;

	for (*n = 0; lens; lens = lens->next) {
		const struct value *len = lens->type == VALUE_STRUCT && lens->items ? lens->items->next : lens;
		uint64_t bytes = len && len->type == VALUE_INT ? (uint64_t)len->num : TRANSFER_MAX + 1;
		uint64_t skipped = skip < bytes ? skip : bytes;

		if (*n == IOV_MAX_ || total + bytes > TRANSFER_MAX)
			call_fail(a, "a transfer must have up to %d pieces and %d bytes", IOV_MAX_, TRANSFER_MAX);
		skip -= skipped;
		iov[*n].iov_base = buffer + total;
		iov[(*n)++].iov_len = bytes - skipped;
		total += bytes - skipped;
	}
	return total;
}

/* One try: with MSG_FASTOPEN the first one connects (RFC 7413), the others go on. */
static ssize_t send_once(struct app *a, struct fd *f, const struct iovec *iov, int cnt, int flags)
{
	const struct script_settings *set = a->host->set;
	struct endpoint to = {.addr = ip_from_v4(set->remote_ip), .port = set->connect_port};
	ssize_t n;

	if (!(flags & MSG_FASTOPEN) || f->connecting)
		return engine_send(a->host->e, f->c, iov, cnt, flags & (MSG_MORE | MSG_OOB), a->host->now);
	n = engine_fastopen(a->host->e, f->c, &to, iov, cnt, a->host->now);
	if (n > 0 || n == -EINPROGRESS)
		a->last = (int)(f - a->fd);
	if (!call_waits(a, f, flags))
		return n;
	f->connecting = true;
	return n == -EINPROGRESS ? -EAGAIN : n;
}

/* A blocking one returns when the connection is there or has failed. */
static bool still_connecting(struct app *a, struct fd *f)
{
	int state = engine_state(f->c);

	return f->connecting && (state == STATE_SYN_SENT || state == STATE_SYN_RECV);
}

static int64_t send_pieces(struct app *a, const struct value *lens, int flags)
{
	struct pending *p = &a->pending;
	struct fd *f = arg_fd(a, 0);
	struct iovec iov[IOV_MAX_];
	ssize_t n = 0;
	size_t left;
	int cnt, err;

	if (!f)
		return -EBADF;
	for (;;) {
		left = layout(a, lens, p->done, iov, &cnt);
		if (still_connecting(a, f) && p->done)
			return CALL_WAITS;
		if (!left && p->done)
			break;
		for (size_t i = 0; i < left; i++)
			buffer[i] = packet_pattern(f->put + i);
		n = send_once(a, f, iov, cnt, flags);
		if (n <= 0)
			break;
		f->put += (uint64_t)n;
		p->done += (uint64_t)n;
	}
	if (left && n == -EAGAIN && call_waits(a, f, flags))
		return CALL_WAITS;
	err = f->connecting ? engine_error(f->c) : 0;
	f->connecting = false;
	if (err)
		return -err;
	return p->done ? (int64_t)p->done : n;
}

/* Compare what was read with the pattern at the descriptor's place in the stream. */
static void check_bytes(struct app *a, const struct fd *f, size_t n)
{
	const struct flow *fl = flow_of(a, f);

	for (size_t i = 0; fl && !fl->unchecked && i < n; i++)
		if (buffer[i] != packet_pattern(f->got + i))
			call_fail(a, "byte %llu of the stream is wrong", (unsigned long long)(f->got + i));
}

static int64_t recv_pieces(struct app *a, const struct value *lens, int flags)
{
	int engine_flags = flags & (MSG_PEEK | MSG_TRUNC | MSG_OOB);
	struct pending *p = &a->pending;
	struct fd *f = arg_fd(a, 0);
	struct iovec iov[IOV_MAX_];
	ssize_t n;
	size_t left;
	int cnt;

	if (!f)
		return -EBADF;
	for (;;) {
		left = layout(a, lens, p->done, iov, &cnt);
		memset(buffer, 0xee, left);
		n = engine_recv(a->host->e, f->c, iov, cnt, engine_flags, a->host->now);
		if (n <= 0)
			break;
		if (!(flags & (MSG_TRUNC | MSG_OOB)))
			check_bytes(a, f, (size_t)n);
		if (!(flags & (MSG_PEEK | MSG_OOB)))
			f->got += (uint64_t)n;
		p->done += (uint64_t)n;
		if (!(flags & MSG_WAITALL) || (size_t)n == left || flags & (MSG_PEEK | MSG_OOB))
			return (int64_t)p->done;
	}
	if (n == -EAGAIN && call_waits(a, f, flags) && (!p->done || flags & MSG_WAITALL))
		return CALL_WAITS;
	return p->done ? (int64_t)p->done : n;
}

static int flags_arg(struct app *a, unsigned i)
{
	return i < a->pending.call->nargs ? (int)arg_int(a, i) : 0;
}

/* A plain length as a list of one piece. */
static const struct value *one_piece(struct app *a, struct value *piece)
{
	*piece = (struct value){.type = VALUE_INT, .num = arg_int(a, 2)};
	return piece;
}

static const struct value *iov_arg(struct app *a, const struct value *v)
{
	if (!v || v->type != VALUE_LIST)
		call_fail(a, "a list of pieces [{..., N}, ...] expected");
	return v->items;
}

static int64_t do_write(struct app *a)
{
	struct value piece;

	return send_pieces(a, one_piece(a, &piece), flags_arg(a, 3));
}

static int64_t do_writev(struct app *a)
{
	return send_pieces(a, iov_arg(a, a->pending.call->args[1]), 0);
}

static int64_t do_sendmsg(struct app *a)
{
	return send_pieces(a, iov_arg(a, value_field(a->pending.call->args[1], "msg_iov")), flags_arg(a, 2));
}

static int64_t do_read(struct app *a)
{
	struct value piece;

	return recv_pieces(a, one_piece(a, &piece), flags_arg(a, 3));
}

static int64_t do_readv(struct app *a)
{
	return recv_pieces(a, iov_arg(a, a->pending.call->args[1]), 0);
}

static int64_t do_recvmsg(struct app *a)
{
	return recv_pieces(a, iov_arg(a, value_field(a->pending.call->args[1], "msg_iov")), flags_arg(a, 2));
}

const struct call_row calls_data[] = {
    {"write", 3, do_write},	{"send", 4, do_write},	    {"sendto", 6, do_write}, {"writev", 3, do_writev},
    {"sendmsg", 3, do_sendmsg}, {"read", 3, do_read},	    {"recv", 4, do_read},    {"recvfrom", 6, do_read},
    {"readv", 3, do_readv},	{"recvmsg", 3, do_recvmsg}, {NULL, 0, NULL}};
