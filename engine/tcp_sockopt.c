/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sockopt.c - socket options, one row of a table each: what a value may be, what it does, what it reads as.  Lengths,
 * clamping, doubling and errnos are Linux's (net/core/sock.c, net/ipv4/tcp.c as seen from outside; socket(7), tcp(7), ip(7)).
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/fastopen.h"
#include "engine/tcp_sockopt.h"

#ifndef IP_PROTOCOL
#define IP_PROTOCOL 52 /* linux/in.h, which does not go together with libc's */
#endif
#define MIN_SNDBUF 4608 /* Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF on 64 bit */
#define MIN_RCVBUF 2304
#define MSS_LEAST 88 /* TCP_MIN_MSS */
#define MSS_MOST 32767
#define LINGER2_MAX_S 120
#define RTO_MAX_S 120

struct option {
	int level, name;
	int (*set)(struct engine *e, struct conn *c, int v); /* NULL: read only (-ENOPROTOOPT) */
	int (*get)(struct engine *e, struct conn *c);
};

/* ---- SOL_SOCKET ---- */

static int set_reuseaddr(struct engine *e, struct conn *c, int v)
{
	c->f.reuse_addr = v != 0;
	return 0;
}
static int get_reuseaddr(struct engine *e, struct conn *c)
{
	return c->f.reuse_addr;
}
static int set_reuseport(struct engine *e, struct conn *c, int v)
{
	c->f.reuse_port = v != 0;
	return 0;
}
static int get_reuseport(struct engine *e, struct conn *c)
{
	return c->f.reuse_port;
}
static int set_keepalive(struct engine *e, struct conn *c, int v)
{
	c->keepalive = v != 0;
	timer_keepalive_changed(e, c);
	return 0;
}
static int get_keepalive(struct engine *e, struct conn *c)
{
	return c->keepalive;
}
static int set_oobinline(struct engine *e, struct conn *c, int v)
{
	c->oob_inline = v != 0;
	ready_update(e, c, 0);
	return 0;
}
static int get_oobinline(struct engine *e, struct conn *c)
{
	return c->oob_inline;
}

static uint32_t doubled(int v, int64_t most, uint32_t least)
{
	uint32_t n = (uint32_t)v < most ? (uint32_t)v : (uint32_t)most;

	if (n > INT32_MAX / 2)
		n = INT32_MAX / 2;
	return n * 2 > least ? n * 2 : least;
}
static int set_sndbuf(struct engine *e, struct conn *c, int v)
{
	c->sndbuf = doubled(v, e->cfg.tcp.wmem_max, MIN_SNDBUF);
	c->sndbuf_locked = true;
	ready_update(e, c, 0);
	return 0;
}
static int set_sndbuf_force(struct engine *e, struct conn *c, int v)
{
	c->sndbuf = doubled(v < 0 ? 0 : v, INT32_MAX, MIN_SNDBUF);
	c->sndbuf_locked = true;
	ready_update(e, c, 0);
	return 0;
}
static int get_sndbuf(struct engine *e, struct conn *c)
{
	return c->sndbuf;
}
static int set_rcvbuf(struct engine *e, struct conn *c, int v)
{
	c->rcvbuf = doubled(v, e->cfg.tcp.rmem_max, MIN_RCVBUF);
	c->rcvbuf_locked = true;
	ready_update(e, c, 0);
	return 0;
}
static int set_rcvbuf_force(struct engine *e, struct conn *c, int v)
{
	c->rcvbuf = doubled(v < 0 ? 0 : v, INT32_MAX, MIN_RCVBUF);
	c->rcvbuf_locked = true;
	ready_update(e, c, 0);
	return 0;
}
static int get_rcvbuf(struct engine *e, struct conn *c)
{
	return c->rcvbuf;
}
static int set_rcvlowat(struct engine *e, struct conn *c, int v)
{
	uint32_t most = c->rcvbuf_locked ? c->rcvbuf / 2 : e->cfg.tcp.rmem[2] / 2;

	c->rcvlowat = v < 0 ? INT32_MAX : v ? v : 1;
	if (c->rcvlowat > most)
		c->rcvlowat = most;
	/* The window must be able to carry that much. */
	if (!c->rcvbuf_locked && c->rcvbuf < 2 * c->rcvlowat)
		c->rcvbuf = 2 * c->rcvlowat;
	ready_update(e, c, 0);
	return 0;
}
static int get_rcvlowat(struct engine *e, struct conn *c)
{
	return c->rcvlowat;
}
static int set_rx_stamp(struct engine *e, struct conn *c, int v)
{
	c->rx_stamp = v != 0;
	return 0;
}
static int get_rx_stamp(struct engine *e, struct conn *c)
{
	return c->rx_stamp;
}
static int get_error(struct engine *e, struct conn *c)
{
	return engine_error(c);
}
static int get_acceptconn(struct engine *e, struct conn *c)
{
	return c->state == LISTEN;
}
static int set_priority(struct engine *e, struct conn *c, int v)
{
	if (v != conn_extra(c)->priority)
		extra_of(e, c)->priority = v;
	return 0;
}
static int get_priority(struct engine *e, struct conn *c)
{
	return conn_extra(c)->priority;
}

