/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poll.c - poll(), ppoll() and, through them, select() over descriptors of the engine and of the kernel together.
 *
 * POLL* and EPOLL* are the same bits on Linux.  Kernel descriptors are asked about with a system call before the answer "nothing"
 * is given, and every KERNEL_ASK_US while the engine has something each time.
 */
#include "shim/epoll.h"
#include "shim/sock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Up to this many descriptors are handled on the caller's stack. */
#define POLL_SMALL 64

/* A descriptor that the engine has something to say about. */
struct thing {
	nfds_t at; /* in the user's array */
	struct sock *sock;
	struct epset *set;
	uint32_t gen;
	bool held;
	struct watch *watch;
};

struct poller {
	struct waiting w;
	struct pollfd *user;
	nfds_t n;
	struct pollfd *kernel; /* one for each of the user's; fd -1: not the kernel's business */
	struct thing *things;
	nfds_t nthings, nkernel, ninvalid;
	struct thread *t;
	usec_t began;
};

static struct pollable *thing_pollable(const struct thing *th)
{
	return th->sock ? &th->sock->poll : &th->set->poll;
}

static inline uint32_t level_of_sock(struct sock *s, uint32_t gen)
{
	return object_is(s, gen) ? sock_poll_ready(s) : POLLNVAL;
}

static uint32_t thing_level(const struct thing *th)
{
	if (th->set)
		return epset_ready(th->set) ? POLLIN | POLLRDNORM : 0;
	return level_of_sock(th->sock, th->gen);
}

static inline short asked_of(uint32_t level, short events)
{
	return (short)(level & ((uint32_t)events | POLLERR | POLLHUP | POLLNVAL));
}

/* The engine's answer for one of the user's descriptors. */
static short thing_revents(const struct poller *p, const struct thing *th)
{
	return asked_of(thing_level(th), p->user[th->at].events);
}

/* Nobody but the kernel knows of it. */
static inline bool is_kernels(const struct fdref *r)
{
	return r->kind == FD_KERNEL || r->kind == FD_FRESH;
}

/* The engine's answer at a glance; *kernel_too: the kernel may have one as well.  False: it takes a closer look. */
static inline bool glance_at(int fd, uint32_t *level, bool *kernel_too)
{
	struct fdref r = rt_fd(fd);

	if (__builtin_expect(r.kind == FD_SOCK, 1)) {
		*level = level_of_sock(r.obj, r.gen);
		*kernel_too |= atomic_load_explicit(&sock_of(&r)->dual, memory_order_relaxed);
		return true;
	}
	*level = 0;
	/* Nothing is asked about a negative number (poll(2)). */
	*kernel_too |= fd >= 0;
	return is_kernels(&r);
}

/*
 * What most calls are: the engine has something, and the kernel need not be asked about what is its.  How many; 0: it takes a
 * closer look.
 */
static int glance(struct pollfd *fds, nfds_t n, const struct thread *t, usec_t now)
{
	bool kernel_too = false;
	uint32_t level;
	int count = 0;

	for (nfds_t i = 0; i < n; i++) {
		if (!glance_at(fds[i].fd, &level, &kernel_too))
			return 0;
		fds[i].revents = asked_of(level, fds[i].events);
		count += fds[i].revents != 0;
	}
	return kernel_too && wait_would_ask(&t->poll_asked, now) ? 0 : count;
}

/* The same for a word of select()'s sets: what each is to be answered. */
static inline bool glance_word(const struct sets *s, int first, unsigned long found[SET_KINDS], bool *kernel_too)
{
	unsigned long asked[SET_KINDS], any;
	uint32_t level;

	for (int set = 0; set < SET_KINDS; set++) {
		asked[set] = sets_word(s, set, first);
		found[set] = 0;
	}
	any = (asked[SET_IN] | asked[SET_OUT] | asked[SET_EX]) & sets_within(s, first);
	for (; any; any &= any - 1) {
		if (!glance_at(first + __builtin_ctzl(any), &level, kernel_too) || (level & POLLNVAL))
			return false;
		for (int set = 0; set < SET_KINDS; set++)
			found[set] |= level & (uint32_t)sets_count[set] ? asked[set] & (any & -any) : 0;
	}
	return true;
}

int core_select(const struct sets *s, unsigned long (*found)[SET_KINDS])
{
	bool kernel_too = false;
	int count = 0;
	usec_t now;

	if (!rt_up())
		return 0;
	for (int first = 0; first < s->n; first += LONG_BITS, found++) {
		if (!glance_word(s, first, *found, &kernel_too))
			return 0;
		for (int set = 0; set < SET_KINDS; set++)
			count += __builtin_popcountl((*found)[set]);
	}
	if (!count)
		return 0;
	now = io_now();
	if (kernel_too && wait_would_ask(&thread_self()->poll_asked, now))
		return 0;
	if (stacks_stale(now, DRIVE_STALE_US))
		stacks_drive(false, now);
	return count;
}

