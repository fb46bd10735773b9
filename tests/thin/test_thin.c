/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_thin.c - the preloaded library with the fake core: dispatch of every symbol, and what happens when the engine is not
 * wanted, does not start, has no room or is missing.
 *
 * Each test runs this program again with libmtcpshim.so preloaded, in a scenario named by its argument; its standard error and
 * exit status are the result.  Libraries and program lie in one folder.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/thin/scenarios.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[4000];

/* ---- scenarios: in the child, under the library
 * ---------------------------------------------------------------------------------- */

struct sockaddr_in v4(const char *addr, int port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	CHECK(inet_pton(AF_INET, addr, &in.sin_addr) == 1);
	return in;
}

struct fake_calls *calls_now(void)
{
	char path[4096];
	struct fake_calls *(*get)(void);
	void *lib;

	snprintf(path, sizeof(path), "%s/libmtcpshim-core.so", folder);
	lib = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	get = lib ? (struct fake_calls * (*)(void)) dlsym(lib, "fake_calls") : NULL;
	return get ? get() : NULL;
}

int engine_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = v4(ENGINE_PEER, 80);

	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

/* A listener on any address, made in the usual way; the engine is not to have it. */
static void kernel_listener_works(void)
{
	struct sockaddr_in any = v4("0.0.0.0", 0);
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, got = 0, peer, in;

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 5) == 0);
	/* Everything that was put off has reached the kernel's socket. */
	CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	len = sizeof(got);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &got, &len) == 0 && got == 1);
	CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &got, &len) == 0 && got == 1);
	CHECK_FAILS(accept(fd, NULL, NULL), EAGAIN);
	len = sizeof(any);
	CHECK(getsockname(fd, (struct sockaddr *)&any, &len) == 0 && any.sin_port);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(peer, (struct sockaddr *)&any, sizeof(any)) == 0);
	in = accept(fd, NULL, NULL);
	CHECK(in >= 0 && write(peer, "hi", 2) == 2 && read(in, &got, 4) == 2);
	CHECK(close(in) == 0 && close(peer) == 0 && close(fd) == 0);
}

static void scenario_unconfigured(void)
{
	int epfd = epoll_create1(0);
	struct epoll_event ev;

	kernel_listener_works();
	CHECK(epoll_wait(epfd, &ev, 1, 0) == 0);
	CHECK(!calls_now());
}

/* Nothing here needs the engine: it is not even loaded. */
static void scenario_unused(void)
{
	struct sockaddr_in lo = v4("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0), epfd = epoll_create1(0), again;
	struct epoll_event ev;

	CHECK(bind(fd, (struct sockaddr *)&lo, sizeof(lo)) == 0 && listen(fd, 1) == 0);
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}) == 0);
	CHECK(epoll_wait(epfd, &ev, 1, 10) == 0);
	close(fd);
	/* A socket that was never used leaves its placeholder to the next. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(close(fd) == 0);
	CHECK_FAILS(close(fd), EBADF);
	again = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(again == fd);
	CHECK(!calls_now());
}

static void scenario_kernel_serves(void)
{
	kernel_listener_works();
	kernel_listener_works();
}

static void scenario_no_room(void)
{
	kernel_listener_works();
	CHECK(calls_now()->take > 0 && calls_now()->listen == 0);
}

static void *load_core(void *arg)
{
	usleep(50000); /* so that the other thread sleeps; it must notice whether it does or not */
	engine_socket();
	return NULL;
}

/* A thread that waits before the core is there is served by the core as soon as it is. */
static void scenario_reveal(void)
{
	int epfd = epoll_create1(0);
	struct epoll_event ev;
	pthread_t t;

	CHECK(pthread_create(&t, NULL, load_core, NULL) == 0);
	CHECK(epoll_wait(epfd, &ev, 1, 10000) == 1 && ev.data.u64 == FAKE_EVENT_DATA);
	pthread_join(t, NULL);
	CHECK(calls_now()->epoll_wait == 1);
}