/* ---- IPPROTO_TCP ---- */

static int set_nodelay(struct engine *e, struct conn *c, int v)
{
	c->nodelay = v != 0;
	if (v && c->snd_new)
		tcp_want_output(e, c);
	return 0;
}
static int get_nodelay(struct engine *e, struct conn *c)
{
	return c->nodelay;
}
static int set_cork(struct engine *e, struct conn *c, int v)
{
	c->cork = v != 0;
	if (!v && c->snd_new) {
		c->more = false;
		/* Pulling the cork pushes what waits, whatever Nagle says. */
		c->force_probe = true;
		tcp_want_output(e, c);
	}
	return 0;
}
static int get_cork(struct engine *e, struct conn *c)
{
	return c->cork;
}
static int set_maxseg(struct engine *e, struct conn *c, int v)
{
	if (v && (v < MSS_LEAST || v > MSS_MOST))
		return -EINVAL;
	c->user_mss = v;
	return 0;
}
static int get_maxseg(struct engine *e, struct conn *c)
{
	if (c->user_mss && (c->state == CLOSED || c->state == LISTEN))
		return c->user_mss;
	return c->mss ? c->mss : 536;
}

/* place: to be written; value: to be read, 0 stands for usual. */
#define KEEPALIVE_OPTION(name, place, value, usual, most)              \
	static int set_##name(struct engine *e, struct conn *c, int v) \
	{                                                              \
		if (v < 1 || v > (most))                               \
			return -EINVAL;                                \
		(place) = v;                                           \
		timer_keepalive_changed(e, c);                         \
		return 0;                                              \
	}                                                              \
	static int get_##name(struct engine *e, struct conn *c)        \
	{                                                              \
		return (value) ? (value) : (usual);                    \
	}
KEEPALIVE_OPTION(keepidle, extra_of(e, c)->keepidle_s, conn_extra(c)->keepidle_s, e->cfg.tcp.keepalive_time, 32767)
KEEPALIVE_OPTION(keepintvl, extra_of(e, c)->keepintvl_s, conn_extra(c)->keepintvl_s, e->cfg.tcp.keepalive_intvl, 32767)
KEEPALIVE_OPTION(keepcnt, c->keepcnt, c->keepcnt, e->cfg.tcp.keepalive_probes, 127)