/* Sort the user's descriptors into ours and the kernel's. */
static void sort_out(struct poller *p)
{
	for (nfds_t i = 0; i < p->n; i++) {
		struct pollfd *k = &p->kernel[i];
		struct thing *th = &p->things[p->nthings];
		struct fdref r;

		*k = (struct pollfd){.fd = p->user[i].fd, .events = p->user[i].events};
		if (k->fd < 0)
			continue;
		r = rt_fd(k->fd);
		*th = (struct thing){.at = i, .gen = r.gen};
		if (r.kind == FD_SOCK) {
			th->sock = r.obj;
			/* The placeholder of a dual-homed listener is asked as well, of any other nothing is to be known. */
			if (rt_up() && atomic_load(&th->sock->dual))
				k->events &= POLLIN | POLLRDNORM;
			else
				k->fd = -1;
		} else if (r.kind == FD_EPOLL && r.obj) {
			th->set = r.obj;
		} else if (r.kind == FD_SPARE || r.kind == FD_PRIVATE) {
			k->fd = -1;
			k->revents = POLLNVAL;
			p->ninvalid++;
		}
		p->nkernel += k->fd >= 0;
		p->nthings += th->sock || th->set;
	}
}

static bool any_thing(const struct poller *p)
{
	for (nfds_t i = 0; i < p->nthings; i++)
		if (thing_revents(p, &p->things[i]))
			return true;
	return false;
}

static bool ask_kernel(struct poller *p)
{
	const struct timespec none = {0};
	int n;

	if (!p->nkernel)
		return false;
	n = wait_ppoll(p->kernel, p->n, &none, NULL);
	if (n > 0)
		atomic_fetch_add(&rt.shared->kernel_epoch, 1);
	return n > 0;
}

static bool poll_ready(struct waiting *w)
{
	return any_thing(container_of(w, struct poller, w));
}

static bool poll_ask_kernel(struct waiting *w)
{
	return ask_kernel(container_of(w, struct poller, w));
}

static int poll_enroll(struct waiting *w, struct thread *t)
{
	struct poller *p = container_of(w, struct poller, w);

	for (nfds_t i = 0; i < p->nthings; i++) {
		struct thing *th = &p->things[i];
		void *obj = th->sock ? (void *)th->sock : (void *)th->set;

		/* Keeps it open, as poll(2) does with files, so that the watch has something to be on. */
		th->held = hold_more(obj, th->gen);
		if (!th->held)
			continue;
		th->watch = arena_get(SLAB_WATCH);
		if (!th->watch)
			return -ENOMEM;
		th->watch->kind = WATCH_THREAD;
		th->watch->thread = t;
		th->watch->mask = (uint32_t)p->user[th->at].events;
		pollable_add(thing_pollable(th), th->watch);
	}
	return 0;
}

static void poll_resign(struct waiting *w)
{
	struct poller *p = container_of(w, struct poller, w);

	for (nfds_t i = 0; i < p->nthings; i++) {
		struct thing *th = &p->things[i];

		if (th->watch) {
			pollable_remove(th->watch);
			arena_put(th->watch);
		}
		if (th->held && th->sock)
			sock_unhold(th->sock);
		else if (th->held)
			epset_unhold(th->set);
		th->watch = NULL;
		th->held = false;
	}
}

/* Put both answers together; how many descriptors have one. */
static int answer(struct poller *p)
{
	int count = 0;

	for (nfds_t i = 0; i < p->n; i++)
		p->user[i].revents = p->kernel[i].revents;
	for (nfds_t i = 0; i < p->nthings; i++)
		p->user[p->things[i].at].revents |= thing_revents(p, &p->things[i]);
	for (nfds_t i = 0; i < p->n; i++)
		count += p->user[i].revents != 0;
	return count;
}

/* A call that fails says of each that it has nothing (do_sys_poll()). */
static int answer_nothing(struct poller *p, int rc)
{
	for (nfds_t i = 0; i < p->n; i++)
		p->user[i].revents = 0;
	return rc;
}

/* As the system call does: time that did not pass is left. */
static void leave_rest(struct timespec *timeout, usec_t deadline)
{
	usec_t now = io_now(), left = deadline > now ? deadline - now : 0;

	if (timeout && deadline != USEC_NEVER)
		*timeout = (struct timespec){(time_t)(left / 1000000), (long)(left % 1000000) * 1000};
}

