/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * engine.h - the host stack as a library: the only header its users include.
 *
 * An engine is one TCP/IP stack: its own tables, timers and packet pool, sharing nothing with others.  It is pure: packets, time
 * and randomness come in as arguments, all state lies in one region given at creation, and it makes no system call, starts
 * no thread, reads no clock and allocates nothing later.  Two engines and a list of packets in flight are a network.
 *
 * Threads: an engine has no lock.  Every function but engine_ready() needs the caller to be the only one inside that engine.
 * Errors: a count or 0 on success, -errno otherwise; errno itself is never touched.
 * Time: usec_t, microseconds on any monotonic clock that starts above zero; it must never go backwards between calls.
 * Byte order: ports and sequence numbers are host order in this interface; addresses are 16 bytes in network order.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct rte_mbuf;
struct rte_mempool;

typedef uint64_t usec_t;
#define USEC_NEVER UINT64_MAX

/* An IPv6 address; IPv4 is held as v4-mapped (::ffff:a.b.c.d).  All zero is "any" for both families. */
struct ip_addr {
	union {
		uint8_t b[16];
		uint32_t w[4];
		uint64_t d[2];
	};
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port; /* host order; 0 is "none yet" */
};

struct ip_prefix {
	struct ip_addr addr; /* the host's own address */
	uint8_t len;	     /* of 128: a /24 of IPv4 is 120 */
};

struct ip_addr ip_from_v4(uint32_t network_order);
uint32_t ip_to_v4(const struct ip_addr *a); /* network order; valid if ip_is_v4() */
bool ip_is_v4(const struct ip_addr *a);
bool ip_is_any(const struct ip_addr *a);
bool ip_is_loopback(const struct ip_addr *a); /* 127.0.0.0/8 */
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);

/* ---- settings: Linux's sysctls -------------------------------------------------------------------------------------------- */

#define CC_NAME_MAX 16

struct tcp_settings {
#define SYSCTL_INT(field, path, dflt, min, max, text) int64_t field;
#define SYSCTL_VEC(field, path, n, dflt, text) int64_t field[n];
#define SYSCTL_STR(field, path, dflt, text) char field[CC_NAME_MAX];
#define SYSCTL_CCS(field, path, dflt, text) uint32_t field; /* a bit for each, by its index in the table */
#include "sysctl.def"
};

/* Fill with the built-in defaults (those of Linux). */
void tcp_settings_init(struct tcp_settings *s);
/* Set one by its Linux name ("net.ipv4.tcp_sack"); values as sysctl prints them.  -ENOENT: no such setting here; -EINVAL: bad
 * value. */
int tcp_settings_set(struct tcp_settings *s, const char *name, const char *value);
/* The i-th setting's name, NULL past the last: to read /proc/sys with. */
const char *tcp_settings_name(unsigned i);
/* Print the value as sysctl would; -ENOENT as above, -ENOSPC: cut short. */
int tcp_settings_get(const struct tcp_settings *s, const char *name, char *buf, size_t size);

/* ---- life of an engine ---------------------------------------------------------------------------------------------------- */

#define ENGINE_ADDRS_MAX 8
#define ENGINE_RSS_KEY_MAX 52
/* Private area each mbuf of the pool must have (rte_pktmbuf_pool_create's priv_size). */
#define ENGINE_MBUF_PRIV 64
/* Room for headers in front of payload that send() fills in (RTE_PKTMBUF_HEADROOM must be at least this). */
#define ENGINE_HEADROOM 96

/* What the port vouches for and can do (engine_config.caps). */
enum {
	ENGINE_RX_CSUM = 1 << 0, /* received mbufs carry RTE_MBUF_F_RX_{IP,L4}_CKSUM_{GOOD,BAD} */
	ENGINE_TX_IP_CSUM = 1 << 1,
	ENGINE_TX_TCP_CSUM = 1 << 2,
	ENGINE_TX_TSO = 1 << 3,
	ENGINE_TX_MULTI_SEG = 1 << 4,
	ENGINE_RX_RSS = 1 << 5, /* received mbufs carry a Toeplitz hash made with rss_key over the 4-tuple */
};

