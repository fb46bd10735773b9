/* SPDX-License-Identifier: BSD-3-Clause */
/* slab.h - fixed-size objects from one array: a free list threaded through them.  Owned by one engine; nothing is locked. */
#ifndef ENGINE_SLAB_H
#define ENGINE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab {
	char *base;
	size_t size;
	uint32_t capacity, used;
	uint32_t virgin; /* objects never handed out start here, so that untouched memory stays untouched */
	void *free;
};

static inline void slab_init(struct slab *s, void *base, size_t size, uint32_t capacity)
{
	*s = (struct slab){.base = base, .size = size, .capacity = capacity};
}
/* NULL: all are handed out. */
static inline void *slab_get(struct slab *s)
{
	void *obj = s->free;

	if (obj)
		s->free = *(void **)obj;
	else if (s->virgin < s->capacity)
		obj = s->base + (size_t)s->virgin++ * s->size;
	else
		return NULL;
	s->used++;
	return obj;
}
/* Its first word is overwritten. */
static inline void slab_put(struct slab *s, void *obj)
{
	*(void **)obj = s->free;
	s->free = obj;
	s->used--;
}

#endif
