/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoll.c - membership: epoll_ctl() and all that puts members in and takes them out.  Waiting is in epwait.c.
 *
 * Semantics are those of Linux's fs/eventpoll.c: a member is a pair of descriptor number and open file, and leaves when the last
 * descriptor of the file is closed.
 */
#include "shim/epoll.h"
#include "shim/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* EP_MAX_NESTS of Linux. */
#define NEST_MAX 4
#define EXCLUSIVE_OK (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
/* Upper halves below this are those of small numbers and of user-space pointers: no cookie may look like them. */
#define COOKIE_MIN 0x80000000u

/* Serializes the creation of sets in this process. */
static struct lock create_lock;

/* ---- sets ---------------------------------------------------------------------------------------------------------------------
 */

/* Does the kernel's instance have members already?  Its fdinfo lists them (proc(5)); in doubt, yes. */
static bool kernel_has_members(int epfd)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epfd);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "tfd:", 4);
	fclose(f);
	return found;
}

static struct epset *epset_make(int epfd, int *err)
{
	struct epset *set = arena_get(SLAB_EPSET);
	int kfd;

	*err = -ENOMEM;
	if (!set)
		return NULL;
	kfd = rt.real->fcntl(epfd, F_DUPFD_CLOEXEC, 0);
	*err = -errno;
	if (kfd >= 0) {
		kfd = rt.thin->fd_private(kfd);
		*err = kfd;
	}
	if (kfd < 0) {
		arena_put(set);
		return NULL;
	}
	list_init(&set->members);
	list_init(&set->ready);
	hold_first(set);
	set->kfd = kfd;
	if (getrandom(&set->cookie, sizeof(set->cookie), GRND_NONBLOCK) != sizeof(set->cookie))
		set->cookie = (uint32_t)io_now();
	set->cookie |= COOKIE_MIN;
	atomic_store(&set->has_kernel, kernel_has_members(epfd));
	return set;
}

/* The first use of it by the engine, or it was closed at this moment. */
static struct epset *epset_create(int epfd, int *err)
{
	struct epset *set = NULL;
	bool closed = false;
	struct fdref r;

	lock_take(&create_lock);
	r = rt_fd(epfd);
	*err = -EBADF;
	if (r.kind == FD_EPOLL && r.obj) {
		set = hold_more(r.obj, r.gen) ? r.obj : NULL;
	} else if (r.kind == FD_EPOLL) {
		set = epset_make(epfd, err);
		if (set)
			hold_more(set, object_gen(set));
		closed = set && !rt.thin->epoll_set(&r, set, object_gen(set));
	}
	lock_drop(&create_lock);
	if (!closed)
		return set;
	/* Another thread was quicker: neither the descriptor nor the caller has it. */
	epset_unhold(set);
	epset_unhold(set);
	*err = -EBADF;
	return NULL;
}

struct epset *epset_at(const struct fdref *r, int *err)
{
	if (r->kind == FD_EPOLL && r->obj && hold_more(r->obj, r->gen))
		return r->obj;
	return epset_create(r->fd, err);
}

struct epset *epset_of(int epfd, int *err)
{
	struct fdref r = rt_fd(epfd);

	return epset_at(&r, err);
}

/* Made by the parent or the child later, they would be two. */
void epoll_fork_prepare(void)
{
	for (int fd = rt.thin->fd_next(0); fd >= 0; fd = rt.thin->fd_next(fd + 1)) {
		struct fdref r = rt_fd(fd);
		struct epset *set;
		int err;

		if (r.kind != FD_EPOLL || r.obj)
			continue;
		set = epset_of(fd, &err);
		if (set)
			epset_unhold(set);
	}
}

void epoll_fork_child(void)
{
	atomic_store(&create_lock.word, 0);
}

/* ---- members ------------------------------------------------------------------------------------------------------------------
 */

bool member_event(struct watch *w, uint32_t events)
{
	struct member *m = container_of(w, struct member, watch);
	struct epset *set = m->set;

	ready_lock(set);
	if (!m->disabled && !list_linked(&m->at_ready)) {
		list_add_tail(&set->ready, &m->at_ready);
		atomic_store_explicit(&set->nready, atomic_load_explicit(&set->nready, memory_order_relaxed) + 1,
				      memory_order_release);
	}
	lock_drop(&set->ready_lock);
	return pollable_notify(&set->poll, EPOLLIN | EPOLLRDNORM);
}

