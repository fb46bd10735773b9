/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * birth.c - one lock, held for as long as a birth takes, and whom the fork() that is under way belongs to.
 */
#include "shim/birth.h"
#include "shim/runtime.h"

#include <stddef.h>

static struct lock under_way;
static bool (*picks)(const void *sock);
static bool ours; /* the fork() under way, or that made this process, is part of a birth */

void birth_begin(bool (*keeps)(const void *sock))
{
	lock_take(&under_way);
	picks = keeps;
}

void birth_end(void)
{
	ours = false;
	lock_drop(&under_way);
}

bool birth_shares(const void *sock)
{
	return !ours || picks(sock);
}

void birth_await(void)
{
	if (__builtin_expect(!lock_owner(&under_way), 1))
		return;
	lock_take(&under_way);
	lock_drop(&under_way);
}

void birth_fork_prepare(void)
{
	ours = lock_mine(&under_way);
}

void birth_fork_child(void)
{
	atomic_store(&under_way.word, ours ? lock_tid() : 0);
}
