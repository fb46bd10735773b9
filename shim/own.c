/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * own.c - the life of a socket until it has an owner (design section 5): decided at bind, connect or listen, never at socket().
 *
 * Whenever the engine cannot take a socket, the kernel gets it with everything that was set on it, and the program does not
 * notice. Lock order: the record's lock is held for flushing and turning over; the engine is started before it is taken.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "own.h"

#include "config.h"
#include "early.h"
#include "fdtab.h"
#include "fresh.h"
#include "loader.h"
#include "log.h"
#include "placeholder.h"
#include "real.h"
#include "route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* own_take()'s answer when the kernel is to serve after all. */
/* Of the ports that the kernel offers, how many are tried that the engine may use already. */
#define PORT_TRIES 16
#define TAKE_KERNEL 1

/* -1/errno to -errno. */
static int negated(int rc)
{
	return rc < 0 ? -errno : rc;
}

/* net.ipv6.bindv6only: new IPv6 sockets take no IPv4. */
static bool v6only_by_default(void)
{
	static int known = -1;
	char c = '0';
	int fd;

	if (known >= 0)
		return known;
	fd = open("/proc/sys/net/ipv6/bindv6only", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (REAL(read)(fd, &c, 1) != 1)
			c = '0';
		REAL(close)(fd);
	}
	known = c != '0';
	return known;
}

/* Who got the last socket that was decided: a guess about the next one. */
static bool engine_had_last;

static void note_owner(bool engine)
{
	__atomic_store_n(&engine_had_last, engine, __ATOMIC_RELAXED);
}

int own_socket(int family, int flags)
{
	bool engine = __atomic_load_n(&engine_had_last, __ATOMIC_RELAXED);
	int fd = placeholder_get(family, flags & SOCK_CLOEXEC, engine ? PLACEHOLDER_ANY : PLACEHOLDER_OWN);
	struct fresh *f;
	int rc;

	if (fd < 0)
		return fd;
	f = fresh_new(family, flags & SOCK_NONBLOCK);
	if (f) {
		f->v6only = family == AF_INET6 && v6only_by_default();
		fdtab_set(fd, FD_FRESH, f, f->gen);
		return fd;
	}
	/* More undecided sockets than we keep records for: this one is the kernel's. */
	rc = fdtab_traits(fd) & FD_SHARED ? placeholder_renew(fd) : 0;
	if (rc) {
		placeholder_put(fd, true);
		return rc;
	}
	fdtab_set(fd, FD_KERNEL, NULL, 0);
	if (flags & SOCK_NONBLOCK)
		REAL(ioctl)(fd, FIONBIO, &(int){1});
	return fd;
}

/* ---- turning over -----------------------------------------------------------------------------------------------------------
 */

/* The kernel gets the socket.  Lock held; every descriptor is plain libc's afterwards. */
static int give_locked(struct fresh *f, int fd)
{
	struct fdref to = {.fd = fd, .kind = FD_KERNEL};
	int rc = fresh_flush(f, fd);

	if (rc)
		return rc;
	if (f->nonblock)
		REAL(ioctl)(fd, FIONBIO, &(int){1});
	fresh_decide(f, &to, NULL);
	note_owner(false);
	return 0;
}

static int give(const struct fdref *r)
{
	struct fresh *f = fresh_lock(r);
	int rc;

	if (!f)
		return OWN_AGAIN;
	rc = give_locked(f, r->fd);
	fresh_unlock(f);
	return rc;
}

/* The engine has no room for one more socket: the kernel serves, or with MTCPSHIM_STRICT=1 the call fails. */
static int no_room(int err)
{
	if (config_get()->strict)
		return err;
	log_line(LOG_LEVEL_WARN, "the engine takes no more sockets (%s); the kernel serves", strerror(-err));
	return TAKE_KERNEL;
}

