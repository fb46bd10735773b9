/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_ring.c - what a process that was killed in the middle of a burst leaves in AF_PACKET's two rings, put in order.
 *
 * The driver writes its place in a ring back when a burst is over, while the kernel goes on with each frame: who dies between
 * leaves the driver behind.  Then what is received is not looked at, and what is to be sent not sent, until the kernel has come
 * round to that place.  The kernel does not tell its own place; the frames do (packet_mmap of the kernel's documentation).
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <rte_ethdev.h>

#include "internal.h"

/* Frames of one burst at most: so far may the driver be behind. */
#define BURST_MOST 64u

/* What net_af_packet of DPDK 22.11 keeps of a queue, as far as it is used here. */
struct rx_queue {
	int fd;
	struct iovec *frames;
	uint8_t *map;
	unsigned count, at;
	struct rte_mempool *pool;
};

struct tx_queue {
	int fd;
	unsigned room;
	struct iovec *frames;
	uint8_t *map;
	unsigned count, at;
};

static struct rx_queue *rx_of(const struct port *p, unsigned q)
{
	return rte_eth_fp_ops[p->id].rxq.data[q];
}

static struct tx_queue *tx_of(const struct port *p, unsigned q)
{
	return rte_eth_fp_ops[p->id].txq.data[q];
}

/* Is it what it is taken for?  Both say things that are known otherwise. */
static bool is_known(const struct rx_queue *rx, const struct tx_queue *tx, const struct rte_mempool *pool)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (rx->fd != tx->fd || getsockopt(rx->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || domain != AF_PACKET)
		return false;
	if (rx->pool != pool || rx->count != tx->count || rx->count <= 2 * BURST_MOST)
		return false;
	return rx->at < rx->count && tx->at < tx->count && rx->frames[0].iov_base == rx->map && tx->frames[0].iov_base == tx->map;
}

static uint32_t status_of(const struct iovec *frame)
{
	return __atomic_load_n(&((struct tpacket2_hdr *)frame->iov_base)->tp_status, __ATOMIC_ACQUIRE);
}

static void set_status(struct iovec *frame, uint32_t status)
{
	__atomic_store_n(&((struct tpacket2_hdr *)frame->iov_base)->tp_status, status, __ATOMIC_RELEASE);
}

static void kick(const struct tx_queue *tx)
{
	while (sendto(tx->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno == EINTR)
		;
}

/*
 * What waits is sent.  Then empty frames are put at all places where the kernel may be: it drops those from its own place on
 * (PACKET_LOSS of packet(7), which the driver sets), and stands behind the last.
 */
static void repair_tx(struct tx_queue *tx)
{
	struct iovec *frame;

	kick(tx);
	for (unsigned i = 0; i < BURST_MOST; i++) {
		frame = &tx->frames[(tx->at + i) % tx->count];
		if (status_of(frame) != TP_STATUS_AVAILABLE)
			continue;
		((struct tpacket2_hdr *)frame->iov_base)->tp_len = 0;
		set_status(frame, TP_STATUS_SEND_REQUEST);
	}
	kick(tx);
	for (unsigned i = 0; i < BURST_MOST; i++) {
		frame = &tx->frames[(tx->at + i) % tx->count];
		if (status_of(frame) == TP_STATUS_SEND_REQUEST)
			set_status(frame, TP_STATUS_AVAILABLE);
	}
	tx->at = (tx->at + BURST_MOST) % tx->count;
}

void packet_ring_repair(struct port *p, unsigned q, const struct rte_mempool *pool)
{
	struct tx_queue *tx = tx_of(p, q);

	if (!is_known(rx_of(p, q), tx, pool))
		return;
	repair_tx(tx);
	p->seeks[q] = true;
}

/* The kernel's place is the first frame with a packet: until one comes it cannot be told. */
void packet_ring_seek(struct port *p, unsigned q)
{
	struct rx_queue *rx = rx_of(p, q);

	for (unsigned i = 0; i <= BURST_MOST; i++) {
		unsigned at = (rx->at + i) % rx->count;

		if (!(status_of(&rx->frames[at]) & TP_STATUS_USER))
			continue;
		rx->at = at;
		p->seeks[q] = false;
		return;
	}
}
