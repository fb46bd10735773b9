/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix.c - the frame of a test program: roles, cases, meetings with the other end, the watchdog, and printing.
 *
 * posix_main() is called with: server|client FIFO-IN FIFO-OUT [case...], or "list".  Every case is framed by "# name" and "# end
 * name" lines; a frame that is not closed is a case that hung or crashed, and the runner starts again behind it.
 */
#include "posix.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

/* Out of the way of most cases, below those that close all descriptors from 500 on. */
#define SYNC_FD_MIN 400
#define WATCHDOG_SECONDS 20
#define WATCHDOG_SIGNAL (SIGRTMAX - 1)
#define PORTS_PER_CASE 10

bool is_server;
static int sync_in, sync_out;
static int first_port, case_port;
static const char *case_name;
static volatile sig_atomic_t pipes;
static timer_t watchdog;

/* ---- printing ----------------------------------------------------------------------------------------------------------------
 */

void say(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("%s\n", line);
}

const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "no error code";
}

static const char *touched(void)
{
	return errno == ERRNO_UNTOUCHED ? "" : " (errno was touched)";
}

long report(const char *what, long got)
{
	int err = errno;

	if (got == -1)
		say("%s = -1 %s", what, errno_name(err));
	else
		say("%s = %ld%s", what, got, touched());
	return got;
}

int report_fd(const char *what, int fd)
{
	int err = errno;

	if (fd == -1)
		say("%s = -1 %s", what, errno_name(err));
	else
		say("%s = a descriptor%s", what, touched());
	return fd;
}

long must(const char *what, long got)
{
	int err = errno;

	if (got == -1) {
		say("stopped: %s = -1 %s", what, errno_name(err));
		exit(3);
	}
	return got;
}

void say_if(const char *what, bool yes)
{
	say("%s: %s", what, yes ? "yes" : "no");
}

static void format_port(char *buf, size_t size, int number)
{
	if (number == 0)
		snprintf(buf, size, "0");
	else if (number >= case_port && number < case_port + PORTS_PER_CASE)
		snprintf(buf, size, "P+%d", number - case_port);
	else
		snprintf(buf, size, "ephemeral");
}

void say_addr(const char *what, const void *sa, socklen_t len)
{
	const struct sockaddr_in *in = sa;
	const struct sockaddr_in6 *in6 = sa;
	char ip[INET6_ADDRSTRLEN], number[16];

	if (len < sizeof(*in)) {
		say("%s: %u bytes", what, len);
	} else if (in->sin_family == AF_INET) {
		format_port(number, sizeof(number), ntohs(in->sin_port));
		say("%s: %u bytes, AF_INET %s port %s", what, len, inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip)), number);
	} else if (in->sin_family == AF_INET6) {
		format_port(number, sizeof(number), ntohs(in6->sin6_port));
		say("%s: %u bytes, AF_INET6 %s port %s flow %u scope %u", what, len,
		    inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip)), number, in6->sin6_flowinfo, in6->sin6_scope_id);
	} else {
		say("%s: %u bytes, family %d", what, len, in->sin_family);
	}
}

const char *events_name(unsigned events)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{POLLIN, "IN"},	     {POLLPRI, "PRI"},	     {POLLOUT, "OUT"},	     {POLLERR, "ERR"},
		     {POLLHUP, "HUP"},	     {POLLNVAL, "NVAL"},     {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"},
		     {POLLWRNORM, "WRNORM"}, {POLLWRBAND, "WRBAND"}, {POLLMSG, "MSG"},	     {POLLRDHUP, "RDHUP"}};
	static __thread char text[4][128];
	static __thread unsigned turn;
	char *out = text[turn++ % 4];

	out[0] = 0;
	for (size_t i = 0; i < LEN(names); i++) {
		if (!(events & names[i].bit))
			continue;
		if (out[0])
			strcat(out, "|");
		strcat(out, names[i].name);
	}
	return out[0] ? out : "none";
}

/* ---- the other end -----------------------------------------------------------------------------------------------------------
 */

static void write_all(const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(sync_out, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			exit(4);
		buf += n;
		len -= n;
	}
}

void tell(const char *word)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s\n", word);

	write_all(line, n);
}

void tell_from_handler(const char *word)
{
	int err = errno;

	write_all(word, strlen(word));
	write_all("\n", 1);
	errno = err;
}

static void read_line(char *line, size_t size)
{
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(sync_in, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			say("stopped: the other end is gone");
			exit(4);
		}
		if (c == '\n')
			break;
		if (len < size - 1)
			line[len++] = c;
	}
	line[len] = 0;
}

void hear(const char *word)
{
	char line[64];

	read_line(line, sizeof(line));
	if (strcmp(line, word) != 0) {
		say("stopped: waited for \"%s\", heard \"%s\"", word, line);
		exit(4);
	}
}

void tell_num(long value)
{
	char line[32];

	snprintf(line, sizeof(line), "%ld", value);
	tell(line);
}

long hear_num(void)
{
	char line[64];

	read_line(line, sizeof(line));
	return strtol(line, NULL, 10);
}

bool is_framework_fd(int fd)
{
	return fd <= STDERR_FILENO || fd == sync_in || fd == sync_out;
}

