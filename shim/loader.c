/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loader.c - loads the core with dlopen(), hands it this library's services, starts the engine; all of it once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "loader.h"

#include "config.h"
#include "fdtab.h"
#include "guard.h"
#include "list.h"
#include "log.h"
#include "placeholder.h"
#include "real.h"
#include "relay_name.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CORE_FILE "libmtcpshim-core.so"

enum engine_state { ENGINE_UNTRIED, ENGINE_RUNS, ENGINE_FAILED };

const struct core_ops *loader_core;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static bool load_failed;
static int engine_state;
static int reveal_fd = -1;
static pid_t here;
static unsigned objects_before; /* shared objects in the process when the core was loaded: its own come after them */

static int count_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	++*(unsigned *)arg;
	return 0;
}

/* A search through the process's shared objects. */
struct code_search {
	uintptr_t code;
	unsigned index;
	bool found;
};

static int find_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct code_search *s = arg;

	if (s->index++ < objects_before)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && s->code >= start && s->code < start + info->dlpi_phdr[i].p_memsz)
			s->found = true;
	}
	return s->found;
}

bool loader_owns(const void *code)
{
	struct code_search s = {.code = (uintptr_t)code};

	/* Objects are listed in the order they were loaded in. */
	if (core())
		dl_iterate_phdr(find_code, &s);
	return s.found;
}

static void thin_fd_set(int fd, enum fd_kind kind, void *obj, uint32_t gen)
{
	fdtab_set(fd, kind, obj, gen);
}

/* The instance's other numbers (dup) carry the same generation and no object yet, and get it too. */
static bool thin_epoll_set(const struct fdref *was, void *obj, uint32_t gen)
{
	struct fdref to = {.fd = was->fd, .kind = FD_EPOLL, .gen = gen, .obj = obj};

	if (!fdtab_swap(was, FD_EPOLL, obj, gen))
		return false;
	for (int other = fdtab_next(0); other >= 0; other = fdtab_next(other + 1)) {
		struct fdref twin = fdtab_get(other);

		if (twin.kind != FD_EPOLL || twin.obj || twin.gen != was->gen)
			continue;
		core()->epoll_retain(&to);
		if (!fdtab_swap(&twin, FD_EPOLL, obj, gen))
			core()->epoll_release(&to);
	}
	return true;
}

/* The core beside this library, wherever that was loaded from. */
static void core_path(char *path, size_t size)
{
	Dl_info self;
	const char *slash = NULL;

	if (dladdr((void *)core_path, &self) && self.dli_fname)
		slash = strrchr(self.dli_fname, '/');
	if (slash)
		snprintf(path, size, "%.*s/" CORE_FILE, (int)(slash - self.dli_fname), self.dli_fname);
	else
		snprintf(path, size, CORE_FILE);
}

static const struct core_ops *load(void)
{
	static struct thin_ops thin = {
	    .real = &real,
	    .log = log_line,
	    .fds = &fdtab,
	    .fd_set = thin_fd_set,
	    .epoll_set = thin_epoll_set,
	    .placeholder_get = placeholder_get,
	    .placeholder_put = placeholder_put,
	    .placeholder_own = placeholder_own,
	    .fd_private = private_fd,
	    .fd_private_close = private_fd_close,
	    .fd_next = fdtab_next,
	    .list_start = list_start,
	    .guard = guard_self,
	};
	const struct core_ops *ops;
	mtcpshim_core_fn *enter;
	char path[4096];
	void *lib;

	thin.cfg = config_get();
	real_load();
	dl_iterate_phdr(count_object, &objects_before);
	core_path(path, sizeof(path));
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib) {
		log_line(LOG_LEVEL_ERROR, "the engine cannot be loaded: %s; the kernel serves", dlerror());
		return NULL;
	}
	enter = (mtcpshim_core_fn *)dlsym(lib, "mtcpshim_core");
	ops = enter ? enter(&thin) : NULL;
	if (!ops || ops->abi != CORE_ABI) {
		log_line(LOG_LEVEL_ERROR, "%s does not fit this library: install both of one version; the kernel serves", path);
		return NULL;
	}
	return ops;
}

