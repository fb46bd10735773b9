/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_io_memif.c - io/memif.c and the gate: two processes over memif, what they send each other, and what happens when one of
 * them is killed, comes late, or does not fit the other.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "io_proc.h"

#define FRAMES 20000
#define KILLS 6

static char dir[32], path[64], server[200], client[200];

/* What the children tell the test while they run. */
static struct shared {
	_Atomic unsigned received, links, wanted;
	_Atomic bool stop, up, looked;
} * shared;

static int setup(void **state)
{
	strcpy(dir, "/tmp/mtcpshim-io-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/m.sock", dir);
	snprintf(server, sizeof(server), "net_memif0,role=server,socket=%s", path);
	snprintf(client, sizeof(client), "net_memif0,role=client,socket=%s", path);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(shared, 0, sizeof(*shared));
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	rmdir(dir);
	munmap(shared, sizeof(*shared));
	return 0;
}

struct end {
	const char *dev;
	uint16_t mtu;
	unsigned queues, max_len;
};

static struct port *open_end(const struct end *e)
{
	start_io(e->dev, IO_HUGE_NO);
	return open_port(e->dev, e->queues ? e->queues : 1, e->mtu, NULL);
}

static unsigned length_of(uint32_t seq, const struct end *e)
{
	return sizeof(struct frame) + seq * 37 % (e->max_len - sizeof(struct frame) + 1);
}

/* Send all frames and take them back in order. */
static void send_and_compare(void *arg)
{
	struct end *e = arg;
	struct port *p = open_end(e);
	uint32_t sent = 0, got = 0;

	await_link(p);
	while (got < FRAMES) {
		struct rte_mbuf *m;

		if (sent < FRAMES && sent - got < 256) {
			send_frame(p, sent, length_of(sent, e));
			sent++;
		}
		if (port_rx(p, 0, &m, 1) != 1)
			continue;
		CHECK(m->nb_segs == 1);
		CHECK(frame_is_whole(rte_pktmbuf_mtod(m, void *), m->pkt_len));
		CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == got);
		CHECK(m->pkt_len == length_of(got, e));
		rte_pktmbuf_free(m);
		got++;
	}
	port_close(p);
}

static void echo(void *arg)
{
	struct port *p = open_end(arg);
	struct rte_mbuf *pkts[BURST];

	for (;;) {
		unsigned n = port_rx(p, 0, pkts, BURST), sent = 0;

		while (sent < n)
			sent += port_tx(p, 0, pkts + sent, n - sent);
	}
}

static void both_ways(const struct end *near, const struct end *far)
{
	pid_t f = spawn(echo, (void *)far), n = spawn(send_and_compare, (void *)near);
	bool ok = await(n);

	end(f);
	assert_true(ok);
}

static void frames_both_ways_are_those_sent(void **state)
{
	both_ways(&(struct end){.dev = client, .mtu = 1500, .max_len = 1514}, &(struct end){.dev = server, .mtu = 1500});
}

static void frames_of_mtu_9000_arrive_in_one_segment(void **state)
{
	both_ways(&(struct end){.dev = client, .mtu = 9000, .max_len = 9014}, &(struct end){.dev = server, .mtu = 9000});
}

static void ends_with_other_rings_understand_each_other(void **state)
{
	char odd[256];

	snprintf(odd, sizeof(odd), "%s,bsize=4096,rsize=6", client);
	both_ways(&(struct end){.dev = odd, .mtu = 1500, .max_len = 1514}, &(struct end){.dev = server, .mtu = 1500});
	snprintf(odd, sizeof(odd), "%s,bsize=4096,rsize=6", server);
	both_ways(&(struct end){.dev = client, .mtu = 1500, .max_len = 1514}, &(struct end){.dev = odd, .mtu = 1500});
}

/* ---- taken --------------------------------------------------------------------------------------------------------------------
 */

/* Fill the ring in part, have the other end take it, a hundred times, so that the ring's counters wrap. */
static void sends_and_asks(void *arg)
{
	struct port *p = open_end(arg);

	await_link(p);
	while (!shared->looked || !port_is_taken(p))
		;
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 10; i++)
			send_frame(p, i, 1514);
		CHECK(!port_is_taken(p));
		shared->wanted = round + 1;
		while (!port_is_taken(p))
			;
		CHECK(shared->received == (round + 1) * 10);
	}
	shared->stop = true;
	port_close(p);
}

