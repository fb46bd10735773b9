/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.c - a bad network between two interfaces: relay IF IF SEED LOSS DELAY REORDER
 *
 * Frames that come in at one interface leave at the other DELAY milliseconds later.  Of those that carry IP, LOSS in 10000 are
 * dropped and REORDER in 10000 held back by some milliseconds more, so that later ones overtake them.  Which ones follows from
 * SEED and the frame's place in its direction.  It says "ready" when it listens, and on SIGTERM what it did, and ends.  Needs no
 * qdisc.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 16384 /* on their way in one direction; what comes beyond is dropped, as from a full queue */
#define FRAME_BYTES 65600
#define BURST 64
#define HELD_BACK_NS 3000000
#define SOCKET_BYTES (8 << 20)

struct frame {
	uint64_t at;	 /* when it is to leave, nanoseconds */
	uint64_t number; /* in its direction */
	size_t len;
	uint8_t bytes[];
};

/* One direction: in at one socket, out at the other. A heap, the earliest on top. */
struct direction {
	int in, out;
	uint64_t rng, frames;
	struct frame *heap[FRAMES_MAX];
	unsigned n;
	unsigned long forwarded, dropped, reordered, overflowed;
};

static struct direction directions[2];
static unsigned loss, reorder;
static uint64_t delay_ns;
static volatile sig_atomic_t ended;

static void fail(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* splitmix64: below n. */
static unsigned draw(struct direction *d, unsigned n)
{
	uint64_t z = (d->rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (unsigned)((z ^ (z >> 31)) % n);
}

/* ---- the queue ---- */

static void swap(struct direction *d, unsigned i, unsigned j)
{
	struct frame *f = d->heap[i];

	d->heap[i] = d->heap[j];
	d->heap[j] = f;
}

static bool before(const struct frame *a, const struct frame *b)
{
	return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void push(struct direction *d, struct frame *f)
{
	unsigned i = d->n++;

	d->heap[i] = f;
	for (; i && before(d->heap[i], d->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(d, i, (i - 1) / 2);
}

static struct frame *pop(struct direction *d)
{
	struct frame *top = d->heap[0];
	unsigned i = 0, child;

	d->heap[0] = d->heap[--d->n];
	while ((child = 2 * i + 1) < d->n) {
		if (child + 1 < d->n && before(d->heap[child + 1], d->heap[child]))
			child++;
		if (before(d->heap[i], d->heap[child]))
			break;
		swap(d, i, child);
		i = child;
	}
	return top;
}

/* ---- frames ---- */

static void take(struct direction *d, const uint8_t *bytes, size_t len)
{
	uint16_t type;
	struct frame *f;
	uint64_t at = now_ns() + delay_ns;

	memcpy(&type, bytes + 12, 2);
	/* Neighbours that are not found in time would only cost seconds. */
	if (type == htons(ETHERTYPE_IP)) {
		bool lost = draw(d, 10000) < loss, held = draw(d, 10000) < reorder;

		if (lost || d->n == FRAMES_MAX) {
			d->dropped += lost;
			d->overflowed += !lost;
			return;
		}
		d->reordered += held;
		at += held ? HELD_BACK_NS : 0;
	}
	f = malloc(sizeof(*f) + len);
	if (!f)
		fail("malloc");
	f->at = at;
	f->number = d->frames++;
	f->len = len;
	memcpy(f->bytes, bytes, len);
	push(d, f);
}

static void receive(struct direction *d)
{
	static uint8_t bytes[FRAME_BYTES];
	struct sockaddr_ll from;

	for (unsigned i = 0; i < BURST; i++) {
		socklen_t size = sizeof(from);
		ssize_t len = recvfrom(d->in, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&from, &size);

		if (len < 0)
			return;
		if (from.sll_pkttype != PACKET_OUTGOING && len >= ETH_HLEN)
			take(d, bytes, (size_t)len);
	}
}

/* Send what is due; when the next one is, or 0. */
static uint64_t transmit(struct direction *d)
{
	while (d->n && d->heap[0]->at <= now_ns()) {
		struct frame *f = pop(d);

		/* A full queue of the interface is a drop as any other. */
		if (send(d->out, f->bytes, f->len, 0) < 0)
			d->overflowed++;
		else
			d->forwarded++;
		free(f);
	}
	return d->n ? d->heap[0]->at : 0;
}

/* ---- */

static int open_port(const char *name)
{
	struct sockaddr_ll at = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), size = SOCKET_BYTES;

	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		fail(name);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

static void on_signal(int sig)
{
	ended = sig;
}

static void wait_for(uint64_t next, const sigset_t *mask)
{
	struct pollfd fds[2] = {{.fd = directions[0].in, .events = POLLIN}, {.fd = directions[1].in, .events = POLLIN}};
	uint64_t now = now_ns(), left = next > now ? next - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};

	if (ppoll(fds, 2, next ? &ts : NULL, mask) < 0 && errno != EINTR)
		fail("ppoll");
	for (unsigned i = 0; i < 2; i++)
		if (fds[i].revents)
			receive(&directions[i]);
}

static void run(void)
{
	sigset_t block, mask;

	/* Signals come in ppoll() alone. */
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, &mask);
	puts("ready");
	fflush(stdout);
	while (!ended) {
		uint64_t a = transmit(&directions[0]), b = transmit(&directions[1]);

		wait_for(!a || (b && b < a) ? b : a, &mask);
	}
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: relay IF IF SEED LOSS DELAY REORDER  (in 10000; milliseconds; in 10000)\n");
		return 2;
	}
	loss = (unsigned)atoi(argv[4]);
	delay_ns = strtoull(argv[5], NULL, 0) * 1000000;
	reorder = (unsigned)atoi(argv[6]);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	/* The default slack of 50 us would be part of every delay. */
	prctl(PR_SET_TIMERSLACK, 1000);
	for (unsigned i = 0; i < 2; i++)
		directions[i].in = directions[!i].out = open_port(argv[1 + i]);
	for (unsigned i = 0; i < 2; i++)
		directions[i].rng = strtoull(argv[3], NULL, 0) * 2 + i;
	run();
	for (unsigned i = 0; i < 2; i++) {
		const struct direction *d = &directions[i];

		printf("from %s: forwarded %lu dropped %lu reordered %lu overflowed %lu\n", argv[1 + i], d->forwarded, d->dropped,
		       d->reordered, d->overflowed);
	}
	return 0;
}
