/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.c - opens a device, configures as many queue pairs and offloads as it vouches for, and moves bursts.
 *
 * What can be said of all drivers goes through ethdev; what ethdev does not tell stands in device.c's table.  Devices are probed
 * here and not by EAL's start, because a probe that fails here leaves the process as it was and can be tried with another driver.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_stack.h>
#include <rte_string_fns.h>

#include "engine/engine.h"
#include "internal.h"

#define POOL_CACHE 512
#define DESCRIPTORS 1024

_Static_assert(RTE_PKTMBUF_HEADROOM >= ENGINE_HEADROOM, "an mbuf's headroom must take the engine's headers");
_Static_assert(sizeof(((struct port_info *)0)->rss_key) == ENGINE_RSS_KEY_MAX, "one size of RSS key");

/* ---- pools ----------------------------------------------------------------------------------------------------------------- */

/*
 * Data room of an mbuf: a whole frame in one segment, whatever AF_XDP leaves in front of it included; headroom for the engine's
 * headers; ordinary frames get DPDK's usual 2 KiB, which drivers divide their rings by.
 */
static unsigned data_room(uint16_t mtu)
{
	unsigned room = RTE_ALIGN(mtu + FRAME_OVERHEAD + FRAME_HEADROOM_XDP, 64u);

	room = RTE_MAX(room, 2048u) + RTE_PKTMBUF_HEADROOM;
	return RTE_MIN(room, (unsigned)UINT16_MAX);
}

unsigned port_pool_elt_size(uint16_t mtu, unsigned priv)
{
	unsigned elt = sizeof(struct rte_mbuf) + RTE_ALIGN(priv, RTE_MBUF_PRIV_ALIGN) + data_room(mtu);
	struct rte_mempool_objsz sz;

	return rte_mempool_calc_obj_size(elt, 0, &sz);
}

/* Fill an empty mempool with packets; -errno. */
static int fill_pool(struct rte_mempool *mp, uint16_t mtu, unsigned priv)
{
	struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = (uint16_t)data_room(mtu),
						 .mbuf_priv_size = (uint16_t)RTE_ALIGN(priv, RTE_MBUF_PRIV_ALIGN)};
	int rc = rte_mempool_set_ops_byname(mp, "stack", NULL);

	if (rc)
		return rc;
	rte_pktmbuf_pool_init(mp, &sizes);
	rc = rte_mempool_populate_default(mp);
	if (rc < 0)
		return rc;
	rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
	sweep_begin(mp);
	return 0;
}

/*
 * The pool is a stack, not a ring: the buffers freed last are handed out first, so that what is in use stays in cache however
 * large the pool is.  Without huge pages no device reads memory by its physical address, so packets may lie across pages: else
 * each would take a page of 4 KiB or more.
 */
struct rte_mempool *port_pool_create(unsigned queue, unsigned n, uint16_t mtu, unsigned priv, struct io_error *err)
{
	struct rte_mempool *mp;
	char name[RTE_MEMPOOL_NAMESIZE];
	unsigned cache = RTE_MIN((unsigned)POOL_CACHE, n / 4) & ~1u;
	unsigned elt = sizeof(struct rte_mbuf) + RTE_ALIGN(priv, RTE_MBUF_PRIV_ALIGN) + data_room(mtu);
	int rc;

