/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * eal.c - starts DPDK's EAL inside somebody else's process: no pinned threads, no signals taken, no output, no files, no drivers
 * but those asked for, and memory that a forked child shares.  Also the memory and the lcore ids that stacks use.
 *
 * Memory is always a shared mapping: with huge pages a memfd per segment list (--in-memory --single-file-segments), without them
 * one memfd (--no-huge).  EAL has one main lcore, the last id; ids 0..IO_QUEUES_MAX-1 are lent to whoever drives a stack.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_memzone.h>

#include "internal.h"

#define MAIN_LCORE (RTE_MAX_LCORE - 1)
_Static_assert(IO_QUEUES_MAX <= MAIN_LCORE, "the lent lcore ids must not meet EAL's own");
#define MIB (1024 * 1024)
#define ARGS_MAX 32
#define HUGE_LOCK_TRIES 300
#define HUGE_LOCK_US 5000

static bool started;

struct args {
	int argc;
	char *argv[ARGS_MAX + 1];
	char text[4096]; /* EAL keeps pointers into it */
	size_t used;
};

static void arg(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void arg(struct args *a, const char *fmt, ...)
{
	va_list ap;
	char *at = a->text + a->used;
	size_t left = sizeof(a->text) - a->used;

	va_start(ap, fmt);
	vsnprintf(at, left, fmt, ap);
	va_end(ap);
	a->used += strlen(at) + 1;
	if (a->argc < ARGS_MAX)
		a->argv[a->argc++] = at;
}

/* ---- memory: huge pages or not --------------------------------------------------------------------------------------------- */

static unsigned long read_number(const char *dir, const char *file)
{
	char path[512], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtoul(text, NULL, 10);
}

/* Megabytes of huge pages that are neither in use nor promised to a mapping. */
static unsigned long huge_free_mb(void)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	struct dirent *e;
	unsigned long mb = 0, kb;

	while (dir && (e = readdir(dir))) {
		unsigned long avail, promised;

		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		avail = read_number(e->d_name, "free_hugepages");
		promised = read_number(e->d_name, "resv_hugepages");
		if (avail > promised)
			mb += (avail - promised) * kb / 1024;
	}
	if (dir)
		closedir(dir);
	return mb;
}

/* EAL does not survive to be asked for more than there is. */
static int check_memory(const struct io_config *cfg, struct io_error *err)
{
	uint64_t mb = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / MIB;

	if (cfg->mem_mb && cfg->mem_mb <= mb)
		return 0;
	return io_fail(err, -ENOMEM, "MTCPSHIM_MEM: %u MB are asked for, this machine has %lu: ask for less", cfg->mem_mb, mb);
}

/* Returns 1: huge pages, 0: none, or -errno.  The reason not to take them goes to err as a note. */
static int choose_huge(const struct io_config *cfg, struct io_error *err)
{
	unsigned long mb = huge_free_mb();

	if (cfg->huge == IO_HUGE_NO)
		return 0;
	if (mb >= cfg->mem_mb)
		return 1;
	if (cfg->huge == IO_HUGE_AUTO) {
		io_fail(err, 0, "no huge pages: %lu MB are free, %u MB are needed; ordinary pages serve (slower; MTCPSHIM_HUGE)",
			mb, cfg->mem_mb);
		return 0;
	}
	return io_fail(err, -ENOMEM,
		       "MTCPSHIM_HUGE=yes: %lu MB of huge pages are free, %u MB are needed (MTCPSHIM_MEM): "
		       "sysctl vm.nr_hugepages=%u",
		       mb, cfg->mem_mb, cfg->mem_mb / 2 + 1);
}

/*
 * From looking for free huge pages until EAL has them, one process at a time: who comes second must see what the first one took.
 * A lock on a file that all have; whoever holds it for longer than a start takes is not waited for.
 */
static int huge_lock(void)
{
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	for (int tries = 0; fd >= 0 && tries < HUGE_LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB); tries++)
		usleep(HUGE_LOCK_US);
	return fd;
}

static void huge_unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* ---- the start itself ------------------------------------------------------------------------------------------------------ */

/* All CPUs that this process may use, as EAL's "127@(0,1,5)": nothing gets pinned. */
static void arg_lcores(struct args *a, const cpu_set_t *cpus)
{
	char list[1024];
	size_t n = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE && n < sizeof(list) - 8; cpu++)
		if (CPU_ISSET(cpu, cpus))
			n += snprintf(list + n, sizeof(list) - n, "%s%d", n ? "," : "", cpu);
	arg(a, "--lcores=%d@(%s)", MAIN_LCORE, list);
}

static void build_args(struct args *a, const struct device *d, const struct drivers *drv, const cpu_set_t *cpus)
{
	arg(a, "mtcpshim");
	arg_lcores(a, cpus);
	arg(a, "--no-telemetry");
	arg(a, "--file-prefix=mtcpshim-%d", getpid());
	if (d->kind == DEVICE_PCI) {
		arg(a, "--allow=%s", d->string);
	} else {
		arg(a, "--no-pci");
		arg(a, "--iova-mode=va");
	}
	for (unsigned i = 0; i < drv->n; i++) {
		arg(a, "-d");
		arg(a, "%s", drv->path[i]);
	}
}

/*
 * EAL 22.11 adds the directory of all drivers to what -d names, if it is there: the first time it looks, it is not.  (The second
 * time it checks the permissions of the directory that a driver named by -d lies in.)
 */
static int hide_driver_dir(const char *path, struct stat *st)
{
	static bool hidden;

	if (!hidden && !strcmp(path, RTE_EAL_PMD_PATH)) {
		hidden = true;
		errno = ENOENT;
		return -1;
	}
	return stat(path, st);
}

