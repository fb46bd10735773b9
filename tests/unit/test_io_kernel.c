/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_io_kernel.c - ports on kernel interfaces: AF_XDP, AF_PACKET and TAP against packet sockets, in a network namespace of each
 * case's own that vanishes with it.  Needs root; says so and does nothing without.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "engine/engine.h"
#include "io_proc.h"

#define FRAMES 2000
#define WAIT_MS 5000

/* An interface pair io_a - io_b in a fresh namespace; this child is its only tenant. */
static void enter_namespace(unsigned mtu)
{
	char command[256];

	CHECK(!unshare(CLONE_NEWNET));
	snprintf(command, sizeof(command),
		 "ip link add io_a mtu %u type veth peer name io_b mtu %u && sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
		 "ip link set io_a up && ip link set io_b up",
		 mtu, mtu);
	CHECK(!system(command));
}

static int packet_socket(const char *ifname)
{
	struct sockaddr_ll ll = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)), on = 1, room = 1 << 20;

	CHECK(fd >= 0 && ll.sll_ifindex);
	CHECK(!setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)));
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	CHECK(!bind(fd, (struct sockaddr *)&ll, sizeof(ll)));
	return fd;
}

static void kernel_sends(int fd, uint32_t seq, unsigned len)
{
	uint8_t buf[10000];

	frame_write(buf, seq, len);
	while (send(fd, buf, len, 0) < 0)
		CHECK(errno == EAGAIN || errno == ENOBUFS);
}

static void kernel_receives(int fd, uint32_t seq, unsigned len)
{
	uint8_t buf[10000];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		CHECK(n >= 0 || errno == EAGAIN);
		if (n < (ssize_t)sizeof(struct frame) || ((struct frame *)buf)->type != FRAME_TYPE)
			continue;
		CHECK(n == len && frame_is_whole(buf, n) && ((struct frame *)buf)->seq == seq);
		return;
	}
}

static void both_ways(struct port *p, int fd, unsigned max_len)
{
	for (uint32_t seq = 0; seq < FRAMES; seq++) {
		unsigned len = 60 + seq * 37 % (max_len - 59);
		struct rte_mbuf *m;

		kernel_sends(fd, seq, len);
		m = receive_frame(p);
		CHECK(m->pkt_len == len && frame_is_whole(rte_pktmbuf_mtod(m, void *), len));
		CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == seq);
		rte_pktmbuf_free(m);
		send_frame(p, seq, len);
		kernel_receives(fd, seq, len);
	}
}

/* Nothing to read: poll() sleeps.  A frame wakes it; after that was read it sleeps again. */
static void waits(struct port *p, int fd)
{
	struct pollfd pfd = {.fd = port_wait_fd(p, 0), .events = POLLIN};
	struct rte_mbuf *m;

	CHECK(port_info(p)->has_interrupt && pfd.fd >= 0);
	for (uint32_t seq = 0; seq < 3; seq++) {
		CHECK(port_wait_arm(p, 0));
		while (port_rx(p, 0, &m, 1) == 1)
			rte_pktmbuf_free(m);
		CHECK(poll(&pfd, 1, 0) == 0);
		kernel_sends(fd, seq, 100);
		CHECK(poll(&pfd, 1, WAIT_MS) == 1);
		port_wait_disarm(p, 0);
		rte_pktmbuf_free(receive_frame(p));
	}
}

static void mac_of(const char *ifname, uint8_t mac[6])
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(r.ifr_name, ifname);
	CHECK(!ioctl(fd, SIOCGIFHWADDR, &r));
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* The real-time signals are the application's: none has got a handler (net_tap would take one). */
static void no_handlers(void)
{
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++) {
		struct sigaction sa;

		CHECK(sigaction(s, NULL, &sa) || sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN);
	}
}

struct kind {
	const char *dev, *driver, *peer;
	unsigned mtu;
	const char *note;
};

static void frames_and_waiting(void *arg)
{
	const struct kind *k = arg;
	uint8_t mac[6];
	struct port *p;
	int fd;

	enter_namespace(k->mtu);
	start_io(k->dev, IO_HUGE_NO);
	p = open_port(k->dev, 1, k->mtu, NULL);
	fd = packet_socket(k->peer);
	CHECK(!strcmp(port_info(p)->driver, k->driver));
	CHECK(port_info(p)->mtu == k->mtu);
	CHECK(port_info(p)->doorbell == IO_DOORBELL_SYSCALL);
	CHECK(strstr(port_info(p)->note, k->note));
	if (strstr(k->dev, "io_a")) {
		mac_of("io_a", mac);
		CHECK(!memcmp(mac, port_info(p)->mac, 6));
	}
	both_ways(p, fd, k->mtu + 14);
	waits(p, fd);
	no_handlers();
	port_close(p);
}