static int take_locked(const struct core_ops *ops, struct fresh *f, struct fdref *to)
{
	struct fresh_info info = {
	    .family = f->family,
	    .nonblock = f->nonblock,
	    .v6only = f->v6only,
	    .nopts = f->nopts,
	    .opts = f->opts,
	};
	bool bound = f->bound, owned = f->owned;
	struct sockaddr_in6 local = f->local;
	socklen_t local_len = f->local_len;
	bool pristine;
	int err = -ENOBUFS;

	to->obj = ops->take(to->fd, &info, &to->gen, &err);
	if (!to->obj)
		return no_room(err);
	to->kind = FD_SOCK;
	note_owner(true);
	if (!fresh_decide(f, to, ops)) {
		/* Closed by another thread in the meantime. */
		ops->release(to, &pristine);
		return -EBADF;
	}
	if (owned)
		ops->sigio(to);
	err = bound ? ops->bind(to, (struct sockaddr *)&local, local_len) : 0;
	/* Not bound here, so the port is not to stay reserved there. */
	if (err < 0)
		placeholder_renew(to->fd);
	return err;
}

/*
 * The engine takes the socket, bound as the placeholder is if that is bound.  0: *to is the engine's reference; TAKE_KERNEL: it
 * does not run, or has no room; -errno: the call is to fail.
 */
static int take(const struct fdref *r, struct fdref *to)
{
	const struct core_ops *ops = loader_up();
	struct fresh *f;
	int rc;

	if (!ops) {
		log_line(LOG_LEVEL_DEBUG, "descriptor %d: kernel: the engine is not available", r->fd);
		return TAKE_KERNEL;
	}
	f = fresh_lock(r);
	if (!f)
		return OWN_AGAIN;
	*to = (struct fdref){.fd = r->fd};
	rc = take_locked(ops, f, to);
	fresh_unlock(f);
	return rc;
}

/* ---- bind -------------------------------------------------------------------------------------------------------------------
 */

/* A socket's name, as bind() gave it. */
struct name {
	struct sockaddr_in6 sa; /* or a sockaddr_in */
	socklen_t len;
};

static int bind_placeholder(int fd, const struct sockaddr *sa, socklen_t len)
{
	int rc;

	REAL(setsockopt)(fd, IPPROTO_IP, IP_FREEBIND, &(int){1}, sizeof(int));
	rc = negated(REAL(bind)(fd, sa, len));
	REAL(setsockopt)(fd, IPPROTO_IP, IP_FREEBIND, &(int){0}, sizeof(int));
	return rc;
}

/* A port of the kernel's choice that the engine, whose connections and TIME-WAIT the kernel does not know, does not use either.
 */
static bool pick_port(const struct sockaddr *sa, socklen_t len, struct name *name)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		int probe = REAL(socket)(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool named;

		if (probe < 0)
			return false;
		name->len = sizeof(name->sa);
		named = bind_placeholder(probe, sa, len) == 0 &&
			REAL(getsockname)(probe, (struct sockaddr *)&name->sa, &name->len) == 0;
		REAL(close)(probe);
		if (!named)
			return false;
		if (!core()->port_used((struct sockaddr *)&name->sa, name->len))
			return true;
	}
	return false;
}

/*
 * Bind the placeholder, and say what name it got.  So the port is reserved against everybody in this network namespace, by the
 * kernel's own rules (SO_REUSEADDR and SO_REUSEPORT, wildcard against address); an address that only the engine has is bound by
 * IP_FREEBIND (ip(7)).
 */
static int reserve_fd(int fd, const struct sockaddr *sa, socklen_t len, struct name *got)
{
	struct route_addr want;
	int rc = -EADDRINUSE;

	if (core() && route_addr_parse(sa->sa_family, sa, len, &want) && !want.port && pick_port(sa, len, got))
		rc = bind_placeholder(fd, (struct sockaddr *)&got->sa, got->len);
	if (rc == -EADDRINUSE)
		rc = bind_placeholder(fd, sa, len);
	got->len = sizeof(got->sa);
	if (rc < 0)
		return rc;
	return negated(REAL(getsockname)(fd, (struct sockaddr *)&got->sa, &got->len));
}

static int reserve_locked(struct fresh *f, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct name got;
	int rc;

	rc = fresh_flush(f, fd);
	if (!rc)
		rc = reserve_fd(fd, sa, len, &got);
	if (rc)
		return rc;
	f->local = got.sa;
	f->local_len = got.len;
	f->bound = true;
	return 0;
}

