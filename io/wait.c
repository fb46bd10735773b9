/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.c - descriptors that poll(2) reports readable when packets wait.
 *
 * Three ways: drivers with receive interrupts give an eventfd that is armed before sleeping; net_tap gives its tun descriptor;
 * AF_PACKET and AF_XDP sockets could be polled but the drivers hide them: they are the sockets of that family that appeared in
 * this process while the device was opened, in the order of its queues.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "internal.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void sockets_of(int domain, struct fd_set_of *out)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	out->n = 0;
	while (dir && (e = readdir(dir)) && out->n < sizeof(out->fd) / sizeof(out->fd[0])) {
		int fd = atoi(e->d_name), is = 0;
		socklen_t len = sizeof(is);

		if (e->d_name[0] != '.' && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &is, &len) && is == domain)
			out->fd[out->n++] = fd;
	}
	if (dir)
		closedir(dir);
	qsort(out->fd, out->n, sizeof(out->fd[0]), compare);
}

static int socket_domain(const char *device)
{
	return !strncmp(device, "net_af_xdp", 10) ? AF_XDP : !strncmp(device, "net_af_packet", 13) ? AF_PACKET : -1;
}

static void no_fds(struct waiting *w)
{
	for (unsigned q = 0; q < IO_QUEUES_MAX; q++)
		w->fd[q] = -1;
}

/* ---- TAP ------------------------------------------------------------------------------------------------------------------- */

/*
 * net_tap has the kernel send a real-time signal when packets arrive; its handler sets a mark without which it does not read.  A
 * library must not interrupt the application's system calls: the handler is caught on its way to sigaction() and called before
 * every burst instead, and the descriptors are not told to signal.
 */
static void (*tap_handler)(int);

static int catch_sigaction(int signo, const struct sigaction *new, struct sigaction *old)
{
	if (!new)
		return sigaction(signo, NULL, old);
	tap_handler = new->sa_handler;
	return 0;
}

static int silent_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long value;

	va_start(ap, cmd);
	value = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_SETSIG || cmd == F_SETOWN)
		return 0;
	return fcntl(fd, cmd, cmd == F_SETFL ? value & ~O_ASYNC : value);
}

static void tap_redirect(void)
{
	redirect_call("librte_net_tap.so", "sigaction", catch_sigaction);
	redirect_call("librte_net_tap.so", "fcntl64", silent_fcntl);
	redirect_call("librte_net_tap.so", "fcntl", silent_fcntl);
}

/* ---- finding the descriptors ----------------------------------------------------------------------------------------------- */

static void init_lock(struct port *p)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&p->wait.lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

void wait_lock(struct port *p)
{
	if (pthread_mutex_lock(&p->wait.lock) == EOWNERDEAD)
		pthread_mutex_consistent(&p->wait.lock);
}

void wait_unlock(struct port *p)
{
	pthread_mutex_unlock(&p->wait.lock);
}

void wait_before(struct port *p, struct fd_set_of *before)
{
	int domain = socket_domain(p->device);

	no_fds(&p->wait);
	init_lock(p);
	before->n = 0;
	if (domain >= 0)
		sockets_of(domain, before);
	if (!strncmp(p->device, "net_tap", 7))
		tap_redirect();
}

static void find_sockets(struct port *p, const struct fd_set_of *before)
{
	int domain = socket_domain(p->device), on = 1;
	struct fd_set_of now;
	unsigned q = 0;

	sockets_of(domain, &now);
	for (unsigned i = 0; i < now.n && q < p->info.queues; i++) {
		if (bsearch(&now.fd[i], before->fd, before->n, sizeof(int), compare))
			continue;
		p->wait.fd[q++] = now.fd[i];
		/* What the kernel itself sends on the interface is not for the engine (packet(7), Linux 4.20). */
		if (domain == AF_PACKET)
			setsockopt(now.fd[i], SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	}
	if (q < p->info.queues)
		no_fds(&p->wait);
}

static void find_interrupts(struct port *p)
{
	for (unsigned q = 0; q < p->info.queues; q++)
		p->wait.fd[q] = rte_eth_dev_rx_intr_ctl_q_get_fd(p->id, q);
	if (p->wait.kind != WAIT_INTERRUPT)
		return;
	for (unsigned q = 0; q < p->info.queues; q++) {
		if (p->wait.fd[q] >= 0 && rte_eth_dev_rx_intr_enable(p->id, q) == 0)
			rte_eth_dev_rx_intr_disable(p->id, q);
		else
			p->wait.fd[q] = -1;
	}
}

void wait_setup(struct port *p, const struct fd_set_of *before)
{
	p->wait.kind = p->traits->wait;
	if (p->wait.kind == WAIT_SOCKET)
		find_sockets(p, before);
	else if (p->wait.kind == WAIT_FD || p->wait.kind == WAIT_INTERRUPT)
		find_interrupts(p);
	if (!strcmp(p->info.driver, "net_tap"))
		p->wait.poke = tap_handler;
	p->info.has_interrupt = true;
	for (unsigned q = 0; q < p->info.queues; q++)
		p->info.has_interrupt &= p->wait.fd[q] >= 0;
}

/* ---- waiting --------------------------------------------------------------------------------------------------------------- */

int port_wait_fd(struct port *p, unsigned q)
{
	return p->info.has_interrupt ? p->wait.fd[q] : -1;
}

static bool interrupt_switch(struct port *p, unsigned q, bool on)
{
	if (p->wait.kind == WAIT_BELL)
		return bell_switch(p, q, on);
	if (p->wait.kind != WAIT_INTERRUPT)
		return true;
	return !(on ? rte_eth_dev_rx_intr_enable(p->id, q) : rte_eth_dev_rx_intr_disable(p->id, q));
}

/* The fence: that the interrupt is on must be seen by the device before the caller looks for packets once more. */
bool port_wait_arm(struct port *p, unsigned q)
{
	bool on;

	/* The rings' eventfds are in place where the control side is. */
	if (!p->info.has_interrupt || (p->wait.kind == WAIT_BELL && !control_is_here()))
		return false;
	wait_lock(p);
	on = interrupt_switch(p, q, true);
	p->wait.armed[q] += on;
	wait_unlock(p);
	atomic_thread_fence(memory_order_seq_cst);
	return on;
}

void port_wait_disarm(struct port *p, unsigned q)
{
	struct pollfd pfd = {.fd = p->wait.fd[q], .events = POLLIN};
	uint64_t count;

	wait_lock(p);
	/*
	 * Take the event, or the next sleep ends at once.  But not from another sleeper: a wake-up is a look at the descriptor,
	 * and one that finds nothing sleeps on, though the link that rang is gone and the next one rings another.
	 */
	if (!--p->wait.armed[q]) {
		interrupt_switch(p, q, false);
		if ((p->wait.kind == WAIT_BELL || p->wait.kind == WAIT_INTERRUPT) && poll(&pfd, 1, 0) == 1)
			(void)!read(pfd.fd, &count, sizeof(count));
	}
	wait_unlock(p);
}