struct pollable *member_waiters(struct watch *w)
{
	return &container_of(w, struct member, watch)->set->poll;
}

struct member *member_of_data(const struct epset *set, uint64_t data)
{
	struct member *m = data >> 32 == set->cookie ? arena_at(SLAB_MEMBER, (uint32_t)data) : NULL;

	return m && m->set == set && atomic_load(&m->in_kernel) ? m : NULL;
}

static uint32_t level_now(struct member *m)
{
	uint32_t level;

	ready_lock(m->set);
	level = member_level(m);
	lock_drop(&m->set->ready_lock);
	return level;
}

/* Is it ready as it is put in or changed?  Then it is an event (epoll_ctl(2): also for edge-triggered ones). */
static void check_level(struct member *m)
{
	if (level_now(m))
		member_event(&m->watch, EPOLLIN);
}

/* Tell the kernel's set of a member that it shall know too. */
static int kernel_ctl(struct member *m, int op)
{
	struct epoll_event ev = {.events = m->events, .data = {.u64 = (uint64_t)m->set->cookie << 32 | m->watch.obj.index}};
	int rc;

	if (m->kind == MEMBER_FRESH)
		ev.data = m->data;
	else if (m->kind == MEMBER_SOCK)
		ev.events &= EPOLLIN | EPOLLRDNORM | EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE;
	rc = rt.real->epoll_ctl(m->set->kfd, op, m->fd, &ev) ? -errno : 0;
	atomic_store(&m->in_kernel, op != EPOLL_CTL_DEL);
	atomic_store(&m->set->has_kernel, true);
	return rc;
}

/* Watch the target; a change of what for goes the same way. */
static void member_watch(struct member *m, struct pollable *p)
{
	m->watch.kind = WATCH_MEMBER;
	m->watch.mask = m->events;
	m->watch.exclusive = (m->events & EPOLLEXCLUSIVE) != 0;
	pollable_add(p, &m->watch);
	check_level(m);
}

static int member_add(struct epset *set, const struct member *what, struct pollable *p)
{
	struct member *m = arena_get(SLAB_MEMBER);
	int rc;

	if (!m)
		return -ENOMEM;
	m->kind = what->kind;
	m->fd = what->fd;
	m->watch.target = what->watch.target;
	m->events = what->events;
	m->data = what->data;
	atomic_signal_fence(memory_order_release);
	m->set = set;
	if (m->kind == MEMBER_SET || (m->kind == MEMBER_SOCK && atomic_load(&((struct sock *)m->watch.target)->dual))) {
		rc = kernel_ctl(m, EPOLL_CTL_ADD);
		if (rc && m->kind == MEMBER_SET) {
			arena_put(m);
			return rc;
		}
	}
	list_add_tail(&set->members, &m->in_set);
	if (m->kind == MEMBER_FRESH) {
		atomic_fetch_add(&set->nfresh, 1);
		atomic_fetch_add(&rt.shared->fresh_members, 1);
	}
	if (p)
		member_watch(m, p);
	return 0;
}

static int member_change(struct member *m, const struct epoll_event *ev)
{
	struct pollable *p = m->watch.on;

	ready_lock(m->set);
	m->events = ev->events | EPOLLERR | EPOLLHUP;
	m->data = ev->data;
	m->disabled = false;
	lock_drop(&m->set->ready_lock);
	if (p) {
		pollable_lock(p);
		m->watch.mask = m->events;
		lock_drop(&p->lock);
	}
	if (atomic_load(&m->in_kernel))
		kernel_ctl(m, EPOLL_CTL_MOD);
	check_level(m);
	return 0;
}

/* Is its number still its target's?  When that was closed while a call went on with it, the number may be another file's. */
static bool has_its_number(const struct member *m)
{
	struct fdref r = rt_fd(m->fd);

	return m->kind == MEMBER_FRESH || r.kind == FD_SPARE || r.obj == m->watch.target;
}