/* Is AF_XDP to be had here at all? Compared with the note that a port gives. */
static bool has_xdp;

static void try_xdp(void *arg)
{
	enter_namespace(1500);
	start_io("io_a", IO_HUGE_NO);
	CHECK(!strcmp(port_info(open_port("io_a", 1, 1500, NULL))->driver, "net_af_xdp"));
}

static int look_for_xdp(void **state)
{
	if (geteuid())
		return 0;
	has_xdp = await(spawn(try_xdp, NULL));
	if (!has_xdp)
		print_message("AF_XDP cannot be had here: its cases are left out\n");
	return 0;
}

static void need(bool there, const char *what)
{
	if (there)
		return;
	print_message("left out: needs %s\n", what);
	skip();
}

static void interface_name_is_served_by_af_xdp(void **state)
{
	need(geteuid() == 0, "root");
	need(has_xdp, "AF_XDP");
	assert_true(await(spawn(frames_and_waiting, &(struct kind){"io_a", "net_af_xdp", "io_b", 1500, ""})));
}

static void interface_with_large_mtu_falls_back_to_af_packet(void **state)
{
	need(geteuid() == 0, "root");
	assert_true(await(spawn(frames_and_waiting, &(struct kind){"io_a", "net_af_packet", "io_b", 9000, "AF_PACKET"})));
}

static void af_packet_carries_frames_and_wakes(void **state)
{
	need(geteuid() == 0, "root");
	assert_true(
	    await(spawn(frames_and_waiting, &(struct kind){"net_af_packet0,iface=io_a", "net_af_packet", "io_b", 1500, ""})));
}

static void tap_carries_frames_and_wakes(void **state)
{
	need(geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0, "root and /dev/net/tun");
	assert_true(await(spawn(frames_and_waiting, &(struct kind){"net_tap0,iface=io_tap", "net_tap", "io_tap", 1500, ""})));
}

/* ---- large frames ---------------------------------------------------------------------------------------------------------- */

#define SEGMENT 1000u
#define PART 700u /* of the frame's mbufs: other limits than the segments' */

struct tcp_packet {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_tcp_hdr tcp;
	uint8_t payload[];
} __attribute__((packed, aligned(2)));

static uint8_t payload_at(uint32_t seq)
{
	return (uint8_t)(seq * 31 + seq / 256);
}

/* One mbuf of payload that begins at seq; len bytes. */
static struct rte_mbuf *part_make(uint32_t seq, unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool_of(0));
	uint8_t *at = m ? (uint8_t *)rte_pktmbuf_append(m, len) : NULL;

	CHECK(at);
	for (unsigned i = 0; i < len; i++)
		at[i] = payload_at(seq + i);
	return m;
}

/* As the engine leaves a frame to a port: the checksum is the pseudo-header's, and more than SEGMENT bytes are to be cut up. */
static struct rte_mbuf *tcp_make(uint32_t seq, unsigned len)
{
	struct rte_mbuf *m = part_make(seq, RTE_MIN(len, PART));
	struct tcp_packet *t;

	for (unsigned at = PART; at < len; at += PART)
		CHECK(!rte_pktmbuf_chain(m, part_make(seq + at, RTE_MIN(len - at, PART))));
	t = (struct tcp_packet *)rte_pktmbuf_prepend(m, sizeof(*t));
	CHECK(t);
	memset(t, 0, sizeof(*t));
	memset(&t->eth.dst_addr, 0xff, 6);
	t->eth.ether_type = htons(ETH_P_IP);
	t->ip = (struct rte_ipv4_hdr){.version_ihl = 0x45, .time_to_live = 64, .next_proto_id = IPPROTO_TCP};
	t->ip.total_length = htons(m->pkt_len - sizeof(t->eth));
	t->ip.src_addr = htonl(0x0a090001);
	t->ip.dst_addr = htonl(0x0a090002);
	t->ip.hdr_checksum = rte_ipv4_cksum(&t->ip);
	t->tcp = (struct rte_tcp_hdr){.sent_seq = htonl(seq), .data_off = 0x50, .tcp_flags = RTE_TCP_ACK_FLAG};
	m->l2_len = sizeof(t->eth);
	m->l3_len = sizeof(t->ip);
	m->l4_len = sizeof(t->tcp);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	if (len > SEGMENT) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = SEGMENT;
	}
	t->tcp.cksum = rte_ipv4_phdr_cksum(&t->ip, m->ol_flags);
	return m;
}