static int set_syncnt(struct engine *e, struct conn *c, int v)
{
	if (v < 1 || v > 127)
		return -EINVAL;
	c->syn_retries = v;
	return 0;
}
static int get_syncnt(struct engine *e, struct conn *c)
{
	return c->syn_retries ? c->syn_retries : e->cfg.tcp.syn_retries;
}
static int set_linger2(struct engine *e, struct conn *c, int v)
{
	extra_of(e, c)->linger2_s = v < 0 ? -1 : v > LINGER2_MAX_S ? LINGER2_MAX_S : v;
	return 0;
}
static int get_linger2(struct engine *e, struct conn *c)
{
	return conn_extra(c)->linger2_s < 0 ? -1 : (int)(fin_wait_2_time(e, c) / 1000000);
}
/* Kept, as Linux does, as the time that a number of SYN,ACK retransmissions takes: 1, 3, 7, ... 127 seconds, then every 120. */
static int set_defer_accept(struct engine *e, struct conn *c, int v)
{
	int total = v > 0, step = 1;

	for (int n = 1; total < v && n < 255; n++) {
		step = step * 2 > RTO_MAX_S ? RTO_MAX_S : step * 2;
		total += step;
	}
	extra_of(e, c)->defer_accept_s = total;
	return 0;
}
static int get_defer_accept(struct engine *e, struct conn *c)
{
	return conn_extra(c)->defer_accept_s;
}
static int set_window_clamp(struct engine *e, struct conn *c, int v)
{
	if (!v) {
		if (c->state != CLOSED)
			return -EINVAL;
		c->window_clamp = 0;
		return 0;
	}
	c->window_clamp = v < MIN_RCVBUF / 2 ? MIN_RCVBUF / 2 : v;
	/* What was offered stays offered; from there the window grows no further than this. */
	if (c->rcv_ssthresh > (uint32_t)c->window_clamp)
		c->rcv_ssthresh = c->window_clamp;
	return 0;
}
static int get_window_clamp(struct engine *e, struct conn *c)
{
	/* Linux keeps a limit of its own where the user set none. */
	return c->window_clamp || !(STATE_BIT(c->state) & SYNCHRONIZED) ? c->window_clamp
									: (int)tcp_window_of_space(e, c->rcvbuf);
}
static int set_quickack(struct engine *e, struct conn *c, int v)
{
	c->pingpong = !v;
	if (!v)
		c->quickacks = 0;
	else if (c->ack_pending) {
		c->ack_now = true;
		tcp_want_output(e, c);
	}
	return 0;
}
static int get_quickack(struct engine *e, struct conn *c)
{
	return !c->pingpong;
}
static int set_user_timeout(struct engine *e, struct conn *c, int v)
{
	if (v < 0)
		return -EINVAL;
	extra_of(e, c)->user_timeout_ms = v;
	return 0;
}
static int get_user_timeout(struct engine *e, struct conn *c)
{
	return conn_extra(c)->user_timeout_ms;
}
static int set_notsent_lowat(struct engine *e, struct conn *c, int v)
{
	c->notsent_lowat = v;
	ready_update(e, c, 0);
	return 0;
}
static int get_notsent_lowat(struct engine *e, struct conn *c)
{
	return c->notsent_lowat;
}

/* The clock of our timestamps; only repairing it could be set. */
static int set_timestamp(struct engine *e, struct conn *c, int v)
{
	return -EPERM;
}
static int get_timestamp(struct engine *e, struct conn *c)
{
	return (int)tcp_ts_now(e, c->ts_offset);
}

static bool may_listen(const struct conn *c)
{
	return c->state == CLOSED || c->state == LISTEN;
}
static int set_fastopen(struct engine *e, struct conn *c, int v)
{
	if (v < 0 || !may_listen(c))
		return -EINVAL;
	extra_of(e, c)->fo_max = v < e->cfg.tcp.somaxconn ? v : e->cfg.tcp.somaxconn;
	return 0;
}
static int get_fastopen(struct engine *e, struct conn *c)
{
	return may_listen(c) ? conn_extra(c)->fo_max : 0;
}
static int set_fastopen_connect(struct engine *e, struct conn *c, int v)
{
	if (v < 0 || v > 1)
		return -EINVAL;
	if (!(e->cfg.tcp.fastopen & FO_CLIENT))
		return -EOPNOTSUPP;
	if (c->state != CLOSED)
		return -EINVAL;
	c->fo_connect = v;
	return 0;
}
static int get_fastopen_connect(struct engine *e, struct conn *c)
{
	return c->fo_connect;
}
static int set_fastopen_no_cookie(struct engine *e, struct conn *c, int v)
{
	if (v < 0 || v > 1 || !may_listen(c))
		return -EINVAL;
	c->fo_no_cookie = v;
	return 0;
}
static int get_fastopen_no_cookie(struct engine *e, struct conn *c)
{
	return c->fo_no_cookie;
}
static int set_save_syn(struct engine *e, struct conn *c, int v)
{
	if (v < 0 || v > 2)
		return -EINVAL;
	c->save_syn = v;
	return 0;
}
static int get_save_syn(struct engine *e, struct conn *c)
{
	return c->save_syn;
}