/* A connection of which nothing remains but how to tell its peer (engine_renew()). */
struct engine_lost {
	struct endpoint local, remote;
	uint32_t seq, ack;
	usec_t due;    /* when it is told next, */
	unsigned left; /* ... and how often after that */
};
struct engine_lost_list {
	unsigned max; /* the user's: for how many there is room */
	unsigned n;   /* the engine's */
	struct engine_lost at[];
};

struct engine_config {
	struct rte_mempool
	    *pool;	    /* packets: for sending, and where received ones are expected to come from; outlives the engine */
	uint64_t secret[2]; /* random: keys initial sequence numbers, port choice and hashing */
	uint64_t host[2];   /* the same for all programs of a host until it restarts: keys timestamp offsets */
	uint8_t mac[6];
	uint16_t mtu;	    /* largest IP packet, 576..65535 */
	unsigned caps;	    /* ENGINE_* */
	unsigned tso_max;   /* largest TSO packet, bytes; 0: 65535 */
	unsigned tso_parts; /* ... and of so many mbufs at most; 0: any number */
	struct ip_prefix addrs[ENGINE_ADDRS_MAX];
	unsigned naddrs;
	struct ip_addr gateway; /* any: none */
	bool loopback;		/* 127.0.0.0/8 is this host too; its packets never reach the wire */
	uint8_t rss_key[ENGINE_RSS_KEY_MAX];
	unsigned stack, nstacks; /* which of how many engines share the addresses; nstacks 0 counts as 1 */
	unsigned max_conns;	 /* control blocks, listeners and half-open included */
	unsigned max_timewait;	 /* small TIME-WAIT entries */
	unsigned max_repairs;	 /* connections that may be in repair at once (repair.c); 0: as many as there can be */
	struct tcp_settings tcp;
	struct engine_lost_list
	    *lost; /* the user's memory, which outlives the engine's contents; NULL: peers are left to find out */
};

struct engine;
struct conn; /* one TCP socket: listening, connecting, connected or closed */

/* Bytes of region that engine_create() needs for this configuration; 0 if the configuration is not valid. */
size_t engine_size(const struct engine_config *cfg);
/* engine_config.host out of whatever tells this host from others. */
void engine_host_key(uint64_t key[2], const void *id, size_t len);
/* Build an engine inside region (64-byte aligned, engine_size() bytes, zeroed, mapped at the same address in every process).
 * NULL: bad config. */
struct engine *engine_create(void *region, size_t size, const struct engine_config *cfg, usec_t now);
/* Free every mbuf that the engine holds, send nothing.  The region may then be unmapped. */
void engine_destroy(struct engine *e);

/*
 * Start anew in the same region, after whoever worked in the engine was killed on the way: no list is followed, no mbuf freed
 * (the pool is to be made whole before), all connections are gone.  cfg: that of engine_create(); counters and neighbours stay.
 * The peers of the connections are sent resets, now and again for some seconds, as far as cfg->lost has room for them.  Should
 * this be cut short in the same way, it can be done again.
 */
void engine_renew(struct engine *e, const struct engine_config *cfg, usec_t now);

/* ---- driving ----------------------------------------------------------------------------------------------------------------
 */

/* Take in n received Ethernet frames; owns them from here on.  Never transmits: output follows with engine_output(). */
void engine_input(struct engine *e, struct rte_mbuf **pkts, unsigned n, usec_t now);
/* Run the timers that are due. */
void engine_run(struct engine *e, usec_t now);
/*
 * Write up to max frames that are to be sent into out, complete with headers, checksums or offload flags.  They are the
 * caller's: each must be transmitted or freed.  Fewer than max: nothing is left to send now.
 */
unsigned engine_output(struct engine *e, struct rte_mbuf **out, unsigned max, usec_t now);
/*
 * The same, but ACKs stay that may be delayed (RFC 9293 3.8.6.3, RFC 5681 4.2) and would go at once for the peer's convenience:
 * what the user does next with the connection may carry them.  For a caller who is sure to come with engine_output() within
 * milliseconds.
 */
