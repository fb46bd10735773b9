/* SPDX-License-Identifier: BSD-3-Clause */
/* list.h - circular doubly linked list, linked through a member. A link whose next is NULL is on no list. */
#ifndef ENGINE_LIST_H
#define ENGINE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#undef container_of /* DPDK has one of its own, with the same meaning */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
#define list_each_safe(pos, head) \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head); pos = pos##_next, pos##_next = pos->next)

static inline void list_init(struct list *h)
{
	h->next = h->prev = h;
}
static inline bool list_empty(const struct list *h)
{
	return h->next == h;
}
static inline bool list_linked(const struct list *n)
{
	return n->next != NULL;
}
static inline void list_add_tail(struct list *h, struct list *n)
{
	n->prev = h->prev;
	n->next = h;
	h->prev->next = n;
	h->prev = n;
}
static inline void list_add_head(struct list *h, struct list *n)
{
	list_add_tail(h->next, n);
}
/* Take n off its list; harmless if it is on none. */
static inline void list_del(struct list *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}
/* The ring stays as it is, but that n, of it, is now the first. */
static inline void list_begin_at(struct list *h, struct list *n)
{
	if (n == h || h->next == n)
		return;
	list_del(h);
	list_add_tail(n, h);
}
/* All that is on the list `from` goes behind what is on h. */
static inline void list_append(struct list *h, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = h->prev;
	h->prev->next = from->next;
	from->prev->next = h;
	h->prev = from->prev;
	list_init(from);
}
static inline struct list *list_pop(struct list *h)
{
	struct list *n = h->next;

	if (n == h)
		return NULL;
	list_del(n);
	return n;
}

#endif
