/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_tx.c - large TCP frames out of an interface without hardware, as a veth.  AF_XDP and AF_PACKET rings take a segment at a
 * time there, and the kernel makes a buffer of each, sends it alone and runs the receiver's side of it before the next.  A packet
 * socket takes up to 64 KiB at once with the orders of a network card (packet(7), PACKET_VNET_HDR; struct virtio_net_hdr of
 * virtio 1.2, 5.1.6.2): the kernel cuts it up where the other end does not take it whole, and sends the segments in one go.
 *
 * Single segments go the driver's way, which is cheaper for them.  Both ways send before they return, so the order is kept.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "engine/csum.h"
#include "engine/engine.h"
#include "internal.h"

#define TCP_CSUM_AT 16 /* in its header (RFC 9293 3.1) */
#define HEADERS_MAX (14 + 60 + 60)
/* Of one frame: sendmsg() takes 1024, with the orders and the headers. */
#define PARTS_MAX 1000u
/* What the kernel may hold of ours: until the other end takes it (it runs late under load) nothing more goes out. */
#define SEND_BUFFER (4 << 20)

static int open_socket(const char *ifname)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, size = SEND_BUFFER;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&ll, sizeof(ll))) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return descriptor_keep(fd);
}

void packet_tx_open(struct port *p, const char *ifname)
{
	p->large.fd = open_socket(ifname);
	p->large.used = p->large.fd >= 0;
	if (!p->large.used)
		return;
	p->info.caps |= ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG | ENGINE_TX_TCP_CSUM;
	p->info.tso_max = UINT16_MAX;
	p->info.tso_parts = PARTS_MAX;
}

void packet_tx_close(struct port *p)
{
	if (p->large.used)
		descriptor_close(p->large.fd);
	p->large.used = false;
}

/* No driver here computes checksums: the field holds the sum of the pseudo-header, as DPDK has it. */
static void finish_csum(struct rte_mbuf *m)
{
	unsigned at = m->l2_len + m->l3_len;
	uint8_t *tcp = rte_pktmbuf_mtod_offset(m, uint8_t *, at);
	uint16_t sum;

	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM))
		return;
	sum = ~csum_partial(tcp, m->data_len - at);
	memcpy(tcp + TCP_CSUM_AT, &sum, sizeof(sum));
	m->ol_flags &= ~RTE_MBUF_F_TX_TCP_CKSUM;
}

/* The orders, and the headers as the kernel wants them: with the whole length in the pseudo-header's sum, which DPDK leaves out.
 */
static unsigned write_orders(const struct rte_mbuf *m, struct virtio_net_hdr *order, uint8_t head[HEADERS_MAX])
{
	unsigned at = m->l2_len + m->l3_len, len = at + m->l4_len;
	bool segments = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	uint16_t sum;

	memset(order, 0, sizeof(*order));
	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) || len > HEADERS_MAX || len > m->data_len)
		return 0;
	memcpy(head, rte_pktmbuf_mtod(m, void *), len);
	memcpy(&sum, head + at + TCP_CSUM_AT, sizeof(sum));
	if (segments)
		sum = csum_fold((uint32_t)sum + rte_cpu_to_be_16((uint16_t)(m->pkt_len - at)));
	memcpy(head + at + TCP_CSUM_AT, &sum, sizeof(sum));
	order->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	order->csum_start = (uint16_t)at;
	order->csum_offset = TCP_CSUM_AT;
	order->hdr_len = (uint16_t)len;
	if (segments) {
		order->gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		order->gso_size = m->tso_segsz;
	}
	return len;
}

/* False: there is no room now.  What the kernel refuses for another reason is lost, as on a cable. */
static bool send_large(struct port *p, unsigned q, struct rte_mbuf *m)
{
	struct virtio_net_hdr order;
	uint8_t head[HEADERS_MAX];
	unsigned skip = write_orders(m, &order, head), n = 0;
	struct iovec iov[2 + PARTS_MAX];
	struct msghdr msg = {.msg_iov = iov};

	iov[n++] = (struct iovec){&order, sizeof(order)};
	iov[n++] = (struct iovec){head, skip};
	for (struct rte_mbuf *part = m; part && n < RTE_DIM(iov); part = part->next) {
		iov[n++] = (struct iovec){rte_pktmbuf_mtod_offset(part, void *, skip), part->data_len - skip};
		skip = 0;
	}
	msg.msg_iovlen = n;
	if (sendmsg(p->large.fd, &msg, MSG_DONTWAIT) < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return false;
		p->gate.q[q].tx_no_carrier++;
	}
	rte_pktmbuf_free(m);
	return true;
}

unsigned packet_tx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned at = 0, run, sent;

	for (; at < n; at += run) {
		if (pkts[at]->nb_segs > 1) {
			run = 1;
			if (!send_large(p, q, pkts[at]))
				break;
			continue;
		}
		for (run = 0; at + run < n && pkts[at + run]->nb_segs == 1; run++)
			finish_csum(pkts[at + run]);
		sent = rte_eth_tx_burst(p->id, q, pkts + at, run);
		if (sent < run)
			return at + sent;
	}
	return at;
}