static void takes_when_told(void *arg)
{
	struct port *p = open_end(arg);
	struct rte_mbuf *pkts[BURST];

	await_link(p);
	/* A client makes room for packets when it first looks for some. */
	CHECK(!port_rx(p, 0, pkts, BURST));
	shared->looked = true;
	for (uint32_t round = 0; !shared->stop;) {
		if (shared->wanted == round)
			continue;
		round++;
		/* Counted before they are taken: the sender may look at once. */
		shared->received += 10;
		for (unsigned got = 0; got < 10;) {
			unsigned n = port_rx(p, 0, pkts, BURST);

			rte_pktmbuf_free_bulk(pkts, n);
			got += n;
		}
	}
	port_close(p);
}

static void tells_when_the_peer_has_taken(const char *sender, const char *receiver)
{
	pid_t r = spawn(takes_when_told, &(struct end){.dev = receiver, .mtu = 1500});
	pid_t s = spawn(sends_and_asks, &(struct end){.dev = sender, .mtu = 1500});

	assert_true(await(s));
	assert_true(await(r));
}

static void client_sees_when_its_frames_are_taken(void **state)
{
	tells_when_the_peer_has_taken(client, server);
}

static void server_sees_when_its_frames_are_taken(void **state)
{
	tells_when_the_peer_has_taken(server, client);
}

/* ---- killed, late, again --------------------------------------------------------------------------------------------------- */

/* Send and receive without a pause whether anybody is there or not; whole frames are counted, others end the child. */
static void blast(void *arg)
{
	struct port *p = open_end(arg);
	struct rte_mbuf *pkts[BURST];
	bool up = false;

	for (uint32_t seq = 0; !shared->stop; seq++) {
		unsigned n;

		for (n = 0; n < BURST && (pkts[n] = rte_pktmbuf_alloc(pool_of(0))); n++)
			frame_append(pkts[n], seq, 1514);
		for (unsigned sent = port_tx(p, 0, pkts, n); sent < n; sent++)
			rte_pktmbuf_free(pkts[sent]);
		n = port_rx(p, 0, pkts, BURST);
		for (unsigned i = 0; i < n; i++)
			CHECK(frame_is_whole(rte_pktmbuf_mtod(pkts[i], void *), pkts[i]->pkt_len));
		rte_pktmbuf_free_bulk(pkts, n);
		/* Before the frames are counted: the peer may go as soon as they are. */
		if (up != port_link_up(p))
			shared->links += !up;
		shared->up = up = port_link_up(p);
		shared->received += n;
	}
	CHECK(rte_mempool_avail_count(pool_of(0)) == CASE_PACKETS);
	port_close(p);
}

/* The peer: takes what comes, then waits to be killed. */
static void serve_some(void *arg)
{
	struct port *p = open_end(arg);
	unsigned before = shared->received;

	await_link(p);
	for (uint32_t got = 0; got < 1000 || shared->received == before; got++) {
		send_frame(p, got, 1514);
		rte_pktmbuf_free(receive_frame(p));
	}
	kill(getpid(), SIGKILL);
}

static void survives_kills_of(const struct end *stays, const struct end *goes)
{
	pid_t steady = spawn(blast, (void *)stays);
	unsigned before = 0;

	for (int i = 0; i < KILLS; i++) {
		pid_t peer = spawn(serve_some, (void *)goes);
		int status;

		waitpid(peer, &status, 0);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(shared->received > before);
		before = shared->received;
		while (shared->up)
			assert_int_equal(waitpid(steady, NULL, WNOHANG), 0);
	}
	shared->stop = true;
	assert_true(await(steady));
	assert_true(shared->links >= KILLS);
}

static void server_survives_killed_clients(void **state)
{
	survives_kills_of(&(struct end){.dev = server, .mtu = 1500}, &(struct end){.dev = client, .mtu = 1500});
}

static void client_survives_killed_servers(void **state)
{
	survives_kills_of(&(struct end){.dev = client, .mtu = 1500}, &(struct end){.dev = server, .mtu = 1500});
}

/* ---- without a peer -------------------------------------------------------------------------------------------------------- */

static void drops_without_a_peer(void *arg)
{
	struct port *p = open_end(arg);
	struct rte_mbuf *m = frame_make(0, 100);
	struct port_drops d;

	CHECK(!port_link_up(p));
	CHECK(strstr(port_link_text(p), strstr(((struct end *)arg)->dev, "client") ? "no memif server" : "no memif client"));
	CHECK(port_rx(p, 0, &m, 1) == 0);
	CHECK(port_tx(p, 0, &m, 1) == 1);
	port_drops(p, &d);
	CHECK(d.tx_errors == 1);
	CHECK(rte_mempool_avail_count(pool_of(0)) == CASE_PACKETS);
	CHECK(port_wait_fd(p, 0) >= 0 && !port_wait_arm(p, 0));
	port_close(p);
}

static void alone_frames_are_dropped_and_counted(void **state)
{
	assert_true(await(spawn(drops_without_a_peer, &(struct end){.dev = client, .mtu = 1500})));
	assert_true(await(spawn(drops_without_a_peer, &(struct end){.dev = server, .mtu = 1500})));
}