/* ---- IPPROTO_IP ---- */

#define ECN_MASK 3

/* Linux's rt_tos2priority(): the type of service sets SO_PRIORITY too. */
static int priority_of_tos(int tos)
{
	static const uint8_t priorities[] = {0, 2, 6, 4}; /* best effort, bulk, interactive, interactive bulk */

	return priorities[(tos & IPTOS_TOS_MASK) >> 3];
}

static int set_tos(struct engine *e, struct conn *c, int v)
{
	c->tos = (v & ~ECN_MASK) | (c->tos & ECN_MASK);
	return set_priority(e, c, priority_of_tos(c->tos));
}
static int get_tos(struct engine *e, struct conn *c)
{
	return c->tos;
}
static int set_ttl(struct engine *e, struct conn *c, int v)
{
	if (v != -1 && (v < 1 || v > 255))
		return -EINVAL;
	c->ttl = v == -1 ? e->cfg.tcp.ip_default_ttl : v;
	return 0;
}
static int get_ttl(struct engine *e, struct conn *c)
{
	return c->ttl;
}

static int set_mtu_discover(struct engine *e, struct conn *c, int v)
{
	if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_OMIT)
		return -EINVAL;
	c->pmtudisc = v;
	if (STATE_BIT(c->state) & SYNCHRONIZED)
		pmtu_look_again(e, c);
	return 0;
}
static int get_mtu_discover(struct engine *e, struct conn *c)
{
	return c->pmtudisc;
}
static int set_recverr(struct engine *e, struct conn *c, int v)
{
	c->recverr = v != 0;
	if (!v)
		engine_drop_icmp_errors(e, c);
	return 0;
}
static int get_recverr(struct engine *e, struct conn *c)
{
	return c->recverr;
}
/* ip(7): of a connected socket only. */
static int get_mtu(struct engine *e, struct conn *c)
{
	return STATE_BIT(c->state) & (STATE_BIT(CLOSED) | STATE_BIT(LISTEN)) ? -ENOTCONN : c->pmtu;
}

/* Linux's inet_num, which for TCP is the port. */
static int get_protocol(struct engine *e, struct conn *c)
{
	return c->f.t.lport;
}

#define RW(level, name, fn)                     \
	{                                       \
		level, name, set_##fn, get_##fn \
	}
#define RO(level, name, fn)                 \
	{                                   \
		level, name, NULL, get_##fn \
	}

static const struct option options[] = {
    RW(SOL_SOCKET, SO_REUSEADDR, reuseaddr),
    RW(SOL_SOCKET, SO_REUSEPORT, reuseport),
    RW(SOL_SOCKET, SO_KEEPALIVE, keepalive),
    RW(SOL_SOCKET, SO_OOBINLINE, oobinline),
    RW(SOL_SOCKET, SO_SNDBUF, sndbuf),
    RW(SOL_SOCKET, SO_RCVBUF, rcvbuf),
    {SOL_SOCKET, SO_SNDBUFFORCE, set_sndbuf_force, NULL},
    {SOL_SOCKET, SO_RCVBUFFORCE, set_rcvbuf_force, NULL},
    RW(SOL_SOCKET, SO_RCVLOWAT, rcvlowat),
    RW(SOL_SOCKET, SO_PRIORITY, priority),
    RW(SOL_SOCKET, SO_TIMESTAMP, rx_stamp),
    RO(SOL_SOCKET, SO_ERROR, error),
    RO(SOL_SOCKET, SO_ACCEPTCONN, acceptconn),
    RW(IPPROTO_TCP, TCP_NODELAY, nodelay),
    RW(IPPROTO_TCP, TCP_CORK, cork),
    RW(IPPROTO_TCP, TCP_MAXSEG, maxseg),
    RW(IPPROTO_TCP, TCP_KEEPIDLE, keepidle),
    RW(IPPROTO_TCP, TCP_KEEPINTVL, keepintvl),
    RW(IPPROTO_TCP, TCP_KEEPCNT, keepcnt),
    RW(IPPROTO_TCP, TCP_SYNCNT, syncnt),
    RW(IPPROTO_TCP, TCP_LINGER2, linger2),
    RW(IPPROTO_TCP, TCP_DEFER_ACCEPT, defer_accept),
    RW(IPPROTO_TCP, TCP_WINDOW_CLAMP, window_clamp),
    RW(IPPROTO_TCP, TCP_QUICKACK, quickack),
    RW(IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout),
    RW(IPPROTO_TCP, TCP_NOTSENT_LOWAT, notsent_lowat),
    RW(IPPROTO_TCP, TCP_FASTOPEN, fastopen),
    RW(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, fastopen_connect),
    RW(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, fastopen_no_cookie),
    RW(IPPROTO_TCP, TCP_SAVE_SYN, save_syn),
    RW(IPPROTO_TCP, TCP_TIMESTAMP, timestamp),
    RW(IPPROTO_IP, IP_TOS, tos),
    RW(IPPROTO_IP, IP_TTL, ttl),
    RW(IPPROTO_IP, IP_MTU_DISCOVER, mtu_discover),
    RW(IPPROTO_IP, IP_RECVERR, recverr),
    RO(IPPROTO_IP, IP_MTU, mtu),
    RO(IPPROTO_IP, IP_PROTOCOL, protocol),
};

