/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * internal.h - what the files of io/ share: the parsed device string, log capture, the parts of a port, call redirection.
 *
 * Life of a port: device.c reads the device string, eal.c starts EAL with the drivers that it names, port.c probes, configures
 * and drives the device; memif.c, kernel_if.c, wait.c and pcap.c each know one kind of device or one service.
 */
#ifndef IO_INTERNAL_H
#define IO_INTERNAL_H

#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "io.h"

/* Bytes around an IP packet on the wire that a buffer must hold: Ethernet header, one VLAN tag, checksum. */
#define FRAME_OVERHEAD 22
/* What AF_XDP leaves free in front of a received frame (XDP_PACKET_HEADROOM of linux/bpf.h). */
#define FRAME_HEADROOM_XDP 256

/* ---- errors and log -------------------------------------------------------------------------------------------------------- */

/* Fill *err (if not NULL) and return code, for "return io_fail(err, -EINVAL, ...)". */
int io_fail(struct io_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Route EAL's and the drivers' log into this library.  0 or -errno. */
int log_open(bool verbose);
/* Forget the lines so far: log_reason() speaks of what comes now. */
void log_mark(void);
/* The first error since log_mark(), without prefix and newline; "" if there was none. */
const char *log_reason(char *buf, size_t size);
/* Between these two what this thread prints on stderr is taken as log (EAL prints its fatal errors there). */
void log_stderr_take(void);
void log_stderr_give(void);

/* ---- devices --------------------------------------------------------------------------------------------------------------- */

enum device_kind { DEVICE_VIRTUAL, DEVICE_PCI, DEVICE_KERNEL_IF };

#define DEVICE_STRING_MAX 512	/* with what is added to it */
#define DEVICE_STRING_GIVEN 400 /* as the user may give it */

struct device {
	enum device_kind kind;
	char string[DEVICE_STRING_GIVEN]; /* as given */
	char name[64];			  /* "net_memif0", "0000:03:00.0", "veth0": the string up to the first comma */
	char driver[32];		  /* "net_memif"; for a kernel interface and for PCI empty */
};

/* How packets of a driver can be waited for. */
enum wait_kind {
	WAIT_NONE,	/* not at all */
	WAIT_SOCKET,	/* the driver's own packet socket, found after it was opened */
	WAIT_FD,	/* ethdev gives a descriptor that is readable while packets wait */
	WAIT_INTERRUPT, /* ethdev gives an eventfd that must be armed */
	WAIT_BELL,	/* memif_bell.c does */
};

/* What a driver does not say about itself. */
struct traits {
	const char *driver;
	enum io_doorbell doorbell;
	enum wait_kind wait;
	bool any_mtu;	  /* carries frames of any size that fits its buffers, whatever max_rx_pktlen says */
	bool any_mac;	  /* has no address filter: a MAC needs no telling */
	bool no_offload;  /* offloads would be done in software by the driver: the engine does that better */
	bool forks;	  /* a forked child can drive it beside its parent */
	bool tx_refusals; /* counts frames that it left with the caller as errors */
};

/* Read a device string.  -EINVAL, -ENODEV with *err. */
int device_parse(struct device *d, const char *string, struct io_error *err);
/* Does the device string have this argument ("bsize")?  Its value goes into buf, cut to size. */
bool device_arg(const char *string, const char *key, char *buf, size_t size);
const struct traits *device_traits(const char *driver);

#define DRIVERS_MAX 4
#define DRIVER_PATH_MAX 256

/* Driver libraries that a device needs, for dlopen. */
struct drivers {
	unsigned n;
	char path[DRIVERS_MAX][DRIVER_PATH_MAX];
};

/* Find them.  -ENODEV with the package to install in *err. */
int device_drivers(const struct device *d, struct drivers *out, struct io_error *err);
/* Is this driver ("net_af_xdp") installed?  Its path goes into path. */
bool driver_find(const char *driver, char path[DRIVER_PATH_MAX]);

/* ---- redirected calls ------------------------------------------------------------------------------------------------------ */

/*
 * Let the loaded library whose file name begins with object call "with" where it would call symbol; returns what it called
 * before, NULL if no such call was found.  Only that library's own calls change.
 */
void *redirect_call(const char *object, const char *symbol, void *with);

/* Who keeps DPDK's descriptors (struct io_config); may be NULL. */
void descriptors_keeper(int (*keep)(int), void (*drop)(int));
/* Redirect the calls that open descriptors, in the libraries that are loaded by now; harmless to repeat. */
void descriptors_redirect(void);
/* Hand a descriptor that DPDK received into keeping: its number from now on. */
int descriptor_keep(int fd);
/* Close one that may have been handed into keeping. */
void descriptor_close(int fd);
/* Is this number of the driver's the one in this process that it means? */
bool descriptor_is_here(int fd);

/* ---- ports ----------------------------------------------------------------------------------------------------------------- */

struct gate_queue {
	_Atomic uint32_t busy;	/* a burst is under way */
	uint64_t tx_no_carrier; /* frames dropped because nobody is connected */
} __attribute__((aligned(64)));

/*
 * Keeps bursts out while the device is being reconnected: the driver's control thread closes the gate and waits for the bursts
 * under way.  Only for drivers that change under the feet of a burst (memif).
 */
struct gate {
	bool used;
	bool fence;	       /* no membarrier(2): bursts fence for themselves */
	_Atomic uint32_t open; /* 0: closed; else the edition of the letter to be known (replica.c) */
	struct gate_queue q[IO_QUEUES_MAX];
};

struct memif {
	bool used, client, started;
	uint64_t started_us;  /* when the last connection attempt began */
	_Atomic bool hung_up; /* the control channel ended since then */
	unsigned rings;	      /* offered by the client so far (server) */
	char trouble[128];    /* why there is no link */
	bool explained;	      /* for this handshake it is said */
	struct port *next;    /* list of memif ports */
	/* memif_bell.c, under waiting.lock. */
	struct {
		int fd;	    /* of the memory that the rings lie in; -1: not known yet */
		char *base; /* where that is mapped; NULL: it is not */
		int mapped; /* the descriptor that was mapped last, and where: the client maps before it tells which it is */
		char *at;
		size_t size;
		uint32_t offset[IO_QUEUES_MAX];	   /* of the rings that we receive from */
		uint32_t tx_offset[IO_QUEUES_MAX]; /* ... and those that we send by */
		unsigned tx_slots[IO_QUEUES_MAX];
	} rings_at;
};

struct waiting {
	enum wait_kind kind;
	int fd[IO_QUEUES_MAX];
	pthread_mutex_t lock;
	unsigned armed[IO_QUEUES_MAX]; /* sleepers that count on the interrupt; under lock */
	void (*poke)(int);	       /* TAP: tells the driver that packets may wait, instead of its signal */
};

struct capture;

struct port {
	uint16_t id; /* ethdev's */
	struct gate gate;
	struct waiting wait;
	struct capture *capture;
	struct {
		bool used;
		int fd;
	} large;		   /* packet_tx.c */
	bool seeks[IO_QUEUES_MAX]; /* packet_ring.c has lost its place in the queue's ring, until a packet comes */
	const struct traits *traits;
	struct memif memif;
	struct port_info info;
	char device[DEVICE_STRING_MAX]; /* as handed to the driver */
};

/*
 * The thread that serves the control side of memif ports (control.c).  prepare() before the first port is probed, start() after;
 * do() runs something as that thread would.  -errno.
 */
int control_prepare(void (*on_tick)(void));
int control_start(void);
void control_do(void (*run)(struct port *), struct port *p);
/* Call on_tick() at that time of io_now(); 0: not at all. */
void control_tick_at(uint64_t us);
/* Is it this process that serves it?  That started EAL? */
bool control_is_here(void);
bool control_is_first(void);
/* fork(): before, in the parent, in the child, which serves nothing then; and when it is its turn. */
void control_fork_prepare(void);
void control_fork_parent(void);
void control_fork_child(void);
int control_take_over(void);
/* Between take_over() and moved_in() the driver lets go of what the process had that served before: numbers of nothing here. */
bool control_is_moving(void);
void control_moved_in(void);

/* Memory for the driver while links come and go (driver_memory.c): prepared before the probe, used when opened.  0 or -1. */
int driver_memory_prepare(void);
void driver_memory_open(bool open);

/*
 * What a link brings, for all processes of the family (replica.c).  The side that serves: map() and unmap() the peer's memory
 * (false: it is none of that), bell() notes an eventfd of a ring, closed() that one is no more, publish() tells the others and
 * returns the edition.  The others: read() an edition, false if that cannot be; bell_here() is what an eventfd is called here,
 * -1.
 */
int replica_prepare(void);
void *replica_map(size_t size, int prot, int fd);
bool replica_unmap(void *at);
void replica_bell(int fd);
void replica_closed(int fd);
uint32_t replica_publish(uint16_t port);
bool replica_is_read(uint16_t port, uint32_t edition);
bool replica_read(uint16_t port, uint32_t edition);
int replica_bell_here(int fd);
void replica_fork_child(bool wrote);
/* The process that wrote is gone: its descriptors are not to be sent again. */
void replica_moved_in(void);

/* Block all signals but the synchronous ones, for a thread of ours to inherit. */
void io_block_signals(sigset_t *before);

/* Gate, called by the control side. */
void gate_init(struct port *p);
/* In a forked child: its bursts shall be waited for as well. */
void gate_join(void);
void gate_open(struct port *p);
/* What bursts need to know has changed: when this returns none is under way that does not know. */
void gate_renew(struct port *p);
/* No burst is under way when this returns, and none starts until gate_open(). */
void gate_close(struct port *p);
/* Every burst that was under way has ended when this returns. */
void gate_settle(struct port *p);

/* Make room for a server's socket: remove a file that nobody serves.  -EADDRINUSE, -ENOTSOCK, ... with *err. */
int socket_remove_stale(const char *path, struct io_error *err);

/* memif: complete the device string (sizes, socket kind), remove a stale socket.  0 or -errno with *err. */
int memif_prepare(const struct device *d, const struct port_config *cfg, char *string, uint16_t *mtu, struct io_error *err);
/* Start a configured memif port and keep it connected from then on. */
int memif_start(struct port *p, const struct device *d, struct io_error *err);
void memif_stop(struct port *p);
void memif_take_over(struct port *p);
void memif_fork_child(void);

/*
 * Receive interrupts of memif (memif_bell.c): what the control channel and the driver's mappings tell of the rings.  c2s: the
 * ring leads from client to server; bell: the eventfd that its sender writes.
 */
void bell_setup(struct port *p);
void bell_forget(struct port *p);
void bell_region(struct port *p, int fd);
void bell_ring(struct port *p, bool c2s, unsigned queue, uint32_t offset, unsigned log2_size, int bell);
void bell_mapped(struct port *p, int fd, void *at, size_t size);
void bell_unmapped(struct port *p, const void *at);
void bell_close(struct port *p);
/* Turn it on or off; waiting.lock is held.  False: nobody is connected. */
bool bell_switch(struct port *p, unsigned q, bool on);
/* port_is_taken() of io.h. */
bool bell_is_taken(struct port *p);

/* Kernel interfaces: device strings for the two drivers. 0 or -errno with *err. */
struct kernel_if {
	int index;
	uint16_t mtu;
	unsigned rx_queues;
	uint8_t mac[6];
	bool virtual; /* no hardware behind it */
};
int kernel_if_read(const char *name, struct kernel_if *k, struct io_error *err);
void kernel_if_af_xdp(const char *name, const struct kernel_if *k, unsigned queues, char *string);
/* Add ring sizes for that MTU to the device string of an AF_PACKET device, unless it has its own. */
void kernel_if_ring(const char *given, uint16_t mtu, char *string);
void kernel_if_af_packet(const char *name, uint16_t mtu, unsigned queues, char *string);

/*
 * A packet socket beside the driver of an interface without hardware, for frames of more than one segment (packet_tx.c).  open()
 * adds to the port's capabilities; nothing if there can be none.
 */
void packet_tx_open(struct port *p, const char *ifname);
void packet_tx_close(struct port *p);
/* port_tx() of such a port. */
unsigned packet_tx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n);