void meet(void)
{
	tell("meet");
	hear("meet");
}

/* ---- the frame ---------------------------------------------------------------------------------------------------------------
 */

int port(int k)
{
	return case_port + k;
}

void say_child(const char *what, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		MUST(errno == EINTR ? 0 : -1);
	if (WIFEXITED(status))
		say("%s: exit status %d", what, WEXITSTATUS(status));
	else
		say("%s: signal %d", what, WTERMSIG(status));
}

void fork_workers(pid_t *pid, int n, int (*serve)(int listener), int listener)
{
	for (int i = 0; i < n; i++) {
		pid[i] = MUST(fork());
		if (pid[i] == 0)
			_exit(serve(listener));
	}
}

void kill_workers(const char *what, const pid_t *pid, int n)
{
	for (int i = 0; i < n; i++) {
		MUST(kill(pid[i], SIGKILL));
		say_child(what, pid[i]);
	}
}

int sigpipes(void)
{
	int n = pipes;

	pipes = 0;
	return n;
}

static void on_sigpipe(int signo)
{
	pipes++;
}

/* The case hangs: say where, for whoever reads stderr.  SIGKILL, because exit() could hang in the same place. */
static void on_watchdog(int signo)
{
	static const char text[] = "stopped: the watchdog\n";
	void *frames[32];

	backtrace_symbols_fd(frames, backtrace(frames, LEN(frames)), STDERR_FILENO);
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	kill(getpid(), SIGKILL);
}

static void watchdog_create(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = WATCHDOG_SIGNAL};
	struct sigaction sa = {.sa_handler = on_watchdog};

	MUST(sigaction(WATCHDOG_SIGNAL, &sa, NULL));
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &watchdog));
}

static void watchdog_arm(void)
{
	const char *seconds = getenv("POSIX_WATCHDOG");
	struct itimerspec it = {.it_value.tv_sec = seconds ? atoi(seconds) : WATCHDOG_SECONDS};

	MUST(timer_settime(watchdog, 0, &it, NULL));
}

/* Descriptors open now, or 0 when the runner does not ask for the check (the shim keeps some of its own). */
static int open_fds(void)
{
	DIR *dir = getenv("POSIX_LEAKS") ? opendir("/proc/self/fd") : NULL;
	int n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/*
 * A connection before the first case: the engine of a process starts at its first use, and a host that is not there yet would
 * answer nobody.
 */
static void warm_up(void)
{
	case_port = first_port - PORTS_PER_CASE;
	int fd = pair();
	char c = 'w';

	MUST(write(fd, &c, 1));
	MUST(read(fd, &c, 1));
	meet();
	MUST(close(fd));
}

static void run_case(const struct posix_case *c, int index)
{
	struct sigaction sa = {.sa_handler = on_sigpipe};
	void (*role)(void) = is_server ? c->server : c->client;
	int fds = open_fds();

	case_name = c->name;
	case_port = first_port + index * PORTS_PER_CASE;
	watchdog_arm();
	MUST(sigaction(SIGPIPE, &sa, NULL));
	sigpipes();
	tell(c->name);
	hear(c->name);
	say("# %s", c->name);
	if (role)
		role();
	meet();
	if (open_fds() != fds)
		say("this case leaves descriptors open: %d", open_fds() - fds);
	say("# end %s", c->name);
}

void leave(void (*how)(int))
{
	say("# end %s", case_name);
	how(0);
	abort();
}

static bool named(const char *name, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return n == 0;
}

/* The server opens in the other order: each open() waits for its counterpart. */
static void open_fifos(const char *in, const char *out)
{
	int low_out = is_server ? MUST(open(out, O_WRONLY | O_CLOEXEC)) : -1;
	int low_in = MUST(open(in, O_RDONLY | O_CLOEXEC));

	if (!is_server)
		low_out = MUST(open(out, O_WRONLY | O_CLOEXEC));
	sync_in = MUST(fcntl(low_in, F_DUPFD_CLOEXEC, SYNC_FD_MIN));
	sync_out = MUST(fcntl(low_out, F_DUPFD_CLOEXEC, SYNC_FD_MIN));
	close(low_in);
	close(low_out);
}

int posix_main(int argc, char **argv, const struct posix_case *cases, size_t n)
{
	const char *base = getenv("POSIX_PORT");

	for (size_t i = 0; argc == 2 && strcmp(argv[1], "list") == 0 && i < n; i++)
		printf("%s\n", cases[i].name);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return 0;
	if (argc < 4) {
		fprintf(stderr, "usage: %s server|client fifo-in fifo-out [case...] | list\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	/* Whatever the runner's caller had open. */
	MUST(close_range(STDERR_FILENO + 1, ~0U, 0));
	is_server = strcmp(argv[1], "server") == 0;
	first_port = base ? atoi(base) : 10000;
	open_fifos(argv[2], argv[3]);
	watchdog_create();
	watchdog_arm();
	warm_up();
	for (size_t i = 0; i < n; i++)
		if (named(cases[i].name, argv + 4, argc - 4))
			run_case(&cases[i], i);
	return 0;
}

int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
