/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoll.h - epoll instances with engine members.
 *
 * The instance is a real one of the kernel's; kernel members are in it with the user's own data.  Engine sockets are members of
 * the epset alone: events put them on its ready list.  Three kinds of member are known to both: a FRESH socket (nobody's yet, so
 * its placeholder is watched by the kernel), a dual-homed listener (its placeholder is), and an inner epoll instance.  Those are
 * in the kernel's set with data of ours - a random upper half and the member's index - and are never reported twice in one call.
 *
 * Locks: mtx for who is a member, ready_lock for the ready list and for what collecting changes; the latter alone is taken by
 * events.
 */
#ifndef SHIM_EPOLL_H
#define SHIM_EPOLL_H

#include "shim/arena.h"
#include "shim/hold.h"
#include "shim/runtime.h"
#include "shim/sock.h"
#include "shim/wait.h"

struct epset;

enum member_kind { MEMBER_SOCK, MEMBER_SET, MEMBER_FRESH };

struct member {
	struct watch watch; /* on the target's pollable; its header is the member's */
	/* What epoll_wait() looks at: one cache line, with the watch's target. */
	struct list at_ready;
	epoll_data_t data;
	uint32_t events;   /* as given, EPOLLERR and EPOLLHUP added */
	uint32_t reported; /* the last collection that reported it */
	uint8_t kind;	   /* enum member_kind */
	bool disabled;	   /* one-shot, and it was */
	_Atomic bool in_kernel;
	int fd;
	struct epset *set; /* NULL: of none any more */
	struct list in_set;
};
_Static_assert(sizeof(struct member) <= 128, "two cache lines");

struct epset {
	struct owned own;
	/* What epoll_wait() looks at.  The lock stays what it is from one life of the object to the next (arena.h). */
	struct lock ready_lock;
	uint32_t cookie; /* upper half of the data of members known to both; set anew in each life */
	struct list ready;
	_Atomic unsigned nready; /* changed under the lock */
	uint32_t collection;
	_Atomic bool has_kernel;   /* there may be members in the kernel's set */
	_Atomic bool kernel_first; /* whose turn it is */
	_Atomic unsigned nfresh;   /* FRESH members */
	struct pollable poll;	   /* for sleepers in epoll_wait() (exclusive), poll() and outer sets */
	struct lock mtx;
	struct list members;
	int kfd; /* our own descriptor of the kernel's instance: one number in every process that holds the set */
	_Atomic usec_t kernel_asked; /* wait_may_ask()'s */
};

/* core_ops, see core.h. */
int epset_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int epset_wait(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *sigmask);
void epset_retain(const struct fdref *r);
void epset_release(const struct fdref *r);
void epset_fd_closing(int fd);

/* The set of an epoll descriptor that was looked up, or, looked up here: made if there is none yet, with a reference for the
 * caller. NULL: *err. */
struct epset *epset_at(const struct fdref *r, int *err);
struct epset *epset_of(int epfd, int *err);
/* Does an engine member have an event to report?  Takes only ready_lock. */
bool epset_ready(struct epset *set);
void epset_unhold(struct epset *set);
/* Nobody holds it any more: take it apart. */
void epset_end(struct epset *set);
/* An event for a member: on the ready list with it, and somebody is woken.  True if a sleeper was.  Under the pollable's lock. */
bool member_event(struct watch *w, uint32_t events);
/* It leaves its set.  Under the set's mtx. */
void member_remove(struct member *m);
/* Who waits for the set of a member.  Under the pollable's lock. */
struct pollable *member_waiters(struct watch *w);
/* The same for its lists as pollable_mend(): the ready one, and who is a member. */
void epset_mend_ready(struct epset *set) __attribute__((cold));
void epset_mend_members(struct epset *set) __attribute__((cold));
/* A process died: take the locks of sockets and sets that it had.  Before those who wait are roused: what it was about to tell
 * them is in the lists then. */
void mend_all(void);
static inline void ready_lock(struct epset *set)
{
	if (__builtin_expect(lock_take(&set->ready_lock), 0))
		epset_mend_ready(set);
}
static inline void members_lock(struct epset *set)
{
	if (__builtin_expect(lock_take(&set->mtx), 0))
		epset_mend_members(set);
}
/* Off the ready list.  Under its set's ready_lock. */
static inline void member_unready(struct member *m)
{
	_Atomic unsigned *n = &m->set->nready;

	list_del(&m->at_ready);
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) - 1, memory_order_release);
}
/* What a member would report now.  Under its set's ready_lock. */
static inline uint32_t member_level(const struct member *m)
{
	if (__builtin_expect(m->kind == MEMBER_SOCK, 1))
		return sock_poll_ready(m->watch.target) & m->events;
	return m->kind == MEMBER_SET && epset_ready(m->watch.target) ? (EPOLLIN | EPOLLRDNORM) & m->events : 0;
}
/* A member that the kernel's set knows under this data; NULL: it is the user's own.  Under ready_lock. */
struct member *member_of_data(const struct epset *set, uint64_t data);
/* Give FRESH members to the kernel's set before it is asked. */
void epset_flush_fresh(struct epset *set);

/* A FRESH descriptor became an engine socket: its memberships move over. */
void epoll_adopt(int fd, struct sock *s);
/* A socket became a dual-homed listener: its placeholder joins the kernel's sets. */
void epoll_dual(struct sock *s);
/* fork() is about to share the engine: epoll instances that have no set yet get theirs now. */
void epoll_fork_prepare(void);
/* In a forked child: no thread of it is making a set. */
void epoll_fork_child(void);
/* What this pollable belongs to ends: it leaves all sets. */
void epoll_forget(struct pollable *p);

#endif
