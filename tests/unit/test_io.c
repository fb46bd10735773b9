/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_io.c - io/ without a second process and without the kernel's network: starting EAL inside a foreign process, memory shared
 * across fork, bad settings, software devices, the clock, and the capture file read back block by block.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>
#include <rte_lcore.h>

#include "io_proc.h"

static unsigned long huge_free_mb(void)
{
	unsigned long n = 0;
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");

	if (f && fscanf(f, "%lu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n * 2;
}

/* ---- bad settings ---------------------------------------------------------------------------------------------------------- */

static struct io_config config(const char *dev)
{
	return (struct io_config){.device = dev, .mem_mb = CASE_MEM_MB, .huge = IO_HUGE_NO};
}

struct refusal {
	const char *dev;
	int code;
	const char *text;
};

static void bad_device_is_named_and_the_process_lives(void **state)
{
	static const struct refusal rows[] = {
	    {"", -EINVAL, "kernel interface"},
	    {",role=client", -EINVAL, "kernel interface"},
	    {"nosuchif0", -ENODEV, "no kernel interface \"nosuchif0\""},
	    {"net_memif0;role=client", -ENODEV, "net_memif0;role"},
	    {"net_nosuch0,x=y", -ENODEV, "apt-get install librte-net-nosuch"},
	    {"ffff:ff:1f.7", -ENODEV, "no PCI device ffff:ff:1f.7"},
	    {"ff:1f.7,x=y", -ENODEV, "no PCI device 0000:ff:1f.7"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct io_config cfg = config(rows[i].dev);
		struct io_error err;

		assert_int_equal(io_start(&cfg, &err), rows[i].code);
		assert_non_null(strstr(err.text, "MTCPSHIM_DEV"));
		assert_non_null(strstr(err.text, rows[i].text));
	}
}

static void huge_pages_that_are_not_there_are_named(void **state)
{
	struct io_config cfg = config("net_null0");
	struct io_error err;

	cfg.huge = IO_HUGE_YES;
	cfg.mem_mb = 100 * 1024 * 1024;
	assert_int_equal(io_start(&cfg, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "MTCPSHIM_HUGE=yes"));
	assert_non_null(strstr(err.text, "vm.nr_hugepages"));
}

static void ask_too_much(void *arg)
{
	struct io_config cfg = config("net_null0");
	struct io_error err;

	cfg.mem_mb = 100 * 1024 * 1024;
	CHECK(io_start(&cfg, &err) == -ENOMEM);
	CHECK(strstr(err.text, "MTCPSHIM_MEM"));
	start_io("net_null0", IO_HUGE_NO);
	CHECK(io_start(&cfg, &err) == -EALREADY);
}

static void memory_that_is_not_there_is_named(void **state)
{
	assert_true(await(spawn(ask_too_much, NULL)));
}

static void exhaust_the_memory(void *arg)
{
	struct io_error err;

	start_io("net_null0", IO_HUGE_NO);
	CHECK(!port_pool_create(0, 1 << 20, 1500, 64, &err));
	CHECK(strstr(err.text, "MTCPSHIM_MEM"));
	CHECK(!io_alloc("t", (size_t)CASE_MEM_MB << 20));
}

static void pool_larger_than_memory_is_named(void **state)
{
	assert_true(await(spawn(exhaust_the_memory, NULL)));
}

/* ---- the guest in the house ------------------------------------------------------------------------------------------------ */

struct house {
	cpu_set_t cpus;
	sigset_t mask;
	struct sigaction handlers[NSIG];
};

static void look_around(struct house *h)
{
	memset(h, 0, sizeof(*h));
	CHECK(!sched_getaffinity(0, sizeof(h->cpus), &h->cpus));
	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &h->mask));
	for (int s = 1; s < NSIG; s++)
		sigaction(s, NULL, &h->handlers[s]);
}

/* Mask of blocked signals of a thread of this process, from /proc. */
static unsigned long blocked(const char *tid)
{
	char path[64], line[128];
	unsigned long mask = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "SigBlk: %lx", &mask) == 1)
			break;
	if (f)
		fclose(f);
	return mask;
}

