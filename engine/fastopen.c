/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fastopen.c - the server's half of TCP Fast Open (RFC 7413 4.1.2, 4.2.2, 5.1): cookies, the limit on connections that nobody has
 * proven to want, and the child that a SYN with a good cookie makes at once.  Decisions and counters are Linux's.
 *
 * A cookie is SipHash-2-4 of the two addresses under the listener's key or the engine's: the same bytes that Linux makes of the
 * same key, so that servers which share an address and a key may be of either kind.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/fastopen.h"

#define COOKIE_LEN 8
#define RESET_WINDOW_S 60 /* RFC 7413 5.1: a reset connection goes on counting for so long at least */

struct keys {
	uint64_t key[FO_KEYS_MAX][2];
	unsigned n;
};

/* ---- keys and cookies ---- */

/* Every engine of one host has the same secret, hence the same key: a SYN may arrive at any of them. */
static void default_key(const struct engine *e, uint64_t key[2])
{
	static const char label[2][16] = {"Fast Open key 0", "Fast Open key 1"};

	key[0] = engine_hash(e, label[0], sizeof(label[0]));
	key[1] = engine_hash(e, label[1], sizeof(label[1]));
}

static void keys_of(const struct engine *e, const struct conn *l, struct keys *k)
{
	k->n = 1;
	if (!l || !conn_extra(l)->fo_keys) {
		default_key(e, k->key[0]);
		return;
	}
	k->n = pkt(conn_extra(l)->fo_keys)->len / FO_KEY_LEN;
	memcpy(k->key, pkt_data(conn_extra(l)->fo_keys), pkt(conn_extra(l)->fo_keys)->len);
}

static void make_cookie(const uint64_t key[2], const struct tuple *t, struct fo_cookie *fo)
{
	struct ip_addr pair[2] = {t->raddr, t->laddr};
	uint32_t v4[2] = {ip_to_v4(&t->raddr), ip_to_v4(&t->laddr)};
	uint64_t h = ip_is_v4(&t->raddr) ? siphash(key, v4, sizeof(v4)) : siphash(key, pair, sizeof(pair));

	fo->len = COOKIE_LEN;
	memcpy(fo->val, &h, COOKIE_LEN);
}

/* With which key was the cookie made: 0 the active one, 1 the backup, -1 none of them. */
static int cookie_key(const struct engine *e, const struct conn *l, const struct seg *s)
{
	struct fo_cookie good;
	struct keys k;

	keys_of(e, l, &k);
	for (unsigned i = 0; i < k.n; i++) {
		make_cookie(k.key[i], &s->t, &good);
		if (s->fo.len == good.len && !memcmp(s->fo.val, good.val, COOKIE_LEN))
			return (int)i;
	}
	return -1;
}

int fastopen_set_keys(struct engine *e, struct conn *c, const void *keys, socklen_t len)
{
	struct extra *x;

	if (len != FO_KEY_LEN && len != FO_KEY_LEN * FO_KEYS_MAX)
		return -EINVAL;
	x = extra_of(e, c);
	if (!x->fo_keys) {
		x->fo_keys = engine_mbuf(e);
		if (!x->fo_keys)
			return -ENOMEM;
		*pkt(x->fo_keys) = (struct pkt){.off = x->fo_keys->data_off};
		e->held++;
	}
	pkt(x->fo_keys)->len = len;
	memcpy(pkt_data(x->fo_keys), keys, len);
	return 0;
}

int fastopen_get_keys(const struct engine *e, const struct conn *c, void *keys, socklen_t *len)
{
	struct keys k;

	keys_of(e, c, &k);
	if (*len > k.n * FO_KEY_LEN)
		*len = k.n * FO_KEY_LEN;
	memcpy(keys, k.key, *len);
	return 0;
}

/* ---- limits ---- */

void fastopen_listen(struct engine *e, struct conn *l)
{
	l->fo_pending = l->fo_resets[0] = l->fo_resets[1] = 0;
	if (!conn_extra(l)->fo_max && (e->cfg.tcp.fastopen & FO_SERVER) && (e->cfg.tcp.fastopen & FO_SERVER_ALL))
		extra_of(e, l)->fo_max = l->backlog;
}

