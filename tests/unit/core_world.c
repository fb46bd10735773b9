/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_world.c - the replaced thin library, the replaced io/, and the peer; see core_world.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/unit/core_world.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "engine/engine.h"
#include "io/io.h"
#include "shim/config.h"
#include "shim/guard.h"
#include "tests/common/testpool.h"

#define FDS 65536
#define QUEUE 1024
#define POOL 16384
#define CONNS 512
#define PEER_BUF 65536

const struct core_ops *core;

/* ---- the thin library
 * ------------------------------------------------------------------------------------------------------------ */

static pthread_mutex_t fds_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fdref fds[FDS];
static struct config cfg = {.enabled = true, .dev = "wire", .naddrs = 1, .cores = 1, .mem_mb = 64, .mtu = 1500};

static long real_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static const struct real_calls real_libc = {
    .socket = socket,
    .listen = listen,
    .accept4 = accept4,
    .shutdown = shutdown,
    .getsockopt = getsockopt,
    .setsockopt = setsockopt,
    .read = read,
    .write = write,
    .close = close,
    .fcntl = fcntl,
    .ioctl = ioctl,
    .ppoll = ppoll,
    .epoll_ctl = epoll_ctl,
    .epoll_wait = epoll_wait,
    .epoll_pwait2 = epoll_pwait2,
    .syscall = real_syscall,
};

static void world_log(int level, const char *fmt, ...)
{
	va_list ap;

	if (level > LOG_LEVEL_WARN && !getenv("MTCPSHIM_LOG"))
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

struct fdref world_ref(int fd)
{
	struct fdref r = {.kind = FD_KERNEL};

	if (fd >= 0 && fd < FDS) {
		pthread_mutex_lock(&fds_mutex);
		r = fds[fd];
		pthread_mutex_unlock(&fds_mutex);
	}
	r.fd = fd;
	return r;
}

static void world_set(int fd, enum fd_kind kind, void *obj, uint32_t gen)
{
	pthread_mutex_lock(&fds_mutex);
	fds[fd] = (struct fdref){.fd = fd, .kind = kind, .obj = obj, .gen = gen};
	pthread_mutex_unlock(&fds_mutex);
}

static bool world_epoll_set(const struct fdref *was, void *obj, uint32_t gen)
{
	struct fdref *now = &fds[was->fd];
	bool same;

	pthread_mutex_lock(&fds_mutex);
	same = now->kind == was->kind && now->obj == was->obj && now->gen == was->gen;
	if (same)
		*now = (struct fdref){.fd = was->fd, .kind = FD_EPOLL, .obj = obj, .gen = gen};
	pthread_mutex_unlock(&fds_mutex);
	return same;
}

/*
 * The numbers of sockets and sets are made and closed by bare system calls, which ThreadSanitizer does not see: that one thread
 * closes what another uses is the program's own race, and the kernel settles it.
 */
static int world_placeholder(int family, int flags, enum placeholder_use use)
{
	int fd = (int)syscall(SYS_socket, family, SOCK_STREAM | flags, 0);

	return fd < 0 ? -errno : fd;
}

static void world_placeholder_put(int fd, bool pristine)
{
	syscall(SYS_close, fd);
}

static int world_placeholder_own(int fd)
{
	return 0;
}

static int world_private(int fd)
{
	return fd;
}

static void world_private_close(int fd)
{
	syscall(SYS_close, fd);
}

static int world_next(int fd)
{
	while (fd < FDS && world_ref(fd).kind == FD_KERNEL)
		fd++;
	return fd < FDS ? fd : -1;
}

static void world_list_start(void)
{
}

/* No handler is put off here: these tests call the core, not the wrappers. */
static struct guard *world_guard(void)
{
	static __thread struct guard own;

	return &own;
}

static const struct thin_ops thin = {
    .cfg = &cfg,
    .real = &real_libc,
    .log = world_log,
    .fd_get = world_ref,
    .fd_set = world_set,
    .epoll_set = world_epoll_set,
    .placeholder_get = world_placeholder,
    .placeholder_put = world_placeholder_put,
    .placeholder_own = world_placeholder_own,
    .fd_private = world_private,
    .fd_private_close = world_private_close,
    .fd_next = world_next,
    .list_start = world_list_start,
    .guard = world_guard,
};

/* ---- the wire: two queues of frames, copied as a real one does
 * --------------------------------------------------------------------- */

struct queue {
	pthread_mutex_t mutex;
	struct rte_mbuf *frame[QUEUE];
	unsigned head, n;
};

struct port {
	struct port_info info;
	int efd;
	_Atomic unsigned armed;
};

static struct queue to_us = {.mutex = PTHREAD_MUTEX_INITIALIZER}, to_peer = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct rte_mempool *pool;
static struct port wire;
static _Atomic unsigned lost;

unsigned world_lost(void)
{
	return lost;
}

static void queue_put(struct queue *q, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

	rte_pktmbuf_free(m);
	pthread_mutex_lock(&q->mutex);
	if (copy && q->n < QUEUE) {
		q->frame[(q->head + q->n++) % QUEUE] = copy;
		copy = NULL;
	}
	pthread_mutex_unlock(&q->mutex);
	if (copy) {
		rte_pktmbuf_free(copy);
		lost++;
	}
}

static unsigned queue_take(struct queue *q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned got = 0;

	pthread_mutex_lock(&q->mutex);
	while (got < n && q->n) {
		pkts[got++] = q->frame[q->head];
		q->head = (q->head + 1) % QUEUE;
		q->n--;
	}
	pthread_mutex_unlock(&q->mutex);
	return got;
}

int io_start(const struct io_config *c, struct io_error *err)
{
	/* The world did that already: it needs the pool for the peer. */
	return 0;
}

struct rte_mempool *port_pool_create(unsigned queue, unsigned n, uint16_t mtu, unsigned priv, struct io_error *err)
{
	return pool;
}

unsigned port_pool_elt_size(uint16_t mtu, unsigned priv)
{
	return 2500;
}

void *io_alloc(const char *name, size_t size)
{
	void *p = aligned_alloc(64, (size + 63) & ~(size_t)63);

	return p ? memset(p, 0, size) : NULL;
}

struct port *port_open(const struct port_config *c, struct io_error *err)
{
	return &wire;
}

void port_take_over(struct port *p)
{
}

void io_fork_prepare(void)
{
}

void io_fork_parent(void)
{
}

void io_fork_child(void)
{
}

void port_pool_reset(struct port *p, unsigned q, struct rte_mempool *pool, bool shared)
{
}

void port_pool_forget(struct rte_mempool *pool, unsigned q)
{
}

void port_close(struct port *p)
{
}

const struct port_info *port_info(const struct port *p)
{
	return &p->info;
}

unsigned port_rx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	return queue_take(&to_us, pkts, n);
}