/* ---- interrupts ------------------------------------------------------------------------------------------------------------ */

/* Send the frame whose number is wanted, once; be killed when told. */
static void send_wanted(void *arg)
{
	uint32_t sent = shared->wanted; /* before anybody can see this end */
	struct port *p = open_end(arg);

	await_link(p);
	while (!shared->stop)
		if (shared->wanted != sent)
			send_frame(p, ++sent, 100);
	shared->stop = false;
	kill(getpid(), SIGKILL);
}

static void expect_frame(struct port *p, uint32_t seq)
{
	struct rte_mbuf *m = receive_frame(p);

	CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == seq);
	rte_pktmbuf_free(m);
}

static void await_arm(struct port *p)
{
	while (!port_wait_arm(p, 0))
		usleep(200);
}

/* Sleep until a frame comes, as often as asked; without the interrupt on nobody rings. */
static void wakes(struct port *p)
{
	struct pollfd pfd = {.fd = port_wait_fd(p, 0), .events = POLLIN};
	uint64_t count;

	await_arm(p);
	port_wait_disarm(p, 0);
	CHECK(poll(&pfd, 1, 0) == 0);
	for (int i = 0; i < 3; i++) {
		uint32_t seq = shared->wanted + 1;

		CHECK(port_wait_arm(p, 0) && port_wait_arm(p, 0));
		port_wait_disarm(p, 0); /* the other one still counts on it */
		CHECK(poll(&pfd, 1, 0) == 0);
		shared->wanted = seq;
		CHECK(poll(&pfd, 1, -1) == 1);
		port_wait_disarm(p, 0);
		expect_frame(p, seq);
		/* The driver rings for every attempt to send, and after it: the last one may come late, but not after the next
		 * frame. */
		shared->wanted = ++seq;
		expect_frame(p, seq);
		if (poll(&pfd, 1, 0))
			CHECK(read(pfd.fd, &count, sizeof(count)) == sizeof(count));
		shared->wanted = ++seq;
		expect_frame(p, seq);
		CHECK(poll(&pfd, 1, 0) == 0);
	}
}

static void sleeps_through_restarts(void *arg)
{
	struct port *p = open_end(arg);
	struct pollfd pfd = {.fd = port_wait_fd(p, 0), .events = POLLIN};

	CHECK(port_info(p)->has_interrupt && port_info(p)->weak_interrupt);
	for (int i = 0; i < KILLS; i++) {
		wakes(p);
		CHECK(port_wait_arm(p, 0) && port_wait_arm(p, 0));
		shared->stop = true;
		/* The peer's end wakes too, lest the next one ring in vain: every sleeper, whoever is up first. */
		CHECK(poll(&pfd, 1, -1) == 1);
		port_wait_disarm(p, 0);
		CHECK(poll(&pfd, 1, 0) == 1);
		port_wait_disarm(p, 0);
	}
	port_close(p);
}

static void interrupts_of(const struct end *stays, const struct end *goes)
{
	pid_t sleeper = spawn(sleeps_through_restarts, (void *)stays);

	for (int i = 0; i < KILLS; i++)
		assert_false(await(spawn(send_wanted, (void *)goes)));
	assert_true(await(sleeper));
}

static void server_sleeps_until_frames_come(void **state)
{
	interrupts_of(&(struct end){.dev = server, .mtu = 1500}, &(struct end){.dev = client, .mtu = 1500});
}

static void client_sleeps_until_frames_come(void **state)
{
	interrupts_of(&(struct end){.dev = client, .mtu = 1500}, &(struct end){.dev = server, .mtu = 1500});
}

/* ---- sockets --------------------------------------------------------------------------------------------------------------- */

static void bind_at_path(int type)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
}

static void open_close(void *arg)
{
	port_close(open_end(arg));
}

static void stale_socket_is_replaced_and_removed(void **state)
{
	bind_at_path(SOCK_SEQPACKET);
	assert_true(await(spawn(open_close, &(struct end){.dev = server, .mtu = 1500})));
	assert_int_equal(access(path, F_OK), -1);
}

struct refusal {
	const char *dev;
	const char *text[3];
};

static void is_refused(void *arg)
{
	const struct refusal *r = arg;
	struct port_config cfg = {.device = r->dev, .queues = 1, .mtu = 1500};
	struct io_error err;

	start_io(r->dev, IO_HUGE_NO);
	cfg.pools[0] = port_pool_create(0, CASE_PACKETS, 1500, 64, &err);
	CHECK(!port_open(&cfg, &err));
	for (int i = 0; i < 3 && r->text[i]; i++) {
		if (!strstr(err.text, r->text[i]))
			fprintf(stderr, "\"%s\" is not in \"%s\"\n", r->text[i], err.text);
		CHECK(strstr(err.text, r->text[i]));
	}
}

