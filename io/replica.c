/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replica.c - what a link brings to the process that serves its control side, for all processes of the family: the peer's
 * memory, mapped at one address everywhere, and the eventfds that wake the peer.
 *
 * Descriptors travel in a letter box, a socket that all inherited with at most one message in it, which everybody reads without
 * taking it out (unix(7), SCM_RIGHTS; recv(2), MSG_PEEK).  Its edition is the word that opens the port's gate: a process
 * whose edition is another one reads the letter before its burst.  Addresses come from a range that was reserved before the
 * first fork.  Only the process that serves the control side writes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "internal.h"

#define RANGE (64ull << 30)
#define REGIONS_MAX 32
#define BELLS_MAX (2 * IO_QUEUES_MAX)
#define PAGE 4096ull
/* A letter that is being replaced is there again after microseconds; its writer may be off the CPU. */
#define LETTER_US 200000

struct region {
	char *at; /* NULL: none */
	size_t size;
	int fd; /* the writer's number */
};

/* In memory that all share. */
struct letter {
	uint32_t edition;
	struct region regions[REGIONS_MAX];
	int bells[BELLS_MAX]; /* the writer's numbers, -1: none */
	struct rte_eth_fp_ops ops;
};

static struct letter *letter; /* the writer's draft */
static char *range;
static int box[2] = {-1, -1};

/* This process's. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t editions[RTE_MAX_ETHPORTS]; /* last read, by port */
static int bells_are[BELLS_MAX];		    /* what the letter calls ... */
static int bells_here[BELLS_MAX];		    /* ... has this number here */

int replica_prepare(void)
{
	if (letter)
		return 0;
	letter = io_alloc("mtcpshim-letter", sizeof(*letter));
	range = mmap(NULL, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!letter || range == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, box))
		return -1;
	for (int i = 0; i < 2; i++)
		box[i] = descriptor_keep(box[i]);
	for (int i = 0; i < BELLS_MAX; i++)
		letter->bells[i] = bells_are[i] = bells_here[i] = -1;
	return 0;
}

/* ---- the draft ---------------------------------------------------------------------------------------------------------------
 */

static bool is_free(const char *at, size_t size)
{
	for (int i = 0; i < REGIONS_MAX; i++) {
		const struct region *r = &letter->regions[i];

		if (r->at && at < r->at + r->size && r->at < at + size)
			return false;
	}
	return at + size <= range + RANGE;
}

/* Of the file: a peer's memory with zero copy is huge pages, which are mapped whole and where they are aligned. */
static size_t page_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) || (uint64_t)st.st_blksize < PAGE ? PAGE : (size_t)st.st_blksize;
}

/* The lowest place behind another region where it fits. */
static char *place(size_t size, size_t page)
{
	char *first = RTE_PTR_ALIGN_CEIL(range, page);

	if (is_free(first, size))
		return first;
	for (int i = 0; i < REGIONS_MAX; i++) {
		const struct region *r = &letter->regions[i];
		char *next = r->at ? RTE_PTR_ALIGN_CEIL(r->at + r->size, page) : NULL;

		if (next && is_free(next, size))
			return next;
	}
	return NULL;
}

static struct region *region_at(const void *at)
{
	for (int i = 0; i < REGIONS_MAX; i++)
		if (letter->regions[i].at == at)
			return &letter->regions[i];
	return NULL;
}

void *replica_map(size_t size, int prot, int fd)
{
	struct region *r = region_at(NULL);
	size_t page = page_size(fd), whole = RTE_ALIGN(size, page);
	char *at = r ? place(whole, page) : NULL;

	if (!at) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return MAP_FAILED;
	*r = (struct region){.at = at, .size = whole, .fd = fd};
	return at;
}