unsigned engine_output_pressing(struct engine *e, struct rte_mbuf **out, unsigned max, usec_t now);
/* True if engine_output(), engine_output_pressing() would have work. */
bool engine_has_output(const struct engine *e);
bool engine_output_presses(const struct engine *e);
/* What users have asked to be sent so far: compared with earlier, what a call or a turn of theirs added. */
struct engine_spoken {
	uint32_t data; /* calls that queued some */
	uint32_t fins; /* connections closed, or shut down for writing */
};
struct engine_spoken engine_spoken(const struct engine *e);
/* Are there connections whose other end is a socket of this engine?  What is sent to one is received by engine_run(), at once. */
bool engine_has_own_peers(const struct engine *e);
/* Neither engine_output() nor engine_next_event() would have. */
bool engine_is_quiet(const struct engine *e);
/* When engine_run() must be called next; USEC_NEVER if no timer is armed. */
usec_t engine_next_deadline(const struct engine *e);
/*
 * Received frames that belong to another stack (nstacks > 1): up to max of them with their stack's number.  The caller hands each
 * to that stack's engine_input().
 */
unsigned engine_foreign(struct engine *e, struct rte_mbuf **out, uint8_t *stack, unsigned max);
/* Which stack a connection with these ends belongs to. */
unsigned engine_owner(const struct engine *e, const struct endpoint *local, const struct endpoint *remote);
/* Announce the addresses by gratuitous ARP at the next output (link came up, peer restarted). */
void engine_announce(struct engine *e, usec_t now);

/* ---- readiness --------------------------------------------------------------------------------------------------------------
 */

/*
 * Readiness of a socket as EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR, EPOLLPRI, EPOLLRDNORM, EPOLLWRNORM: exactly what
 * Linux's tcp_poll() would say.  Any thread may call it at any time without the stack lock (one atomic load).
 */
uint32_t engine_ready(const struct conn *c);
/*
 * The caller keeps a queue of notices for the user, Linux's error queue: has it any?  ENGINE_NOTICES beside the events above says
 * so, and EPOLLERR fires.  To poll() that is EPOLLERR; who waits for data does not care.
 */
#define ENGINE_NOTICES (1u << 24)
void engine_set_notices(struct engine *e, struct conn *c, bool any);
/*
 * The engine has notices of its own: the ICMP errors that ended attempts to connect.  Each is kept until it is taken, whether
 * IP_RECVERR is set or not; switching that off drops them (Linux since 5.8).
 */
#define ENGINE_ICMP_QUOTE_MAX 576 /* RFC 1812 4.3.2.3: no router need quote more */
struct engine_icmp_error {
	uint8_t type, code;
	uint8_t err;		 /* errno */
	uint8_t info;		 /* the pointer of a parameter problem */
	struct ip_addr offender; /* who sent it; ourselves, where no neighbour answered ARP */
	struct endpoint to;	 /* whom our packet was for */
	uint16_t len;		 /* bytes of that packet, from its TCP header on */
	uint8_t quote[ENGINE_ICMP_QUOTE_MAX];
};
/* The oldest, false: none.  With it goes the pending error (engine_error()), which is that of the next one from now on. */
bool engine_take_icmp_error(struct engine *e, struct conn *c, struct engine_icmp_error *x);
/* All of them; the pending error stays. */
void engine_drop_icmp_errors(struct engine *e, struct conn *c);
/* The notices of a closed socket, also that there are any of the caller's, are now those of another, new one. */
void engine_move_notices(struct engine *e, struct conn *from, struct conn *to);
/*
 * The next socket for which something happened since it was last returned; *edges are the events that fired (as an edge-triggered
 * waiter must see them, also when the level did not change: new data behind unread data).  NULL: no more.
 */
struct conn *engine_next_event(struct engine *e, uint32_t *edges);
/* Connections that wait for engine_accept(); 0 for a socket that does not listen.  Inside the stack. */
unsigned engine_unaccepted(const struct conn *c);
/* A value of the caller's, kept with the socket; 0 at first. */
void engine_set_user(struct conn *c, uint64_t user);
uint64_t engine_user(const struct conn *c);