void member_remove(struct member *m)
{
	struct epset *set = m->set;

	pollable_remove(&m->watch);
	ready_lock(set);
	if (list_linked(&m->at_ready))
		member_unready(m);
	m->set = NULL;
	lock_drop(&set->ready_lock);
	list_del(&m->in_set);
	if (m->kind == MEMBER_FRESH) {
		atomic_fetch_sub(&set->nfresh, 1);
		atomic_fetch_sub(&rt.shared->fresh_members, 1);
	}
	/* Another process's set knows it under numbers that are nothing here; there it goes with the descriptor. */
	if (atomic_load(&m->in_kernel) && hold_count(set) && has_its_number(m)) {
		struct epoll_event unused = {0};

		rt.real->epoll_ctl(set->kfd, EPOLL_CTL_DEL, m->fd, &unused);
	}
	arena_put(m);
}

/* The member for a descriptor and what is behind it. */
static struct member *member_find(struct epset *set, struct pollable *p, int fd)
{
	struct member *found = NULL;

	pollable_lock(p);
	if (p->watches.next)
		list_each (at, &p->watches) {
			struct watch *w = container_of(at, struct watch, at);
			struct member *m = container_of(w, struct member, watch);

			if (w->kind == WATCH_MEMBER && m->set == set && m->fd == fd)
				found = m;
		}
	lock_drop(&p->lock);
	return found;
}

static struct member *fresh_find(struct epset *set, int fd)
{
	if (!atomic_load(&set->nfresh))
		return NULL;
	list_each (at, &set->members) {
		struct member *m = container_of(at, struct member, in_set);

		if (m->kind == MEMBER_FRESH && m->fd == fd)
			return m;
	}
	return NULL;
}

void epset_flush_fresh(struct epset *set)
{
	if (!atomic_load(&set->nfresh))
		return;
	members_lock(set);
	list_each_safe (at, &set->members) {
		struct member *m = container_of(at, struct member, in_set);

		if (m->kind != MEMBER_FRESH)
			continue;
		if (!atomic_load(&m->in_kernel))
			kernel_ctl(m, EPOLL_CTL_ADD);
		/* The kernel got the socket: its member is the kernel's alone from now on. */
		if (rt_fd(m->fd).kind != FD_FRESH) {
			atomic_store(&m->in_kernel, false);
			member_remove(m);
		}
	}
	lock_drop(&set->mtx);
}

/* ---- epoll_ctl()
 * ---------------------------------------------------------------------------------------------------------------- */

/* What do_epoll_ctl() refuses, whatever the member. */
static int check_request(int op, int fd, const struct epoll_event *ev, bool target_is_set)
{
	if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
		return -EINVAL;
	if (op == EPOLL_CTL_DEL || !(ev->events & EPOLLEXCLUSIVE))
		return 0;
	if (op == EPOLL_CTL_MOD || target_is_set || (ev->events & ~EXCLUSIVE_OK))
		return -EINVAL;
	return 0;
}

/* One operation on a member of ours, under mtx. */
static int apply(struct epset *set, struct member *m, int op, const struct member *what, struct pollable *p)
{
	struct epoll_event ev = {.events = what->events, .data = what->data};

	if (op == EPOLL_CTL_ADD)
		return m ? -EEXIST : member_add(set, what, p);
	if (!m)
		return -ENOENT;
	if (op == EPOLL_CTL_MOD)
		return m->events & EPOLLEXCLUSIVE ? -EINVAL : member_change(m, &ev);
	member_remove(m);
	return 0;
}

static int ctl_sock(struct epset *set, int op, const struct fdref *r, struct member *what)
{
	struct sock *s = r->obj;
	int rc;

	if (!hold_more(s, r->gen))
		return -EBADF;
	what->kind = MEMBER_SOCK;
	what->watch.target = s;
	members_lock(set);
	rc = apply(set, member_find(set, &s->poll, r->fd), op, what, &s->poll);
	lock_drop(&set->mtx);
	sock_unhold(s);
	return rc;
}

/* FRESH: remembered here, and given to the kernel when somebody is about to wait. */
static int ctl_fresh(struct epset *set, int op, struct member *what)
{
	int rc;

	what->kind = MEMBER_FRESH;
	members_lock(set);
	rc = apply(set, fresh_find(set, what->fd), op, what, NULL);
	lock_drop(&set->mtx);
	if (!rc && op != EPOLL_CTL_DEL && atomic_load(&set->poll.nwatches))
		epset_flush_fresh(set);
	return rc;
}

