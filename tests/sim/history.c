/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history.c - which errors an application may see, given what went wrong in its world.  In a world where nothing did, none.
 */
#include <errno.h>

#include "tests/sim/world.h"

/*
 * What a connection must survive: the shortest patience that Linux's defaults and the sessions' options leave it is that of an
 * orphan, eight doublings of the least RTO, and of a listener's child.
 */
#define PATIENCE_US 15000000
/* Probes of a closed window are this long under way at least before the pause between them cannot grow any more. */
#define STARVED_US 100000000

/* Nothing was heard from the other end for long, or it was not heard. */
static bool silence(const struct world *w, const struct session *s, unsigned who)
{
	const struct history *h = &w->history;
	const struct side *me = &s->side[who], *peer = &s->side[!who];

	if (h->dark_us > PATIENCE_US || h->spells || h->tiny || w->starved || me->lost || peer->lost ||
	    w->host[peer->host].boots > 1 || w->host[peer->host].gone)
		return true;
	if (h->hasty && (h->loss || h->dark_us || (h->tiny || w->starved)))
		return true;
	/* Its reset may be lost, and later ones too. */
	if ((peer->quit || peer->error) && h->loss)
		return true;
	return me->connecting && (h->loss || h->dark_us || (h->tiny || w->starved) || host_dropped_syns(w, peer->host));
}

/* With SYN cookies data that overtakes the ACK of the handshake is taken for a guess, and reset (RFC 4987 3.6). */
static bool cookies_failed(const struct world *w, const struct session *s)
{
	return host_counter(w, s->side[1].host, "TcpExtSyncookiesFailed");
}

/* A child that its listener lost, never accepted, or had no room for is answered for by a reset. */
bool history_lost_child(const struct world *w, const struct session *s)
{
	const struct host *h = &w->host[s->side[1].host];

	return !s->side[1].accepted &&
	       (s->side[1].lost || h->boots > 1 || h->deaf || w->history.loss || w->history.dark_us || w->history.tiny ||
		w->starved || host_dropped_syns(w, s->side[1].host) || cookies_failed(w, s) || h->cfg.lazy_us > PATIENCE_US);
}

/*
 * The peer had closed its socket while our window was shut, and in time gave up, as Linux's tcp_probe_timer() does with an orphan
 * although each probe is answered; the answer to the next segment from here is a reset.
 */
static bool outwaited(const struct world *w, const struct side *me, const struct side *peer)
{
	return peer->done && me->paused_us > STARVED_US && host_counter(w, peer->host, "TcpExtTCPAbortOnTimeout");
}

static bool reset(const struct world *w, const struct session *s, unsigned who)
{
	const struct side *me = &s->side[who], *peer = &s->side[!who];

	return peer->quit || peer->lost || peer->error || outwaited(w, me, peer) || silence(w, s, who) || cookies_failed(w, s) ||
	       (who == 0 && history_lost_child(w, s));
}

static bool refused(const struct world *w, const struct session *s, unsigned who)
{
	const struct host *h = &w->host[s->side[!who].host];

	return s->side[who].connecting && (h->deaf || h->boots > 1 || s->side[!who].error || s->side[!who].quit);
}

/* Who takes itself for connected gets no answer from a listener without room, for as long as that lasts, and gives up in time. */
static bool left_waiting(const struct world *w, const struct session *s, unsigned who)
{
	return who == 0 && !s->side[1].accepted && host_dropped_syns(w, s->side[1].host);
}

bool history_explains(const struct world *w, const struct session *s, unsigned who, int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		return reset(w, s, who);
	case ECONNREFUSED:
		return refused(w, s, who);
	case ETIMEDOUT:
		return silence(w, s, who) || left_waiting(w, s, who);
	case EHOSTUNREACH:
		/* Three seconds without an answer to ARP. */
		return silence(w, s, who) || (s->side[who].connecting && w->history.dark_us);
	default:
		return false;
	}
}
