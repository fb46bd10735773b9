/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mend.c - lists in shared memory whose lock was taken from a process that was killed while it had it: no link of theirs can be
 * followed any more.  What belongs on them is told by the objects themselves: of a watch, what it is on; of a member, its set.
 * Both are set when everything else is, and cleared last, so that what was killed half-way either is there or is not.
 */
#include "shim/epoll.h"

/* Link it if it is in use and on this pollable: how many did. */
static uint32_t relink(struct pollable *p, const void *obj, struct watch *w)
{
	if (!object_is(obj, object_gen(obj)) || w->on != p)
		return 0;
	if (w->exclusive)
		list_add_tail(&p->watches, &w->at);
	else
		list_add_head(&p->watches, &w->at);
	return 1;
}

void pollable_mend(struct pollable *p)
{
	uint32_t watches = arena_count(SLAB_WATCH), members = arena_count(SLAB_MEMBER), threads = arena_count(SLAB_THREAD), n = 0;

	list_init(&p->watches);
	for (uint32_t i = 0; i < watches; i++) {
		struct watch *w = arena_at(SLAB_WATCH, i);

		n += relink(p, w, w);
	}
	for (uint32_t i = 0; i < members; i++) {
		struct member *m = arena_at(SLAB_MEMBER, i);

		n += relink(p, m, &m->watch);
	}
	for (uint32_t i = 0; i < threads; i++) {
		struct thread *t = arena_at(SLAB_THREAD, i);

		n += relink(p, t, &t->watch);
	}
	atomic_store(&p->nwatches, n);
}

/* The set's next member among the objects of the slab, beginning with the n-th; *n: the one behind it.  NULL: there is none. */
static struct member *member_next(uint32_t *n, const struct epset *set)
{
	while (*n < arena_count(SLAB_MEMBER)) {
		struct member *m = arena_at(SLAB_MEMBER, (*n)++);

		if (object_is(m, object_gen(m)) && m->set == set)
			return m;
	}
	return NULL;
}

/* All that may have something: those that have nothing leave the list when it is looked at. */
void epset_mend_ready(struct epset *set)
{
	struct member *m;
	unsigned n = 0;

	list_init(&set->ready);
	for (uint32_t i = 0; (m = member_next(&i, set));) {
		m->at_ready = (struct list){0};
		if (!m->watch.on || m->disabled)
			continue;
		list_add_tail(&set->ready, &m->at_ready);
		n++;
	}
	atomic_store(&set->nready, n);
}

/* Who came or went at that moment goes; and what the others were about to be told, they are asked. */
void epset_mend_members(struct epset *set)
{
	struct member *m;
	unsigned fresh = 0;

	list_init(&set->members);
	for (uint32_t i = 0; (m = member_next(&i, set));) {
		list_add_tail(&set->members, &m->in_set);
		fresh += m->kind == MEMBER_FRESH;
	}
	atomic_store(&set->nfresh, fresh);
	list_each_safe (at, &set->members) {
		m = container_of(at, struct member, in_set);
		if (m->kind != MEMBER_FRESH && !m->watch.on)
			member_remove(m);
	}
	ready_lock(set);
	epset_mend_ready(set);
	lock_drop(&set->ready_lock);
}

static bool owner_is_gone(struct lock *l)
{
	uint32_t owner = lock_owner(l);

	return owner && family_is_gone(owner);
}

static void unlock_pollable(struct pollable *p)
{
	if (!owner_is_gone(&p->lock))
		return;
	pollable_lock(p);
	lock_drop(&p->lock);
}

static void unlock_set(struct epset *set)
{
	unlock_pollable(&set->poll);
	if (owner_is_gone(&set->mtx)) {
		members_lock(set);
		lock_drop(&set->mtx);
	}
	if (owner_is_gone(&set->ready_lock)) {
		ready_lock(set);
		lock_drop(&set->ready_lock);
	}
}

void mend_all(void)
{
	uint32_t socks = arena_count(SLAB_SOCK), sets = arena_count(SLAB_EPSET);

	for (uint32_t i = 0; i < socks; i++)
		unlock_pollable(&((struct sock *)arena_at(SLAB_SOCK, i))->poll);
	for (uint32_t i = 0; i < sets; i++)
		unlock_set(arena_at(SLAB_EPSET, i));
}