unsigned port_tx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		queue_put(&to_peer, pkts[i]);
	return n;
}

bool port_link_up(struct port *p)
{
	return true;
}

bool port_is_taken(struct port *p)
{
	return true;
}

const char *port_link_text(struct port *p)
{
	return "";
}

int port_wait_fd(struct port *p, unsigned q)
{
	return p->efd;
}

/* Like a device's level-triggered interrupt: what came before is seen by the poll after this. */
bool port_wait_arm(struct port *p, unsigned q)
{
	uint64_t count;

	atomic_fetch_add(&p->armed, 1);
	return p->info.has_interrupt && (p->info.weak_interrupt || read(p->efd, &count, sizeof(count)) > 0 || errno == EAGAIN);
}

/* ... or like memif's: nobody rings while it is off. */
void port_wait_disarm(struct port *p, unsigned q)
{
	uint64_t count;

	atomic_fetch_sub(&p->armed, 1);
	(void)!read(p->efd, &count, sizeof(count));
}

void io_lcore_enter(unsigned queue)
{
}

void io_lcore_leave(void)
{
}

uint64_t io_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the peer
 * ------------------------------------------------------------------------------------------------------------------------ */

enum peer_role { PEER_NONE, PEER_LISTENER, PEER_ECHO, PEER_SENDER };

struct peer_conn {
	enum peer_role role;
	struct conn *c;
	size_t left;	 /* PEER_SENDER: bytes still to be sent */
	size_t at, held; /* PEER_ECHO: bytes read and not yet written */
	unsigned char buf[PEER_BUF];
};

static pthread_mutex_t peer_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct engine *peer;
static struct peer_conn *peers;