	snprintf(name, sizeof(name), "mtcpshim_pool_%u", queue);
	mp = rte_mempool_create_empty(name, n, elt, cache, sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY,
				      rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	rc = mp ? fill_pool(mp, mtu, priv) : -rte_errno;
	if (!rc)
		return mp;
	rte_mempool_free(mp);
	io_fail(err, rc, "MTCPSHIM_MEM: no room for %u packets of %u bytes (%s): give more memory", n,
		port_pool_elt_size(mtu, priv), rte_strerror(-rc));
	return NULL;
}

void port_pool_reset(struct port *p, unsigned q, struct rte_mempool *pool, bool shared)
{
	struct rte_stack *free = pool->pool_data;
	bool xdp = !strcmp(p->info.driver, "net_af_xdp"), sent = xdp && xdp_rings_repair(q);

	if (!strcmp(p->info.driver, "net_af_packet"))
		packet_ring_repair(p, q, pool);
	atomic_store(&p->gate.q[q].busy, 0);
	rte_spinlock_init(&free->stack_std.lock);
	if (!shared && !xdp)
		sweep_pool(pool);
	else if (shared || !sent || !sweep_xdp_pool(q, pool))
		port_pool_forget(pool, q);
}

void port_pool_forget(struct rte_mempool *pool, unsigned q)
{
	pool->local_cache[q].len = 0;
}

/* ---- gate ------------------------------------------------------------------------------------------------------------------ */

/* In: false while the device is being reconnected. The store must be seen before the flag is read: see gate_settle(). */
static inline bool gate_enter(struct port *p, unsigned q)
{
	uint32_t open;

	atomic_store_explicit(&p->gate.q[q].busy, 1, memory_order_relaxed);
	if (p->gate.fence)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
	open = atomic_load_explicit(&p->gate.open, memory_order_acquire);
	if (__builtin_expect(open && replica_is_read(p->id, open), 1))
		return true;
	atomic_store_explicit(&p->gate.q[q].busy, 0, memory_order_release);
	/* Another process of the family has connected it: the next burst will pass. */
	if (open)
		replica_read(p->id, open);
	return false;
}

static inline void gate_leave(struct port *p, unsigned q)
{
	atomic_store_explicit(&p->gate.q[q].busy, 0, memory_order_release);
}

/* ---- bursts ---------------------------------------------------------------------------------------------------------------- */

unsigned port_rx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned got;

	if (p->gate.used && !gate_enter(p, q))
		return 0;
	if (p->wait.poke)
		p->wait.poke(0);
	if (__builtin_expect(p->seeks[q], 0))
		packet_ring_seek(p, q);
	got = rte_eth_rx_burst(p->id, q, pkts, n);
	if (p->gate.used)
		gate_leave(p, q);
	if (p->capture && got)
		capture_rx(p->capture, q, pkts, got);
	return got;
}

static bool has_carrier(struct port *p)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/* A cable without carrier loses what is put on it (IF_OPER_DOWN, RFC 2863); holding it would only send stale packets later. */
static unsigned drop_no_carrier(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	rte_pktmbuf_free_bulk(pkts, n);
	p->gate.q[q].tx_no_carrier += n;
	return n;
}

unsigned port_burst(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	return p->large.used ? packet_tx(p, q, pkts, n) : rte_eth_tx_burst(p->id, q, pkts, n);
}

static unsigned transmit(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	if (p->capture)
		return capture_tx(p->capture, p, q, pkts, n);
	return port_burst(p, q, pkts, n);
}

unsigned port_tx(struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned sent;

	if (!p->gate.used)
		return transmit(p, q, pkts, n);
	if (!gate_enter(p, q))
		return drop_no_carrier(p, q, pkts, n);
	sent = transmit(p, q, pkts, n);
	gate_leave(p, q);
	if (sent == 0 && n && !has_carrier(p))
		return drop_no_carrier(p, q, pkts, n);
	return sent;
}

bool port_link_up(struct port *p)
{
	if (p->gate.used && !atomic_load_explicit(&p->gate.open, memory_order_acquire))
		return false;
	return has_carrier(p);
}

bool port_is_taken(struct port *p)
{
	return p->wait.kind == WAIT_BELL && bell_is_taken(p);
}

const char *port_link_text(struct port *p)
{
	if (port_link_up(p))
		return "";
	return p->memif.used && p->memif.trouble[0] ? p->memif.trouble : "no carrier";
}

const struct port_info *port_info(const struct port *p)
{
	return &p->info;
}

