/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_wire.c - the wire of core_world.h in the place of io/, and the peer at its other end; and time by hand.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/unit/core_wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "io/io.h"
#include "tests/common/testpool.h"

#define QUEUE 1024
#define POOL 16384
#define CONNS 512
#define PEER_BUF 65536

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
static _Atomic unsigned lost, sent;
/* With engines that children share; 0: one, and each has its own. */
static unsigned stacks;
/* By hand: what time it is. */
static struct {
	bool on;
	_Atomic usec_t now;
} hand = {.now = 1000000000};

unsigned world_lost(void)
{
	return lost;
}

unsigned world_sent(void)
{
	return sent;
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
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, (stacks ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
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
	sent += n;
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

	if (hand.on)
		return atomic_load(&hand.now);
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

static void conn_turn(struct peer_conn *p, usec_t now)
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
		conn_turn(&peers[i], now);
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

struct ip_addr world_address(const char *text)
{
	return ip_from_v4(inet_addr(text));
}

void peer_echo(unsigned port)
{
	struct endpoint local = {.addr = world_address(PEER_ADDR), .port = (uint16_t)port};
	struct conn *c;

	pthread_mutex_lock(&peer_mutex);
	c = engine_socket(peer);
	assert(c && !engine_bind(peer, c, &local) && !engine_listen(peer, c, 128, io_now()));
	peer_slot(PEER_LISTENER, c);
	pthread_mutex_unlock(&peer_mutex);
}

void peer_connect_and_send(unsigned port, size_t n)
{
	struct endpoint remote = {.addr = world_address(OUR_ADDR), .port = (uint16_t)port};
	struct conn *c;

	pthread_mutex_lock(&peer_mutex);
	c = engine_socket(peer);
	assert(c && engine_connect(peer, c, &remote, io_now()) == -EINPROGRESS);
	peer_slot(PEER_SENDER, c)->left = n;
	pthread_mutex_unlock(&peer_mutex);
}

static void peer_start(bool threaded)
{
	struct engine_config ec = {.pool = pool,
				   .secret = {1, 2},
				   .mac = {2, 0, 0, 0, 0, 2},
				   .mtu = 1500,
				   .addrs = {{.addr = world_address(PEER_ADDR), .len = 120}},
				   .naddrs = 1,
				   .max_conns = CONNS,
				   .max_timewait = CONNS};
	size_t size;
	pthread_t thread;

	tcp_settings_init(&ec.tcp);
	size = engine_size(&ec);
	peer = engine_create(io_alloc("peer", size), size, &ec, io_now());
	peers = calloc(CONNS, sizeof(*peers));
	assert(peer && peers);
	assert(!threaded || !pthread_create(&thread, NULL, peer_main, NULL));
}

void wire_family(unsigned n)
{
	stacks = n;
}

void wire_start(enum world_wait wait, bool by_hand)
{
	hand.on = by_hand;
	assert(!testpool_start(128));
	pool = testpool_create("wire", POOL, 1500);
	assert(pool);
	wire.info = (struct port_info){.mac = {2, 0, 0, 0, 0, 1},
				       .mtu = 1500,
				       .queues = stacks ? stacks : 1,
				       .doorbell = IO_DOORBELL_CHEAP,
				       .has_interrupt = wait != WORLD_NAPS,
				       .weak_interrupt = wait == WORLD_WEAK_INTERRUPTS,
				       .forks = true,
				       .driver = "wire"};
	wire.efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	peer_start(!by_hand);
}

/* ---- by hand
 * ------------------------------------------------------------------------------------------------------------------------ */

void world_pass(unsigned us)
{
	atomic_fetch_add(&hand.now, us);
}

void peer_turn(void)
{
	peer_drive();
}

void peer_noise(unsigned n)
{
	while (n--) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		assert(m && rte_pktmbuf_append(m, 60));
		memset(rte_pktmbuf_mtod(m, void *), 0, 60);
		queue_put(&to_us, m);
	}
}

int wire_sleep(struct pollfd *fds, nfds_t n, const struct timespec *timeout)
{
	static const struct timespec none = {0};
	int rc;

	peer_drive();
	rc = ppoll(fds, n, &none, NULL);
	if (rc)
		return rc;
	/* Nobody would ever wake it. */
	assert(timeout);
	world_pass((unsigned)(timeout->tv_sec * 1000000 + timeout->tv_nsec / 1000));
	return 0;
}