static struct peer_conn *peer_slot(enum peer_role role, struct conn *c)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (peers[i].role == PEER_NONE) {
			peers[i].role = role;
			peers[i].c = c;
			peers[i].left = peers[i].at = peers[i].held = 0;
			return &peers[i];
		}
	abort();
}

static void peer_end(struct peer_conn *p, usec_t now)
{
	engine_close(peer, p->c, now);
	p->role = PEER_NONE;
}

static void peer_echo_turn(struct peer_conn *p, usec_t now)
{
	struct iovec iov;
	ssize_t n;

	if (!p->held) {
		iov = (struct iovec){p->buf, sizeof(p->buf)};
		n = engine_recv(peer, p->c, &iov, 1, 0, now);
		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			peer_end(p, now);
			return;
		}
		p->at = 0;
		p->held = n > 0 ? (size_t)n : 0;
	}
	if (!p->held)
		return;
	iov = (struct iovec){p->buf + p->at, p->held};
	n = engine_send(peer, p->c, &iov, 1, 0, now);
	if (n > 0) {
		p->at += (size_t)n;
		p->held -= (size_t)n;
	}
}

static void peer_send_turn(struct peer_conn *p, usec_t now)
{
	struct iovec iov = {p->buf, p->left < PEER_BUF ? p->left : PEER_BUF};
	ssize_t n = p->left ? engine_send(peer, p->c, &iov, 1, 0, now) : 0;

	if (n > 0)
		p->left -= (size_t)n;
	if (!p->left || (n < 0 && n != -EAGAIN && n != -ENOTCONN))
		peer_end(p, now);
}

static void peer_turn(struct peer_conn *p, usec_t now)
{
	struct conn *c;
	int err;

	if (p->role == PEER_LISTENER) {
		while ((c = engine_accept(peer, p->c, &err)))
			peer_slot(PEER_ECHO, c);
	} else if (p->role == PEER_ECHO) {
		peer_echo_turn(p, now);
	} else if (p->role == PEER_SENDER) {
		peer_send_turn(p, now);
	}
}

static void peer_drive(void)
{
	static const uint64_t one = 1;
	struct rte_mbuf *pkts[32];
	usec_t now = io_now();
	uint32_t edges;
	unsigned n;

	while ((n = queue_take(&to_peer, pkts, 32)))
		engine_input(peer, pkts, n, now);
	if (now >= engine_next_deadline(peer))
		engine_run(peer, now);
	while (engine_next_event(peer, &edges))
		;
	for (unsigned i = 0; i < CONNS; i++)
		peer_turn(&peers[i], now);
	while ((n = engine_output(peer, pkts, 32, now))) {
		for (unsigned i = 0; i < n; i++)
			queue_put(&to_us, pkts[i]);
		if (wire.info.has_interrupt && (!wire.info.weak_interrupt || atomic_load(&wire.armed)))
			assert(write(wire.efd, &one, sizeof(one)) == sizeof(one));
	}
}

static void *peer_main(void *arg)
{
	for (;;) {
		pthread_mutex_lock(&peer_mutex);
		peer_drive();
		pthread_mutex_unlock(&peer_mutex);
		sched_yield();
	}
	return NULL;
}

static struct ip_addr address(const char *text)
{
	return ip_from_v4(inet_addr(text));
}

void peer_echo(unsigned port)
{
	struct endpoint local = {.addr = address(PEER_ADDR), .port = (uint16_t)port};
	struct conn *c;

	pthread_mutex_lock(&peer_mutex);
	c = engine_socket(peer);
	assert(c && !engine_bind(peer, c, &local) && !engine_listen(peer, c, 128, io_now()));
	peer_slot(PEER_LISTENER, c);
	pthread_mutex_unlock(&peer_mutex);
}

void peer_connect_and_send(unsigned port, size_t n)
{
	struct endpoint remote = {.addr = address(OUR_ADDR), .port = (uint16_t)port};
	struct conn *c;

	pthread_mutex_lock(&peer_mutex);
	c = engine_socket(peer);
	assert(c && engine_connect(peer, c, &remote, io_now()) == -EINPROGRESS);
	peer_slot(PEER_SENDER, c)->left = n;
	pthread_mutex_unlock(&peer_mutex);
}