/* The next segment is that one, whole. */
static void receives_segment(int fd, uint32_t seq, unsigned len)
{
	_Alignas(struct tcp_packet) uint8_t buf[2000];
	struct tcp_packet *t = (struct tcp_packet *)buf;
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	CHECK(poll(&pfd, 1, WAIT_MS) == 1);
	CHECK(recv(fd, buf, sizeof(buf), 0) == (ssize_t)(sizeof(*t) + len));
	CHECK(ntohl(t->tcp.sent_seq) == seq && ntohs(t->ip.total_length) == sizeof(*t) - sizeof(t->eth) + len);
	CHECK(rte_raw_cksum(&t->ip, sizeof(t->ip)) == UINT16_MAX);
	CHECK(rte_ipv4_udptcp_cksum_verify(&t->ip, &t->tcp) == 0);
	for (unsigned i = 0; i < len; i++)
		CHECK(t->payload[i] == payload_at(seq + i));
}

/* What the port is to send as it is, and what is to be cut up, in one burst: the segments come out in order. */
static void large_frames(void *arg)
{
	static const unsigned sizes[] = {10, 2500, SEGMENT, 20000, 1, 65000, 2000};
	struct rte_mbuf *burst[RTE_DIM(sizes)];
	uint32_t seq = UINT32_MAX - 30000;
	unsigned sent = 0;
	struct port *p;
	int fd;

	enter_namespace(1500);
	CHECK(!system("ethtool -K io_a tx off tso off gso off >/dev/null"));
	start_io("io_a", IO_HUGE_NO);
	p = open_port("io_a", 1, 1500, arg);
	CHECK(port_info(p)->caps & ENGINE_TX_TSO && port_info(p)->tso_max == UINT16_MAX && port_info(p)->tso_parts >= 65);
	fd = packet_socket("io_b");
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		burst[i] = tcp_make(seq, sizes[i]);
		seq += sizes[i];
	}
	while (sent < RTE_DIM(sizes))
		sent += port_tx(p, 0, burst + sent, RTE_DIM(sizes) - sent);
	seq = UINT32_MAX - 30000;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++)
		for (unsigned left = sizes[i], len; left; left -= len, seq += len) {
			len = RTE_MIN(left, SEGMENT);
			receives_segment(fd, seq, len);
		}
	port_close(p);
}

static void large_frames_leave_as_segments(void **state)
{
	need(geteuid() == 0, "root");
	assert_true(await(spawn(large_frames, NULL)));
	assert_true(await(spawn(large_frames, "/dev/null")));
}

/* ---- after a kill ---------------------------------------------------------------------------------------------------------- */

static void kill_and_reopen(void *arg)
{
	struct kind *k = arg;

	enter_namespace(1500);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			int fd = packet_socket("io_b");
			struct port *p;

			start_io(k->dev, IO_HUGE_NO);
			p = open_port(k->dev, 1, 1500, NULL);
			CHECK(!strcmp(port_info(p)->driver, k->driver));
			both_ways(p, fd, 1514);
			kill(getpid(), SIGKILL);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	}
}

static void interface_can_be_opened_after_a_kill(void **state)
{
	need(geteuid() == 0, "root");
	if (has_xdp)
		assert_true(await(spawn(kill_and_reopen, &(struct kind){.dev = "io_a", .driver = "net_af_xdp"})));
	assert_true(await(spawn(kill_and_reopen, &(struct kind){.dev = "net_af_packet0,iface=io_a", .driver = "net_af_packet"})));
}

/* Where nothing is: whoever meets it in the middle of a burst dies there. */
#define NOWHERE 64

static void die_sending(struct port *p)
{
	struct rte_mbuf *burst[BURST];

	for (uint32_t i = 0; i < BURST - 1; i++)
		burst[i] = frame_make(1000000 + i, 100);
	burst[BURST - 1] = (struct rte_mbuf *)(uintptr_t)NOWHERE;
	port_tx(p, 0, burst, BURST);
}

static void die_receiving(struct port *p)
{
	for (;;)
		port_rx(p, 0, (struct rte_mbuf **)(uintptr_t)NOWHERE, BURST);
}

