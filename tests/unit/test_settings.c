/* SPDX-License-Identifier: BSD-3-Clause */
/* test_settings.c - engine/settings.c: Linux's names, syntax, ranges and defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

static struct tcp_settings s;

static int init(void **state)
{
	memset(&s, 0xa5, sizeof(s));
	tcp_settings_init(&s);
	return 0;
}

static void init_gives_linux_defaults(void **state)
{
	assert_int_equal(s.sack, 1);
	assert_int_equal(s.timestamps, 1);
	assert_int_equal(s.retries2, 15);
	assert_int_equal(s.rmem[0], 4096);
	assert_int_equal(s.rmem[1], 131072);
	assert_int_equal(s.rmem[2], 6291456);
	assert_int_equal(s.ip_local_port_range[0], 32768);
	assert_int_equal(s.ip_local_port_range[1], 60999);
	assert_string_equal(s.congestion_control, "cubic");
	assert_int_equal(s.wmem_max, 212992);
}

struct row {
	const char *name, *value;
	int rc;
	const char *after; /* as tcp_settings_get() prints it, when rc is 0 */
};

static void set_takes_what_sysctl_prints(void **state)
{
	static const struct row rows[] = {
	    {"net.ipv4.tcp_sack", "0", 0, "0"},
	    {"net.ipv4.tcp_sack", "1\n", 0, "1"},
	    {"net.ipv4.tcp_sack", " \t0 \n", 0, "0"},
	    {"net.ipv4.tcp_adv_win_scale", "-31", 0, "-31"},
	    {"net.ipv4.tcp_rmem", "4096\t131072\t33554432\n", 0, "4096\t131072\t33554432"},
	    {"net.ipv4.tcp_rmem", "1 2 2147483647", 0, "1\t2\t2147483647"},
	    {"net.ipv4.tcp_wmem", "  4096   5000\t 6000", 0, "4096\t5000\t6000"},
	    {"net.ipv4.ip_local_port_range", "1024 65535", 0, "1024\t65535"},
	    {"net.ipv4.ip_local_port_range", "5000\t5000", 0, "5000\t5000"},
	    {"net.ipv4.tcp_congestion_control", "reno\n", 0, "reno"},
	    {"net.ipv4.tcp_congestion_control", " cubic", 0, "cubic"},
	    {"net.ipv4.tcp_allowed_congestion_control", "bbr cubic\n", 0, "cubic bbr"},
	    {"net.ipv4.tcp_allowed_congestion_control", "reno htcp\tdctcp ", 0, "reno dctcp"},
	    {"net.ipv4.tcp_allowed_congestion_control", "cubiccubiccubiccubic", 0, ""},
	    {"net.ipv4.tcp_allowed_congestion_control", "", 0, ""},
	    {"net.ipv4.neigh.default.unres_qlen_bytes", "0", 0, "0"},
	    {"net.core.somaxconn", "2147483647", 0, "2147483647"},
	    {"net.ipv4.tcp_challenge_ack_limit", "0", 0, "0"},
	};
	char buf[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(tcp_settings_set(&s, rows[i].name, rows[i].value), rows[i].rc);
		assert_int_equal(tcp_settings_get(&s, rows[i].name, buf, sizeof(buf)), 0);
		assert_string_equal(buf, rows[i].after);
	}
}