static void peer_start(void)
{
	struct engine_config ec = {.pool = pool,
				   .secret = {1, 2},
				   .mac = {2, 0, 0, 0, 0, 2},
				   .mtu = 1500,
				   .addrs = {{.addr = address(PEER_ADDR), .len = 120}},
				   .naddrs = 1,
				   .max_conns = CONNS,
				   .max_timewait = CONNS};
	size_t size;
	pthread_t thread;

	tcp_settings_init(&ec.tcp);
	size = engine_size(&ec);
	peer = engine_create(io_alloc("peer", size), size, &ec, io_now());
	peers = calloc(CONNS, sizeof(*peers));
	assert(peer && peers && !pthread_create(&thread, NULL, peer_main, NULL));
}

/* ---- our side
 * ------------------------------------------------------------------------------------------------------------------------ */

void world_start(enum world_wait wait, long spin_us)
{
	struct ip_addr ours = address(OUR_ADDR);

	cfg.spin_us = spin_us;
	memcpy(&cfg.addrs[0].addr, &ours, sizeof(ours));
	cfg.addrs[0].len = 120;
	assert(!testpool_start(128));
	pool = testpool_create("wire", POOL, 1500);
	assert(pool);
	wire.info = (struct port_info){.mac = {2, 0, 0, 0, 0, 1},
				       .mtu = 1500,
				       .queues = 1,
				       .doorbell = IO_DOORBELL_CHEAP,
				       .has_interrupt = wait != WORLD_NAPS,
				       .weak_interrupt = wait == WORLD_WEAK_INTERRUPTS,
				       .driver = "wire"};
	wire.efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	peer_start();
	core = mtcpshim_core(&thin);
	assert(core && !core->engine_up());
}

static struct sockaddr_in name(const char *addr, unsigned port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = inet_addr(addr)}};
}

static struct fdref new_socket(void)
{
	struct fresh_info fresh = {.family = AF_INET};
	struct fdref r = {.fd = world_placeholder(AF_INET, 0, PLACEHOLDER_ANY), .kind = FD_SOCK};
	int err;

	r.obj = core->take(r.fd, &fresh, &r.gen, &err);
	assert(r.obj);
	world_set(r.fd, FD_SOCK, r.obj, r.gen);
	return r;
}

int world_connect(unsigned port)
{
	struct sockaddr_in to = name(PEER_ADDR, port);
	struct fdref r = new_socket();
	int rc = core->connect(&r, (struct sockaddr *)&to, sizeof(to));

	if (rc) {
		world_close(r.fd);
		return rc;
	}
	return r.fd;
}

int world_listen(unsigned port)
{
	struct sockaddr_in at = name(OUR_ADDR, port);
	struct fdref r = new_socket();
	int rc = core->bind(&r, (struct sockaddr *)&at, sizeof(at));

	if (!rc)
		rc = core->listen(&r, 128, false);
	return rc ? rc : r.fd;
}

void world_close(int fd)
{
	struct fdref r = world_ref(fd);
	bool pristine;

	world_set(fd, FD_KERNEL, NULL, 0);
	if (r.kind == FD_SOCK)
		core->release(&r, &pristine);
	else if (r.kind == FD_EPOLL)
		core->epoll_release(&r);
	syscall(SYS_close, fd);
}

int world_dup(int fd)
{
	struct fdref r = world_ref(fd);
	int copy = (int)syscall(SYS_dup, fd);

	if (copy < 0)
		return -errno;
	if (r.kind == FD_SOCK)
		core->retain(&r);
	else if (r.kind == FD_EPOLL)
		core->epoll_retain(&r);
	world_set(copy, r.kind, r.obj, r.gen);
	return copy;
}

void world_forget(int fd)
{
	world_set(fd, FD_KERNEL, NULL, 0);
}

ssize_t world_send(int fd, const void *buf, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)buf, n};
	struct fdref r = world_ref(fd);

	return core->send(&r, &iov, 1, 0);
}

ssize_t world_recv(int fd, void *buf, size_t n, int flags)
{
	struct iovec iov = {buf, n};
	struct fdref r = world_ref(fd);

	return core->recv(&r, &iov, 1, flags);
}

int world_epoll(void)
{
	static _Atomic uint32_t id;
	int fd = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);

	world_set(fd, FD_EPOLL, NULL, ++id);
	return fd;
}