static unsigned count_threads_with_open_ears(void)
{
	const int ours[] = {SIGTERM, SIGINT, SIGCHLD, SIGALRM, SIGUSR1, SIGIO};
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d))) {
		bool open = false;

		if (e->d_name[0] == '.' || atoi(e->d_name) == getpid())
			continue;
		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			open |= !(blocked(e->d_name) >> (ours[i] - 1) & 1);
		n += open;
	}
	closedir(d);
	return n;
}

static unsigned count_mapped_drivers(const char *but)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/librte_net_") && !strstr(line, but);
	fclose(f);
	return n;
}

static unsigned count_inheritable(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		n += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return n;
}

static void be_a_good_guest(void *arg)
{
	static struct house before, after;
	unsigned inheritable = count_inheritable();
	int out[2];
	char said[256];

	CHECK(!pipe2(out, O_NONBLOCK | O_CLOEXEC));
	CHECK(dup2(out[1], STDOUT_FILENO) >= 0);
	look_around(&before);
	CHECK(dup2(out[1], STDERR_FILENO) >= 0);
	start_io("net_null0", IO_HUGE_NO);
	port_close(open_port("net_null0", 1, 1500, NULL));
	io_lcore_leave();
	fflush(NULL);
	look_around(&after);
	CHECK(CPU_EQUAL(&before.cpus, &after.cpus));
	CHECK(!memcmp(&before.mask, &after.mask, sizeof(before.mask)));
	for (int s = 1; s < NSIG; s++)
		CHECK(before.handlers[s].sa_handler == after.handlers[s].sa_handler);
	CHECK(rte_lcore_id() == LCORE_ID_ANY);
	CHECK(count_threads_with_open_ears() == 0);
	CHECK(count_mapped_drivers("librte_net_null") == 0);
	CHECK(count_inheritable() == inheritable);
	CHECK(read(out[0], said, sizeof(said)) < 0 && errno == EAGAIN);
}

static void start_leaves_no_trace_in_the_process(void **state)
{
	assert_true(await(spawn(be_a_good_guest, NULL)));
}

/* A keeper of descriptors: moves them up, counts. */
static _Atomic int in_keeping;

static int keep(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 500);

	CHECK(up >= 500);
	close(fd);
	in_keeping++;
	return up;
}

static void drop(int fd)
{
	CHECK(fd >= 500);
	close(fd);
	in_keeping--;
}

static void start_with_keeper(void *arg)
{
	struct io_config cfg = config("net_null0");
	struct io_error err;

	cfg.keep_fd = keep;
	cfg.drop_fd = drop;
	CHECK(!io_start(&cfg, &err));
	CHECK(in_keeping >= 5); /* pipe, epoll, timer, memory */
	for (int fd = 3; fd < 500; fd++)
		close(fd);
	port_close(open_port("net_null0", 1, 1500, NULL));
}

static void kept_descriptors_survive_a_close_loop(void **state)
{
	assert_true(await(spawn(start_with_keeper, NULL)));
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

static void share_with_child(void *arg)
{
	enum io_huge huge = *(enum io_huge *)arg;
	struct rte_mbuf *m;
	int *memory;
	pid_t child;

	start_io("net_null0", huge);
	memory = io_alloc("shared", 100000);
	CHECK(memory && (uintptr_t)memory % 64 == 0);
	for (int i = 0; i < 25000; i++)
		CHECK(memory[i] == 0);
	open_port("net_null0", 1, 1500, NULL);
	m = frame_make(1, 100);
	child = fork();
	if (!child) {
		memory[24999] = 4711;
		frame_write(rte_pktmbuf_mtod(m, void *), 2, 100);
		_exit(0);
	}
	CHECK(await(child));
	CHECK(memory[24999] == 4711);
	CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == 2);
}

static void child_shares_memory_without_huge_pages(void **state)
{
	assert_true(await(spawn(share_with_child, &(enum io_huge){IO_HUGE_NO})));
}

