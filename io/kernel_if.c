/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel_if.c - a kernel interface as a port: what is read from it, and the device strings of the two drivers that serve it.
 *
 * AF_XDP takes the interface's packets away from the kernel; AF_PACKET sees copies, so the kernel must not hold the engine's
 * address there (it would answer with resets).  The Linux end of a veth sends packets that are larger than the MTU and lack
 * checksums, as no wire would: switch that off there (ethtool -K veth1 tso off gso off tx off).
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_common.h>

#include "internal.h"

#define FRAMES 1024u
#define BLOCK (64 * 1024u)

static unsigned count_rx_queues(const char *name)
{
	char path[96];
	unsigned n = 0;

	do
		snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-%u", name, n);
	while (!access(path, F_OK) && ++n < IO_QUEUES_MAX);
	return n ? n : 1;
}

static bool has_hardware(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	return !access(path, F_OK);
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
	k->rx_queues = count_rx_queues(name);
	k->virtual = !has_hardware(name);
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

/* A ring frame holds the packet behind its header (packet_mmap: TPACKET2_HDRLEN, then the link header aligned to 16). */
void kernel_if_af_packet(const char *name, uint16_t mtu, unsigned queues, char *string)
{
	unsigned frame = RTE_ALIGN(mtu + FRAME_OVERHEAD + TPACKET2_HDRLEN + 2 * TPACKET_ALIGNMENT, 2048u);

	snprintf(string, DEVICE_STRING_MAX, "net_af_packet0,iface=%s,qpairs=%u,framesz=%u,blocksz=%u,framecnt=%u", name, queues, frame,
		 BLOCK / frame * frame == BLOCK ? BLOCK : RTE_MAX(BLOCK, (unsigned)RTE_ALIGN(frame, 4096u)), FRAMES);
}