/* Resets are forgotten by the minute, hence after one to two of them: the count is no smaller than one that is exact. */
static uint32_t recent_resets(const struct engine *e, struct conn *l)
{
	uint32_t now_s = (uint32_t)(e->now / 1000000);

	if (now_s - l->fo_minute >= RESET_WINDOW_S) {
		l->fo_resets[1] = now_s - l->fo_minute < 2 * RESET_WINDOW_S ? l->fo_resets[0] : 0;
		l->fo_resets[0] = 0;
		l->fo_minute = now_s;
	}
	return l->fo_resets[0] + l->fo_resets[1];
}

/* RFC 7413 5.1: who forges source addresses with stolen cookies gets no more than so many connections made. */
static bool may_take(struct engine *e, struct conn *l)
{
	if (!conn_extra(l)->fo_max)
		return false;
	if (l->fo_pending + recent_resets(e, l) < conn_extra(l)->fo_max)
		return true;
	e->stats.fastopen_overflow++;
	return false;
}

/* ---- the SYN ---- */

/* RFC 7413 4.2.2, with a good cookie: the connection is the application's before its handshake is complete. */
static void take_data(struct input *in, struct conn *l)
{
	struct conn *c = in->c;

	in->e->stats.fastopen_passive++;
	c->fo_child = true;
	l->fo_pending++;
	c->snd_una = c->iss + 1; /* our SYN is accounted for by fo_child: what may be in flight is data alone */
	conn_init_transfer(in->e, c);
	listener_to_accept_queue(in->e, c);
	in->seg.flags &= ~TH_SYN;
	in->seg.seq++;
	if (in->seg.len) {
		c->fo_data_acked = true;
		input_queue_text(in);
		input_schedule_ack(in);
	}
	ready_update(in->e, c, EPOLLOUT | EPOLLWRNORM);
}

void fastopen_syn(struct input *in, struct conn *l)
{
	const struct fo_cookie *fo = &in->seg.fo;
	int64_t mode = in->e->cfg.tcp.fastopen;
	struct conn *c = in->c;
	int key = 0;

	if (fo->len == 0)
		in->e->stats.fastopen_cookie_reqd++;
	if (!(mode & FO_SERVER) || (!in->seg.len && fo->len < 0) || !may_take(in->e, l))
		return;
	c->fo_give_exp = fo->exp;
	if (!(mode & FO_SERVER_NO_COOKIE) && !l->fo_no_cookie) {
		if (fo->len < 0)
			return;
		key = fo->len ? cookie_key(in->e, l, &in->seg) : -1;
		if (fo->len && key < 0)
			in->e->stats.fastopen_passive_fail++;
		c->fo_give = key != 0; /* asked for, or that the client has is no good or soon will not be */
		if (key < 0)
			return;
	}
	in->e->stats.fastopen_passive_alt += key > 0;
	take_data(in, l);
}

void fastopen_give(struct engine *e, struct conn *c, struct fo_cookie *fo)
{
	struct keys k;

	fo->len = -1;
	if (!c->fo_give || !c->parent)
		return;
	c->fo_give = false;
	keys_of(e, c->parent, &k);
	make_cookie(k.key[0], &c->f.t, fo);
	fo->exp = c->fo_give_exp;
}

/* ---- the end of the handshake ---- */

static void leave_listener(struct engine *e, struct conn *c, bool reset)
{
	struct conn *l = c->parent;

	l->fo_pending--;
	if (reset) {
		recent_resets(e, l);
		l->fo_resets[0]++;
	}
	if (!c->unaccepted)
		c->parent = NULL;
}

void fastopen_settled(struct engine *e, struct conn *c, bool reset)
{
	if (!c->fo_child)
		return;
	c->fo_child = false;
	if (c->parent)
		leave_listener(e, c, reset);
}

void fastopen_orphan_children(struct engine *e, struct conn *l)
{
	if (!l->fo_pending)
		return;
	list_each (at, port_chain(e, l->f.t.lport)) {
		struct flow *f = container_of(at, struct flow, port_link);
		struct conn *c = container_of(f, struct conn, f);

		if (f->kind == FLOW_CONN && c->state != LISTEN && c->parent == l)
			c->parent = NULL;
	}
}
