/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fastopen.h - TCP Fast Open (RFC 7413) inside the engine: fastopen.c is the server's half with its keys and limits,
 * fastopen_client.c the client's with the cache of cookies and the detection of paths that swallow it.
 */
#ifndef ENGINE_FASTOPEN_H
#define ENGINE_FASTOPEN_H

#include "engine/tcp_input.h"

/* Bits of net.ipv4.tcp_fastopen, as Linux has them. */
enum {
	FO_CLIENT = 0x1,
	FO_SERVER = 0x2,
	FO_CLIENT_NO_COOKIE = 0x4,
	FO_SERVER_NO_COOKIE = 0x200,
	FO_SERVER_ALL = 0x400, /* listeners that did not set TCP_FASTOPEN too */
};
#define FO_KEY_LEN 16
#define FO_KEYS_MAX 2

/* ---- fastopen.c ---- */
/*
 * A SYN has made in->c, a child on l's SYN queue: what its Fast Open option and its data are worth.  Takes the data and puts the
 * child into the accept queue, or marks that its SYN,ACK is to give a cookie, or does nothing.
 */
void fastopen_syn(struct input *in, struct conn *l);
/* The cookie that c's SYN,ACK is to give, if any (fo->len -1: none); it is given once. */
void fastopen_give(struct engine *e, struct conn *c, struct fo_cookie *fo);
/* The SYN,ACK of a Fast Open is acknowledged (reset: the connection was reset instead, or ended): its listener may take another.
 */
void fastopen_settled(struct engine *e, struct conn *c, bool reset);
/* l begins to listen (0x400), stops to. */
void fastopen_listen(struct engine *e, struct conn *l);
void fastopen_orphan_children(struct engine *e, struct conn *l);
/* TCP_FASTOPEN_KEY; set: -EINVAL, -ENOMEM.  get: the active key and then the backup. */
int fastopen_set_keys(struct engine *e, struct conn *c, const void *keys, socklen_t len);
int fastopen_get_keys(const struct engine *e, const struct conn *c, void *keys, socklen_t *len);

/* ---- fastopen_client.c ---- */
/* connect() on a socket with TCP_FASTOPEN_CONNECT: true if the SYN is to wait for data, as there is a cookie for the peer. */
bool fastopen_defer(struct engine *e, struct conn *c);
/* Queue what of iov goes with the SYN and let the SYN go: bytes queued, or -EINPROGRESS if none. */
ssize_t fastopen_fire(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt);
/* The option of c's SYN, the first one only (fo->len -1: none). */
void fastopen_option(struct engine *e, struct conn *c, struct fo_cookie *fo);
/* The SYN,ACK, for a connection that is now established: remember the cookie, and see what became of the SYN's data. */
void fastopen_synack(struct input *in);
/* A timeout: the row's last if given_up.  Paths that swallow Fast Open are noticed here, and at the end of a connection. */
void fastopen_timeout(struct engine *e, struct conn *c, bool given_up);
void fastopen_ended(struct engine *e, const struct conn *c);

#endif