/* ---- sockets: the verbs of RFC 9293 section 3.9.1 with POSIX's results
 * ---------------------------------------------------------- */

/* A new closed socket, or NULL when all max_conns are in use.  Ends with engine_close(). */
struct conn *engine_socket(struct engine *e);
/*
 * Bind to a local address (any, or one of the engine's) and port (0: the port is chosen now).
 * -EINVAL: bound already; -EADDRINUSE; -EADDRNOTAVAIL.  SO_REUSEADDR and SO_REUSEPORT count as on Linux.
 */
int engine_bind(struct engine *e, struct conn *c, const struct endpoint *local);
/* Listen; an unbound socket gets a port.  A backlog of any int is accepted and clamped to somaxconn.  On a listener: changes the
 * backlog. */
int engine_listen(struct engine *e, struct conn *c, int backlog, usec_t now);
/* Next connection from the accept queue, or NULL with *err = -EAGAIN, -EINVAL (not listening). */
struct conn *engine_accept(struct engine *e, struct conn *c, int *err);
/*
 * Start a connection: -EINPROGRESS when the SYN is on its way, then EPOLLOUT tells the end of it and engine_error() the result.
 * -EALREADY, -EISCONN, -EADDRNOTAVAIL (no port left), -ENETUNREACH, -EINVAL, -EADDRINUSE (4-tuple taken).
 * 0: with TCP_FASTOPEN_CONNECT and a cookie for the peer, the SYN waits for the first engine_send(), which may then also return
 * what engine_fastopen() does.
 */
int engine_connect(struct engine *e, struct conn *c, const struct endpoint *remote, usec_t now);
/*
 * MSG_FASTOPEN (RFC 7413): connect, with as much of the data in the SYN as it can carry.  How many bytes that was; -EINPROGRESS:
 * none (no cookie yet: the SYN asks for one); -EOPNOTSUPP: switched off; else as engine_connect().
 */
ssize_t engine_fastopen(struct engine *e, struct conn *c, const struct endpoint *remote, const struct iovec *iov, int iovcnt,
			usec_t now);
/*
 * c is going to be used soon, after some others: what that touches is fetched meanwhile.  Among many connections it has long left
 * the cache, and engine_send() would wait for it; what segments are for is fetched by the engine itself.  Changes nothing; c may
 * be in any state.
 */
void engine_prefetch(const struct conn *c);
/*
 * Queue bytes: how many were taken (may be fewer), -EAGAIN (buffer full), -EPIPE (shut down for writing), -ENOTCONN, or the
 * pending error. flags: MSG_MORE, MSG_OOB (queued in line with the urgent pointer set), MSG_EOR ignored; others are the caller's
 * business.
 */
ssize_t engine_send(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, int flags, usec_t now)
    __attribute__((noinline));
/*
 * Take bytes: how many, 0 at end of stream, -EAGAIN, -ENOTCONN, or the pending error.  flags: MSG_PEEK, MSG_TRUNC (discard
 * instead of copying, as TCP does on Linux), MSG_OOB (-EINVAL unless urgent data waits).
 */
ssize_t engine_recv(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, int flags, usec_t now)
    __attribute__((noinline));
/* The same with MSG_PEEK, from this many readable bytes on; -EAGAIN where there are no more. */
ssize_t engine_peek(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, uint32_t from, int flags, usec_t now);
/* When the last packet arrived of which the last engine_recv() took bytes; 0: not known.  Kept where SO_TIMESTAMP is set. */
usec_t engine_recv_at(const struct engine *e);
/*
 * The user's memory need not be there.  Where the caller catches the fault of such a copy, on the same thread, it may leave
 * engine_send() or engine_recv() by a jump, if engine_copying() says so at that moment (a fault at any other is one of our own).
 * Then it must call the one of these that belongs to it, before anything else of this engine: what engine_send() is to return;
 * how many bytes engine_recv() could have copied of whole packets: to be asked for again, as nothing was taken, 0 for EFAULT.
 * Neither is to be a part of the function that sets the trap, whose variables all lie in memory.
 */