static const struct option *find(int level, int name)
{
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].level == level && options[i].name == name)
			return &options[i];
	return NULL;
}

/* ---- those that are not an int ---- */

static int set_linger(struct engine *e, struct conn *c, const void *val, socklen_t len)
{
	struct linger l;

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, val, sizeof(l));
	c->linger_on = l.l_onoff != 0;
	if (l.l_onoff)
		extra_of(e, c)->linger_s = l.l_linger;
	return 0;
}

/* The index of the algorithm of that name, which need not end with a zero; -ENOENT. */
static int congestion_of(const void *val, socklen_t len)
{
	char name[CC_NAME_MAX] = {0};

	memcpy(name, val, len < CC_NAME_MAX - 1 ? len : CC_NAME_MAX - 1);
	return cc_find(name);
}

static int set_congestion(struct engine *e, struct conn *c, const void *val, socklen_t len)
{
	int algo;

	if (len < 1)
		return -EINVAL;
	algo = congestion_of(val, len);
	if (algo < 0)
		return algo;
	/* Before data can flow the name is kept; conn_init_transfer() does the rest, for a Fast Open child with the SYN's. */
	if (STATE_BIT(c->state) & SYNCHRONIZED || c->fo_child)
		conn_set_cc(e, c, algo);
	else
		conn_choose_cc(e, c, algo);
	return 0;
}

/* As Linux's tcp_set_congestion_control(): what is in use already may be asked for, and what the host's default is. */
bool engine_congestion_restricted(const struct engine *e, const struct conn *c, const void *val, socklen_t len)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	int algo = congestion_of(val, len);

	if (algo < 0 || algo == c->cc.algo || algo == cc_find(t->congestion_control))
		return false;
	return !(t->allowed_congestion_control & 1u << algo);
}

/* An unsigned int, or an unsigned long for more than 4 GB/s; all ones is no limit. */
static int set_max_pacing_rate(struct engine *e, struct conn *c, const void *val, socklen_t len)
{
	uint64_t rate = 0;

	if (len < sizeof(int))
		return -EINVAL;
	memcpy(&rate, val, len >= sizeof(rate) ? sizeof(rate) : sizeof(int));
	extra_of(e, c)->max_pacing_rate = len < sizeof(rate) && rate == UINT32_MAX ? UINT64_MAX : rate;
	pace_update(c);
	return 0;
}

static int copy_out(void *val, socklen_t *len, const void *src, socklen_t size)
{
	if (*len > size)
		*len = size;
	memcpy(val, src, *len);
	return 0;
}

static int get_linger(const struct conn *c, void *val, socklen_t *len)
{
	struct linger l = {c->linger_on, conn_extra(c)->linger_s};

	return copy_out(val, len, &l, sizeof(l));
}

static int get_congestion(const struct conn *c, void *val, socklen_t *len)
{
	char name[CC_NAME_MAX] = {0};

	strncpy(name, cc_ops(c->cc.algo)->name, sizeof(name) - 1);
	return copy_out(val, len, name, sizeof(name));
}

