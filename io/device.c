/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c - what a device string means: which kind of device, which driver library serves it, and the facts about drivers that
 * ethdev does not tell.  A PCI device's driver is found by the id tables that every driver library carries (PMD_INFO_STRING, made
 * by DPDK's pmdinfogen).
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_version.h>

#include "internal.h"

/* Room for "0000:". */
#define PCI_DOMAIN 5

#define SOFTWARE .any_mtu = true, .any_mac = true
static const struct traits known[] = {
    {.driver = "net_memif", .forks = true, .wait = WAIT_BELL, SOFTWARE},
    {.driver = "net_ring", SOFTWARE},
    {.driver = "net_null", .forks = true, SOFTWARE},
    {.driver = "net_pcap", SOFTWARE},
    {.driver = "net_af_packet", .forks = true, .doorbell = IO_DOORBELL_SYSCALL, .wait = WAIT_SOCKET, SOFTWARE},
    {.driver = "net_af_xdp", .forks = true, .doorbell = IO_DOORBELL_SYSCALL, .wait = WAIT_SOCKET, .tx_refusals = true, SOFTWARE},
    {.driver = "net_tap", .doorbell = IO_DOORBELL_SYSCALL, .wait = WAIT_FD, .no_offload = true},
    {.driver = "net_vhost", .doorbell = IO_DOORBELL_SYSCALL, .wait = WAIT_INTERRUPT, .any_mac = true, .no_offload = true},
    {.driver = "net_virtio_user", .doorbell = IO_DOORBELL_SYSCALL, .wait = WAIT_INTERRUPT},
};
static const struct traits hardware = {.driver = "", .wait = WAIT_INTERRUPT};

/* Driver names that differ from the file's: the others are librte_<name>.so. */
static const struct {
	const char *driver, *library;
} renamed[] = {
    {"net_virtio_user", "net_virtio"},
    {"net_bonding", "net_bond"},
    {"net_tun", "net_tap"},
};

const struct traits *device_traits(const char *driver)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].driver, driver))
			return &known[i];
	return &hardware;
}

bool device_arg(const char *string, const char *key, char *buf, size_t size)
{
	size_t n = strlen(key);

	for (const char *p = strchr(string, ','); p; p = strchr(p, ',')) {
		p++;
		if (strncmp(p, key, n) || p[n] != '=')
			continue;
		snprintf(buf, size, "%.*s", (int)strcspn(p + n + 1, ","), p + n + 1);
		return true;
	}
	return false;
}

/* "0000:03:00.0" or "03:00.0" */
static bool is_pci(const char *name)
{
	unsigned domain, bus, dev, fn;
	char end;

	return sscanf(name, "%x:%x:%x.%x%c", &domain, &bus, &dev, &fn, &end) == 4 ||
	       sscanf(name, "%x:%x.%x%c", &bus, &dev, &fn, &end) == 3;
}

/* "03:00.0" is in domain 0. */
static void complete_pci(struct device *d)
{
	static const char domain[] = "0000:";
	size_t n = sizeof(domain) - 1;

	if (strchr(d->name, ':') != strrchr(d->name, ':'))
		return;
	memmove(d->name + n, d->name, strlen(d->name) + 1);
	memcpy(d->name, domain, n);
	memmove(d->string + n, d->string, strlen(d->string) + 1);
	memcpy(d->string, domain, n);
}

/* "net_memif0": a driver's name and a number. */
static bool is_virtual(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789");

	return !name[n] && (!strncmp(name, "net_", 4) || !strncmp(name, "eth_", 4));
}

static void driver_of(const char *name, char driver[32])
{
	size_t n = strlen(name);

	while (n && isdigit((unsigned char)name[n - 1]))
		n--;
	snprintf(driver, 32, "%.*s", (int)n, name);
}

int device_parse(struct device *d, const char *string, struct io_error *err)
{
	size_t n = strcspn(string, ",");

	memset(d, 0, sizeof(*d));
	if (!n || n >= sizeof(d->name) - PCI_DOMAIN || strlen(string) >= sizeof(d->string) - PCI_DOMAIN)
		return io_fail(err, -EINVAL,
			       "MTCPSHIM_DEV: \"%.60s\" is no device: give a DPDK device string such as "
			       "net_memif0,role=client,socket=/run/x.sock, a PCI address, or a kernel interface",
			       string);
	strcpy(d->string, string);
	memcpy(d->name, string, n);
	if (is_pci(d->name)) {
		d->kind = DEVICE_PCI;
		complete_pci(d);
	} else if (is_virtual(d->name)) {
		d->kind = DEVICE_VIRTUAL;
		driver_of(d->name, d->driver);
	} else if (if_nametoindex(string)) {
		d->kind = DEVICE_KERNEL_IF;
	} else {
		return io_fail(err, -ENODEV,
			       "MTCPSHIM_DEV: no kernel interface \"%.60s\" here (ip link shows those there are), and it is no "
			       "DPDK device string or PCI address either",
			       string);
	}
	return 0;
}