static void reveal(void)
{
	const uint64_t one = 1;
	int fd = __atomic_load_n(&reveal_fd, __ATOMIC_SEQ_CST);

	/* An eventfd's first write cannot fail. */
	if (fd >= 0 && REAL(write)(fd, &one, sizeof(one)) < 0)
		log_line(LOG_LEVEL_ERROR, "threads that wait in epoll_wait() could not be told of the engine: %s",
			 strerror(errno));
}

const struct core_ops *loader_load(void)
{
	int saved = errno;

	if (core() || __atomic_load_n(&load_failed, __ATOMIC_RELAXED))
		return core();
	pthread_mutex_lock(&load_lock);
	if (!core() && !load_failed) {
		const struct core_ops *ops = load();

		__atomic_store_n(&load_failed, !ops, __ATOMIC_RELAXED);
		__atomic_store_n(&loader_core, ops, __ATOMIC_SEQ_CST);
		reveal();
	}
	pthread_mutex_unlock(&load_lock);
	errno = saved;
	return core();
}

/* Create the descriptor, or use the one that another thread made at the same time. */
static int reveal_make(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int none = -1;

	fd = fd < 0 ? -1 : private_fd(fd);
	if (fd < 0)
		return -1;
	if (__atomic_compare_exchange_n(&reveal_fd, &none, fd, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return fd;
	private_fd_close(fd);
	return none;
}

int loader_reveal_fd(void)
{
	int saved = errno;
	int fd = __atomic_load_n(&reveal_fd, __ATOMIC_SEQ_CST);

	if (fd < 0)
		fd = reveal_make();
	/* Loaded since the caller looked: the write may have missed the new descriptor. */
	if (core())
		fd = -1;
	errno = saved;
	return fd;
}

const struct core_ops *loader_up(void)
{
	const struct core_ops *ops;
	int state = __atomic_load_n(&engine_state, __ATOMIC_ACQUIRE);
	int saved = errno;

	if (state == ENGINE_RUNS)
		return core();
	if (state == ENGINE_FAILED)
		return NULL;
	ops = loader_load();
	state = ops && ops->engine_up() >= 0 ? ENGINE_RUNS : ENGINE_FAILED;
	/* Why has been said. */
	if (state == ENGINE_FAILED && config_get()->strict)
		REAL(_exit)(1);
	if (state == ENGINE_RUNS)
		guard_catch_faults();
	__atomic_store_n(&engine_state, state, __ATOMIC_RELEASE);
	errno = saved;
	return state == ENGINE_RUNS ? ops : NULL;
}

bool loader_wanted(void)
{
	const struct config *cfg = config_get();

	/* What is bad has been said. */
	if (cfg->bad && cfg->strict)
		REAL(_exit)(1);
	return cfg->enabled && __atomic_load_n(&engine_state, __ATOMIC_RELAXED) != ENGINE_FAILED;
}

bool loader_is_here(void)
{
	return here == getpid();
}

void loader_born(void)
{
	here = getpid();
}

static void leave_guard(void)
{
	long rc = 0;

	guard_leave(&rc);
}

void loader_fork_prepare(void)
{
	guard_enter();
	pthread_mutex_lock(&load_lock);
	placeholder_fork_prepare();
	if (core())
		core()->fork_prepare();
}

void loader_fork_parent(void)
{
	if (core())
		core()->fork_parent();
	pthread_mutex_unlock(&load_lock);
	leave_guard();
}

void loader_fork_child(void)
{
	bool serves;

	loader_born();
	serves = core() && core()->fork_child();

	pthread_mutex_unlock(&load_lock);
	/* Shared with the parent: what is done to them in one process shows in the other. */
	placeholder_fork_child();
	if (reveal_fd >= 0)
		private_fd_close(reveal_fd);
	reveal_fd = -1;
	list_forget();
	/* The engine is the parent's alone; quietly, also with MTCPSHIM_STRICT=1. */
	if (engine_state == ENGINE_RUNS && !serves)
		engine_state = ENGINE_FAILED;
	leave_guard();
}

void loader_exiting(void)
{
	int saved = errno;

	relay_await_taken();
	if (core())
		GUARDED_DO(core()->exiting());
	errno = saved;
}