/*
 * AF_XDP's rings (xdp_rings.c).  watch(): before the device is probed, find out where they are; started(): they are in use from
 * now on.  repair(): a process was killed in a burst on this queue, and no other one is under way; false: the kernel may still
 * have frames that it sends.
 */
void xdp_rings_watch(void);
void xdp_rings_started(void);
bool xdp_rings_repair(unsigned q);
/* After repair(): visit the packets that were received and wait to be read; and all that the kernel may have to receive into,
 * some others among them. */
typedef void xdp_visit(struct rte_mbuf *m, void *arg);
void xdp_rings_received(unsigned q, const struct rte_mempool *pool, xdp_visit *visit, void *arg);
void xdp_rings_filled(unsigned q, const struct rte_mempool *pool, xdp_visit *visit, void *arg);
/* How many the driver means the kernel to have; give it one. */
uint32_t xdp_rings_stock(unsigned q);
bool xdp_rings_fill(unsigned q, const struct rte_mempool *pool, const struct rte_mbuf *m);

/*
 * AF_PACKET's rings (packet_ring.c): a process was killed in a burst on this queue, and no other one is under way.  From then on
 * seek() before each look at what came, as long as port.seeks says so.
 */
void packet_ring_repair(struct port *p, unsigned q, const struct rte_mempool *pool);
void packet_ring_seek(struct port *p, unsigned q);