static void child_shares_memory_with_huge_pages(void **state)
{
	if (huge_free_mb() < CASE_MEM_MB) {
		print_message("left out: fewer than %u MB of huge pages are free\n", CASE_MEM_MB);
		skip();
	}
	assert_true(await(spawn(share_with_child, &(enum io_huge){IO_HUGE_YES})));
}

static void alloc_all(void *arg)
{
	struct rte_mbuf *m, *first = NULL;
	unsigned n = 0;

	start_io("net_null0", IO_HUGE_NO);
	open_port("net_null0", 1, 9000, NULL);
	while ((m = rte_pktmbuf_alloc(pool_of(0)))) {
		CHECK(rte_pktmbuf_tailroom(m) >= 9018);
		CHECK(rte_pktmbuf_priv_size(m->pool) >= 64);
		m->next = first;
		first = m;
		n++;
	}
	CHECK(n == CASE_PACKETS);
	CHECK(port_pool_elt_size(9000, 64) * n <= CASE_MEM_MB << 20);
}

static void every_packet_of_a_pool_can_be_had(void **state)
{
	assert_true(await(spawn(alloc_all, NULL)));
}

/* ---- software devices ------------------------------------------------------------------------------------------------------ */

static void loop_frames(struct port *p, unsigned frames)
{
	for (uint32_t seq = 0; seq < frames; seq++) {
		struct rte_mbuf *m;

		send_frame(p, seq, 60 + seq % 1000);
		m = receive_frame(p);
		CHECK(frame_is_whole(rte_pktmbuf_mtod(m, void *), m->pkt_len));
		CHECK(rte_pktmbuf_mtod(m, struct frame *)->seq == seq);
		rte_pktmbuf_free(m);
	}
	CHECK(rte_mempool_avail_count(pool_of(0)) == CASE_PACKETS);
}

static void loop_through_ring(void *arg)
{
	struct port *p;

	start_io("net_ring0", IO_HUGE_NO);
	p = open_port("net_ring0", 1, 1500, NULL);
	CHECK(port_info(p)->doorbell == IO_DOORBELL_CHEAP);
	CHECK(!port_info(p)->has_interrupt && port_wait_fd(p, 0) == -1);
	CHECK(port_info(p)->mtu == 1500 && port_info(p)->queues == 1);
	CHECK(!strcmp(port_info(p)->driver, "net_ring"));
	CHECK(port_link_up(p) && !port_link_text(p)[0]);
	loop_frames(p, 5000);
	port_close(p);
}

static void ring_loops_frames_back(void **state)
{
	assert_true(await(spawn(loop_through_ring, NULL)));
}

static void ask_null_for_too_much(void *arg)
{
	const uint8_t mac[6] = {2, 0, 0, 1, 2, 3};
	struct port_config cfg = {.device = "net_null0", .queues = 2, .mtu = 1500, .mac = mac};
	struct rte_mbuf *pkts[BURST];
	struct io_error err;
	struct port *p;

	start_io("net_null0", IO_HUGE_NO);
	cfg.pools[0] = port_pool_create(0, CASE_PACKETS, 1500, 64, &err);
	cfg.pools[1] = port_pool_create(1, CASE_PACKETS, 1500, 64, &err);
	p = port_open(&cfg, &err);
	CHECK(p);
	CHECK(!memcmp(port_info(p)->mac, mac, 6));
	for (unsigned q = 0; q < port_info(p)->queues; q++) {
		CHECK(port_rx(p, q, pkts, BURST) == BURST);
		CHECK(port_tx(p, q, pkts, BURST) == BURST);
	}
	port_close(p);
}

static void null_takes_and_gives(void **state)
{
	assert_true(await(spawn(ask_null_for_too_much, NULL)));
}

/* ---- capture --------------------------------------------------------------------------------------------------------------- */

/* pcapng (draft-ietf-opsawg-pcapng): blocks of type, length, body, length. */
enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, PACKET = 6 };
#define OPTION_FLAGS 2
#define FLAG_IN 1
#define FLAG_OUT 2