static int reserve(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct fresh *f = fresh_lock(r);
	int rc;

	if (!f)
		return OWN_AGAIN;
	rc = reserve_locked(f, r->fd, sa, len);
	fresh_unlock(f);
	return rc;
}

/* What of a record decides where a call goes. */
struct fresh_view {
	int family;
	bool v6only, bound;
	struct route_addr local;
};

static bool view(const struct fdref *r, struct fresh_view *v)
{
	struct fresh *f = fresh_lock(r);

	if (!f)
		return false;
	*v = (struct fresh_view){.family = f->family, .v6only = f->v6only, .bound = f->bound, .local.any = true};
	if (f->bound)
		route_addr_parse(f->family, (struct sockaddr *)&f->local, f->local_len, &v->local);
	fresh_unlock(f);
	return true;
}

/* To a broadcast address, which Linux allows and nothing ever arrives at: of the engine's prefixes the kernel does not know it.
 */
static int bind_broadcast(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	int rc = reserve(r, sa, len);

	return rc ? rc : give(r);
}

static int kernel_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	int rc = give(r);

	return rc ? rc : negated(REAL(bind)(r->fd, sa, len));
}

/* To an address of the engine's.  Nothing is reserved for it before the engine runs: else the kernel says that it has no such
 * address. */
static int bind_in_engine(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct fdref to;
	int rc;

	if (!loader_up())
		return kernel_bind(r, sa, len);
	rc = reserve(r, sa, len);
	if (rc)
		return rc;
	rc = take(r, &to);
	return rc == TAKE_KERNEL ? give(r) : rc;
}

int own_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct route_addr local;
	struct fresh_view v;
	int rc;

	if (!view(r, &v))
		return OWN_AGAIN;
	/* What the kernel refuses, it refuses best itself: bad addresses, a second bind; but it does not know the engine's
	 * addresses. */
	if (v.bound && route_addr_parse(v.family, sa, len, &local) && route_is_engine_addr(config_get(), &local.addr))
		return -EINVAL;
	if (v.bound || !route_addr_parse(v.family, sa, len, &local)) {
		rc = placeholder_own(r->fd);
		return rc ? rc : negated(REAL(bind)(r->fd, sa, len));
	}
	if (v.v6only || !loader_wanted())
		return kernel_bind(r, sa, len);
	if (route_is_broadcast(config_get(), &local.addr))
		return bind_broadcast(r, sa, len);
	/* Listener or client? The port is reserved in the kernel whichever it turns out to be. */
	if (local.any)
		return reserve(r, sa, len);
	switch (route_listen(config_get(), &local)) {
	case ROUTE_ENGINE:
		return bind_in_engine(r, sa, len);
	case ROUTE_BOTH:
		/* Started now, lest listen() take so long that who connects meanwhile is refused. */
		return loader_up() ? reserve(r, sa, len) : kernel_bind(r, sa, len);
	default:
		return kernel_bind(r, sa, len);
	}
}

/* The options that decide about conflicts, which the placeholder does not know if they were set after the engine took the socket.
 */
static void copy_reuse(const struct fdref *r)
{
	static const int names[] = {SO_REUSEADDR, SO_REUSEPORT};

	for (unsigned i = 0; i < 2; i++) {
		int on = 0;
		socklen_t len = sizeof(on);

		if (core()->getsockopt(r, SOL_SOCKET, names[i], &on, &len) == 0)
			REAL(setsockopt)(r->fd, SOL_SOCKET, names[i], &on, sizeof(on));
	}
}

int own_bind_taken(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	int family = fdtab_traits(r->fd) & FD_IS_V6 ? AF_INET6 : AF_INET;
	struct route_addr local;
	struct name got;
	int rc;

	if (!route_addr_parse(family, sa, len, &local))
		return core()->bind(r, sa, len);
	/* The kernel's addresses are out of this socket's reach by now. */
	if (route_listen(config_get(), &local) == ROUTE_KERNEL && !local.any)
		return -EADDRNOTAVAIL;
	rc = placeholder_own(r->fd);
	if (rc)
		return rc;
	copy_reuse(r);
	rc = reserve_fd(r->fd, sa, len, &got);
	if (rc)
		return rc;
	rc = core()->bind(r, (struct sockaddr *)&got.sa, got.len);
	if (rc < 0)
		placeholder_renew(r->fd);
	return rc;
}