void port_drops(struct port *p, struct port_drops *d)
{
	struct rte_eth_stats s;

	memset(d, 0, sizeof(*d));
	if (rte_eth_stats_get(p->id, &s) == 0) {
		d->rx_missed = s.imissed;
		d->rx_nombuf = s.rx_nombuf;
		d->rx_errors = s.ierrors;
		d->tx_errors = p->traits->tx_refusals ? 0 : s.oerrors;
	}
	for (unsigned q = 0; q < p->info.queues; q++)
		d->tx_errors += p->gate.q[q].tx_no_carrier;
}

/* ---- configuration --------------------------------------------------------------------------------------------------------- */

struct setup {
	const struct port_config *cfg;
	struct device dev;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	struct io_error *err;
};

/* Drivers return -1 for everything, which is also -EPERM: ask the kernel whether this process may use raw sockets. */
static bool lacks_permission(const struct setup *s)
{
	int fd;

	if (s->dev.kind == DEVICE_VIRTUAL && device_traits(s->dev.driver)->doorbell == IO_DOORBELL_CHEAP)
		return false;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EPERM;
}

static int device_failed(struct setup *s, int rc, const char *what)
{
	char reason[160];

	log_reason(reason, sizeof(reason));
	if (lacks_permission(s))
		return io_fail(s->err, -EPERM,
			       "MTCPSHIM_DEV: %s %s: no permission: run as root, or give CAP_NET_RAW and CAP_NET_ADMIN%s%s",
			       s->dev.name, what, reason[0] ? "; driver: " : "", reason);
	if (rc == -EPERM)
		rc = -EIO;
	return io_fail(s->err, rc, "MTCPSHIM_DEV: %s %s: %s", s->dev.name, what, reason[0] ? reason : rte_strerror(-rc));
}