/* EAL calls openlog(), which would rename the application in its own syslog lines. */
static void no_openlog(const char *ident, int option, int facility)
{
	(void)ident;
	(void)option;
	(void)facility;
}

/*
 * EAL's interrupt thread panics when one of its descriptors was closed by somebody else.  That must not end the application: the
 * thread alone stops, and with it the reconnecting of memif.
 */
static void halt_thread(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	while (!strncmp(name, "eal-intr", 8))
		pause();
	abort();
}

/* Signals are the application's: EAL's threads inherit a mask that lets none through but the synchronous ones. */
void io_block_signals(sigset_t *before)
{
	static const int synchronous[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(synchronous) / sizeof(synchronous[0]); i++)
		sigdelset(&all, synchronous[i]);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

static int run_eal(struct args *a, const cpu_set_t *cpus)
{
	sigset_t mask;
	int rc;

	redirect_call("librte_eal.so", "stat64", hide_driver_dir);
	redirect_call("librte_eal.so", "stat", hide_driver_dir);
	redirect_call("librte_eal.so", "openlog", no_openlog);
	redirect_call("librte_eal.so", "abort", halt_thread);
	descriptors_redirect();
	io_block_signals(&mask);
	log_stderr_take();
	clock_begin();
	rc = rte_eal_init(a->argc, a->argv);
	clock_end();
	log_stderr_give();
	pthread_setaffinity_np(pthread_self(), sizeof(*cpus), cpus);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	RTE_PER_LCORE(_lcore_id) = LCORE_ID_ANY;
	return rc < 0 ? -rte_errno : 0;
}

/* libbpf and libxdp (the AF_XDP driver's) print on stderr by themselves. */
static int no_print(int level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static void silence(const char *library, const char *setter)
{
	void *lib = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
	void (*set)(int (*)(int, const char *, va_list)) =
	    lib ? (void (*)(int (*)(int, const char *, va_list)))dlsym(lib, setter) : NULL;

	if (set)
		set(no_print);
	if (lib)
		dlclose(lib);
}

static int start_failed(const struct io_config *cfg, int rc, bool huge, struct io_error *err)
{
	char reason[128];

	log_reason(reason, sizeof(reason));
	if (rc == -ENOMEM)
		return io_fail(err, rc, "MTCPSHIM_MEM: DPDK cannot get %u MB of %s memory (%s): ask for less, or free some",
			       cfg->mem_mb, huge ? "huge page" : "ordinary", reason);
	if (rc == -EACCES || rc == -EPERM)
		return io_fail(err, -EPERM, "MTCPSHIM_DEV: DPDK may not start (%s): run as root, or set MTCPSHIM_HUGE=no",
			       reason);
	return io_fail(err, rc ? rc : -EIO, "MTCPSHIM_DEV: DPDK does not start: %s", reason[0] ? reason : strerror(-rc));
}

/* With the memory chosen: the point of no return. */
static int start(const struct io_config *cfg, const struct device *d, const struct drivers *drv, bool huge, struct io_error *err)
{
	static struct args args;
	cpu_set_t cpus;
	int rc;

	if (pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus) || log_open(cfg->verbose))
		return io_fail(err, -ENOMEM, "out of memory while DPDK starts");
	log_mark();
	build_args(&args, d, drv, &cpus);
	arg(&args, "-m");
	arg(&args, "%u", cfg->mem_mb);
	arg(&args, "%s", huge ? "--in-memory" : "--no-huge");
	arg(&args, "--single-file-segments");
	arg(&args, "--no-shconf");
	started = true;
	descriptors_keeper(cfg->keep_fd, cfg->drop_fd);
	rc = run_eal(&args, &cpus);
	if (rc)
		return start_failed(cfg, rc, huge, err);
	silence("libbpf.so.1", "libbpf_set_print");
	silence("libxdp.so.1", "libxdp_set_print");
	return 0;
}

int io_start(const struct io_config *cfg, struct io_error *err)
{
	struct device d;
	struct drivers drv;
	int huge, lock, rc;

	err->text[0] = 0;
	if (started)
		return io_fail(err, -EALREADY, "DPDK runs already in this process or ran in its parent: it starts once");
	rc = device_parse(&d, cfg->device, err);
	rc = rc ? rc : device_drivers(&d, &drv, err);
	if (rc)
		return rc;
	lock = cfg->huge == IO_HUGE_NO ? -1 : huge_lock();
	huge = choose_huge(cfg, err);
	rc = huge < 0 ? huge : check_memory(cfg, err);
	if (!rc)
		rc = start(cfg, &d, &drv, huge, err);
	huge_unlock(lock);
	return rc;
}

void *io_alloc(const char *name, size_t size)
{
	const struct rte_memzone *z = rte_memzone_reserve_aligned(name, size, SOCKET_ID_ANY, 0, 64);

	return z ? memset(z->addr, 0, size) : NULL;
}

/* DPDK's variable is in another library: each look at it is a call of __tls_get_addr(). */
static __thread unsigned *lcore_id __attribute__((tls_model("initial-exec")));

void io_lcore_enter(unsigned queue)
{
	if (!lcore_id)
		lcore_id = &RTE_PER_LCORE(_lcore_id);
	*lcore_id = queue;
}

void io_lcore_leave(void)
{
	*lcore_id = LCORE_ID_ANY;
}

void io_fork_prepare(void)
{
	control_fork_prepare();
}

void io_fork_parent(void)
{
	control_fork_parent();
}

void io_fork_child(void)
{
	replica_fork_child(control_is_here());
	control_fork_child();
	memif_fork_child();
	capture_fork_child();
	gate_join();
}
