/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.c - the core's only exported symbol: the table of what it can do for the thin library.
 */
#include "shim/core.h"
#include "shim/arena.h"
#include "shim/birth.h"
#include "shim/epoll.h"
#include "shim/notice.h"
#include "shim/runtime.h"
#include "shim/sigio.h"
#include "shim/sock.h"

#include <unistd.h>

static const struct core_ops ops = {
    .abi = CORE_ABI,
    .engine_up = runtime_up,
    .take = sock_take,
    .bind = sock_bind,
    .listen = sock_listen,
    .connect = sock_connect,
    .accept = sock_accept,
    .listens = sock_listens,
    .port_used = sock_port_used,
    .shutdown = sock_shutdown,
    .retain = sock_retain,
    .release = sock_release,
    .recv = sock_recv,
    .fail_next = sock_fail_next,
    .recvmsg = notice_recvmsg,
    .send = sock_send,
    .fastopen = sock_fastopen,
    .getsockopt = sock_getsockopt,
    .setsockopt = sock_setsockopt,
    .getsockname = sock_getsockname,
    .getpeername = sock_getpeername,
    .ioctl = sock_ioctl,
    .holders = sock_holders,
    .getfl = sock_getfl,
    .setfl = sock_setfl,
    .sigio = sigio_follow,
    .poll = core_poll,
    .select = core_select,
    .epoll_ctl = epset_ctl,
    .epoll_wait = epset_wait,
    .epoll_retain = epset_retain,
    .epoll_release = epset_release,
    .cancelled = thread_cancelled,
    .fd_closing = epset_fd_closing,
    .copying = stacks_copying,
    .describe = sock_describe,
    .exiting = core_exiting,
    .fork_prepare = core_fork_prepare,
    .fork_parent = core_fork_parent,
    .fork_child = core_fork_child,
    .threads_up = core_threads_up,
    .exec_begin = core_exec_begin,
    .exec_failed = core_exec_failed,
    .birth_begin = birth_begin,
    .birth_end = birth_end,
};

__attribute__((visibility("default"))) const struct core_ops *mtcpshim_core(const struct thin_ops *thin)
{
	rt.thin = thin;
	rt.real = thin->real;
	rt.cfg = thin->cfg;
	rt.fds = thin->fds;
	rt.pid = getpid();
	if (arena_init() || family_init()) {
		thin->log(LOG_LEVEL_ERROR, "no address space for the core's objects (ulimit -v?)");
		return NULL;
	}
	return &ops;
}
