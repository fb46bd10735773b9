/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cores.c - how far two cores are from each other: the round trip of a cache line between them, in nanoseconds.
 *
 * cores CPU_A CPU_B [WITHIN SECONDS]: prints it.  With WITHIN it looks again for up to so many seconds until it is no more than
 * that: a virtual machine's cores move about on the host, and are now beside each other and now on different caches, six times as
 * far; whatever two programs hand over to each other costs as much more.  Status 1: they stayed farther apart.
 *
 * cores -w CPU_A CPU_B SECONDS: looks every 50 ms while others are at work on both, who give way for some microseconds (to root),
 * until SIGTERM or for so many seconds, and prints how far they were in nine of ten looks at most, and by how many
 * milliseconds the latest look was late: so long the machine stood still, as nobody else goes first.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/clock.h"

#define TRIPS 2000
#define TRIES 5
#define WATCH_TRIPS 40
#define PAUSE_NS 50000000ull
#define LOOKS_MAX 4096
/* Who is waited for has lost its core meanwhile: spins, and the time that the far core stays for one look. */
#define SPINS_MAX 100000
#define STAY_NS 300000

/* Odd: the far core's turn. */
static _Alignas(128) atomic_uint ball;
static _Alignas(128) atomic_uint looks; /* that are over */
static atomic_bool there;		/* the far core, for its only look */
static volatile sig_atomic_t stopped;
static uint64_t begun_ns;

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("cores: sched_setaffinity");
		exit(2);
	}
}

/* The far core's part of a look: until it is over, or that time has come. */
static void answer(unsigned look, uint64_t until)
{
	unsigned spins = 0;

	while (atomic_load_explicit(&looks, memory_order_relaxed) < look) {
		unsigned seen = atomic_load_explicit(&ball, memory_order_acquire);

		if (seen & 1)
			atomic_compare_exchange_strong(&ball, &seen, seen + 1);
		if (++spins % 256 == 0 && now_ns() > until)
			return;
	}
}

/* There and back.  False: nobody was there; the ball is here again. */
static bool trip(void)
{
	unsigned turn = atomic_load_explicit(&ball, memory_order_relaxed) + 1;

	atomic_store_explicit(&ball, turn, memory_order_release);
	for (unsigned spins = 0; atomic_load_explicit(&ball, memory_order_acquire) == turn; spins++)
		if (spins > SPINS_MAX)
			return !atomic_compare_exchange_strong(&ball, &turn, turn + 1);
	return true;
}

/* The least of some tries: the others met something else that wanted a core.  0: the far core was not there. */
static double distance(unsigned trips)
{
	double least = 0;

	for (int i = 0; i < TRIES; i++) {
		uint64_t begun = now_ns();
		unsigned done = 0;
		double each;

		while (done < trips && trip())
			done++;
		if (done < trips)
			continue;
		each = (double)(now_ns() - begun) / trips;
		least = least == 0 || each < least ? each : least;
	}
	atomic_fetch_add(&looks, 1);
	return least;
}

/* ---- one look after the other ---- */

static void *answer_once(void *cpu)
{
	unsigned look;

	pin(*(int *)cpu);
	/* As soon as it is known that we are there the look may begin, and be over. */
	look = atomic_load(&looks) + 1;
	atomic_store(&there, true);
	answer(look, UINT64_MAX);
	return NULL;
}

static double look(int cpu)
{
	pthread_t thread;
	double least;

	do {
		atomic_store(&there, false);
		if (pthread_create(&thread, NULL, answer_once, &cpu))
			exit(2);
		while (!atomic_load(&there))
			;
		least = distance(TRIPS);
		pthread_join(thread, NULL);
	} while (least == 0);
	return least;
}

static int wait_near(int cpu, double within, double seconds)
{
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
	double least;

	while ((least = look(cpu)) > within && now_ns() < until)
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	printf("%.0f\n", least);
	return within && least > within;
}

/* ---- beside others ---- */

static void stop(int sig)
{
	stopped = sig;
}

static void go_first(void)
{
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
}

static void *answer_all(void *cpu)
{
	pin(*(int *)cpu);
	go_first();
	for (unsigned n = 1; !stopped; n++) {
		uint64_t at = begun_ns + n * PAUSE_NS;

		sleep_until(at);
		answer(n, at + STAY_NS);
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int watch(int cpu, double seconds)
{
	static double seen[LOOKS_MAX];
	unsigned n = 0, most = (unsigned)(seconds * 1e9 / PAUSE_NS);
	uint64_t late, latest = 0;
	pthread_t thread;

	signal(SIGTERM, stop);
	begun_ns = now_ns();
	if (pthread_create(&thread, NULL, answer_all, &cpu))
		return 2;
	go_first();
	for (unsigned at = 1; !stopped && at <= most && n < LOOKS_MAX; at++) {
		sleep_until(begun_ns + at * PAUSE_NS);
		late = now_ns() - (begun_ns + at * PAUSE_NS);
		if (!stopped && late < UINT64_MAX / 2 && late > latest)
			latest = late;
		seen[n] = distance(WATCH_TRIPS);
		n += seen[n] > 0;
	}
	stopped = 1;
	qsort(seen, n, sizeof(seen[0]), by_size);
	printf("%.0f %.0f\n", n ? seen[n * 9 / 10] : 0, latest / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	bool watches = argc == 5 && !strcmp(argv[1], "-w");
	char **cpu = argv + 1 + watches;

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: cores CPU_A CPU_B [WITHIN_NS SECONDS]\n       cores -w CPU_A CPU_B SECONDS\n");
		return 2;
	}
	pin(atoi(cpu[0]));
	if (watches)
		return watch(atoi(cpu[1]), atof(argv[4]));
	return wait_near(atoi(cpu[1]), argc == 5 ? atof(argv[3]) : 0, argc == 5 ? atof(argv[4]) : 0);
}
