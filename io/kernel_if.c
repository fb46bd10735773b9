/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel_if.c - a kernel interface as a port: what is read from it, and the device strings of the two drivers that serve it.
 *
 * AF_XDP takes the interface's packets away from the kernel; AF_PACKET sees copies, so the kernel must not hold the engine's
 * address there (it would answer with resets).  The Linux end of a veth sends packets that are larger than the MTU and lack
 * checksums, as no wire would: switch that off there (ethtool -K veth1 tso off gso off tx off).
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_common.h>

#include "internal.h"

/* Frames in a ring; what their size is a multiple of; what a block's size must be a multiple of. */
#define FRAMES 1024u
#define FRAME_STEP 128u
#define PAGE 4096u

/* Ask the interface's driver (ethtool, by ioctl: /sys may show another network namespace). */
static bool ask(int fd, struct ifreq *r, void *question)
{
	r->ifr_data = question;
	return ioctl(fd, SIOCETHTOOL, r) == 0;
}

static unsigned count_rx_queues(int fd, struct ifreq *r)
{
	struct ethtool_channels c = {.cmd = ETHTOOL_GCHANNELS};
	unsigned n = ask(fd, r, &c) ? RTE_MAX(c.combined_count, c.rx_count) : 1;

	return n ? n : 1;
}

static bool has_hardware(int fd, struct ifreq *r)
{
	struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};

	return ask(fd, r, &d) && d.bus_info[0];
}

int kernel_if_read(const char *name, struct kernel_if *k, struct io_error *err)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};
	int rc = 0;

	if (fd < 0)
		return io_fail(err, -errno, "MTCPSHIM_DEV: %s cannot be read: %s", name, strerror(errno));
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	k->index = if_nametoindex(name);
	k->rx_queues = count_rx_queues(fd, &r);
	k->virtual = !has_hardware(fd, &r);
	if (ioctl(fd, SIOCGIFMTU, &r) == 0)
		k->mtu = RTE_MIN(r.ifr_mtu, (int)UINT16_MAX);
	if (ioctl(fd, SIOCGIFHWADDR, &r) == 0)
		memcpy(k->mac, r.ifr_hwaddr.sa_data, sizeof(k->mac));
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		rc = io_fail(err, -errno, "MTCPSHIM_DEV: %s cannot be read: %s", name, strerror(errno));
	else if (!(r.ifr_flags & IFF_UP))
		rc = io_fail(err, -ENETDOWN, "MTCPSHIM_DEV: %s is down: ip link set %s up", name, name);
	close(fd);
	return rc;
}

/*
 * One socket per queue.  Busy polling costs a system call per empty poll and gains nothing where no interrupt is saved, as on a
 * veth; with hardware it is the driver's default, and keeps its receive from blocking.
 */
void kernel_if_af_xdp(const char *name, const struct kernel_if *k, unsigned queues, char *string)
{
	snprintf(string, DEVICE_STRING_MAX, "net_af_xdp0,iface=%s,queue_count=%u%s", name, RTE_MIN(queues, k->rx_queues),
		 k->virtual ? ",busy_budget=0" : "");
}

/*
 * A frame of the ring holds the packet behind its header (packet_mmap: TPACKET2_HDRLEN, then the link header aligned to 16), and
 * is no larger than an mbuf, or the driver refuses the mbufs.  Frames fill blocks without a gap: the driver counts on it.
 */
void kernel_if_ring(const char *given, uint16_t mtu, char *string)
{
	unsigned frame = RTE_ALIGN(mtu + FRAME_OVERHEAD + TPACKET2_HDRLEN + 2 * TPACKET_ALIGNMENT, FRAME_STEP);
	char value[16];

	snprintf(string, DEVICE_STRING_MAX, "%s", given);
	if (device_arg(given, "framesz", value, sizeof(value)) || device_arg(given, "blocksz", value, sizeof(value)))
		return;
	snprintf(string, DEVICE_STRING_MAX, "%s,framesz=%u,blocksz=%u,framecnt=%u", given, frame, frame * (PAGE / FRAME_STEP),
		 FRAMES);
}

void kernel_if_af_packet(const char *name, uint16_t mtu, unsigned queues, char *string)
{
	char given[DEVICE_STRING_GIVEN];

	snprintf(given, sizeof(given), "net_af_packet0,iface=%s,qpairs=%u", name, queues);
	kernel_if_ring(given, mtu, string);
}