static int ctl_kernel(struct epset *set, int op, int fd, struct epoll_event *ev)
{
	struct member *m;

	members_lock(set);
	m = fresh_find(set, fd);
	/* It was FRESH when it was put in, and has become the kernel's since. */
	if (m && !atomic_load(&m->in_kernel))
		kernel_ctl(m, EPOLL_CTL_ADD);
	if (m) {
		atomic_store(&m->in_kernel, false);
		member_remove(m);
	}
	lock_drop(&set->mtx);
	if (rt.real->epoll_ctl(set->kfd, op, fd, ev))
		return -errno;
	atomic_store(&set->has_kernel, true);
	return 0;
}

/* How many sets lie one inside the other from here down; more than NEST_MAX when `outer` is among them.  Under nest_lock. */
static int nest_depth(struct epset *set, const struct epset *outer, int depth)
{
	int deepest = depth;

	if (set == outer || depth > NEST_MAX)
		return NEST_MAX + 1;
	members_lock(set);
	list_each (at, &set->members) {
		struct member *m = container_of(at, struct member, in_set);
		int d = m->kind == MEMBER_SET ? nest_depth(m->watch.target, outer, depth + 1) : depth;

		if (d > deepest)
			deepest = d;
	}
	lock_drop(&set->mtx);
	return deepest;
}

static int ctl_set(struct epset *outer, int op, struct member *what)
{
	int rc;
	struct epset *inner = epset_of(what->fd, &rc);

	if (!inner)
		return rc;
	what->kind = MEMBER_SET;
	what->watch.target = inner;
	lock_take(&rt.shared->nest_lock);
	if (op == EPOLL_CTL_ADD && nest_depth(inner, outer, 0) > NEST_MAX) {
		rc = -ELOOP;
	} else {
		members_lock(outer);
		rc = apply(outer, member_find(outer, &inner->poll, what->fd), op, what, &inner->poll);
		lock_drop(&outer->mtx);
	}
	lock_drop(&rt.shared->nest_lock);
	epset_unhold(inner);
	return rc;
}

int epset_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct fdref er = rt_fd(epfd), tr = rt_fd(fd);
	struct member what = {.fd = fd};
	struct epset *set;
	int rc;

	if (tr.kind == FD_SPARE || tr.kind == FD_PRIVATE)
		return -EBADF;
	if (er.kind != FD_EPOLL || epfd == fd || !rt_usable() || (tr.kind == FD_KERNEL && !er.obj))
		return rt.real->epoll_ctl(epfd, op, fd, ev) ? -errno : 0;
	if (op != EPOLL_CTL_DEL && !ev)
		return -EFAULT;
	rc = check_request(op, fd, ev, tr.kind == FD_EPOLL);
	if (rc)
		return rc;
	set = epset_of(epfd, &rc);
	if (!set)
		return rc;
	if (op != EPOLL_CTL_DEL) {
		what.events = (ev->events & ~(uint32_t)EPOLLWAKEUP) | EPOLLERR | EPOLLHUP;
		what.data = ev->data;
	}
	if (tr.kind == FD_SOCK)
		rc = ctl_sock(set, op, &tr, &what);
	else if (tr.kind == FD_FRESH)
		rc = ctl_fresh(set, op, &what);
	else if (tr.kind == FD_EPOLL)
		rc = ctl_set(set, op, &what);
	else
		rc = ctl_kernel(set, op, fd, ev);
	epset_unhold(set);
	return rc;
}

/* ---- comings and goings elsewhere
 * ------------------------------------------------------------------------------------------------ */

/*
 * For each member that watches p and that `which` picks: act() under its set's mtx.  Each act() must make which() false for it.
 * The order of locks is mtx before pollable, so the member is found first and looked at again inside.
 */