/* ABI of the drivers: the "23" of ".../pmds-23.0". */
static int abi(void)
{
	const char *dash = strrchr(RTE_EAL_PMD_PATH, '-');

	return dash ? atoi(dash + 1) : 0;
}

bool driver_find(const char *driver, char path[DRIVER_PATH_MAX])
{
	const char *library = driver;

	for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
		if (!strcmp(renamed[i].driver, driver))
			library = renamed[i].library;
	if (snprintf(path, DRIVER_PATH_MAX, "%s/librte_%s.so.%d", RTE_EAL_PMD_PATH, library, abi()) < DRIVER_PATH_MAX &&
	    !access(path, R_OK))
		return true;
	return snprintf(path, DRIVER_PATH_MAX, "%s/librte_%s.so", RTE_EAL_PMD_PATH, library) < DRIVER_PATH_MAX &&
	       !access(path, R_OK);
}

/* Debian's and Ubuntu's package of a driver: librte-net-af-packet23, librte-net-e1000-23. */
static void package_of(const char *driver, char *buf, size_t size)
{
	size_t n;

	snprintf(buf, size, "librte-%s%s%d", driver, isdigit((unsigned char)driver[strlen(driver) - 1]) ? "-" : "", abi());
	for (n = 0; buf[n]; n++)
		if (buf[n] == '_')
			buf[n] = '-';
}

static int driver_missing(const char *driver, struct io_error *err)
{
	char package[64];

	package_of(driver, package, sizeof(package));
	return io_fail(err, -ENODEV, "MTCPSHIM_DEV: the DPDK driver %s is not installed (looked in %s): apt-get install %s",
		       driver, RTE_EAL_PMD_PATH, package);
}

static int read_hex(const char *bdf, const char *file, unsigned *value)
{
	char path[128], text[16] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	*value = strtoul(text, NULL, 16);
	return n > 0 ? 0 : -EIO;
}

/* Does the image of a driver library list this vendor and device? */
static bool image_lists(const char *image, size_t size, const char *ids)
{
	static const char mark[] = "PMD_INFO_STRING= ";
	const char *end = image + size, *p = image;

	while ((p = memmem(p, end - p, mark, sizeof(mark) - 1))) {
		size_t n = strnlen(p, end - p);

		if (memmem(p, n, ids, strlen(ids)))
			return true;
		p += n;
	}
	return false;
}

static bool library_lists(const char *path, const char *ids)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *image = MAP_FAILED;
	bool found;

	if (fd < 0)
		return false;
	if (!fstat(fd, &st))
		image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (image == MAP_FAILED)
		return false;
	found = image_lists(image, st.st_size, ids);
	munmap(image, st.st_size);
	return found;
}

static bool driver_by_id(const char *ids, char path[DRIVER_PATH_MAX])
{
	DIR *dir = opendir(RTE_EAL_PMD_PATH);
	struct dirent *e;
	char suffix[16];
	bool found = false;

	snprintf(suffix, sizeof(suffix), ".so.%d", abi());
	while (dir && !found && (e = readdir(dir))) {
		size_t n = strlen(e->d_name), s = strlen(suffix);

		if (strncmp(e->d_name, "librte_net_", 11) || n < s || strcmp(e->d_name + n - s, suffix))
			continue;
		if (snprintf(path, DRIVER_PATH_MAX, "%s/%s", RTE_EAL_PMD_PATH, e->d_name) < DRIVER_PATH_MAX)
			found = library_lists(path, ids);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int pci_driver(const struct device *d, char path[DRIVER_PATH_MAX], struct io_error *err)
{
	unsigned vendor = 0, id = 0;
	char ids[32];

	if (read_hex(d->name, "vendor", &vendor) || read_hex(d->name, "device", &id))
		return io_fail(err, -ENODEV, "MTCPSHIM_DEV: no PCI device %s here (lspci -D shows those there are)", d->name);
	snprintf(ids, sizeof(ids), "[%u, %u,", vendor, id);
	if (!driver_by_id(ids, path))
		return io_fail(err, -ENODEV,
			       "MTCPSHIM_DEV: no installed DPDK driver knows the PCI device %s (%04x:%04x): apt-get install "
			       "the librte-net-...%d package of its maker",
			       d->name, vendor, id, abi());
	return 0;
}

int device_drivers(const struct device *d, struct drivers *out, struct io_error *err)
{
	static const char *const mempools[] = {"mempool_ring", "mempool_stack"};

	out->n = 0;
	for (size_t i = 0; i < sizeof(mempools) / sizeof(mempools[0]); i++)
		if (!driver_find(mempools[i], out->path[out->n++]))
			return driver_missing(mempools[i], err);
	if (d->kind == DEVICE_PCI)
		return pci_driver(d, out->path[out->n++], err);
	if (d->kind == DEVICE_VIRTUAL) {
		if (driver_find(d->driver, out->path[out->n++]))
			return 0;
		return driver_missing(d->driver, err);
	}
	if (!driver_find("net_af_packet", out->path[out->n++]))
		return driver_missing("net_af_packet", err);
	if (driver_find("net_af_xdp", out->path[out->n]))
		out->n++;
	return 0;
}