struct block {
	uint32_t type, len;
};

struct packet {
	struct block b;
	uint32_t interface, time_hi, time_lo, captured, original;
	uint8_t data[];
};

struct seen {
	unsigned sections, interfaces, in, out;
	uint64_t last_ns;
};

static unsigned direction(const struct packet *p)
{
	const uint8_t *at = p->data + (p->captured + 3) / 4 * 4, *end = (const uint8_t *)p + p->b.len - 4;

	while (at + 4 < end) {
		const uint16_t *option = (const uint16_t *)at;

		if (option[0] == OPTION_FLAGS)
			return *(const uint32_t *)(at + 4) & 3;
		at += 4 + (option[1] + 3) / 4 * 4;
	}
	return 0;
}

static void see_packet(struct seen *s, const struct packet *p, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t ns = (uint64_t)p->time_hi << 32 | p->time_lo;
	unsigned dir = direction(p);

	CHECK(p->captured == p->original && p->interface == 0);
	CHECK(frame_is_whole(p->data, p->captured));
	CHECK(((const struct frame *)p->data)->seq == (dir == FLAG_IN ? s->in : s->out));
	CHECK(ns >= s->last_ns && ns >= from_ns && ns <= to_ns);
	s->last_ns = ns;
	s->in += dir == FLAG_IN;
	s->out += dir == FLAG_OUT;
}

static void read_capture(const char *path, struct seen *s, uint64_t from_ns, uint64_t to_ns)
{
	static union {
		struct block b;
		struct packet p;
		uint8_t bytes[65536];
	} u;
	FILE *f = fopen(path, "r");

	CHECK(f);
	while (fread(&u, sizeof(u.b), 1, f) == 1) {
		CHECK(u.b.len >= 12 && u.b.len <= sizeof(u) && u.b.len % 4 == 0);
		CHECK(fread(u.bytes + sizeof(u.b), u.b.len - sizeof(u.b), 1, f) == 1);
		CHECK(!memcmp(u.bytes + u.b.len - 4, &u.b.len, 4));
		s->sections += u.b.type == SECTION;
		s->interfaces += u.b.type == INTERFACE;
		if (u.b.type == PACKET)
			see_packet(s, &u.p, from_ns, to_ns);
	}
	fclose(f);
}

static uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

#define CAPTURED 300
#define CLOCK_SLACK_NS 1000000

static bool tcpdump_agrees(const char *path)
{
	char command[128];
	unsigned lines = 0;
	int c;
	FILE *f;

	if (system("command -v tcpdump >/dev/null 2>&1")) {
		print_message("left out: tcpdump is not installed\n");
		return true;
	}
	snprintf(command, sizeof(command), "tcpdump -nr %s 2>/dev/null", path);
	f = popen(command, "r");
	while ((c = fgetc(f)) != EOF)
		lines += c == '\n';
	return pclose(f) == 0 && lines >= 2 * CAPTURED;
}

static void capture_a_loop(void *arg)
{
	struct seen s = {0};
	uint64_t from;
	struct port *p;

	start_io("net_ring0", IO_HUGE_NO);
	from = wall_ns();
	p = open_port("net_ring0", 1, 1500, arg);
	loop_frames(p, CAPTURED);
	port_close(p);
	read_capture(arg, &s, from - CLOCK_SLACK_NS, wall_ns() + CLOCK_SLACK_NS);
	CHECK(s.sections == 1 && s.interfaces == 1 && s.in == CAPTURED && s.out == CAPTURED);
	CHECK(tcpdump_agrees(arg));
}

static void capture_holds_both_directions_in_order(void **state)
{
	char path[] = "/tmp/mtcpshim-io-pcap-XXXXXX";
	int fd = mkstemp(path);
	bool ok;

	assert_true(fd >= 0);
	close(fd);
	ok = await(spawn(capture_a_loop, path));
	unlink(path);
	assert_true(ok);
}

#define FORKS 50
#define HUNG_S 10
static _Atomic bool forked_enough;