/* The others keep it mapped until they read the next letter: none of them looks at it once the link is down. */
bool replica_unmap(void *at)
{
	struct region *r = at ? region_at(at) : NULL;

	if (!r)
		return false;
	mmap(r->at, r->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	r->at = NULL;
	return true;
}

void replica_bell(int fd)
{
	for (int i = 0; fd >= 0 && i < BELLS_MAX; i++)
		if (letter->bells[i] < 0) {
			letter->bells[i] = fd;
			return;
		}
}

void replica_closed(int fd)
{
	for (int i = 0; letter && i < BELLS_MAX; i++)
		if (letter->bells[i] == fd)
			letter->bells[i] = -1;
}

/* ---- sending -----------------------------------------------------------------------------------------------------------------
 */

#define FDS_MAX (REGIONS_MAX + BELLS_MAX)
union control {
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

static unsigned collect(const struct letter *l, int fds[FDS_MAX])
{
	unsigned n = 0;

	for (int i = 0; i < REGIONS_MAX; i++)
		if (l->regions[i].at)
			fds[n++] = l->regions[i].fd;
	for (int i = 0; i < BELLS_MAX; i++)
		if (l->bells[i] >= 0)
			fds[n++] = l->bells[i];
	return n;
}

static void empty_box(void)
{
	struct letter old;

	while (recv(box[1], &old, sizeof(old), MSG_DONTWAIT) > 0)
		;
}

static void post(void)
{
	union control control;
	struct iovec iov = {letter, sizeof(*letter)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[FDS_MAX];
	unsigned n = collect(letter, fds);

	memset(&control, 0, sizeof(control));
	if (n) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	empty_box();
	(void)!sendmsg(box[0], &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

uint32_t replica_publish(uint16_t port)
{
	letter->edition = letter->edition + 1 ? letter->edition + 1 : 1;
	letter->ops = rte_eth_fp_ops[port];
	post();
	editions[port] = letter->edition;
	return letter->edition;
}

/* ---- reading -----------------------------------------------------------------------------------------------------------------
 */

static unsigned fds_of(struct msghdr *mh, int fds[FDS_MAX])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);
	unsigned n;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

/* A look at the letter of this edition: how many descriptors came with it, -1: it is not there. */
static int peek(uint32_t edition, struct letter *l, int fds[FDS_MAX])
{
	union control control;
	struct iovec iov = {l, sizeof(*l)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	ssize_t got = recvmsg(box[1], &mh, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	unsigned n = got == (ssize_t)sizeof(*l) ? fds_of(&mh, fds) : 0;
	int want[FDS_MAX];

	if (got != (ssize_t)sizeof(*l))
		return -1;
	if (l->edition == edition && n == collect(l, want))
		return (int)n;
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return -1;
}

static void take_bells(const struct letter *l, int *fds)
{
	for (int i = 0; i < BELLS_MAX; i++) {
		if (bells_here[i] >= 0 && bells_here[i] != bells_are[i])
			descriptor_close(bells_here[i]);
		bells_are[i] = l->bells[i];
		bells_here[i] = l->bells[i] >= 0 ? descriptor_keep(*fds++) : -1;
	}
}

static void take_in(const struct letter *l, int *fds)
{
	for (int i = 0; i < REGIONS_MAX; i++) {
		const struct region *r = &l->regions[i];

		if (!r->at)
			continue;
		mmap(r->at, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, *fds, 0);
		close(*fds++);
	}
	take_bells(l, fds);
}

static bool read_letter(uint16_t port, uint32_t edition)
{
	static struct letter l;
	static uint64_t failed_at;
	uint64_t start = io_now();
	int fds[FDS_MAX];

	/* No descriptor left here, perhaps: others move the packets until there is. */
	if (start - failed_at < LETTER_US)
		return false;
	while (peek(edition, &l, fds) < 0) {
		if (io_now() - start > LETTER_US) {
			failed_at = io_now();
			return false;
		}
		sched_yield();
	}
	take_in(&l, fds);
	rte_eth_fp_ops[port] = l.ops;
	atomic_store(&editions[port], edition);
	return true;
}

bool replica_is_read(uint16_t port, uint32_t edition)
{
	return atomic_load_explicit(&editions[port], memory_order_acquire) == edition;
}

bool replica_read(uint16_t port, uint32_t edition)
{
	bool ok;

	pthread_mutex_lock(&reading);
	ok = replica_is_read(port, edition) || read_letter(port, edition);
	pthread_mutex_unlock(&reading);
	return ok;
}

int replica_bell_here(int fd)
{
	for (int i = 0; i < BELLS_MAX; i++)
		if (bells_are[i] == fd)
			return bells_here[i];
	return -1;
}

/* The child of the process that wrote has its descriptors under their own numbers. */
void replica_fork_child(bool wrote)
{
	pthread_mutex_init(&reading, NULL);
	if (!letter || !wrote)
		return;
	for (int i = 0; i < BELLS_MAX; i++)
		bells_are[i] = bells_here[i] = letter->bells[i];
}

void replica_moved_in(void)
{
	for (int i = 0; i < BELLS_MAX; i++)
		letter->bells[i] = -1;
}