bool engine_copying(const struct engine *e);
ssize_t engine_send_broke(struct engine *e);
size_t engine_recv_broke(struct engine *e);
/* SHUT_RD, SHUT_WR, SHUT_RDWR; -ENOTCONN, -EINVAL.  On a listener SHUT_RD ends listening as on Linux. */
int engine_shutdown(struct engine *e, struct conn *c, int how, usec_t now);
/*
 * The user lets go of the socket: c must not be used again.  Queued data is still delivered; unread data or SO_LINGER with time 0
 * makes it a reset (RFC 9293 3.10.4, RFC 2525 2.17).  Waiting for SO_LINGER with a time is the caller's business.
 */
void engine_close(struct engine *e, struct conn *c, usec_t now);
/* As engine_close(), but reset the connection. */
void engine_abort(struct engine *e, struct conn *c, usec_t now);

/*
 * Back to a socket that was never connected (connect(2) to AF_UNSPEC, a connection attempt that failed, shutdown() of a listener
 * or in SYN-SENT): a live connection is reset and leaves ECONNRESET pending; options and a name that was bound stay.
 */
void engine_disconnect(struct engine *e, struct conn *c, usec_t now);

/* Is there a listener for connections to this address and port? */
bool engine_listens(struct engine *e, const struct endpoint *local);
/* Does anything at all use this address and port: a listener, a connection, TIME-WAIT? */
bool engine_port_used(struct engine *e, const struct endpoint *local);

/* Take and clear the pending error: positive errno or 0 (SO_ERROR). */
int engine_error(struct conn *c);
/* State as in linux/tcp.h: TCP_ESTABLISHED = 1 ... TCP_CLOSING = 11. */
int engine_state(const struct conn *c);
int engine_sockname(const struct conn *c, struct endpoint *local);
int engine_peername(const struct conn *c, struct endpoint *remote); /* -ENOTCONN */
/* Bytes that can be read (SIOCINQ), bytes not yet acknowledged (SIOCOUTQ), bytes not yet sent (SIOCOUTQNSD). */
unsigned engine_inq(const struct conn *c);
unsigned engine_outq(const struct conn *c);
unsigned engine_outq_unsent(const struct conn *c);
/* SIOCATMARK. */
bool engine_at_mark(const struct conn *c);

/*
 * Options of SOL_SOCKET, IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6 that belong to a TCP connection, with Linux's lengths, clamping,
 * doubling and errnos.  -ENOPROTOOPT: not known here.  Blocking-call options (SO_RCVTIMEO, SO_SNDTIMEO) and those of the
 * descriptor (SO_TYPE, SO_DOMAIN, SO_PROTOCOL) are the caller's.
 */
int engine_setsockopt(struct engine *e, struct conn *c, int level, int name, const void *val, socklen_t len, usec_t now);
int engine_getsockopt(struct engine *e, struct conn *c, int level, int name, void *val, socklen_t *len, usec_t now);

/*
 * Is this value of TCP_CONGESTION only for programs with CAP_NET_ADMIN (net.ipv4.tcp_allowed_congestion_control)? For the caller
 * to ask, who knows the program: engine_setsockopt() gives it to anyone.
 */
bool engine_congestion_restricted(const struct engine *e, const struct conn *c, const void *val, socklen_t len);

/* ---- counters ---------------------------------------------------------------------------------------------------------------
 */

struct engine_stats {
#define STAT(field, mib, text) uint64_t field;
#include "stats.def"
};

const struct engine_stats *engine_stats(const struct engine *e);
/* MIB name and sentence of the i-th counter, NULL past the last; its value in *s is ((uint64_t *)s)[i]. */
const char *engine_stat_name(unsigned i);
const char *engine_stat_text(unsigned i);

/* Sockets and TIME-WAIT entries in use, for leak checks and listings. */
struct engine_usage {
	unsigned conns, repairs, timewaits, half_open, neighbours;
	unsigned mbufs; /* held in socket queues, in neighbour queues and for output */
	unsigned timers;
};
void engine_usage(const struct engine *e, struct engine_usage *u);
/* Call visit(c, arg) for every control block in use. */
void engine_each(struct engine *e, void (*visit)(struct conn *c, void *arg), void *arg);

#endif
