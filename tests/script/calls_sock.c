/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_sock.c - calls that make, name, wait for and end sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/script/calls.h"

#define FD_FIRST 3

/* The lowest free number, as the kernel gives them; 0, 1 and 2 are taken. */
static int64_t install(struct app *a, struct conn *c, bool nonblock)
{
	for (int i = FD_FIRST; i < FDS_MAX; i++) {
		if (a->fd[i].c)
			continue;
		a->fd[i] = (struct fd){.c = c, .nonblock = nonblock};
		engine_set_user(c, (uint64_t)i);
		return i;
	}
	call_fail(a, "more than %d descriptors", FDS_MAX);
}

static int64_t do_socket(struct app *a)
{
	struct conn *c;

	if ((arg_int(a, 1) & 0xf) != SOCK_STREAM)
		call_fail(a, "only SOCK_STREAM sockets are the engine's");
	c = engine_socket(a->host->e);
	return c ? install(a, c, arg_int(a, 1) & SOCK_NONBLOCK) : -ENOBUFS;
}

/* "..." is the script's default; a struct names what differs from it. */
static struct endpoint endpoint_of(struct app *a, const struct value *v, uint32_t ip, uint16_t port)
{
	const struct value *addr = v->type == VALUE_STRUCT ? value_field(v, "sin_addr") : NULL;
	const struct value *p = v->type == VALUE_STRUCT ? value_field(v, "sin_port") : NULL;
	struct endpoint e = {.port = p ? (uint16_t)p->num : port};

	if (v->type != VALUE_STRUCT && v->type != VALUE_ANY)
		call_fail(a, "an address must be ... or {sa_family=AF_INET, sin_port=htons(N), sin_addr=inet_addr(\"A\")}");
	ip = addr ? (uint32_t)addr->num : ip;
	if (ip)
		e.addr = ip_from_v4(ip);
	return e;
}

static int64_t do_bind(struct app *a)
{
	const struct script_settings *set = a->host->set;
	struct fd *f = arg_fd(a, 0);
	struct endpoint e = endpoint_of(a, a->pending.call->args[1], set->local_ip, set->bind_port);

	return f ? engine_bind(a->host->e, f->c, &e) : -EBADF;
}

static int64_t do_listen(struct app *a)
{
	struct fd *f = arg_fd(a, 0);

	return f ? engine_listen(a->host->e, f->c, (int)arg_int(a, 1), a->host->now) : -EBADF;
}

/* Compare an address with what the script says it is; "..." is not compared. */
static void check_address(struct app *a, unsigned arg, const struct endpoint *got)
{
	const struct value *v = arg < a->pending.call->nargs ? a->pending.call->args[arg] : NULL;
	struct endpoint want;

	if (!v || v->type != VALUE_STRUCT)
		return;
	want = endpoint_of(a, v, ip_to_v4(&got->addr), got->port);
	if (want.port != got->port || !ip_equal(&want.addr, &got->addr))
		call_fail(a, "the address is %s, port %u", inet_ntoa((struct in_addr){ip_to_v4(&got->addr)}), got->port);
}

static int64_t do_accept(struct app *a)
{
	struct fd *f = arg_fd(a, 0);
	int flags = a->pending.call->nargs > 3 ? (int)arg_int(a, 3) : 0, err = 0;
	struct endpoint peer;
	struct conn *c;

	if (!f)
		return -EBADF;
	c = engine_accept(a->host->e, f->c, &err);
	if (!c)
		return err == -EAGAIN && call_waits(a, f, 0) ? CALL_WAITS : err;
	a->last = (int)install(a, c, flags & SOCK_NONBLOCK);
	if (!engine_peername(c, &peer))
		check_address(a, 1, &peer);
	return a->last;
}

/* The end of a connect() that waited: the pending error tells. */
static int64_t connect_end(struct app *a, struct fd *f)
{
	int state = engine_state(f->c);

	if (state == STATE_SYN_SENT || state == STATE_SYN_RECV)
		return CALL_WAITS;
	f->connecting = false;
	return -engine_error(f->c);
}

