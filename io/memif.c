/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memif.c - what net_memif needs from outside: defaults for its device string, recovery of stale sockets, reconnection, and
 * safety of bursts against its control thread.
 *
 * The driver (DPDK 22.11) connects as a client only in dev_start, never again; and when its control channel ends it unmaps the
 * rings in the thread that served it, whoever may be reading them.  So all control happens on one thread (control.c): a tick
 * restarts a client that lost its server, and the driver's munmap() is redirected to wait for the bursts under way (it has taken
 * its "connected" flag back before, so none can start).  Its messages are watched on the way, to say why there is no link.
 *
 * In a fork family one process serves the control side; what it is given by the peer the others get from it (replica.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include "internal.h"

#define DEFAULT_SOCKET "/run/memif.sock" /* the driver's */
#define MTU_MIN 576
#define BUFFER_MAX UINT16_MAX
/* Bytes of buffers in one ring: small enough to stay in cache, large enough to ride out a descheduled reader. */
#define RING_BYTES (5 * 1024 * 1024)
#define RING_LOG2_MIN 5
#define RING_LOG2_MAX 10

#define TICK_DOWN_US 20000
#define TICK_UP_US 100000
#define HANDSHAKE_US 500000
#define FIRST_LINK_US 200000

/* Messages of the control channel (memif protocol version 2.0), of 128 bytes each: type, then what matters here. */
enum {
	MSG_HELLO = 2,
	MSG_INIT = 3,
	MSG_ADD_REGION = 4,
	MSG_ADD_RING = 5,
	MSG_CONNECT = 6,
	MSG_CONNECTED = 7,
	MSG_DISCONNECT = 8
};
#define MSG_SIZE 128
#define MEMIF_VERSION 0x200
#define RING_C2S 1
struct message {
	uint16_t type;
	union {
		struct {
			char name[32];
			uint16_t min_version, max_version;
		} __attribute__((packed)) hello;
		struct {
			uint16_t version;
		} __attribute__((packed)) init;
		struct {
			uint16_t index;
			uint64_t size;
		} __attribute__((packed)) region;
		struct {
			uint16_t flags, index, region;
			uint32_t offset;
			uint8_t log2_size;
		} __attribute__((packed)) ring;
		struct {
			uint32_t code;
			char reason[96];
		} __attribute__((packed)) disconnect;
	};
} __attribute__((packed));

static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct port *ports;

static void tick_all(void);

/* ---- the device string ----------------------------------------------------------------------------------------------------- */

static bool is_client(const char *string)
{
	char role[16] = "client";

	device_arg(string, "role", role, sizeof(role));
	return strcmp(role, "server") && strcmp(role, "master");
}

/* The driver takes its defaults for all arguments if it does not know one of them. */
static int check_keys(const struct device *d, struct io_error *err)
{
	static const char keys[] = ",role,id,socket,socket-abstract,bsize,rsize,mac,zero-copy,secret,";
	char probe[40];

	for (const char *p = strchr(d->string, ','); p; p = strchr(p, ',')) {
		int n = strcspn(++p, "=,");

		snprintf(probe, sizeof(probe), ",%.*s,", n, p);
		if (p[n] != '=' || !strstr(keys, probe))
			return io_fail(
			    err, -EINVAL,
			    "MTCPSHIM_DEV: %s has no argument \"%.*s\": it takes role=server|client, socket=PATH, id=N, "
			    "bsize=N, rsize=N, socket-abstract=yes|no, mac=, secret=, zero-copy=yes|no",
			    d->name, n, p);
	}
	return 0;
}

static int check_role(const struct device *d, struct io_error *err)
{
	char role[16];

	if (!device_arg(d->string, "role", role, sizeof(role)) || !strcmp(role, "server") || !strcmp(role, "client") ||
	    !strcmp(role, "master") || !strcmp(role, "slave"))
		return 0;
	return io_fail(err, -EINVAL, "MTCPSHIM_DEV: %s,role=%s: the role is server or client", d->name, role);
}

/* Zero copy maps the memory's own files at the server's; those of ordinary pages the driver cannot hand out. */
static int check_zero_copy(const struct device *d, struct io_error *err)
{
	char zc[8] = "no";

	device_arg(d->string, "zero-copy", zc, sizeof(zc));
	if (strcmp(zc, "yes") || rte_eal_has_hugepages())
		return 0;
	return io_fail(err, -EINVAL, "MTCPSHIM_DEV: %s,zero-copy=yes works with huge pages only (MTCPSHIM_HUGE): leave it out",
		       d->name);
}

/* A buffer holds a whole frame: frames that span buffers would leave marks in descriptors that the driver never takes back. */
static int choose_sizes(const struct device *d, char *string, uint16_t *mtu, struct io_error *err)
{
	unsigned bsize = RTE_ALIGN(*mtu + FRAME_OVERHEAD, 64u), rsize = RING_LOG2_MAX;
	char text[16];

	if (device_arg(d->string, "bsize", text, sizeof(text))) {
		bsize = strtoul(text, NULL, 10);
		if (bsize < MTU_MIN + FRAME_OVERHEAD || bsize > BUFFER_MAX)
			return io_fail(err, -EINVAL,
				       "MTCPSHIM_DEV: %s,bsize=%s: a buffer takes one frame: %u to %u bytes, or leave bsize out",
				       d->name, text, MTU_MIN + FRAME_OVERHEAD, BUFFER_MAX);
		*mtu = RTE_MIN(*mtu, bsize - FRAME_OVERHEAD);
	} else {
		bsize = RTE_MIN(bsize, (unsigned)BUFFER_MAX);
		*mtu = RTE_MIN(*mtu, bsize - FRAME_OVERHEAD);
		sprintf(string + strlen(string), ",bsize=%u", bsize);
	}
	while (rsize > RING_LOG2_MIN && ((size_t)bsize << rsize) > RING_BYTES)
		rsize--;
	if (!device_arg(d->string, "rsize", text, sizeof(text)))
		sprintf(string + strlen(string), ",rsize=%u", rsize);
	return 0;
}

/* ---- the socket ------------------------------------------------------------------------------------------------------------ */

static int check_directory(const char *path, struct io_error *err)
{
	char dir[DEVICE_STRING_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return io_fail(err, -EINVAL, "MTCPSHIM_DEV: socket=%.100s: give an absolute path of at most %zu bytes", path,
			       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (access(dir, R_OK | W_OK))
		return io_fail(err, -errno,
			       "MTCPSHIM_DEV: socket=%s: the directory %s: %s: give a path that both ends can write to", path,
			       dir, strerror(errno));
	return 0;
}

/*
 * The driver's own default is an abstract socket, which is seen in one network namespace only; a file is seen by everybody who
 * sees the directory, which is what a path looks like.
 */
static int choose_socket(const struct device *d, char *string, struct io_error *err)
{
	char path[DEVICE_STRING_MAX] = DEFAULT_SOCKET, abstract[8] = "no";
	int rc;

	device_arg(d->string, "socket", path, sizeof(path));
	if (!device_arg(d->string, "socket-abstract", abstract, sizeof(abstract)))
		strcat(string, ",socket-abstract=no");
	if (!strcmp(abstract, "yes"))
		return 0;
	rc = check_directory(path, err);
	if (!rc && !is_client(d->string))
		rc = socket_remove_stale(path, err);
	return rc;
}

/* ---- what the driver's control thread does --------------------------------------------------------------------------------- */

/* Say why there is no link. What is found out first in a handshake is the cause, the rest follows from it. */
static void trouble(struct port *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void trouble(struct port *p, const char *fmt, ...)
{
	va_list ap;

	if (p->memif.explained)
		return;
	p->memif.explained = true;
	va_start(ap, fmt);
	vsnprintf(p->memif.trouble, sizeof(p->memif.trouble), fmt, ap);
	va_end(ap);
}

static int settled_munmap(void *addr, size_t size)
{
	pthread_mutex_lock(&ports_lock);
	for (struct port *p = ports; p; p = p->memif.next) {
		gate_settle(p);
		bell_unmapped(p, addr);
	}
	pthread_mutex_unlock(&ports_lock);
	return replica_unmap(addr) ? 0 : munmap(addr, size);
}

/* A client with fewer queues than the server's would leave the server's last queues pointing at the first ring. */
static bool rings_match(struct port *p)
{
	if (p->memif.rings == 2 * p->info.queues)
		return true;
	trouble(p, "the peer has %u queues and this end %u: give both the same MTCPSHIM_CORES", p->memif.rings / 2,
		p->info.queues);
	return false;
}

/* What tells where the rings are, whichever way it goes; fd is what came with it. */
static void watch_rings(struct port *p, const struct message *m, int fd)
{
	switch (m->type) {
	case MSG_ADD_REGION:
		/* The rings lie in the first, packets may lie elsewhere. */
		if (!m->region.index)
			bell_region(p, fd);
		break;
	case MSG_ADD_RING:
		if (!m->ring.region)
			bell_ring(p, m->ring.flags & RING_C2S, m->ring.index, m->ring.offset, m->ring.log2_size, fd);
		break;
	}
}

static bool watch_received(struct port *p, const struct message *m)
{
	switch (m->type) {
	case MSG_HELLO:
		bell_forget(p);
		p->memif.explained = false;
		if (m->hello.min_version > MEMIF_VERSION || m->hello.max_version < MEMIF_VERSION)
			trouble(p, "the memif server speaks protocol versions %x to %x, DPDK %x", m->hello.min_version,
				m->hello.max_version, MEMIF_VERSION);
		break;
	case MSG_INIT:
		bell_forget(p);
		p->memif.explained = false;
		p->memif.rings = 0;
		if (m->init.version != MEMIF_VERSION)
			trouble(p, "the memif client speaks protocol version %x, DPDK %x", m->init.version, MEMIF_VERSION);
		break;
	case MSG_ADD_RING:
		p->memif.rings++;
		break;
	case MSG_CONNECT:
		return rings_match(p);
	case MSG_CONNECTED:
		p->memif.explained = false;
		break;
	case MSG_DISCONNECT:
		trouble(p, "the memif peer ended the connection: %.80s", m->disconnect.reason);
		p->memif.hung_up = true;
		break;
	}
	return true;
}

/* The control channel belongs to the only memif port; with several it cannot be told whose it is. */
static struct port *only_port(void)
{
	return ports && !ports->memif.next ? ports : NULL;
}

/* A message carries one descriptor at most: unix(7), SCM_RIGHTS. */
static unsigned char *passed(const struct msghdr *mh)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);

	while (c && (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(int))))
		c = CMSG_NXTHDR((struct msghdr *)mh, c);
	return c ? CMSG_DATA(c) : NULL;
}

static int passed_fd(const struct msghdr *mh)
{
	int fd = -1;

	if (passed(mh))
		memcpy(&fd, passed(mh), sizeof(fd));
	return fd;
}

/* The server is handed the client's memory and eventfds. */
static void keep_passed(struct msghdr *mh)
{
	int fd = descriptor_keep(passed_fd(mh));

	if (fd >= 0)
		memcpy(passed(mh), &fd, sizeof(fd));
}

static void *watched_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *at = replica_map(size, prot, fd);

	(void)addr;
	(void)flags;
	(void)offset;
	pthread_mutex_lock(&ports_lock);
	if (at != MAP_FAILED && only_port())
		bell_mapped(only_port(), fd, at, size);
	/* Before the link comes up, which is the driver's next step. */
	for (struct port *p = ports; p && at != MAP_FAILED; p = p->memif.next)
		gate_renew(p);
	pthread_mutex_unlock(&ports_lock);
	return at;
}