static int poll_both(struct poller *p, struct timespec *timeout, const sigset_t *sigmask)
{
	usec_t now = p->began;
	int rc, count;

	if (any_thing(p) || p->ninvalid) {
		if (p->ninvalid || (p->nkernel && wait_may_ask(&p->t->poll_asked, now)))
			ask_kernel(p);
		return answer(p);
	}
	if (timeout && !timeout->tv_sec && !timeout->tv_nsec) {
		stacks_drive(false, now);
		ask_kernel(p);
		count = answer(p);
		return count ? count : wait_pending(sigmask);
	}
	p->w = (struct waiting){.ready = poll_ready,
				.ask_kernel = poll_ask_kernel,
				.enroll = poll_enroll,
				.resign = poll_resign,
				.fds = p->kernel,
				.nfds = p->n,
				.deadline = wait_deadline(timeout, now),
				.kernel_asked = now,
				.sigmask = sigmask};
	/* Another thread may take away what woke this one. */
	do {
		rc = wait_for(&p->w);
		if (rc < 0)
			break;
		if (rc == 1)
			atomic_fetch_add(&rt.shared->kernel_epoch, 1);
		count = answer(p);
	} while (rc == 1 && !count);
	leave_rest(timeout, p->w.deadline);
	return rc < 0 ? answer_nothing(p, rc) : count;
}

/* Without an engine: what the kernel says, and an error for a socket of the parent's engine. */
static int poll_kernel(struct poller *p, struct timespec *timeout, const sigset_t *sigmask)
{
	const struct timespec none = {0};
	usec_t deadline = wait_deadline(timeout, io_now());
	int rc = wait_ppoll(p->kernel, p->n, p->nthings || p->ninvalid ? &none : timeout, sigmask);

	leave_rest(timeout, deadline);
	if (rc < 0)
		return answer_nothing(p, rc);
	for (nfds_t i = 0; i < p->nthings; i++)
		if (p->things[i].sock)
			p->kernel[p->things[i].at].revents |= POLLERR;
	p->nthings = 0;
	return answer(p);
}

/* Memory for n descriptors: the thread's own scratch, or, when a signal handler polls inside a poll, for this call. */
static void *scratch_get(struct thread *t, size_t size)
{
	void *m;

	if (!t->scratch_busy && t->scratch_size >= size) {
		t->scratch_busy = true;
		return t->scratch;
	}
	m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return NULL;
	if (!t->scratch_busy) {
		if (t->scratch)
			munmap(t->scratch, t->scratch_size);
		t->scratch = m;
		t->scratch_size = size;
		t->scratch_busy = true;
	}
	return m;
}

static void scratch_put(struct thread *t, void *m, size_t size)
{
	if (m == t->scratch)
		t->scratch_busy = false;
	else
		munmap(m, size);
}

static int run(struct poller *p, struct timespec *timeout, const sigset_t *sigmask)
{
	sort_out(p);
	return rt_usable() ? poll_both(p, timeout, sigmask) : poll_kernel(p, timeout, sigmask);
}

static int poll_many(struct poller *p, struct timespec *timeout, const sigset_t *sigmask)
{
	size_t ksize = (p->n + WAIT_EXTRA_FDS) * sizeof(*p->kernel), size = ksize + p->n * sizeof(*p->things);
	void *m = scratch_get(p->t, size);
	int rc;

	if (!m)
		return -ENOMEM;
	/* The structures first: they need the stricter alignment. */
	p->things = m;
	p->kernel = (struct pollfd *)((char *)m + p->n * sizeof(*p->things));
	rc = run(p, timeout, sigmask);
	scratch_put(p->t, m, size);
	return rc;
}

static __attribute__((noinline)) int poll_closely(struct pollfd *fds, nfds_t n, struct timespec *timeout, const sigset_t *sigmask,
						  usec_t now)
{
	struct pollfd kernel[POLL_SMALL + WAIT_EXTRA_FDS];
	struct thing things[POLL_SMALL];
	struct poller p = {.user = fds, .n = n, .kernel = kernel, .things = things, .t = thread_self(), .began = now};
	struct rlimit lim;

	if (n <= POLL_SMALL)
		return run(&p, timeout, sigmask);
	if (!getrlimit(RLIMIT_NOFILE, &lim) && n > lim.rlim_cur)
		return -EINVAL;
	return poll_many(&p, timeout, sigmask);
}

int core_poll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const sigset_t *sigmask)
{
	usec_t now = io_now();
	int count;

	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000L))
		return -EINVAL;
	if (rt_usable() && stacks_stale(now, DRIVE_STALE_US))
		stacks_drive(false, now);
	count = rt_up() && n <= POLL_SMALL ? glance(fds, n, thread_self(), now) : 0;
	return count ? count : poll_closely(fds, n, timeout, sigmask, now);
}