/* Offloads that the device vouches for and the engine knows how to use. */
static void choose_offloads(struct port *p, struct setup *s)
{
	uint64_t tx = s->info.tx_offload_capa, rx = s->info.rx_offload_capa;
	const uint64_t rx_csum = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

	tx &= RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
	      RTE_ETH_TX_OFFLOAD_TCP_TSO;
	if (p->traits->no_offload)
		tx &= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (!(tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) || !(tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		tx &= ~RTE_ETH_TX_OFFLOAD_TCP_TSO;
	rx = (rx & rx_csum) == rx_csum && !p->traits->no_offload ? rx_csum : 0;
	s->conf.txmode.offloads = tx;
	s->conf.rxmode.offloads = rx;
	p->info.caps = (tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS ? ENGINE_TX_MULTI_SEG : 0) |
		       (tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM ? ENGINE_TX_IP_CSUM : 0) |
		       (tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM ? ENGINE_TX_TCP_CSUM : 0) |
		       (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO ? ENGINE_TX_TSO : 0) | (rx ? ENGINE_RX_CSUM : 0);
	if (p->info.caps & ENGINE_TX_TSO) {
		p->info.tso_max = UINT16_MAX;
		p->info.tso_parts = s->info.tx_desc_lim.nb_seg_max;
	}
}

/*
 * Receive side scaling with the key 6d5a repeated: it makes the Toeplitz hash the same for both directions of a connection (Woo
 * and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling").
 */
static void choose_rss(struct port *p, struct setup *s)
{
	const uint64_t want = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
	unsigned size = s->info.hash_key_size ? s->info.hash_key_size : 40;
	uint64_t hf = s->info.flow_type_rss_offloads & want;

	if (!(hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP) || size > sizeof(p->info.rss_key) || p->traits->no_offload)
		return;
	for (unsigned i = 0; i < size; i++)
		p->info.rss_key[i] = i & 1 ? 0x5a : 0x6d;
	s->conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	s->conf.rx_adv_conf.rss_conf.rss_key = p->info.rss_key;
	s->conf.rx_adv_conf.rss_conf.rss_key_len = size;
	s->conf.rx_adv_conf.rss_conf.rss_hf = hf;
	if (s->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) {
		s->conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
		p->info.caps |= ENGINE_RX_RSS;
	}
}

/* Entry i of the redirection table leads to queue i modulo their number. */
static void identity_reta(struct port *p, const struct setup *s)
{
	struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE] = {0};
	unsigned size = s->info.reta_size;

	if (!(s->conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) || !size || size > RTE_ETH_RSS_RETA_SIZE_512)
		return;
	for (unsigned i = 0; i < size; i++) {
		reta[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
		reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % p->info.queues;
	}
	rte_eth_dev_rss_reta_update(p->id, reta, size);
}

static uint16_t choose_mtu(const struct port *p, const struct setup *s)
{
	unsigned mtu = RTE_MIN(s->cfg->mtu, p->info.mtu);
	unsigned room = rte_pktmbuf_data_room_size(s->cfg->pools[0]) - RTE_PKTMBUF_HEADROOM - FRAME_OVERHEAD;

	if (s->info.max_mtu >= RTE_ETHER_MIN_MTU && s->info.max_mtu != UINT16_MAX)
		mtu = RTE_MIN(mtu, s->info.max_mtu);
	return RTE_MIN(mtu, room);
}

static int configure_queues(struct port *p, struct setup *s)
{
	uint16_t nrx = s->info.default_rxportconf.ring_size, ntx = s->info.default_txportconf.ring_size;
	int rc = rte_eth_dev_configure(p->id, p->info.queues, p->info.queues, &s->conf);

	if (rc)
		return rc;
	nrx = nrx ? nrx : DESCRIPTORS;
	ntx = ntx ? ntx : DESCRIPTORS;
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &nrx, &ntx);
	for (unsigned q = 0; q < p->info.queues && !rc; q++) {
		rc = rte_eth_rx_queue_setup(p->id, q, nrx, rte_eth_dev_socket_id(p->id), NULL, s->cfg->pools[q]);
		rc = rc ? rc : rte_eth_tx_queue_setup(p->id, q, ntx, rte_eth_dev_socket_id(p->id), NULL);
	}
	return rc;
}

static int configure_mac(struct port *p, const struct setup *s)
{
	struct rte_ether_addr mac;
	int rc = rte_eth_macaddr_get(p->id, &mac);

	if (rc)
		return rc;
	if (s->cfg->mac) {
		memcpy(mac.addr_bytes, s->cfg->mac, sizeof(mac.addr_bytes));
		rc = p->traits->any_mac ? 0 : rte_eth_dev_default_mac_addr_set(p->id, &mac);
	}
	memcpy(p->info.mac, mac.addr_bytes, sizeof(p->info.mac));
	return rc;
}

/* Configured with receive interrupts if the driver may have them; some cannot start with them (UIO without MSI-X). */
static int configure(struct port *p, struct setup *s)
{
	int rc;

	p->info.mtu = choose_mtu(p, s);
	p->info.queues = RTE_MIN(s->cfg->queues, (unsigned)RTE_MIN(s->info.max_rx_queues, s->info.max_tx_queues));
	p->info.doorbell = p->traits->doorbell;
	p->info.forks = p->traits->forks;
	p->info.driver = s->info.driver_name;
	choose_offloads(p, s);
	choose_rss(p, s);
	s->conf.rxmode.mtu = p->traits->any_mtu ? RTE_ETHER_MTU : p->info.mtu;
	s->conf.intr_conf.rxq = p->traits->wait == WAIT_INTERRUPT || p->traits->wait == WAIT_FD;
	rc = configure_queues(p, s);
	if (rc && s->conf.intr_conf.rxq) {
		s->conf.intr_conf.rxq = 0;
		rc = configure_queues(p, s);
	}
	if (rc)
		return device_failed(s, rc, "cannot be configured");
	rc = configure_mac(p, s);
	return rc ? device_failed(s, rc, "does not take the address of MTCPSHIM_MAC") : 0;
}

static int start(struct port *p, struct setup *s)
{
	int rc;

	if (p->memif.used)
		return memif_start(p, &s->dev, s->err);
	rc = rte_eth_dev_start(p->id);
	if (rc && s->conf.intr_conf.rxq) {
		s->conf.intr_conf.rxq = 0;
		rc = configure_queues(p, s);
		rc = rc ? rc : rte_eth_dev_start(p->id);
	}
	if (rc)
		return device_failed(s, rc, "does not start");
	if (!p->traits->any_mtu)
		rte_eth_dev_set_mtu(p->id, p->info.mtu);
	identity_reta(p, s);
	return 0;
}

/* ---- opening and closing --------------------------------------------------------------------------------------------------- */

static void unplug(uint16_t id)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(id, &info) == 0 && info.device)
		rte_dev_remove(info.device);
}

