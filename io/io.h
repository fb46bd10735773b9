/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io.h - ports: DPDK devices as burst in, burst out, wait.  Knows Ethernet frames and nothing above them.
 *
 * Life: io_start() once in a process (it starts DPDK's EAL), port_open(), bursts, port_close().  Errors come back as -errno with
 * one sentence for the user in struct io_error; nothing here prints, exits or aborts.
 * Threads: a queue belongs to whoever holds its stack's lock; different queues may be used at the same time.
 */
#ifndef IO_H
#define IO_H

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

#define IO_QUEUES_MAX 16
#define IO_ADDRS_MAX 8

/* What went wrong, for one line of log: names the setting and the remedy. */
struct io_error {
	char text[256];
};

enum io_huge { IO_HUGE_AUTO, IO_HUGE_YES, IO_HUGE_NO };

struct io_config {
	const char
	    *device;	 /* DPDK device string ("net_memif0,role=client,...", "0000:03:00.0") or a kernel interface ("veth0") */
	unsigned mem_mb; /* memory to reserve for DPDK in all */
	enum io_huge huge;
	bool verbose; /* EAL's and the drivers' log goes to stderr */
	/*
	 * Keeper of the descriptors that DPDK opens for itself and holds as long as the port lives, or NULL (they stay where they
	 * are). keep_fd() may move one, and returns its number or -errno (then it is not kept); drop_fd() closes it.  Any thread.
	 */
	int (*keep_fd)(int fd);
	void (*drop_fd)(int fd);
};

/*
 * Start EAL with the drivers that device needs and no others.  To be called once per process, from a thread of its own choosing:
 * that thread's affinity and lcore id are left as they were.  No signal handler is left installed. -ENODEV, -ENOMEM (no huge
 * pages and IO_HUGE_YES), -EPERM, -EINVAL, -EALREADY; *err says it in words, and on success holds a note for the log ("no huge
 * pages: ...") or nothing.
 */
int io_start(const struct io_config *cfg, struct io_error *err);

/* How dear it is to ring the doorbell of a port: see design section 4. */
enum io_doorbell {
	IO_DOORBELL_CHEAP,   /* memory writes: memif, ring, hardware */
	IO_DOORBELL_SYSCALL, /* AF_PACKET, AF_XDP, TAP, virtio-user/vhost */
};

struct port_config {
	const char *device;			  /* as above */
	unsigned queues;			  /* RX/TX queue pairs wanted; one per stack */
	uint16_t mtu;				  /* largest IP packet wanted */
	struct rte_mempool *pools[IO_QUEUES_MAX]; /* one per queue: where received packets go */
	const uint8_t *mac;			  /* 6 bytes, or NULL: the device's own */
	const char *pcap;			  /* pcapng file to capture into, or NULL */
};

struct port_info {
	uint8_t mac[6];
	uint16_t mtu;	 /* what the port took: at most what was asked for */
	unsigned queues; /* at most what was asked for */
	unsigned caps;	 /* ENGINE_* bits of engine.h: RX_CSUM, TX_IP_CSUM, TX_TCP_CSUM, TX_TSO, TX_MULTI_SEG, RX_RSS */
	unsigned tso_max, tso_parts; /* bytes and mbufs of the largest TSO packet */
	enum io_doorbell doorbell;
	bool has_interrupt;  /* port_wait_fd() gives a descriptor that becomes readable when packets arrive */
	bool forks;	     /* a forked child can use it beside its parent */
	bool weak_interrupt; /* it costs the sender a system call, and one that sends in the instant of arming may not ring: nap
				first, and look once more PORT_SETTLE_US after arming */
	uint8_t rss_key[52]; /* in force when caps has ENGINE_RX_RSS */
	const char *driver;  /* "net_memif" */
	char note[128];	     /* fallbacks taken, for the log ("AF_XDP not available (...): AF_PACKET"); else empty */
};

#define PORT_SETTLE_US 50

struct port;

/* Pool for a queue: n packets of IP packets up to mtu, with priv bytes of private area; socket any. The cache is that of lcore id
 * `queue`. */
struct rte_mempool *port_pool_create(unsigned queue, unsigned n, uint16_t mtu, unsigned priv, struct io_error *err);
/* Bytes of memory that one packet of such a pool takes. */
unsigned port_pool_elt_size(uint16_t mtu, unsigned priv);
/*
 * The pool of queue q is whole again after the process that used it was killed: all its packets are free that no device has.
 * Where other queues may have some of them (shared), those in use at that moment are lost instead.
 */
void port_pool_reset(struct port *p, unsigned q, struct rte_mempool *pool, bool shared);
/* Another queue's pool then: what queue q had put by for it may be half written, and is lost. */
void port_pool_forget(struct rte_mempool *pool, unsigned q);
/* Memory shared across fork at the same address (memzone), 64-byte aligned and zeroed; NULL when there is no more.  The name: up
 * to 31 bytes. */
void *io_alloc(const char *name, size_t size);

/*
 * Open, configure and start a device.  A kernel interface is opened as AF_XDP, then as AF_PACKET.  A stale memif socket file with
 * no listener behind it is removed first; a peer that is not there yet is no error: bursts carry nothing until it comes, and
 * again after it restarts. NULL: *err says why.
 */
struct port *port_open(const struct port_config *cfg, struct io_error *err);
const struct port_info *port_info(const struct port *p);
/* Up to n frames received on queue q; never blocks. */
unsigned port_rx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n);
/*
 * Give up to n frames to queue q: how many it took; the others stay the caller's (ring full).  Without a peer (memif not
 * connected) it takes all, drops them as a cable without carrier would, and counts them as tx_errors.
 */