static void each_member(struct pollable *p, bool (*which)(const struct member *m), void (*act)(struct member *m))
{
	for (;;) {
		struct member *m = NULL;
		struct epset *set = NULL;
		bool held = false;

		pollable_lock(p);
		if (p->watches.next)
			list_each (at, &p->watches) {
				struct watch *w = container_of(at, struct watch, at);

				m = w->kind == WATCH_MEMBER ? container_of(w, struct member, watch) : NULL;
				if (m && which(m))
					break;
				m = NULL;
			}
		if (m) {
			set = m->set;
			held = object_hold(set, object_gen(set));
		}
		lock_drop(&p->lock);
		if (!m)
			return;
		if (!held) {
			/* Its set is being closed at this moment and takes the member out itself. */
			sched_yield();
			continue;
		}
		members_lock(set);
		if (m->set == set && m->watch.on == p && which(m))
			act(m);
		lock_drop(&set->mtx);
		if (object_release(set))
			epset_end(set);
		/* As a rule it was the only one. */
		if (!atomic_load(&p->nwatches))
			return;
	}
}

static bool any_member(const struct member *m)
{
	return true;
}

void epoll_forget(struct pollable *p)
{
	if (atomic_load(&p->nwatches))
		each_member(p, any_member, member_remove);
}

static bool not_in_kernel(const struct member *m)
{
	return !atomic_load(&m->in_kernel);
}

static void join_kernel(struct member *m)
{
	kernel_ctl(m, EPOLL_CTL_ADD);
}

void epoll_dual(struct sock *s)
{
	each_member(&s->poll, not_in_kernel, join_kernel);
}

/* Call act() for the FRESH member of every set that has this descriptor, under mtx. */
static void each_fresh(int fd, void (*act)(struct member *m, void *arg), void *arg)
{
	uint32_t sets = arena_count(SLAB_EPSET);

	for (uint32_t i = 0; i < sets && atomic_load(&rt.shared->fresh_members); i++) {
		struct epset *set = arena_at(SLAB_EPSET, i);
		struct member *m;

		if (!atomic_load(&set->nfresh) || !hold_more(set, object_gen(set)))
			continue;
		members_lock(set);
		while ((m = fresh_find(set, fd)))
			act(m, arg);
		lock_drop(&set->mtx);
		epset_unhold(set);
	}
}

static void adopt(struct member *m, void *arg)
{
	struct sock *s = arg;
	struct epoll_event unused = {0};

	if (atomic_exchange(&m->in_kernel, false))
		rt.real->epoll_ctl(m->set->kfd, EPOLL_CTL_DEL, m->fd, &unused);
	atomic_fetch_sub(&m->set->nfresh, 1);
	atomic_fetch_sub(&rt.shared->fresh_members, 1);
	m->kind = MEMBER_SOCK;
	m->watch.target = s;
	member_watch(m, &s->poll);
}

void epoll_adopt(int fd, struct sock *s)
{
	if (atomic_load(&rt.shared->fresh_members))
		each_fresh(fd, adopt, s);
}

static void drop(struct member *m, void *arg)
{
	member_remove(m);
}

void epset_fd_closing(int fd)
{
	if (atomic_load(&rt.shared->fresh_members))
		each_fresh(fd, drop, NULL);
}

void epset_retain(const struct fdref *r)
{
	if (r->obj)
		hold_more(r->obj, r->gen);
}

/*
 * The event of an exclusive member may have been for it alone, and nobody has served it: its set goes with a process that was
 * killed before it could.  Then it is for the next one.
 */
static void pass_on(struct member *m)
{
	struct pollable *p = m->watch.on;
	uint32_t level;

	if (!p || !m->watch.exclusive)
		return;
	pollable_lock(p);
	m->watch.mask = 0;
	lock_drop(&p->lock);
	level = level_now(m);
	if (level)
		pollable_notify(p, level);
}

void epset_end(struct epset *set)
{
	struct member *m;

	epoll_forget(&set->poll);
	members_lock(set);
	while (!list_empty(&set->members)) {
		m = container_of(set->members.next, struct member, in_set);
		pass_on(m);
		member_remove(m);
	}
	lock_drop(&set->mtx);
	arena_put(set);
}

/* One hold less of a generation that this process may have none of any more. */
static void unhold(struct epset *set, uint32_t gen)
{
	int kfd = set->kfd;
	enum hold_left left = hold_less(set, gen);

	if (left == HOLD_NOBODY)
		epset_end(set);
	if (left == HOLD_NOBODY || left == HOLD_OTHERS)
		rt.thin->fd_private_close(kfd);
}

void epset_unhold(struct epset *set)
{
	unhold(set, object_gen(set));
}

void epset_release(const struct fdref *r)
{
	if (r->obj)
		unhold(r->obj, r->gen);
}