/* A process of the family, which dies in its burst; its parent puts the port in order. */
static void lose_process(struct port *p, void (*die)(struct port *p))
{
	const struct rlimit no_core = {0, 0};
	pid_t pid;
	int status;

	io_fork_prepare();
	pid = fork();
	if (!pid) {
		io_fork_child();
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGSEGV, SIG_DFL); /* cmocka's */
		die(p);
		_exit(0);
	}
	io_fork_parent();
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	port_pool_reset(p, 0, pool_of(0), false);
}

/* The device goes on: frames come and go one by one, none of them late. */
static void killed_in_a_burst(void *arg)
{
	uint32_t seq = 0;
	struct port *p;
	int fd;

	enter_namespace(1500);
	start_io("io_a", IO_HUGE_NO);
	p = open_port(arg, 1, 1500, NULL);
	fd = packet_socket("io_b");
	both_ways(p, fd, 1514);
	for (int i = 0; i < 3; i++) {
		lose_process(p, die_sending);
		both_ways(p, fd, 1514);
		for (unsigned n = 0; n < BURST / 2; n++)
			kernel_sends(fd, seq++, 100);
		lose_process(p, die_receiving);
		/* They may be received once more. */
		for (uint32_t last = 0; last != seq - 1;) {
			struct rte_mbuf *m = receive_frame(p);

			last = rte_pktmbuf_mtod(m, struct frame *)->seq;
		}
		both_ways(p, fd, 1514);
	}
	port_close(p);
}

static void interface_survives_a_process_killed_in_a_burst(void **state)
{
	need(geteuid() == 0, "root");
	need(has_xdp, "AF_XDP");
	assert_true(await(spawn(killed_in_a_burst, "net_af_xdp0,iface=io_a")));
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------- */

static void open_down(void *arg)
{
	struct port_config cfg = {.device = "io_a", .queues = 1, .mtu = 1500};
	struct io_error err;

	enter_namespace(1500);
	CHECK(!system("ip link set io_a down"));
	start_io("io_a", IO_HUGE_NO);
	cfg.pools[0] = port_pool_create(0, CASE_PACKETS, 1500, 64, &err);
	CHECK(!port_open(&cfg, &err));
	CHECK(strstr(err.text, "ip link set io_a up"));
}

static void interface_that_is_down_is_named(void **state)
{
	need(geteuid() == 0, "root");
	assert_true(await(spawn(open_down, NULL)));
}

#define NOBODY 65534

static void open_unprivileged(void *arg)
{
	struct port_config cfg = {.device = "io_a", .queues = 1, .mtu = 1500};
	struct io_error err;

	enter_namespace(1500);
	CHECK(!setgid(NOBODY) && !setuid(NOBODY));
	start_io("io_a", IO_HUGE_NO);
	cfg.pools[0] = port_pool_create(0, CASE_PACKETS, 1500, 64, &err);
	CHECK(!port_open(&cfg, &err));
	CHECK(strstr(err.text, "MTCPSHIM_DEV") && strstr(err.text, "CAP_NET_RAW"));
}

static void missing_permission_is_named(void **state)
{
	need(geteuid() == 0, "root");
	assert_true(await(spawn(open_unprivileged, NULL)));
}

static void start_unprivileged(void *arg)
{
	CHECK(!setgid(NOBODY) && !setuid(NOBODY));
	start_io("net_ring0", *(enum io_huge *)arg);
	port_close(open_port("net_ring0", 1, 1500, NULL));
}

static void software_devices_need_no_root(void **state)
{
	need(geteuid() == 0, "root (to become nobody)");
	assert_true(await(spawn(start_unprivileged, &(enum io_huge){IO_HUGE_NO})));
	assert_true(await(spawn(start_unprivileged, &(enum io_huge){IO_HUGE_AUTO})));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(interface_name_is_served_by_af_xdp),
	    cmocka_unit_test(interface_with_large_mtu_falls_back_to_af_packet),
	    cmocka_unit_test(af_packet_carries_frames_and_wakes),
	    cmocka_unit_test(tap_carries_frames_and_wakes),
	    cmocka_unit_test(large_frames_leave_as_segments),
	    cmocka_unit_test(interface_can_be_opened_after_a_kill),
	    cmocka_unit_test(interface_survives_a_process_killed_in_a_burst),
	    cmocka_unit_test(interface_that_is_down_is_named),
	    cmocka_unit_test(missing_permission_is_named),
	    cmocka_unit_test(software_devices_need_no_root),
	};

	return cmocka_run_group_tests_name("io: kernel interfaces", tests, look_for_xdp, NULL);
}
