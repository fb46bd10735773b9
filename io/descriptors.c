/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * descriptors.c - the descriptors that DPDK opens for itself.  They are close-on-exec, so that a program started by the
 * application does not hold the other end of a memif up; and the caller of io_start() may take those that live as long as the
 * port (EAL's epoll, pipe and timer, memif's sockets and memory) into its keeping, out of reach of a program that closes
 * everything it does not know.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"

/* Descriptors above are not kept: they are out of the way by themselves. */
#define KEPT_MAX 65536

int __poll(struct pollfd *fds, nfds_t n, int timeout);

static int (*keep_fd)(int fd);
static void (*drop_fd)(int fd);
/* By number: handed to the keeper, or the driver's but left where it was; and whether it is the memory that DPDK lives in. */
enum { KEPT = 1, LEFT = 2, MEMORY = 4 };
static _Atomic uint8_t kept[KEPT_MAX];

int descriptor_keep(int fd)
{
	int moved = fd >= 0 && keep_fd ? keep_fd(fd) : -1;

	if (moved < 0) {
		if (fd >= 0 && fd < KEPT_MAX)
			kept[fd] = LEFT;
		return fd;
	}
	if (moved < KEPT_MAX)
		kept[moved] = KEPT;
	return moved;
}

bool descriptor_is_here(int fd)
{
	if (control_is_moving())
		return false;
	return control_is_first() || (fd >= 0 && fd < KEPT_MAX && kept[fd]);
}

static int keeping_close(int fd)
{
	uint8_t was = fd < 0 || fd >= KEPT_MAX ? 0 : atomic_exchange(&kept[fd], 0);

	if (!(was & KEPT))
		return close(fd);
	drop_fd(fd);
	return 0;
}

/*
 * The driver's descriptors may be numbers of another process of the family, and somebody else's here.  With zero copy its regions
 * are EAL's memory, whose files it would close with the first link that goes down.
 */
static int driver_close(int fd)
{
	if (!descriptor_is_here(fd) || (fd >= 0 && fd < KEPT_MAX && kept[fd] & MEMORY))
		return 0;
	replica_closed(fd);
	return keeping_close(fd);
}

void descriptor_close(int fd)
{
	keeping_close(fd);
}

static int plain_socket(int domain, int type, int protocol)
{
	return socket(domain, type | SOCK_CLOEXEC, protocol);
}

static int plain_accept(int fd, struct sockaddr *sa, socklen_t *len)
{
	return accept4(fd, sa, len, SOCK_CLOEXEC);
}

static int plain_eventfd(unsigned count, int flags)
{
	return eventfd(count, flags | EFD_CLOEXEC);
}

static int plain_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return open(path, flags | O_CLOEXEC, mode);
}

static int kept_socket(int domain, int type, int protocol)
{
	return descriptor_keep(plain_socket(domain, type, protocol));
}

static int kept_accept(int fd, struct sockaddr *sa, socklen_t *len)
{
	return descriptor_keep(plain_accept(fd, sa, len));
}

static int kept_eventfd(unsigned count, int flags)
{
	return descriptor_keep(plain_eventfd(count, flags));
}

static int kept_bell(unsigned count, int flags)
{
	int fd = kept_eventfd(count, flags);

	replica_bell(fd);
	return fd;
}

static int kept_memfd(const char *name, unsigned flags)
{
	return descriptor_keep(memfd_create(name, flags | MFD_CLOEXEC));
}

static int memory_file(const char *name, unsigned flags)
{
	int fd = kept_memfd(name, flags);

	if (fd >= 0 && fd < KEPT_MAX)
		kept[fd] |= MEMORY;
	return fd;
}

static int kept_epoll(int size)
{
	(void)size;
	return descriptor_keep(epoll_create1(EPOLL_CLOEXEC));
}

static int kept_timerfd(int clock, int flags)
{
	return descriptor_keep(timerfd_create(clock, flags | TFD_CLOEXEC));
}

static int kept_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	fds[0] = descriptor_keep(fds[0]);
	fds[1] = descriptor_keep(fds[1]);
	return 0;
}

static const struct {
	const char *object, *symbol;
	void *with;
} calls[] = {
    {"librte_eal.so", "pipe", kept_pipe},
    {"librte_eal.so", "epoll_create", kept_epoll},
    {"librte_eal.so", "timerfd_create", kept_timerfd},
    {"librte_eal.so", "memfd_create", memory_file},
    {"librte_eal.so", "eventfd", kept_eventfd},
    {"librte_eal.so", "close", keeping_close},
    {"librte_net_memif.so", "socket", kept_socket},
    {"librte_net_memif.so", "accept", kept_accept},
    {"librte_net_memif.so", "memfd_create", kept_memfd},
    {"librte_net_memif.so", "eventfd", kept_bell},
    {"librte_net_memif.so", "close", driver_close},
    /* These drivers poll their descriptors themselves, which others may not: they call libc's poll() by its other name. */
    {"librte_net_af_packet.so", "socket", kept_socket},
    {"librte_net_af_packet.so", "close", keeping_close},
    {"librte_net_af_packet.so", "poll", __poll},
    {"libxdp.so", "socket", kept_socket},
    {"libxdp.so", "close", keeping_close},
    {"librte_net_af_xdp.so", "poll", __poll},
    {"librte_pcapng.so", "close", keeping_close},
    {"librte_net_tap.so", "open64", plain_open},
    {"librte_net_virtio.so", "socket", plain_socket},
    {"librte_net_virtio.so", "accept", plain_accept},
    {"librte_net_virtio.so", "eventfd", plain_eventfd},
    {"librte_vhost.so", "socket", plain_socket},
    {"librte_vhost.so", "accept", plain_accept},
};

void descriptors_keeper(int (*keep)(int), void (*drop)(int))
{
	keep_fd = drop ? keep : NULL;
	drop_fd = drop;
}

void descriptors_redirect(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		redirect_call(calls[i].object, calls[i].symbol, calls[i].with);
}