static void set_refuses_and_changes_nothing(void **state)
{
	static const struct row rows[] = {
	    {"net.ipv4.tcp_sack", "2", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "-1", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", " ", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "-", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "one", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "1x", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "0x1", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "1 1", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "4294967297", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "18446744073709551617", -EINVAL, NULL},
	    {"net.ipv4.tcp_sack", "99999999999999999999999999999999", -EINVAL, NULL},
	    {"net.ipv4.tcp_syn_retries", "128", -EINVAL, NULL},
	    {"net.ipv4.tcp_syn_retries", "0", -EINVAL, NULL},
	    {"net.ipv4.tcp_rmem", "4096 131072", -EINVAL, NULL},
	    {"net.ipv4.tcp_rmem", "4096 131072 6291456 1", -EINVAL, NULL},
	    {"net.ipv4.tcp_rmem", "0 131072 6291456", -EINVAL, NULL},
	    {"net.ipv4.tcp_rmem", "4096,131072,6291456", -EINVAL, NULL},
	    {"net.ipv4.tcp_rmem", "4096 131072 2147483648", -EINVAL, NULL},
	    {"net.ipv4.ip_local_port_range", "60000 50000", -EINVAL, NULL},
	    {"net.ipv4.ip_local_port_range", "1024 65536", -EINVAL, NULL},
	    {"net.ipv4.ip_local_port_range", "0 1024", -EINVAL, NULL},
	    {"net.ipv4.tcp_congestion_control", "vegas", -EINVAL, NULL},
	    {"net.ipv4.tcp_congestion_control", "", -EINVAL, NULL},
	    {"net.ipv4.tcp_congestion_control", "cubic reno", -EINVAL, NULL},
	    {"net.ipv4.tcp_congestion_control", "cubiccubiccubiccubic", -EINVAL, NULL},
	    {"net.ipv4.tcp_no_such_thing", "1", -ENOENT, NULL},
	    {"tcp_sack", "1", -ENOENT, NULL},
	    {"", "1", -ENOENT, NULL},
	};
	struct tcp_settings before = s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		errno = 0;
		assert_int_equal(tcp_settings_set(&s, rows[i].name, rows[i].value), rows[i].rc);
		assert_int_equal(errno, 0);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

/* Every setting's own value, printed, is accepted again and changes nothing. */
static void names_end_and_values_round_trip(void **state)
{
	struct tcp_settings before = s;
	unsigned n = 0;
	char buf[64];

	for (; tcp_settings_name(n); n++) {
		assert_int_equal(tcp_settings_get(&s, tcp_settings_name(n), buf, sizeof(buf)), 0);
		assert_int_equal(tcp_settings_set(&s, tcp_settings_name(n), buf), 0);
		assert_memory_equal(&s, &before, sizeof(s));
	}
	assert_true(n > 30);
	assert_null(tcp_settings_name(n));
	assert_string_equal(tcp_settings_name(0), "net.ipv4.tcp_sack");
}

static void get_tells_when_the_buffer_is_short(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		int rc;
	} rows[] = {
	    {"net.ipv4.tcp_rmem", sizeof("4096\t131072\t6291456"), 0},
	    {"net.ipv4.tcp_rmem", sizeof("4096\t131072\t6291456") - 1, -ENOSPC},
	    {"net.ipv4.tcp_rmem", 1, -ENOSPC},
	    {"net.ipv4.tcp_congestion_control", 6, 0},
	    {"net.ipv4.tcp_congestion_control", 5, -ENOSPC},
	    {"net.ipv4.tcp_allowed_congestion_control", 11, 0},
	    {"net.ipv4.tcp_allowed_congestion_control", 10, -ENOSPC},
	    {"net.ipv4.tcp_allowed_congestion_control", 5, -ENOSPC},
	    {"net.ipv4.nothing", 64, -ENOENT},
	};
	char buf[65];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(buf, 'x', sizeof(buf));
		assert_int_equal(tcp_settings_get(&s, rows[i].name, buf, rows[i].size), rows[i].rc);
		assert_int_equal(buf[rows[i].size], 'x');
	}
}

/* The list of those without effect; the other list's names are tcp_settings_name()'s. */
static bool known(const char *name)
{
	static const char *const others[] = {
#define SYSCTL_OTHER(path, text) path,
#include "engine/sysctl_other.def"
	};
	const char *ours;

	for (unsigned i = 0; (ours = tcp_settings_name(i)); i++)
		if (!strcmp(ours, name))
			return true;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(others[i], name))
			return true;
	return false;
}

/* All of net.ipv4.tcp_* in Linux 6.1: the README says of each what it does here, or why it does nothing. */
static void linux_names_are_known(void **state)
{
	char names[] = "abort_on_overflow adv_win_scale allowed_congestion_control app_win autocorking "
		       "available_congestion_control available_ulp base_mss challenge_ack_limit child_ehash_entries "
		       "comp_sack_delay_ns comp_sack_nr comp_sack_slack_ns congestion_control dsack early_demux "
		       "early_retrans ecn ecn_fallback ehash_entries fack fastopen fastopen_blackhole_timeout_sec "
		       "fastopen_key fin_timeout frto fwmark_accept invalid_ratelimit keepalive_intvl keepalive_probes "
		       "keepalive_time l3mdev_accept limit_output_bytes low_latency max_orphans max_reordering "
		       "max_syn_backlog max_tw_buckets mem migrate_req min_rtt_wlen min_snd_mss min_tso_segs moderate_rcvbuf "
		       "mtu_probe_floor mtu_probing no_metrics_save no_ssthresh_metrics_save notsent_lowat orphan_retries "
		       "pacing_ca_ratio pacing_ss_ratio probe_interval probe_threshold recovery reflect_tos reordering "
		       "retrans_collapse retries1 retries2 rfc1337 rmem sack slow_start_after_idle stdurg syn_retries "
		       "synack_retries syncookies thin_linear_timeouts timestamps tso_rtt_log tso_win_divisor tw_reuse "
		       "window_scaling wmem workaround_signed_windows";
	char path[64];

	for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
		snprintf(path, sizeof(path), "net.ipv4.tcp_%s", name);
		if (!known(path))
			fail_msg("%s is in neither list", path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(init_gives_linux_defaults, init),
	    cmocka_unit_test_setup(set_takes_what_sysctl_prints, init),
	    cmocka_unit_test_setup(set_refuses_and_changes_nothing, init),
	    cmocka_unit_test_setup(names_end_and_values_round_trip, init),
	    cmocka_unit_test_setup(get_tells_when_the_buffer_is_short, init),
	    cmocka_unit_test(linux_names_are_known),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