static int64_t do_connect(struct app *a)
{
	const struct script_settings *set = a->host->set;
	struct fd *f = arg_fd(a, 0);
	struct endpoint e = endpoint_of(a, a->pending.call->args[1], set->remote_ip, set->connect_port);
	int rc;

	if (!f)
		return -EBADF;
	if (f->connecting)
		return connect_end(a, f);
	rc = engine_connect(a->host->e, f->c, &e, a->host->now);
	if (rc != -EINPROGRESS && rc)
		return rc;
	a->last = (int)(f - a->fd);
	if (!rc)
		return 0;
	f->connecting = call_waits(a, f, 0);
	return f->connecting ? CALL_WAITS : rc;
}

static int64_t do_close(struct app *a)
{
	struct fd *f = arg_fd(a, 0);

	if (!f)
		return -EBADF;
	engine_close(a->host->e, f->c, a->host->now);
	f->c = NULL;
	if (a->last == f - a->fd)
		a->last = -1;
	return 0;
}

static int64_t do_shutdown(struct app *a)
{
	struct fd *f = arg_fd(a, 0);

	return f ? engine_shutdown(a->host->e, f->c, (int)arg_int(a, 1), a->host->now) : -EBADF;
}

static int64_t do_getsockname(struct app *a)
{
	struct fd *f = arg_fd(a, 0);
	struct endpoint e;
	int rc = f ? engine_sockname(f->c, &e) : -EBADF;

	if (!rc)
		check_address(a, 1, &e);
	return rc;
}

static int64_t do_getpeername(struct app *a)
{
	struct fd *f = arg_fd(a, 0);
	struct endpoint e;
	int rc = f ? engine_peername(f->c, &e) : -EBADF;

	if (!rc)
		check_address(a, 1, &e);
	return rc;
}

static int64_t do_fcntl(struct app *a)
{
	struct fd *f = arg_fd(a, 0);

	if (!f)
		return -EBADF;
	if (arg_int(a, 1) == F_GETFL)
		return O_RDWR | (f->nonblock ? O_NONBLOCK : 0);
	f->nonblock = arg_int(a, 2) & O_NONBLOCK;
	return 0;
}

/* What poll() reports for one member of the set. */
static int16_t revents_of(struct app *a, const struct value *member)
{
	const struct value *fd = value_field(member, "fd"), *events = value_field(member, "events");

	if (!fd || !events)
		call_fail(a, "a member of poll()'s set needs fd= and events=");
	if (fd->num < 0 || fd->num >= FDS_MAX || !a->fd[fd->num].c)
		return POLLNVAL;
	return (int16_t)(engine_ready(a->fd[fd->num].c) & ((uint32_t)events->num | EPOLLERR | EPOLLHUP));
}

static int64_t do_poll(struct app *a)
{
	const struct value *set = a->pending.call->args[0];
	int64_t timeout = arg_int(a, 2), ready = 0;

	for (const struct value *m = set->items; m; m = m->next)
		ready += revents_of(a, m) != 0;
	if (!ready && a->pending.call->blocks && (timeout < 0 || a->host->now < a->pending.began + (usec_t)timeout * 1000))
		return CALL_WAITS;
	for (const struct value *m = set->items; m; m = m->next) {
		const struct value *want = value_field(m, "revents");
		int16_t got = revents_of(a, m);

		if (want && want->type == VALUE_INT && want->num != got)
			call_fail(a, "poll() reports %#x, expected %#llx", (unsigned)got, (long long)want->num);
	}
	return ready;
}

const struct call_row calls_sock[] = {{"socket", 3, do_socket},
				      {"bind", 3, do_bind},
				      {"listen", 2, do_listen},
				      {"accept", 3, do_accept},
				      {"accept4", 4, do_accept},
				      {"connect", 3, do_connect},
				      {"close", 1, do_close},
				      {"shutdown", 2, do_shutdown},
				      {"getsockname", 3, do_getsockname},
				      {"getpeername", 3, do_getpeername},
				      {"fcntl", 2, do_fcntl},
				      {"poll", 3, do_poll},
				      {NULL, 0, NULL}};