/* In the child of a process whose engine runs, new sockets are the kernel's. */
static void scenario_fork(void)
{
	int fd = engine_socket(), pool = engine_socket(), status;
	unsigned taken = calls_now()->take;
	pid_t pid;

	close(pool);
	pid = fork();
	if (!pid) {
		CHECK_FAILS(fcntl(pool, F_GETFD), EBADF);
		kernel_listener_works();
		CHECK(calls_now()->take == taken && close(fd) == 0);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(write(fd, "x", 1) == 1);
}

static void *churn(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		int fd = engine_socket(), twin = dup(fd);
		char c = (char)i, got = ~c;

		CHECK(write(fd, &c, 1) == 1 && read(twin, &got, 1) == 1 && c == got);
		CHECK(close(fd) == 0 && close(twin) == 0);
	}
	return NULL;
}

/* Numbers come and go in several threads; each finds its own socket behind its own number. */
static void scenario_threads(void)
{
	pthread_t t[4];

	close(engine_socket());
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, churn, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CHECK(calls_now()->retain == 4 * 3000 && calls_now()->release == 2 * 4 * 3000 + 1);
}

static void scenario_allocate(void)
{
	CHECK(calls_now() == NULL);
	free(malloc(100));
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
    {"symbols", scenario_symbols},   {"unconfigured", scenario_unconfigured},
    {"unused", scenario_unused},     {"kernel", scenario_kernel_serves},
    {"no_room", scenario_no_room},   {"reveal", scenario_reveal},
    {"fork", scenario_fork},	     {"threads", scenario_threads},
    {"allocate", scenario_allocate},
};

static int run_scenario(const char *name)
{
	for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(scenarios[i].name, name))
			continue;
		scenarios[i].run();
		return 0;
	}
	return 2;
}

/* ---- tests: in the parent
 * --------------------------------------------------------------------------------------------------------- */

#define DEV "MTCPSHIM_DEV=net_fake"
#define IP "MTCPSHIM_IP=" ENGINE_PREFIX
#define NO_FILE "MTCPSHIM_CONF=/dev/null"

static char said[65536];