/*
 * A pool whose user was killed (sweep.c): every packet is free that no device has.  begin() for a new pool, whose packets were
 * never used.  xdp: by the rings of queue q, after their repair(); false: it could not be done.
 */
void sweep_begin(struct rte_mempool *pool);
void sweep_pool(struct rte_mempool *pool);
bool sweep_xdp_pool(unsigned q, struct rte_mempool *pool);

/* Descriptors: a snapshot of the sockets of one kind (AF_PACKET, AF_XDP) that this process has open. */
struct fd_set_of {
	unsigned n;
	int fd[64];
};
void sockets_of(int domain, struct fd_set_of *out);
/* waiting.lock, also if a process was killed that had it. */
void wait_lock(struct port *p);
void wait_unlock(struct port *p);
/* Find the ways to wait, before (around the opening of the device) and after it started. */
void wait_before(struct port *p, struct fd_set_of *before);
void wait_setup(struct port *p, const struct fd_set_of *before);

struct capture *capture_open(struct port *p, const char *path, struct io_error *err);
void capture_close(struct capture *c);
void capture_fork_child(void);
/* Hand a burst to the driver, or to whom the port has beside it. */
unsigned port_burst(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n);
/* Copy n frames that were received. */
void capture_rx(struct capture *c, unsigned q, struct rte_mbuf **pkts, unsigned n);
/* Transmit n frames through the driver with those it took copied: the driver frees them, so they are copied before. */
unsigned capture_tx(struct capture *c, struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n);

/* Measure the TSC; called by io_start(), begin before and end after EAL's start. */
void clock_begin(void);
void clock_end(void);

#endif
