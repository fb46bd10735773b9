/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * redirect.c - lets one loaded library call something of ours in place of a libc function, by rewriting its entry in that
 * library's global offset table (System V ABI, AMD64 supplement, 4.4 and 5.2): symbol interposition for a single caller.
 *
 * Two facts of DPDK 22.11 make it necessary: EAL loads every installed driver whatever -d says, and the memif driver unmaps its
 * rings in its own thread without a word to the threads that read them.  A library without such an entry is left as it is.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#if __SIZEOF_POINTER__ != 8
#error "only 64-bit ELF objects are read here"
#endif

struct redirection {
	const char *object, *symbol;
	void *with, *before;
};

struct table {
	const Elf64_Rela *rel;
	size_t bytes;
};

static void *read_dynamic(const struct dl_phdr_info *info, Elf64_Sxword tag, size_t *value)
{
	const Elf64_Dyn *dyn = NULL;

	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dyn = (const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; dyn && dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == tag) {
			*value = dyn->d_un.d_val;
			return (void *)dyn->d_un.d_ptr;
		}
	*value = 0;
	return NULL;
}

/* Libraries linked with -z relro have their tables made read-only once they are filled. */
static bool is_read_only(const struct dl_phdr_info *info, void **slot)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_GNU_RELRO && (uintptr_t)slot - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz)
			return true;
	}
	return false;
}

static void *store(const struct dl_phdr_info *info, void **slot, void *with)
{
	void *page = (void *)((uintptr_t)slot & ~((uintptr_t)getpagesize() - 1));
	bool locked = is_read_only(info, slot);
	void *before = *slot;

	if (locked && mprotect(page, getpagesize(), PROT_READ | PROT_WRITE))
		return NULL;
	__atomic_store_n(slot, with, __ATOMIC_RELEASE);
	if (locked)
		mprotect(page, getpagesize(), PROT_READ);
	return before;
}

static void rewrite(const struct dl_phdr_info *info, const struct table *t, struct redirection *r)
{
	size_t ignored;
	const Elf64_Sym *syms = read_dynamic(info, DT_SYMTAB, &ignored);
	const char *names = read_dynamic(info, DT_STRTAB, &ignored);

	for (size_t i = 0; syms && names && i < t->bytes / sizeof(*t->rel); i++) {
		const Elf64_Sym *s = &syms[ELF64_R_SYM(t->rel[i].r_info)];

		if (ELF64_R_SYM(t->rel[i].r_info) && !strcmp(names + s->st_name, r->symbol))
			r->before = store(info, (void **)(info->dlpi_addr + t->rel[i].r_offset), r->with);
	}
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct redirection *r = arg;
	const char *base = strrchr(info->dlpi_name, '/');
	struct table plt, got;
	size_t bytes;

	(void)size;
	base = base ? base + 1 : info->dlpi_name;
	if (strncmp(base, r->object, strlen(r->object)))
		return 0;
	plt.rel = read_dynamic(info, DT_JMPREL, &bytes);
	read_dynamic(info, DT_PLTRELSZ, &plt.bytes);
	got.rel = read_dynamic(info, DT_RELA, &bytes);
	read_dynamic(info, DT_RELASZ, &got.bytes);
	rewrite(info, &plt, r);
	rewrite(info, &got, r);
	return 1;
}

void *redirect_call(const char *object, const char *symbol, void *with)
{
	struct redirection r = {.object = object, .symbol = symbol, .with = with};

	dl_iterate_phdr(visit, &r);
	return r.before;
}