/* Run a scenario with up to 3 more variables; its exit status.  library: preloaded, from the folder. */
static int run_with(const char *library, const char *scenario, char *const more[3])
{
	char preload[8192], program[4096];
	char *env[] = {preload, more[0], more[1], more[2], NULL};
	FILE *out = tmpfile();
	size_t n;
	pid_t pid;
	int status;

	snprintf(preload, sizeof(preload), library, folder, folder);
	snprintf(program, sizeof(program), "%s/test_thin", folder);
	pid = fork();
	if (!pid) {
		dup2(fileno(out), STDERR_FILENO);
		execle(program, program, scenario, (char *)NULL, env);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(out);
	n = fread(said, 1, sizeof(said) - 1, out);
	said[n] = '\0';
	fclose(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void expect(int status, const char *scenario, char *const more[3])
{
	int got = run_with("LD_PRELOAD=%s/libmtcpshim.so", scenario, more);

	if (got != status)
		fail_msg("%s: exit status %d, said:\n%s", scenario, got, said);
}
#define EXPECT(status, scenario, ...) expect(status, scenario, (char *const[3]){__VA_ARGS__})

static void every_symbol_reaches_the_core(void **state)
{
	EXPECT(0, "symbols", DEV, IP, NO_FILE);
}

static void without_configuration_the_kernel_serves_silently(void **state)
{
	EXPECT(0, "unconfigured", NO_FILE);
	assert_string_equal(said, "");
}

static void core_stays_out_until_it_is_needed(void **state)
{
	EXPECT(0, "unused", DEV, IP, NO_FILE);
	assert_string_equal(said, "");
}

static void engine_that_does_not_start_leaves_the_kernel(void **state)
{
	EXPECT(0, "kernel", DEV, IP, FAKE_UP "=-12");
	assert_string_equal(said, "mtcpshim: the fake engine does not start: Cannot allocate memory\n");
}

static void strict_ends_the_program(void **state)
{
	char path[] = "/tmp/mtcpshim-thin-XXXXXX", conf[64];
	int fd = mkstemp(path);

	assert_int_equal(write(fd, DEV "\n" IP "\n", sizeof(DEV IP) + 1), sizeof(DEV IP) + 1);
	close(fd);
	snprintf(conf, sizeof(conf), "MTCPSHIM_CONF=%s", path);
	EXPECT(1, "kernel", conf, "MTCPSHIM_STRICT=1", FAKE_UP "=-12");
	/* One line that says why, and no second one. */
	assert_string_equal(said, "mtcpshim: the fake engine does not start: Cannot allocate memory\n");
	unlink(path);
	EXPECT(1, "kernel", "MTCPSHIM_DEV=x", "MTCPSHIM_IP=1.2.3.4", "MTCPSHIM_STRICT=1");
	assert_non_null(strstr(said, "mtcpshim: MTCPSHIM_IP=1.2.3.4: the prefix length is missing"));
	assert_null(strstr(said + 1, "mtcpshim: "));
}

static void bad_configuration_leaves_the_kernel(void **state)
{
	EXPECT(0, "kernel", DEV, "MTCPSHIM_IP=1.2.3.4", NO_FILE);
	assert_non_null(strstr(said, "mtcpshim: MTCPSHIM_IP=1.2.3.4: the prefix length is missing"));
	/* Said once. */
	assert_null(strstr(strstr(said, "MTCPSHIM_IP") + 1, "MTCPSHIM_IP"));
}

static void no_room_leaves_the_kernel(void **state)
{
	EXPECT(0, "no_room", DEV, IP, FAKE_TAKE "=-105");
	assert_non_null(strstr(said, "the engine takes no more sockets (No buffer space available); the kernel serves"));
}

static void missing_core_leaves_the_kernel(void **state)
{
	int got = run_with("LD_PRELOAD=%s/alone/libmtcpshim.so", "kernel", (char *const[3]){DEV, IP, NO_FILE});

	assert_int_equal(got, 0);
	assert_non_null(strstr(said, "mtcpshim: the engine cannot be loaded"));
}

static void sleeper_is_told_of_the_core(void **state)
{
	EXPECT(0, "reveal", DEV, IP, NO_FILE);
}

static void forked_child_gets_the_kernel(void **state)
{
	EXPECT(0, "fork", DEV, IP, NO_FILE);
	assert_string_equal(said, "");
}

static void numbers_are_not_mixed_up_by_threads(void **state)
{
	EXPECT(0, "threads", DEV, IP, NO_FILE);
}

static void wrappers_work_before_they_are_ready(void **state)
{
	int got = run_with("LD_PRELOAD=%s/libmtcpshim.so:%s/early_malloc.so", "allocate", (char *const[3]){DEV, IP, NO_FILE});

	if (got)
		fail_msg("exit status %d, said: %s", got, said);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_symbol_reaches_the_core),
	    cmocka_unit_test(without_configuration_the_kernel_serves_silently),
	    cmocka_unit_test(core_stays_out_until_it_is_needed),
	    cmocka_unit_test(engine_that_does_not_start_leaves_the_kernel),
	    cmocka_unit_test(strict_ends_the_program),
	    cmocka_unit_test(bad_configuration_leaves_the_kernel),
	    cmocka_unit_test(no_room_leaves_the_kernel),
	    cmocka_unit_test(missing_core_leaves_the_kernel),
	    cmocka_unit_test(sleeper_is_told_of_the_core),
	    cmocka_unit_test(forked_child_gets_the_kernel),
	    cmocka_unit_test(numbers_are_not_mixed_up_by_threads),
	    cmocka_unit_test(wrappers_work_before_they_are_ready),
	};
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (n < 0)
		return 1;
	*strrchr(folder, '/') = '\0';
	return argc > 1 ? run_scenario(argv[1]) : cmocka_run_group_tests_name("thin", tests, NULL, NULL);
}