static void receive_burst(struct port *p)
{
	struct rte_mbuf *pkts[BURST];
	unsigned n = port_rx(p, 0, pkts, BURST);

	rte_pktmbuf_free_bulk(pkts, n);
}

static void *receive_on(void *p)
{
	while (!atomic_load(&forked_enough))
		receive_burst(p);
	return NULL;
}

static void fork_and_receive(struct port *p)
{
	int status;
	pid_t pid;

	io_fork_prepare();
	pid = fork();
	if (pid == 0) {
		alarm(HUNG_S);
		io_fork_child();
		receive_burst(p);
		_exit(0);
	}
	io_fork_parent();
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Children that are made while another thread captures. */
static void capture_and_fork(void *arg)
{
	pthread_t thread;
	struct port *p;

	start_io("net_null0", IO_HUGE_NO);
	p = open_port("net_null0", 1, 1500, "/dev/null");
	CHECK(!pthread_create(&thread, NULL, receive_on, p));
	for (int i = 0; i < FORKS; i++)
		fork_and_receive(p);
	atomic_store(&forked_enough, true);
	CHECK(!pthread_join(thread, NULL));
	port_close(p);
}

static void capture_goes_on_in_children(void **state)
{
	assert_true(await(spawn(capture_and_fork, NULL)));
}

static void capture_nowhere(void *arg)
{
	struct port_config cfg = {.device = "net_ring0", .queues = 1, .mtu = 1500, .pcap = "/nonexistent/x.pcapng"};
	struct io_error err;

	start_io("net_ring0", IO_HUGE_NO);
	cfg.pools[0] = port_pool_create(0, CASE_PACKETS, 1500, 64, &err);
	CHECK(!port_open(&cfg, &err));
	CHECK(strstr(err.text, "MTCPSHIM_PCAP") && strstr(err.text, "/nonexistent/x.pcapng"));
}

static void capture_file_that_cannot_be_written_is_named(void **state)
{
	assert_true(await(spawn(capture_nowhere, NULL)));
}

/* ---- clock ----------------------------------------------------------------------------------------------------------------- */

static uint64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

/* Over 100 ms both clocks agree to 0.1 %; io_now() never goes back and never is zero. */
static void compare_clocks(void *arg)
{
	uint64_t theirs, ours, last;

	start_io("net_null0", IO_HUGE_NO);
	theirs = monotonic_us();
	ours = last = io_now();
	CHECK(ours > 0);
	while (monotonic_us() - theirs < 100000) {
		uint64_t now = io_now();

		CHECK(now >= last);
		last = now;
	}
	ours = io_now() - ours;
	theirs = monotonic_us() - theirs;
	CHECK(ours + 100 >= theirs && ours <= theirs + 100);
}

static void clock_agrees_with_the_kernels(void **state)
{
	bool ok = false;

	/* A preemption between the two readings spoils one try, not three. */
	for (int i = 0; i < 3 && !ok; i++)
		ok = await(spawn(compare_clocks, NULL));
	assert_true(ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_device_is_named_and_the_process_lives),
	    cmocka_unit_test(huge_pages_that_are_not_there_are_named),
	    cmocka_unit_test(memory_that_is_not_there_is_named),
	    cmocka_unit_test(pool_larger_than_memory_is_named),
	    cmocka_unit_test(start_leaves_no_trace_in_the_process),
	    cmocka_unit_test(kept_descriptors_survive_a_close_loop),
	    cmocka_unit_test(child_shares_memory_without_huge_pages),
	    cmocka_unit_test(child_shares_memory_with_huge_pages),
	    cmocka_unit_test(every_packet_of_a_pool_can_be_had),
	    cmocka_unit_test(ring_loops_frames_back),
	    cmocka_unit_test(null_takes_and_gives),
	    cmocka_unit_test(capture_holds_both_directions_in_order),
	    cmocka_unit_test(capture_goes_on_in_children),
	    cmocka_unit_test(capture_file_that_cannot_be_written_is_named),
	    cmocka_unit_test(clock_agrees_with_the_kernels),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
