/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_io_vhost.c - net_vhost and net_virtio_user, one in each of two processes, as a guest and its host would have them: frames
 * both ways, a stale socket file, and a receive interrupt where the driver says that it has one.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "io_proc.h"

#define FRAMES 5000
#define WAIT_MS 5000

static char dir[32], path[64], host[128], guest[128];

static struct shared {
	_Atomic bool ready;	 /* the host serves its socket */
	_Atomic uint32_t wanted; /* the guest asks the host for a frame of this number */
} * shared;

static int setup(void **state)
{
	strcpy(dir, "/tmp/mtcpshim-io-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/v.sock", dir);
	snprintf(host, sizeof(host), "net_vhost0,iface=%s,queues=1", path);
	snprintf(guest, sizeof(guest), "net_virtio_user0,path=%s,queues=1", path);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	rmdir(dir);
	munmap(shared, sizeof(*shared));
	return 0;
}

static void be_host(void *arg)
{
	struct rte_mbuf *pkts[BURST];
	struct port *p;

	start_io(host, IO_HUGE_NO);
	p = open_port(host, 1, 1500, NULL);
	shared->ready = true;
	for (;;) {
		unsigned n = port_rx(p, 0, pkts, BURST), sent = 0;
		uint32_t seq = atomic_exchange(&shared->wanted, 0);

		while (sent < n)
			sent += port_tx(p, 0, pkts + sent, n - sent);
		if (seq)
			send_frame(p, seq, 100);
	}
}

static void frames(struct port *p)
{
	for (uint32_t seq = 0; seq < FRAMES; seq++) {
		unsigned len = 60 + seq * 37 % 1455;
		struct rte_mbuf *m;

		send_frame(p, seq, len);
		m = receive_frame(p);
		CHECK(m->pkt_len == len && frame_is_whole(rte_pktmbuf_mtod(m, void *), len));
		CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == seq);
		rte_pktmbuf_free(m);
	}
}

/* poll() sleeps until the host sends, as often as asked. */
static void wakes(struct port *p)
{
	struct pollfd pfd = {.fd = port_wait_fd(p, 0), .events = POLLIN};
	struct rte_mbuf *m;

	for (uint32_t seq = 1; seq < 4; seq++) {
		CHECK(port_wait_arm(p, 0));
		CHECK(port_rx(p, 0, &m, 1) == 0);
		shared->wanted = seq;
		CHECK(poll(&pfd, 1, WAIT_MS) == 1);
		port_wait_disarm(p, 0);
		m = receive_frame(p);
		CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == seq);
		rte_pktmbuf_free(m);
		CHECK(poll(&pfd, 1, 0) == 0);
	}
}

static void be_guest(void *arg)
{
	struct port *p;

	while (!shared->ready)
		usleep(1000);
	start_io(guest, IO_HUGE_NO);
	p = open_port(guest, 1, 1500, NULL);
	await_link(p);
	frames(p);
	CHECK(port_info(p)->has_interrupt == (port_wait_fd(p, 0) >= 0));
	if (port_info(p)->has_interrupt)
		wakes(p);
	else
		print_message("net_virtio_user has no receive interrupt here: waiting is left out\n");
	port_close(p);
}

static void host_and_guest_exchange_frames(void **state)
{
	pid_t h = spawn(be_host, NULL);
	bool ok = await(spawn(be_guest, NULL));

	end(h);
	assert_true(ok);
	assert_int_equal(access(path, F_OK), 0);
	shared->ready = false;
	/* The killed host left its socket: the next one starts all the same, once the stale file is gone. */
	h = spawn(be_host, NULL);
	ok = await(spawn(be_guest, NULL));
	end(h);
	assert_true(ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(host_and_guest_exchange_frames, setup, teardown),
	};

	return cmocka_run_group_tests_name("io: vhost", tests, NULL, NULL);
}
