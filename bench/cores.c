/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cores.c - how far two cores are from each other: the round trip of a cache line between them, in nanoseconds.
 *
 * cores CPU_A CPU_B [WITHIN SECONDS]: prints it.  With WITHIN it looks again for up to so many seconds until it is no more than
 * that: a virtual machine's cores move about on the host, and are now beside each other and now on different caches, six times as
 * far; whatever two programs hand over to each other costs as much more.  Status 1: they stayed farther apart.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIPS 2000
#define TRIES 5
#define PAUSE_NS 50000000

/* Odd: the far core's turn. */
static _Alignas(128) atomic_uint ball;
static atomic_bool over;

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

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void *far_core(void *cpu)
{
	pin(*(int *)cpu);
	while (!atomic_load_explicit(&over, memory_order_relaxed)) {
		unsigned seen = atomic_load_explicit(&ball, memory_order_acquire);

		if (seen & 1)
			atomic_store_explicit(&ball, seen + 1, memory_order_release);
	}
	return NULL;
}

static double round_trip(void)
{
	uint64_t begun = now_ns();

	for (int i = 0; i < TRIPS; i++) {
		unsigned turn = atomic_load_explicit(&ball, memory_order_relaxed) + 1;

		atomic_store_explicit(&ball, turn, memory_order_release);
		while (atomic_load_explicit(&ball, memory_order_acquire) == turn)
			;
	}
	return (double)(now_ns() - begun) / TRIPS;
}

/* The least of some: the others met something else that wanted a core. */
static double distance(int cpu)
{
	pthread_t thread;
	double least;

	atomic_store(&over, false);
	if (pthread_create(&thread, NULL, far_core, &cpu))
		exit(2);
	least = round_trip();
	for (int i = 1; i < TRIES; i++) {
		double trip = round_trip();

		least = trip < least ? trip : least;
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	return least;
}

int main(int argc, char **argv)
{
	double within = argc > 4 ? atof(argv[3]) : 0, least;
	uint64_t until = argc > 4 ? now_ns() + atof(argv[4]) * 1e9 : 0;
	int far;

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: cores CPU_A CPU_B [WITHIN_NS SECONDS]\n");
		return 2;
	}
	pin(atoi(argv[1]));
	far = atoi(argv[2]);
	while ((least = distance(far)) > within && now_ns() < until)
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	printf("%.0f\n", least);
	return within && least > within;
}