/* ---- listen -----------------------------------------------------------------------------------------------------------------
 */

static int kernel_listen(const struct fdref *r, int backlog)
{
	int rc = give(r);

	return rc ? rc : negated(REAL(listen)(r->fd, backlog));
}

/* A listener without bind() gets a port of the kernel's choice; the engine will use the same. */
static int bind_any(const struct fdref *r, struct fresh_view *v)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)v->family};
	socklen_t len = v->family == AF_INET6 ? sizeof(any) : sizeof(struct sockaddr_in);
	int rc = reserve(r, (struct sockaddr *)&any, len);

	if (rc)
		return rc;
	return view(r, v) ? 0 : OWN_AGAIN;
}

/*
 * Both listen or none: the kernel first, as its port may be taken.  But the engine, which takes long to start, is up before: who
 * sees the port in /proc/net/tcp and connects must not meet an engine that refuses.
 */
static int listen_in_engine(const struct fdref *r, int backlog, bool kernel_too)
{
	struct fdref to;
	int rc = take(r, &to);

	if (rc == TAKE_KERNEL)
		return kernel_listen(r, backlog);
	if (rc == 0 && kernel_too)
		rc = negated(REAL(listen)(r->fd, backlog));
	if (rc)
		return rc;
	rc = core()->listen(&to, backlog, kernel_too);
	if (rc < 0 && kernel_too)
		REAL(shutdown)(r->fd, SHUT_RDWR);
	return rc;
}

int own_listen(const struct fdref *r, int backlog)
{
	struct fresh_view v;
	enum route who;
	int rc;

	if (!view(r, &v))
		return OWN_AGAIN;
	if (v.v6only || !loader_wanted())
		return kernel_listen(r, backlog);
	if (!v.bound) {
		rc = bind_any(r, &v);
		if (rc)
			return rc;
	}
	who = route_listen(config_get(), &v.local);
	if (who == ROUTE_KERNEL)
		return kernel_listen(r, backlog);
	return listen_in_engine(r, backlog, who == ROUTE_BOTH);
}