/* Bursts read and write the rings' eventfds by the number that they have where the control side is. */
static ssize_t ring_write(int fd, const void *buf, size_t n)
{
	int here = control_is_here() ? fd : replica_bell_here(fd);

	return here < 0 ? (ssize_t)n : write(here, buf, n);
}

static ssize_t ring_read(int fd, void *buf, size_t n)
{
	int here = control_is_here() ? fd : replica_bell_here(fd);

	if (here >= 0)
		return read(here, buf, n);
	errno = EAGAIN;
	return -1;
}

static ssize_t watched_recvmsg(int fd, struct msghdr *mh, int flags)
{
	ssize_t n = recvmsg(fd, mh, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct message *m = mh->msg_iov[0].iov_base;
	bool ok = true;

	if (n > 0)
		keep_passed(mh);
	pthread_mutex_lock(&ports_lock);
	if (n == MSG_SIZE && only_port()) {
		ok = watch_received(only_port(), m);
		watch_rings(only_port(), m, passed_fd(mh));
	}
	if (n == MSG_SIZE && m->type == MSG_ADD_RING)
		replica_bell(passed_fd(mh));
	/* A client has made its eventfds since it mapped its memory. */
	for (struct port *p = ports; p && n == MSG_SIZE && m->type == MSG_CONNECTED; p = p->memif.next)
		gate_renew(p);
	for (struct port *p = ports; p && (n != MSG_SIZE || !ok); p = p->memif.next)
		p->memif.hung_up = true;
	pthread_mutex_unlock(&ports_lock);
	if (ok)
		return n;
	errno = EPROTO; /* the driver hangs up */
	return -1;
}

/*
 * A peer that is gone is found out by the next read.  A failed greeting must not be reported: the driver would close the
 * descriptor and leave it with EAL's interrupt thread, which panics over it.
 */
static ssize_t watched_sendmsg(int fd, const struct msghdr *mh, int flags)
{
	const struct message *m = mh->msg_iov[0].iov_base;

	/* A channel of the process that served before. */
	if (!descriptor_is_here(fd))
		return MSG_SIZE;
	pthread_mutex_lock(&ports_lock);
	if (m->type == MSG_DISCONNECT && only_port())
		trouble(only_port(), "the memif peer was refused: %.80s", m->disconnect.reason);
	if (only_port())
		watch_rings(only_port(), m, passed_fd(mh));
	pthread_mutex_unlock(&ports_lock);
	(void)sendmsg(fd, mh, flags | MSG_NOSIGNAL);
	return MSG_SIZE;
}

int memif_prepare(const struct device *d, const struct port_config *cfg, char *string, uint16_t *mtu, struct io_error *err)
{
	int rc = check_keys(d, err);

	*mtu = cfg->mtu;
	strcpy(string, d->string);
	rc = rc ? rc : check_role(d, err);
	rc = rc ? rc : check_zero_copy(d, err);
	rc = rc ? rc : choose_sizes(d, string, mtu, err);
	rc = rc ? rc : choose_socket(d, string, err);
	if (rc)
		return rc;
	if (control_prepare(tick_all) || driver_memory_prepare() || replica_prepare())
		return io_fail(err, -ENOMEM, "MTCPSHIM_MEM: no memory or descriptor left for %s", d->name);
	redirect_call("librte_net_memif.so", "read", ring_read);
	redirect_call("librte_net_memif.so", "write", ring_write);
	redirect_call("librte_net_memif.so", "munmap", settled_munmap);
	redirect_call("librte_net_memif.so", "mmap", watched_mmap);
	redirect_call("librte_net_memif.so", "mmap64", watched_mmap);
	redirect_call("librte_net_memif.so", "recvmsg", watched_recvmsg);
	redirect_call("librte_net_memif.so", "sendmsg", watched_sendmsg);
	return 0;
}

/* ---- connecting ------------------------------------------------------------------------------------------------------------ */

static bool is_up(struct port *p)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void restart(struct port *p)
{
	char path[DEVICE_STRING_MAX] = DEFAULT_SOCKET;

	gate_close(p);
	if (p->memif.started)
		rte_eth_dev_stop(p->id);
	p->memif.hung_up = false;
	p->memif.started_us = io_now();
	p->memif.started = rte_eth_dev_start(p->id) == 0;
	if (p->memif.started) {
		gate_open(p);
		return;
	}
	device_arg(p->device, "socket", path, sizeof(path));
	p->memif.explained = false;
	trouble(p, "no memif server answers on %.80s yet", path);
}

/* A client that has no link tries again as soon as its channel is gone, or when a handshake leads nowhere. */
static bool restart_due(const struct port *p)
{
	return !p->memif.started || p->memif.hung_up || io_now() - p->memif.started_us > HANDSHAKE_US;
}

/* Look after every client; the next time sooner if one has no link. */
static void tick_all(void)
{
	uint64_t next = TICK_UP_US;
	bool any = false;

	for (struct port *p = ports; p; p = p->memif.next) {
		bool up = is_up(p);

		if (!p->memif.client)
			continue;
		any = true;
		if (!up && restart_due(p))
			restart(p);
		next = up ? next : TICK_DOWN_US;
	}
	control_tick_at(any ? io_now() + next : 0);
}

static void first_start(struct port *p)
{
	restart(p);
	if (p->memif.client)
		control_tick_at(io_now() + TICK_DOWN_US);
	else if (p->memif.started)
		trouble(p, "no memif client has connected yet");
}

/* If a server answered, the link is a matter of milliseconds: wait, so that the first packets do not get lost. */
static void await_link(struct port *p)
{
	uint64_t until = io_now() + FIRST_LINK_US;

	while (p->memif.started && !p->memif.hung_up && !is_up(p) && io_now() < until)
		usleep(200);
}

int memif_start(struct port *p, const struct device *d, struct io_error *err)
{
	int rc;

	p->memif.client = is_client(d->string);
	gate_init(p);
	bell_setup(p);
	pthread_mutex_lock(&ports_lock);
	p->memif.next = ports;
	ports = p;
	pthread_mutex_unlock(&ports_lock);
	control_do(first_start, p);
	driver_memory_open(true);
	rc = control_start();
	if (rc || (!p->memif.client && !p->memif.started)) {
		memif_stop(p);
		return io_fail(err, rc ? rc : -EIO, "MTCPSHIM_DEV: %s: the memif server cannot start", d->name);
	}
	if (p->memif.client)
		await_link(p);
	return 0;
}

static void last_stop(struct port *p)
{
	gate_close(p);
	if (p->memif.started)
		rte_eth_dev_stop(p->id);
	p->memif.started = false;
}

void memif_stop(struct port *p)
{
	control_do(last_stop, p);
	pthread_mutex_lock(&ports_lock);
	for (struct port **at = &ports; *at; at = &(*at)->memif.next)
		if (*at == p) {
			*at = p->memif.next;
			break;
		}
	pthread_mutex_unlock(&ports_lock);
	bell_close(p);
}

/* ---- fork ------------------------------------------------------------------------------------------------------------------ */

void memif_fork_child(void)
{
	pthread_mutex_init(&ports_lock, NULL);
}

static void move_in(struct port *p)
{
	gate_close(p);
	if (p->memif.started)
		rte_eth_dev_stop(p->id);
	p->memif.started = false;
	memset(p->wait.armed, 0, sizeof(p->wait.armed));
	replica_moved_in();
	control_moved_in();
	first_start(p);
}

/* Channels ended with the process that served them; the peer has seen it and comes again, or is asked again. */
void memif_take_over(struct port *p)
{
	if (control_take_over())
		return;
	control_do(move_in, p);
	control_start();
}
