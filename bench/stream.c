/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.c - write() in a loop, and nothing else: what a call of that size costs.
 * stream PORT: the server; reads with a large buffer and sends the number of bytes back when the client has ended its stream.
 * stream ADDRESS PORT SIZE SECONDS: the client; prints "N bytes in S seconds", N as the server counted them.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 131072
#define CLOCK_EVERY 1024 /* writes between two looks at the clock */

static char buf[CHUNK];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, ip, &addr.sin_addr) != 1)
		die("address");
	return addr;
}

static void serve_one(int fd)
{
	uint64_t total = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		total += (uint64_t)n;
	if (n < 0 || write(fd, &total, sizeof(total)) != sizeof(total))
		perror("stream: connection");
	close(fd);
}

static void serve(const char *port)
{
	struct sockaddr_in addr = address("0.0.0.0", port);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 16))
		die("listen");
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		serve_one(fd);
	die("accept");
}

static void send_for(const struct sockaddr_in *to, size_t size, double seconds)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t got = 0;
	double start;

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		die("connect");
	start = now();
	do {
		for (unsigned i = 0; i < CLOCK_EVERY; i++)
			if (write(fd, buf, size) <= 0)
				die("write");
	} while (now() - start < seconds);
	shutdown(fd, SHUT_WR);
	if (read(fd, &got, sizeof(got)) != sizeof(got))
		die("read");
	printf("%llu bytes in %.3f seconds\n", (unsigned long long)got, now() - start);
	close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to;

	if (argc == 2)
		serve(argv[1]);
	if (argc != 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > CHUNK) {
		fprintf(stderr, "usage: stream PORT | stream ADDRESS PORT SIZE SECONDS\n");
		return 2;
	}
	to = address(argv[1], argv[2]);
	send_for(&to, (size_t)atoi(argv[3]), atof(argv[4]));
	return 0;
}