static bool placeholder_listens(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	return REAL(getsockopt)(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

/*
 * A listener on an engine address listens in the kernel as well: nothing arrives there, but the kernel knows that the port is
 * taken.  Where the kernel has the address too (adopted) it would answer, so there the engine alone sees to conflicts.
 */
int own_listen_taken(const struct fdref *r, int backlog)
{
	int family = fdtab_traits(r->fd) & FD_IS_V6 ? AF_INET6 : AF_INET;
	struct route_addr local = {.port = 0};
	struct name name = {.len = sizeof(name.sa)};
	bool reserved, dual;
	int rc;

	if (REAL(getsockname)(r->fd, (struct sockaddr *)&name.sa, &name.len) == 0)
		route_addr_parse(family, (struct sockaddr *)&name.sa, name.len, &local);
	reserved = local.port && route_is_engine_addr(config_get(), &local.addr) && !route_is_kernel_addr(&local.addr);
	dual = local.port && !reserved && placeholder_listens(r->fd);
	rc = reserved || dual ? negated(REAL(listen)(r->fd, backlog)) : 0;
	if (rc)
		return rc;
	rc = core()->listen(r, backlog, dual);
	if (rc < 0 && reserved)
		REAL(shutdown)(r->fd, SHUT_RDWR);
	return rc;
}

/* ---- connect ----------------------------------------------------------------------------------------------------------------
 */

/* On loopback only those are ours that listen here, or connect to themselves: everybody else there is the kernel's. */
static bool peer_is_ours(const struct fresh_view *v, const struct route_addr *dst, const struct sockaddr *sa, socklen_t len)
{
	if (!route_is_loopback(&dst->addr))
		return true;
	if (v->bound && v->local.port == dst->port)
		return true;
	return core() && core()->listens(sa, len);
}

/* Who connects to this address: 0: the engine, by *to; TAKE_KERNEL: libc's call does; else what the call is to return. */
static int take_for(const struct fdref *r, const struct sockaddr *sa, socklen_t len, struct fdref *to)
{
	struct route_addr dst;
	struct fresh_view v;
	int rc = TAKE_KERNEL;

	if (!view(r, &v))
		return OWN_AGAIN;
	/* The kernel refuses it best itself; the socket stays undecided. */
	if (!route_addr_parse(v.family, sa, len, &dst)) {
		rc = placeholder_own(r->fd);
		return rc ? rc : TAKE_KERNEL;
	}
	if (!v.v6only && loader_wanted() && route_connect(config_get(), &dst) == ROUTE_ENGINE && peer_is_ours(&v, &dst, sa, len))
		rc = take(r, to);
	if (rc != TAKE_KERNEL)
		return rc;
	rc = give(r);
	return rc ? rc : TAKE_KERNEL;
}

int own_connect(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct fdref to;
	int rc = take_for(r, sa, len, &to);

	if (rc == 0)
		return core()->connect(&to, sa, len);
	/* Decided: libc's own call may block, and no guard must be about it.  Undecided it says at once what is wrong. */
	if (rc == TAKE_KERNEL && fdtab_kind(r->fd) == FD_KERNEL)
		return OWN_AGAIN;
	return rc == TAKE_KERNEL ? negated(REAL(connect)(r->fd, sa, len)) : rc;
}

ssize_t own_fastopen(const struct fdref *r, const struct msghdr *msg, int flags)
{
	struct fdref to;
	int rc = take_for(r, msg->msg_name, msg->msg_namelen, &to);
	ssize_t n;

	if (rc == 0)
		return core()->fastopen(&to, msg, flags);
	if (rc != TAKE_KERNEL)
		return rc;
	if (fdtab_kind(r->fd) == FD_KERNEL)
		return OWN_AGAIN;
	n = REAL(sendmsg)(r->fd, msg, flags);
	return n < 0 ? -errno : n;
}

/* ---- options and flags ------------------------------------------------------------------------------------------------------
 */

/* Apply an option to the placeholder at once, for its true errno. */
static int option_now(struct fresh *f, int fd, const struct early_opt *o, const void *val)
{
	int rc = placeholder_own(fd);

	if (rc)
		return rc;
	if (REAL(setsockopt)(fd, o->level, o->name, val, o->len) < 0)
		return -errno;
	if (early_kernel_only(o->level, o->name) || o->len > sizeof(o->val) || !fresh_option(f, o, true))
		return give_locked(f, fd);
	return 0;
}

int own_setsockopt(const struct fdref *r, int level, int name, const void *val, socklen_t len)
{
	struct early_opt o = {.level = level, .name = name, .len = len};
	struct fresh *f = fresh_lock(r);
	int rc = 0;

	if (!f)
		return OWN_AGAIN;
	if (val && len <= sizeof(o.val))
		memcpy(o.val, val, len);
	if (!early_deferrable(&o, val, f->family == AF_INET6 && !f->bound) || !fresh_option(f, &o, false))
		rc = option_now(f, r->fd, &o, val);
	if (!rc && level == IPPROTO_IPV6 && name == IPV6_V6ONLY && f->family == AF_INET6)
		f->v6only = *(const int *)o.val != 0;
	fresh_unlock(f);
	return rc;
}

int own_getsockopt(const struct fdref *r, int level, int name, void *val, socklen_t *len)
{
	struct fresh *f = fresh_lock(r);
	int rc = 0;

	if (!f)
		return OWN_AGAIN;
	if (f->nopts || (level == SOL_SOCKET && name == SO_COOKIE))
		rc = fresh_flush(f, r->fd);
	fresh_unlock(f);
	if (rc)
		return rc;
	return negated(REAL(getsockopt)(r->fd, level, name, val, len));
}

int own_set_nonblock(const struct fdref *r, bool on)
{
	struct fresh *f = fresh_lock(r);

	if (!f)
		return OWN_AGAIN;
	f->nonblock = on;
	fresh_unlock(f);
	return 0;
}

int own_get_nonblock(const struct fdref *r)
{
	struct fresh *f = fresh_lock(r);
	int on;

	if (!f)
		return OWN_AGAIN;
	on = f->nonblock;
	fresh_unlock(f);
	return on;
}
