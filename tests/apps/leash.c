/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leash.c - runs one program so that it can't outlive the script that started it.
 *
 * leash [-t SECONDS] [-u FILE] program args...
 *   -t  time limit: SIGTERM, five seconds later SIGKILL, exit status 124 (as timeout(1))
 *   -u  when the program ends, write "user_seconds system_seconds max_rss_kb status" there
 * The program gets a process group of its own.  SIGTERM, SIGINT and SIGHUP are passed to that group; whatever is left of it is
 * killed when the program ends, and when the script dies the kernel sends the leash SIGTERM (prctl(2), PR_SET_PDEATHSIG).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_SECONDS 5 /* the shim itself takes up to two to get rid of what is queued when a program ends */

static pid_t child;
static volatile sig_atomic_t timed_out, terminating;

static void on_signal(int sig)
{
	if (sig == SIGALRM && terminating) {
		kill(-child, SIGKILL);
		return;
	}
	if (sig == SIGALRM) {
		timed_out = 1;
		sig = SIGTERM;
	}
	terminating = 1;
	kill(-child, sig);
	alarm(GRACE_SECONDS);
}

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

static void signals_catch(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	const int sigs[] = {SIGALRM, SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		sigaddset(&sa.sa_mask, sigs[i]);
		sigaction(sigs[i], &sa, NULL);
	}
}

/* Wait for the program itself; orphans of it that came to us (subreaper) are reaped on the way. */
static int child_wait(struct rusage *ru)
{
	int status;
	pid_t pid;

	do {
		pid = wait4(-1, &status, 0, ru);
	} while (pid != child && (pid > 0 || errno == EINTR));
	if (timed_out)
		return 124;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *usage_path = NULL;
	sigset_t block, mask;
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
	sigfillset(&block);
	sigprocmask(SIG_BLOCK, &block, &mask);
	child = fork();
	if (child < 0) {
		perror("leash: fork");
		return 125;
	}
	if (child == 0)
		child_exec(argv + optind, &mask);
	setpgid(child, child); /* both sides set it: whoever comes first, a signal to the group finds it */
	signals_catch();
	alarm(limit);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	status = child_wait(&ru);
	kill(-child, SIGKILL);
	if (usage_path)
		usage_write(usage_path, &ru, status);
	return status;
}