unsigned port_tx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n);
/*
 * Has the other end taken out all frames that were given to the port?  False also where that cannot be told, or not from this
 * process.
 */
bool port_is_taken(struct port *p);
/* Is the other end there (memif connected, carrier)? Cheap enough for once a millisecond, not for every burst. */
bool port_link_up(struct port *p);
/* Why there is no link, in words ("no memif server answers on /run/x.sock yet"); "" while there is one. */
const char *port_link_text(struct port *p);
/*
 * A descriptor that poll(2) reports readable when packets wait on queue q, or -1 (no interrupt: nap instead).
 * port_wait_arm() before sleeping: true if the interrupt is on; after it port_rx() must be tried once more before sleeping.
 * port_wait_disarm() once for each time that it was armed; it stays on until the last one.  Any thread.  The descriptor also
 * becomes readable when the other end comes or goes (memif): arm again after that.
 */
int port_wait_fd(struct port *p, unsigned q);
bool port_wait_arm(struct port *p, unsigned q);
void port_wait_disarm(struct port *p, unsigned q);
/* Counters the device itself keeps that mean loss: ring full, no mbuf, errors. */
struct port_drops {
	uint64_t rx_missed, rx_nombuf, rx_errors, tx_errors;
};
void port_drops(struct port *p, struct port_drops *d);
/*
 * The process that served the port's control side (reconnection, of memif) has ended, and this one forked from it or beside it:
 * go on with that here.  Once, and never while another process does.
 */
void port_take_over(struct port *p);
void port_close(struct port *p);

/*
 * Lend this thread a stack's lcore id, so that the mempool cache it uses is that stack's own; the caller holds the stack's lock.
 * io_lcore_leave() before the lock is released.
 */
void io_lcore_enter(unsigned queue);
void io_lcore_leave(void);

/*
 * fork(): before, in the parent, in the child.  The child may use the port as its parent does, except that nothing is reconnected
 * there until port_take_over().
 */
void io_fork_prepare(void);
void io_fork_parent(void);
void io_fork_child(void);

/* TSC in microseconds since some past moment; monotonic, the same in every process of a fork family. */
uint64_t io_now(void);

#endif
