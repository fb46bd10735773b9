/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix.h - what every program of tests/posix shares.
 *
 * A case is a pair of functions, one for each end, run in two processes at the same time.  Each prints what its calls returned;
 * the runner compares what is printed on the kernel with what is printed under the shim.  So nothing that differs from run to run
 * may be printed: no descriptor number, no ephemeral port, no time.  The ends wait for each other through two FIFOs, never by
 * sleeping.
 */
#ifndef POSIX_H
#define POSIX_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define SERVER_IP "10.9.0.1"
#define CLIENT_IP "10.9.0.2"
#define ANY_IP "0.0.0.0"
/* On the link, but nobody has it. */
#define NOBODY_IP "10.9.0.99"

/* A NULL role takes part in the meetings before and after the case alone. */
struct posix_case {
	const char *name;
	void (*server)(void);
	void (*client)(void);
};
#define BOTH(name)                                  \
	{                                           \
#name, name##_server, name##_client \
	}
#define SERVED(name, client)                 \
	{                                    \
#name, name##_server, client \
	}
#define ALONE(name)               \
	{                         \
#name, name, NULL \
	}
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Parse the command line, run the cases it names (all without names) in the role it gives, end the process. */
int posix_main(int argc, char **argv, const struct posix_case *cases, size_t n);

/* End this process in the middle of its case, by exit() or _exit(); the runner goes on with the next case in new processes. */
_Noreturn void leave(void (*how)(int));

/* ---- printing ----------------------------------------------------------------------------------------------------------------
 */

/* One line of output. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An errno that no call sets: proves that success leaves errno alone. */
#define ERRNO_UNTOUCHED 4000
/* Make a call and print its text, what it returned, and the errno's name if that was -1.  Gives the value back. */
#define T(call) (errno = ERRNO_UNTOUCHED, report(#call, (long)(call)))
/* The same for a call that returns a descriptor: its number is not printed. */
#define TFD(call) (errno = ERRNO_UNTOUCHED, report_fd(#call, (call)))
/* A call that is not under test: says nothing unless it fails, which ends the process. */
#define MUST(call) must(#call, (long)(call))
long report(const char *what, long got);
int report_fd(const char *what, int fd);
long must(const char *what, long got);
/* Print "what: yes" or "what: no". */
void say_if(const char *what, bool yes);
/* Print an address as family, address and port; ports as P+0.. if the case's own, else "ephemeral".  len is what the call stored.
 */
void say_addr(const char *what, const void *sa, socklen_t len);
/* "IN|OUT|HUP" for poll and epoll events; in static storage of the thread, good until the fourth call after. */
const char *events_name(unsigned events);
const char *errno_name(int err);

/* ---- the other end -----------------------------------------------------------------------------------------------------------
 */

extern bool is_server;
/* Send a word to the other end; wait for that word from it (another word, or its death, ends the process). */
void tell(const char *word);
void hear(const char *word);
void tell_num(long value);
long hear_num(void);
/* Is this one of the framework's own descriptors, which a case that closes everything must leave alone? */
bool is_framework_fd(int fd);
/* Both ends have come this far. */
void meet(void);
/* Write the word from a signal handler (async-signal-safe). */
void tell_from_handler(const char *word);

/* ---- sockets -----------------------------------------------------------------------------------------------------------------
 */

#define SA(addr) ((struct sockaddr *)&(addr))
/* The k-th port of this case, k < 10. */
int port(int k);
struct sockaddr_in addr4(const char *ip, int port);
struct sockaddr_in6 addr6(const char *ip, int port);
/* Sockets of the ordinary kind; a failure ends the process. */
int tcp_socket(void);
int listen_at(const char *ip, int port);
int accept_one(int listener);
int connect_to(const char *ip, int port);
/* This end of a new connection between the two processes: the server's side or the client's. */
int pair(void);
/* The client of a pair() that says hello n times, each time when told to "send", and ends when told once more. */
void greeter(int n);
/* The client of a pair() that waits for its end, and prints how it ended; the same that sends something when told to "send". */
void silent(void);
void sends_byte(void);
void sends_hello(void);
int pair_at(int k);
/* The same with a receive buffer on the server's side and a send buffer on the client's that are as small as can be. */
int pair_small(void);
void set_nonblock(int fd, bool on);
void set_int(int fd, int level, int name, int value);
int get_int(int fd, int level, int name);

/* ---- bytes -------------------------------------------------------------------------------------------------------------------
 */

/* Byte i of the endless test pattern, from position at on. */
void fill(void *buf, size_t len, size_t at);
/* FNV-1a; start with SUM_INIT. */
#define SUM_INIT 2166136261u
uint32_t sum(uint32_t start, const void *buf, size_t len);
/* Send len bytes of the pattern from position at on, blocking or not. */
void send_pattern(int fd, size_t len, size_t at);
/* Receive until len bytes are there or the end of the stream; print count and checksum. */
void recv_and_say(const char *what, int fd, size_t len);
/* Receive len bytes, check them against the pattern from position at on: the count of bytes that were right. */
size_t recv_pattern(int fd, size_t len, size_t at);

/* ---- descriptors on their way ------------------------------------------------------------------------------------------------
 */

/* Send a descriptor over an AF_UNIX socket (SCM_RIGHTS): sendmsg()'s result.  Receive one: its number, -1 if there is none. */
long send_right(int over, int fd);
int receive_right(int over);

/* ---- waiting for a state (bounded: ends the process after some seconds)
 * ---------------------------------------------------------- */

/* Until poll() reports all of want. */
void await(int fd, short want);
/* Until n bytes can be read; until all that was sent is acknowledged. */
void await_inq(int fd, int n);
void await_acked(int fd);
/* Until TCP_INFO says this state. */
void await_state(int fd, int state);
/* Print what poll() says at once, asked for everything. */
void say_poll(const char *what, int fd);
/* Milliseconds of a clock that never goes back. */
int64_t now_ms(void);
/* Print whether at least ms milliseconds, and not absurdly more, have passed since start. */
void say_elapsed(const char *what, int64_t start, int64_t ms);

/* Wait for the child, print how it ended. */
void say_child(const char *what, pid_t pid);

/* Children that serve a listener, and exit with what that returns; the end of some of them, printed as by say_child(). */
void fork_workers(pid_t *pid, int n, int (*serve)(int listener), int listener);
void kill_workers(const char *what, const pid_t *pid, int n);

/* Entries of /proc/self/fd: to be compared with an earlier count. */
int descriptors(void);

/* SIGPIPEs since the last call (the framework counts them; the default action would end the process). */
int sigpipes(void);

#endif