/* Make the device known to ethdev: its port id, or -errno. */
static int probe(const char *string)
{
	struct rte_dev_iterator it;
	char name[64];
	uint16_t id;
	int rc = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(string, ","), string);
	if (rte_eth_dev_get_port_by_name(name, &id) == 0)
		return id; /* a PCI device, probed when EAL started */
	rc = rte_dev_probe(string);
	if (rc)
		return rc < 0 ? rc : -EIO;
	if (rte_eth_dev_get_port_by_name(name, &id) == 0)
		return id;
	RTE_ETH_FOREACH_MATCHING_DEV(id, string, &it)
	{
		rte_eth_iterator_cleanup(&it);
		return id;
	}
	return -ENODEV;
}

/* Open with one driver: string is the complete device string. */
static int open_with(struct port *p, struct setup *s, const char *string)
{
	struct fd_set_of before;
	int rc;

	log_mark();
	descriptors_redirect();
	if (!strncmp(string, "net_af_xdp", 10))
		xdp_rings_watch();
	rte_strscpy(p->device, string, sizeof(p->device));
	wait_before(p, &before);
	rc = probe(string);
	if (rc < 0)
		return device_failed(s, rc, "cannot be opened");
	p->id = rc;
	rc = rte_eth_dev_info_get(p->id, &s->info);
	memset(&s->conf, 0, sizeof(s->conf));
	p->traits = device_traits(s->info.driver_name);
	rc = rc ? device_failed(s, rc, "cannot be read") : configure(p, s);
	if (!rc)
		rc = start(p, s);
	if (rc) {
		unplug(p->id);
		return rc;
	}
	if (!strncmp(string, "net_af_xdp", 10))
		xdp_rings_started();
	wait_setup(p, &before);
	return 0;
}

/* AF_XDP shares the pool's memory with the kernel, and takes it for one piece. */
static bool pools_in_one_piece(const struct setup *s)
{
	for (unsigned q = 0; q < s->cfg->queues; q++)
		if (s->cfg->pools[q]->nb_mem_chunks != 1)
			return false;
	return true;
}

/* Try AF_XDP; why tells why not. */
static int open_af_xdp(struct port *p, struct setup *s, const struct kernel_if *k, char why[80])
{
	char string[DEVICE_STRING_MAX], path[DRIVER_PATH_MAX];
	uint16_t mtu = p->info.mtu;
	int rc;

	snprintf(why, 80, "its driver is not installed");
	if (!driver_find("net_af_xdp", path))
		return -ENODEV;
	snprintf(why, 80, "its packets do not lie in one piece of memory");
	if (!pools_in_one_piece(s))
		return -ENOMEM;
	kernel_if_af_xdp(s->dev.name, k, s->cfg->queues, string);
	rc = open_with(p, s, string);
	if (rc) {
		log_reason(why, 80);
		return rc;
	}
	if (p->info.mtu >= mtu)
		return 0;
	rte_eth_dev_stop(p->id);
	unplug(p->id);
	snprintf(why, 80, "frames of MTU %u are too large for it", mtu);
	return -EMSGSIZE;
}

