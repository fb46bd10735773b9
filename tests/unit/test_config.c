/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_config.c - MTCPSHIM_* values: what is taken over, and that what is not names the variable, the value and what is allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/config.h"
#include "shim/netif.h"

/* A configuration that is complete but for what a row adds. */
#define DEV "MTCPSHIM_DEV=net_ring0"
#define IP "MTCPSHIM_IP=10.0.0.1/24"

/* What config_read() wrote to standard error. */
static char said[4096];

static void read_config(struct config *cfg, char **env)
{
	int saved = dup(STDERR_FILENO);
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	assert_true(saved >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	config_read(cfg, env);
	config_complain();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
}

static void read_row(struct config *cfg, const char *setting)
{
	char *env[] = {DEV, IP, (char *)setting, NULL};

	read_config(cfg, env);
}

static void nothing_set_is_silent(void **state)
{
	char *env[] = {"HOME=/", "MTCPSHIM_CONF=/dev/null", NULL};
	struct config cfg;

	read_config(&cfg, env);
	assert_false(cfg.enabled);
	assert_false(cfg.bad);
	assert_string_equal(said, "");
}

static void defaults_are_the_contract(void **state)
{
	struct config cfg;

	read_row(&cfg, "PATH=/");
	assert_true(cfg.enabled);
	assert_string_equal(cfg.dev, "net_ring0");
	assert_int_equal(cfg.naddrs, 1);
	assert_int_equal(cfg.addrs[0].len, 120);
	assert_int_equal(cfg.cores, 1);
	assert_int_equal(cfg.mem_mb, 256);
	assert_int_equal(cfg.spin_us, -1);
	assert_int_equal(cfg.huge, HUGE_AUTO);
	assert_int_equal(cfg.log, LOG_LEVEL_WARN);
	assert_false(cfg.strict || cfg.loopback || cfg.has_mac || cfg.adopted);
	assert_int_equal(cfg.mtu, 0);
	assert_string_equal(said, "");
}

static void bad_values_are_named(void **state)
{
	static const struct {
		const char *setting, *says;
	} rows[] = {
	    {"MTCPSHIM_IP=10.0.0.1", "MTCPSHIM_IP=10.0.0.1: the prefix length is missing; allowed: addresses with prefix length"},
	    {"MTCPSHIM_IP=10.0.0.1/33", "not a prefix length"},
	    {"MTCPSHIM_IP=10.0.0.1/0", "not a prefix length"},
	    {"MTCPSHIM_IP=10.0.0.256/24", "not an address"},
	    {"MTCPSHIM_IP=10.0.0.1/24x", "not a prefix length"},
	    {"MTCPSHIM_IP=1.0.0.1/8,1.0.0.2/8,1.0.0.3/8,1.0.0.4/8,1.0.0.5/8,1.0.0.6/8,1.0.0.7/8,1.0.0.8/8,1.0.0.9/8",
	     "at most 8"},
	    {"MTCPSHIM_IP=,", "MTCPSHIM_IP=,: allowed: "},
	    {"MTCPSHIM_GW=10.0.0", "MTCPSHIM_GW=10.0.0: allowed: one address"},
	    {"MTCPSHIM_GW=10.0.1.254", "MTCPSHIM_GW=10.0.1.254: allowed: an address within a prefix"},
	    {"MTCPSHIM_GW=0.0.0.0", "MTCPSHIM_GW=0.0.0.0: allowed: an address within a prefix"},
	    {"MTCPSHIM_MTU=575", "MTCPSHIM_MTU=575: allowed: a number from 576 to 65535"},
	    {"MTCPSHIM_MTU=65536", "MTCPSHIM_MTU=65536: allowed"},
	    {"MTCPSHIM_MTU=1500 ", "MTCPSHIM_MTU=1500 : allowed"},
	    {"MTCPSHIM_MTU=99999999999999999999", "allowed: a number"},
	    {"MTCPSHIM_MAC=02:00:00:00:00", "MTCPSHIM_MAC=02:00:00:00:00: allowed: a unicast address"},
	    {"MTCPSHIM_MAC=02:00:00:00:00:0g", "allowed: a unicast address"},
	    {"MTCPSHIM_MAC=01:00:00:00:00:01", "a group address"},
	    {"MTCPSHIM_MAC=00:00:00:00:00:00", "all zero"},
	    {"MTCPSHIM_CORES=0", "allowed: a number from 1 to 16"},
	    {"MTCPSHIM_CORES=17", "MTCPSHIM_CORES=17"},
	    {"MTCPSHIM_CORES=two", "MTCPSHIM_CORES=two"},
	    {"MTCPSHIM_RULES=kernel:foo", "rule 1: prog=NAME, connect, listen"},
	    {"MTCPSHIM_LOOPBACK=yes", "MTCPSHIM_LOOPBACK=yes: allowed: 0 or 1"},
	    {"MTCPSHIM_STRICT=2", "MTCPSHIM_STRICT=2: allowed: 0 or 1"},
	    {"MTCPSHIM_SYSCTL=4096 net.ipv4.tcp_rmem=1", "it begins with a value"},
	    {"MTCPSHIM_SYSCTL==1", "a name or value is empty"},
	    {"MTCPSHIM_SPIN_US=-1", "MTCPSHIM_SPIN_US=-1: allowed: microseconds"},
	    {"MTCPSHIM_MEM=15", "megabytes, 16 to 1048576"},
	    {"MTCPSHIM_HUGE=maybe", "MTCPSHIM_HUGE=maybe: allowed: auto, yes or no"},
	    {"MTCPSHIM_LOG=loud", "MTCPSHIM_LOG=loud: allowed: error, warn, info or debug"},
	    {"MTCPSHIM_DEV=a b", "MTCPSHIM_DEV=a b: allowed: a DPDK device string"},
	    {"MTCPSHIM_CONF=/nonexistent/x", "MTCPSHIM_CONF=/nonexistent/x: No such file"},
	    {"MTCPSHIM_CONF=/", "MTCPSHIM_CONF=/: Is a directory"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config cfg;

		read_row(&cfg, rows[i].setting);
		if (!cfg.bad || cfg.enabled || !strstr(said, rows[i].says) || strncmp(said, "mtcpshim: ", 10))
			fail_msg("%s: bad %d, enabled %d, said: %s", rows[i].setting, cfg.bad, cfg.enabled, said);
	}
}

static void good_values_are_taken_over(void **state)
{
	char *env[] = {
	    DEV,
	    "MTCPSHIM_IP=10.0.0.1/24, 192.168.1.2/16,2001:db8::1/64",
	    "MTCPSHIM_GW=10.0.0.254",
	    "MTCPSHIM_MTU=9000",
	    "MTCPSHIM_MAC=02:00:5e:10:00:FF",
	    "MTCPSHIM_CORES=16",
	    "MTCPSHIM_RULES=kernel:prog=sshd;engine:*",
	    "MTCPSHIM_LOOPBACK=1",
	    "MTCPSHIM_SYSCTL=net.ipv4.tcp_rmem=4096 131072 6291456 net.ipv4.tcp_sack=0",
	    "MTCPSHIM_SPIN_US=0",
	    "MTCPSHIM_MEM=16",
	    "MTCPSHIM_HUGE=no",
	    "MTCPSHIM_PCAP=/tmp/x.pcapng",
	    "MTCPSHIM_LOG=debug",
	    "MTCPSHIM_STRICT=1",
	    NULL,
	};
	static const uint8_t mac[6] = {2, 0, 0x5e, 0x10, 0, 0xff};
	struct config cfg;

	read_config(&cfg, env);
	assert_string_equal(said, "");
	assert_true(cfg.enabled && !cfg.bad);
	assert_int_equal(cfg.naddrs, 3);
	assert_int_equal(cfg.addrs[1].len, 112);
	assert_int_equal(cfg.addrs[2].len, 64);
	assert_int_equal(cfg.gw.s6_addr[15], 254);
	assert_int_equal(cfg.mtu, 9000);
	assert_true(cfg.has_mac);
	assert_memory_equal(cfg.mac, mac, 6);
	assert_int_equal(cfg.cores, 16);
	assert_int_equal(cfg.nrules, 2);
	assert_true(cfg.loopback && cfg.strict);
	assert_int_equal(cfg.nsysctls, 2);
	assert_string_equal(cfg.sysctls[0].name, "net.ipv4.tcp_rmem");
	assert_string_equal(cfg.sysctls[0].value, "4096 131072 6291456");
	assert_string_equal(cfg.sysctls[1].value, "0");
	assert_int_equal(cfg.spin_us, 0);
	assert_int_equal(cfg.mem_mb, 16);
	assert_int_equal(cfg.huge, HUGE_NO);
	assert_string_equal(cfg.pcap, "/tmp/x.pcapng");
	assert_int_equal(cfg.log, LOG_LEVEL_DEBUG);
}

/* A file with this text, read with this environment, whose first entry is the file's: path becomes its name. */
static void read_file(struct config *cfg, const char *text, char **env, char *path)
{
	char conf[64];
	int fd;

	strcpy(path, "/tmp/mtcpshim-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(conf, sizeof(conf), "MTCPSHIM_CONF=%s", path);
	env[0] = conf;
	read_config(cfg, env);
	unlink(path);
}

static void file_is_read_and_environment_wins(void **state)
{
	char path[32], *env[] = {NULL, "MTCPSHIM_MTU=9000", "MTCPSHIM_CORES=", "MTCPSHIM_TYPO=1", NULL};
	static const char text[] =
	    "# a comment\n\n  MTCPSHIM_DEV = 'net_ring0'\nMTCPSHIM_IP=\"10.0.0.1/24\"\r\nMTCPSHIM_MTU=1400\n"
	    "MTCPSHIM_CORES=2\nNONSENSE=1\nMTCPSHIM_HUGE=no";
	struct config cfg;

	read_file(&cfg, text, env, path);
	assert_true(cfg.enabled);
	assert_string_equal(cfg.dev, "net_ring0");
	assert_int_equal(cfg.mtu, 9000);
	assert_int_equal(cfg.cores, 2); /* an empty variable is an unset one */
	assert_int_equal(cfg.huge, HUGE_NO);
	assert_non_null(strstr(said, "line 7: not one of our settings, ignored: NONSENSE=1"));
	assert_non_null(strstr(said, "MTCPSHIM_TYPO is not one of our settings"));
}

static void bad_value_in_file_names_the_file(void **state)
{
	char path[32], expect[128], *env[] = {NULL, NULL};
	struct config cfg;

	read_file(&cfg, DEV "\n" IP "\nMTCPSHIM_MTU=1\n", env, path);
	snprintf(expect, sizeof(expect), "MTCPSHIM_MTU=1 in %s: allowed", path);
	assert_true(cfg.bad);
	assert_non_null(strstr(said, expect));
}

static void empty_device_in_file_is_none(void **state)
{
	char path[32], *env[] = {NULL, NULL};
	struct config cfg;

	read_file(&cfg, "MTCPSHIM_DEV = \r\n" IP "\nMTCPSHIM_MTU=''\n", env, path);
	assert_false(cfg.enabled);
	assert_false(cfg.bad);
}

static void kernel_interface_lends_its_address(void **state)
{
	char *env[] = {"MTCPSHIM_DEV=lo", NULL};
	struct netif_addr own[8];
	struct config cfg;

	if (netif_addrs("lo", own, 8) < 1)
		skip();
	read_config(&cfg, env);
	assert_true(cfg.enabled && cfg.adopted);
	assert_int_equal(cfg.addrs[0].addr.s6_addr[12], 127);
	assert_int_equal(cfg.ifindex, netif_index("lo"));
	/* lo has 65536, and no IPv4 packet is longer than 65535. */
	assert_int_equal(cfg.mtu, netif_mtu("lo") > UINT16_MAX ? UINT16_MAX : netif_mtu("lo"));
}

static void device_without_address_is_refused(void **state)
{
	char *env[] = {DEV, NULL};
	struct config cfg;

	read_config(&cfg, env);
	assert_true(cfg.bad);
	assert_non_null(strstr(said, "MTCPSHIM_IP is not set"));
	assert_non_null(strstr(said, "net_ring0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_set_is_silent),
	    cmocka_unit_test(defaults_are_the_contract),
	    cmocka_unit_test(bad_values_are_named),
	    cmocka_unit_test(good_values_are_taken_over),
	    cmocka_unit_test(file_is_read_and_environment_wins),
	    cmocka_unit_test(bad_value_in_file_names_the_file),
	    cmocka_unit_test(empty_device_in_file_is_none),
	    cmocka_unit_test(kernel_interface_lends_its_address),
	    cmocka_unit_test(device_without_address_is_refused),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