static int get_max_pacing_rate(const struct conn *c, void *val, socklen_t *len)
{
	const uint64_t *exact = &conn_extra(c)->max_pacing_rate;
	uint32_t rate = RTE_MIN(*exact, UINT32_MAX);

	return *len >= sizeof(*exact) ? copy_out(val, len, exact, sizeof(*exact)) : copy_out(val, len, &rate, sizeof(rate));
}

/* Nothing, with success, from an algorithm that has nothing to tell. */
static int get_cc_info(const struct conn *c, void *val, socklen_t *len)
{
	const struct cc_ops *cc = cc_ops(c->cc.algo);
	union tcp_cc_info info;

	return copy_out(val, len, &info, cc->info ? cc->info(&c->cc, &info) : 0);
}

static int get_info(struct engine *e, const struct conn *c, void *val, socklen_t *len)
{
	struct engine_info info;

	tcp_info_fill(e, c, &info);
	return copy_out(val, len, &info, sizeof(info));
}

/* Once, and only whole: too little room says how much is needed. */
static int get_saved_syn(struct engine *e, struct conn *c, void *val, socklen_t *len)
{
	struct rte_mbuf *m = c->state == LISTEN || c->icmp_told ? NULL : conn_extra(c)->saved_syn;
	socklen_t room = *len;

	*len = m ? pkt(m)->len : 0;
	if (room < *len)
		return -EINVAL;
	if (!m)
		return 0;
	memcpy(val, pkt_data(m), *len);
	conn_free_pkt(e, m);
	c->extra->saved_syn = NULL;
	return 0;
}

/* Options of IPPROTO_IP may also be a single byte (ip(7)), or nothing, which is 0 but for IP_TTL. */
static int read_int(int level, int name, const void *val, socklen_t len, int *v)
{
	*v = 0;
	if (len >= sizeof(int))
		memcpy(v, val, sizeof(int));
	else if (level == IPPROTO_IP && len >= 1)
		*v = *(const unsigned char *)val;
	else if (level != IPPROTO_IP || name == IP_TTL)
		return -EINVAL;
	return 0;
}

int engine_setsockopt(struct engine *e, struct conn *c, int level, int name, const void *val, socklen_t len, usec_t now)
{
	const struct option *o = find(level, name);
	int v, rc;

	if (now > e->now)
		e->now = now;
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return set_congestion(e, c, val, len);
	if (level == IPPROTO_TCP && name == TCP_FASTOPEN_KEY)
		return fastopen_set_keys(e, c, val, len);
	if (level == SOL_SOCKET && name == SO_MAX_PACING_RATE)
		return set_max_pacing_rate(e, c, val, len);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return set_linger(e, c, val, len);
	if (!o || (level == IPPROTO_IP && !o->set))
		return -ENOPROTOOPT;
	rc = read_int(level, name, val, len, &v);
	if (rc)
		return rc;
	return o->set ? o->set(e, c, v) : -ENOPROTOOPT;
}

int engine_getsockopt(struct engine *e, struct conn *c, int level, int name, void *val, socklen_t *len, usec_t now)
{
	const struct option *o = find(level, name);
	int v;

	if (now > e->now)
		e->now = now;
	if ((int)*len < 0)
		return o || level == SOL_SOCKET || level == IPPROTO_TCP ? -EINVAL : -ENOPROTOOPT;
	if (level == SOL_SOCKET && name == SO_LINGER)
		return get_linger(c, val, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return get_congestion(c, val, len);
	if (level == IPPROTO_TCP && name == TCP_CC_INFO)
		return get_cc_info(c, val, len);
	if (level == SOL_SOCKET && name == SO_MAX_PACING_RATE)
		return get_max_pacing_rate(c, val, len);
	if (level == IPPROTO_TCP && name == TCP_INFO)
		return get_info(e, c, val, len);
	if (level == IPPROTO_TCP && name == TCP_FASTOPEN_KEY)
		return fastopen_get_keys(e, c, val, len);
	if (level == IPPROTO_TCP && name == TCP_SAVED_SYN)
		return get_saved_syn(e, c, val, len);
	if (!o || !o->get)
		return -ENOPROTOOPT;
	v = o->get(e, c);
	if (v < 0 && o->get == get_mtu)
		return v;
	return copy_out(val, len, &v, sizeof(v));
}