static int open_af_packet(struct port *p, struct setup *s, const char *why)
{
	char string[DEVICE_STRING_MAX];
	int rc;

	kernel_if_af_packet(s->dev.name, p->info.mtu, s->cfg->queues, string);
	rc = open_with(p, s, string);
	if (!rc)
		snprintf(p->info.note, sizeof(p->info.note), "AF_XDP not available (%s): AF_PACKET", why);
	return rc;
}

static int open_kernel_if(struct port *p, struct setup *s)
{
	struct kernel_if k = {0};
	char why[80];
	int rc = kernel_if_read(s->dev.name, &k, s->err);
	const struct port_info asked = {.mtu = RTE_MIN(k.mtu, s->cfg->mtu)};

	if (rc)
		return rc;
	p->info = asked;
	if (open_af_xdp(p, s, &k, why)) {
		p->info = asked;
		rc = open_af_packet(p, s, why);
	} else if (k.rx_queues > p->info.queues) {
		snprintf(p->info.note, sizeof(p->info.note), "%.15s has %u queues, this port %u: ethtool -L %.15s combined %u",
			 s->dev.name, k.rx_queues, p->info.queues, s->dev.name, p->info.queues);
	}
	if (!rc && k.virtual)
		packet_tx_open(p, s->dev.name);
	if (!rc && !s->cfg->mac)
		memcpy(p->info.mac, k.mac, sizeof(p->info.mac));
	return rc;
}

/* Unless client=1, net_vhost serves the socket itself. */
static int clear_vhost_path(struct setup *s)
{
	char path[DEVICE_STRING_GIVEN], client[8] = "0";

	device_arg(s->dev.string, "client", client, sizeof(client));
	if (strcmp(client, "0") || !device_arg(s->dev.string, "iface", path, sizeof(path)))
		return 0;
	return socket_remove_stale(path, s->err);
}

static int open_device(struct port *p, struct setup *s)
{
	char string[DEVICE_STRING_MAX];
	int rc;

	p->info.mtu = s->cfg->mtu;
	if (s->dev.kind == DEVICE_KERNEL_IF)
		return open_kernel_if(p, s);
	if (!strcmp(s->dev.driver, "net_af_packet")) {
		kernel_if_ring(s->dev.string, s->cfg->mtu, string);
		return open_with(p, s, string);
	}
	if (!strcmp(s->dev.driver, "net_vhost")) {
		rc = clear_vhost_path(s);
		return rc ? rc : open_with(p, s, s->dev.string);
	}
	if (strcmp(s->dev.driver, "net_memif"))
		return open_with(p, s, s->dev.string);
	rc = memif_prepare(&s->dev, s->cfg, string, &p->info.mtu, s->err);
	if (rc)
		return rc;
	p->memif.used = true;
	return open_with(p, s, string);
}

struct port *port_open(const struct port_config *cfg, struct io_error *err)
{
	struct setup s = {.cfg = cfg, .err = err};
	struct port *p;

	err->text[0] = 0;
	if (device_parse(&s.dev, cfg->device, err))
		return NULL;
	p = rte_zmalloc("mtcpshim_port", sizeof(*p), 64);
	if (!p) {
		io_fail(err, -ENOMEM, "MTCPSHIM_MEM: no memory left for the port");
		return NULL;
	}
	if (open_device(p, &s))
		goto failed;
	if (cfg->pcap && !(p->capture = capture_open(p, cfg->pcap, err))) {
		port_close(p);
		return NULL;
	}
	return p;
failed:
	rte_free(p);
	return NULL;
}

void port_take_over(struct port *p)
{
	if (p->memif.used)
		memif_take_over(p);
}

void port_close(struct port *p)
{
	if (p->capture)
		capture_close(p->capture);
	if (p->memif.used)
		memif_stop(p);
	else
		rte_eth_dev_stop(p->id);
	packet_tx_close(p);
	unplug(p->id);
	rte_free(p);
}
