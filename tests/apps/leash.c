/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leash.c - runs one program so that it can't outlive the script that started it.
 *
 * leash [-t SECONDS] [-u FILE] program args...
 *   -t  time limit: SIGTERM, five seconds later SIGKILL, exit status 124 (as timeout(1))
 *   -u  when the program ends, write "user_seconds system_seconds max_rss_kb status" there
 * The program gets a process group of its own.  SIGTERM, SIGINT and SIGHUP are passed to that group; whatever is left of it is
 * killed when the program ends, and when the script dies the kernel sends the leash SIGTERM (prctl(2), PR_SET_PDEATHSIG).
 * Orphans come to the leash (PR_SET_CHILD_SUBREAPER), also those in sessions of their own: they may finish what they do if the
 * program ended by itself, and are killed then.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_SECONDS 5 /* the shim itself takes up to two to get rid of what is queued when a program ends */

#define ORPHAN_SECONDS 2 /* of each other, that orphans may end by themselves */

static pid_t child;
static bool timed_out, terminating;

static void usage_write(const char *path, const struct rusage *ru, int status)
{
	FILE *f = fopen(path, "we");

	if (!f) {
		fprintf(stderr, "leash: %s: %s\n", path, strerror(errno));
		return;
	}
	fprintf(f, "%ld.%06ld %ld.%06ld %ld %d\n", (long)ru->ru_utime.tv_sec, (long)ru->ru_utime.tv_usec,
		(long)ru->ru_stime.tv_sec, (long)ru->ru_stime.tv_usec, ru->ru_maxrss, status);
	fclose(f);
}

static void child_exec(char **argv, const sigset_t *mask)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "leash: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* It does not end: say where it is, for who reads the log.  The debugger if there is one, else what /proc knows of each thread.
 */
static void whereabouts_print(void)
{
	char cmd[512];

	fprintf(stderr, "leash: still running %d s after the signal to end:\n", GRACE_SECONDS);
	snprintf(
	    cmd, sizeof(cmd),
	    "if command -v gdb >/dev/null; then timeout -s KILL 20 gdb -p %d -batch -ex 'thread apply all bt 16' 2>&1 | grep -E "
	    "'^(#|Thread)'; else grep -H . /proc/%d/task/*/wchan /proc/%d/task/*/syscall; fi >&2",
	    child, child, child);
	if (system(cmd) == -1)
		perror("leash: sh");
}

static void terminate(int sig)
{
	terminating = true;
	kill(-child, sig);
	alarm(GRACE_SECONDS);
}

/* Reap what ended, orphans that came to us (subreaper) too; true if the program itself did. */
static bool reap(int *status, struct rusage *ru)
{
	pid_t pid;

	do {
		pid = wait4(-1, status, WNOHANG, ru);
	} while (pid > 0 && pid != child);
	return pid == child;
}

/* Whose parent is the leash by now: the first of /proc's list, 0 if there is nobody. */
static pid_t orphan_first(void)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	if (!f || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}

/* Those of the killed come here in turn, so it ends only when there are none. */
static void orphans_end(const sigset_t *sigs)
{
	const struct timespec patience = {.tv_sec = ORPHAN_SECONDS};
	siginfo_t info;
	pid_t pid;

	while (!terminating && orphan_first()) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (orphan_first() && sigtimedwait(sigs, &info, &patience) != SIGCHLD)
			break;
	}
	while ((pid = orphan_first())) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* Signals are taken one by one as they come (sigwaitinfo), not by handlers.  The program's exit status. */
static int watch(const sigset_t *sigs, struct rusage *ru)
{
	int sig, status;

	for (;;) {
		sig = sigwaitinfo(sigs, NULL);
		if (sig == SIGCHLD && reap(&status, ru))
			break;
		if (sig == SIGALRM && terminating) {
			whereabouts_print();
			kill(-child, SIGKILL);
		} else if (sig == SIGALRM) {
			timed_out = true;
			terminate(SIGTERM);
		} else if (sig != SIGCHLD && sig > 0) {
			terminate(sig);
		}
	}
	if (timed_out)
		return 124;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const int watched[] = {SIGCHLD, SIGALRM, SIGTERM, SIGINT, SIGHUP};
	const char *usage_path = NULL;
	sigset_t sigs, mask;
	struct rusage ru;
	int opt, status, limit = 0;

	while ((opt = getopt(argc, argv, "+t:u:")) != -1) {
		if (opt == 't')
			limit = atoi(optarg);
		else if (opt == 'u')
			usage_path = optarg;
		else
			return 125;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: leash [-t SECONDS] [-u FILE] program args...\n");
		return 125;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&sigs);
	for (unsigned i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigaddset(&sigs, watched[i]);
	sigprocmask(SIG_BLOCK, &sigs, &mask);
	child = fork();
	if (child < 0) {
		perror("leash: fork");
		return 125;
	}
	if (child == 0)
		child_exec(argv + optind, &mask);
	setpgid(child, child); /* both sides set it: whoever comes first, a signal to the group finds it */
	alarm(limit);
	status = watch(&sigs, &ru);
	kill(-child, SIGKILL);
	orphans_end(&sigs);
	if (usage_path)
		usage_write(usage_path, &ru, status);
	return status;
}