static void served_socket_is_left_alone(void **state)
{
	struct refusal r = {.dev = server, .text = {"MTCPSHIM_DEV", path, "served by another process"}};
	pid_t first = spawn(echo, &(struct end){.dev = server, .mtu = 1500});
	bool ok;

	while (access(path, F_OK))
		usleep(1000);
	ok = await(spawn(is_refused, &r));
	end(first);
	assert_true(ok);
	assert_int_equal(access(path, F_OK), 0);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
	struct refusal r = {.dev = server, .text = {"MTCPSHIM_DEV", path, "no socket"}};

	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_true(await(spawn(is_refused, &r)));
	assert_int_equal(access(path, F_OK), 0);
}

static void bad_arguments_are_named(void **state)
{
	static const struct refusal rows[] = {
	    {"net_memif0,role=boss", .text = {"MTCPSHIM_DEV", "role=boss", "server or client"}},
	    {"net_memif0,sokket=/x", .text = {"MTCPSHIM_DEV", "sokket", "socket=PATH"}},
	    {"net_memif0,role", .text = {"MTCPSHIM_DEV", "\"role\""}},
	    {"net_memif0,socket=relative", .text = {"MTCPSHIM_DEV", "absolute path"}},
	    {"net_memif0,socket=/nonexistent/m.sock", .text = {"MTCPSHIM_DEV", "/nonexistent", "No such file"}},
	    {"net_memif0,zero-copy=yes", .text = {"MTCPSHIM_DEV", "zero-copy=yes", "MTCPSHIM_HUGE"}},
	    {"net_memif0,bsize=12", .text = {"MTCPSHIM_DEV", "bsize=12"}},
	    {"net_memif0,rsize=77,socket=/tmp/mtcpshim-io-none.sock", .text = {"MTCPSHIM_DEV", "Invalid ring size: 77"}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(await(spawn(is_refused, (void *)&rows[i])));
}

/* ---- a peer that does not fit ---------------------------------------------------------------------------------------------- */

static void says_queues_differ(void *arg)
{
	struct port *p = open_end(arg);

	while (!strstr(port_link_text(p), "1 queues and this end 2"))
		CHECK(!port_link_up(p));
}

static void peer_with_other_queues_is_refused(void **state)
{
	pid_t s = spawn(says_queues_differ, &(struct end){.dev = server, .mtu = 1500, .queues = 2});
	pid_t c = spawn(blast, &(struct end){.dev = client, .mtu = 1500});
	bool ok = await(s);

	end(c);
	assert_true(ok);
}

static void says_version_differs(void *arg)
{
	struct port *p = open_end(arg);

	while (!strstr(port_link_text(p), "protocol version"))
		CHECK(!port_link_up(p));
}

/* A server that greets with a HELLO of protocol version 3.0. */
static void greets_with_another_version(void *arg)
{
	uint16_t hello[64] = {[0] = 2, [17] = 0x300, [18] = 0x300};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(sun.sun_path, path);
	CHECK(!bind(fd, (struct sockaddr *)&sun, sizeof(sun)) && !listen(fd, 8));
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c >= 0)
			CHECK(send(c, hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello));
		while (c >= 0 && recv(c, hello, 1, MSG_TRUNC) > 0)
			;
		close(c);
	}
}

static void peer_with_another_version_is_named(void **state)
{
	pid_t s = spawn(greets_with_another_version, NULL);
	bool ok = await(spawn(says_version_differs, &(struct end){.dev = client, .mtu = 1500}));

	end(s);
	assert_true(ok);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(frames_both_ways_are_those_sent),
	    CASE(frames_of_mtu_9000_arrive_in_one_segment),
	    CASE(ends_with_other_rings_understand_each_other),
	    CASE(client_sees_when_its_frames_are_taken),
	    CASE(server_sees_when_its_frames_are_taken),
	    CASE(server_survives_killed_clients),
	    CASE(client_survives_killed_servers),
	    CASE(server_sleeps_until_frames_come),
	    CASE(client_sleeps_until_frames_come),
	    CASE(alone_frames_are_dropped_and_counted),
	    CASE(stale_socket_is_replaced_and_removed),
	    CASE(served_socket_is_left_alone),
	    CASE(file_that_is_no_socket_is_left_alone),
	    CASE(bad_arguments_are_named),
	    CASE(peer_with_other_queues_is_refused),
	    CASE(peer_with_another_version_is_named),
	};

	return cmocka_run_group_tests_name("io: memif", tests, NULL, NULL);
}
