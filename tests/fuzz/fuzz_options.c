/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_options.c - TCP options: any header is read without a step outside, what well-formed ones mean is what the tests' own
 * decoder says, what is written reads back, and a SYN or SYN,ACK with any options leads to a connection that works or to none.
 *
 * Input: a byte that says which, then a TCP header, values for options, or option bytes for a handshake.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "engine/wire.h"
#include "tests/fuzz/handshake.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_start();
	return 0;
}

static const struct ip_addr *address(uint8_t last)
{
	static struct ip_addr a[2];

	a[last & 1] = ip_from_v4(rte_cpu_to_be_32(0x0a000000 | last));
	return &a[last & 1];
}

/* Whatever is read lies within what there is. */
static void check_segment(const struct seg *s, size_t len)
{
	if (s->payload_off < TCP_HDR || s->payload_off > len || s->payload_off + s->len != len)
		world_fault("payload at %u, %u bytes, in a segment of %zu", s->payload_off, s->len, len);
	if (s->nsack > SACK_BLOCKS_MAX || (s->nsack > 0) != !!(s->opts & OPT_SACK))
		world_fault("%u SACK blocks", s->nsack);
}

static void parse(struct input_bytes *in)
{
	size_t len = in->left;
	uint8_t *exact = malloc(len ? len : 1);
	struct seg s;
	enum wire_error err;

	in_bytes(in, exact, len);
	err = wire_parse_tcp(exact, len, len, address(2), address(1), &s);
	if (err == WIRE_OK || err == WIRE_BAD_OPTIONS)
		check_segment(&s, len);
	free(exact);
}

static void write_and_read(struct input_bytes *in)
{
	uint8_t tcp[TCP_HDR + TCP_OPT_MAX], bits = in_u8(in);
	struct tcp_fields f = {.sport = in_u16(in) | 1, .dport = 80, .seq = in_u32(in), .ack = in_u32(in), .flags = in_u8(in)};
	struct sack_block b[SACK_BLOCKS_MAX];
	struct seg s;
	unsigned len;
	uint16_t mss = in_u16(in) | 1; /* 0 is none (RFC 9293 3.7.1) */
	uint32_t val = in_u32(in), ecr = in_u32(in);

	for (unsigned i = 0; i < SACK_BLOCKS_MAX; i++)
		b[i] = (struct sack_block){in_u32(in), in_u32(in)};
	if (f.flags & TH_SYN)
		wire_opt_syn(&f, mss, bits & 1, bits & 2, val, ecr, bits & 4 ? bits >> 4 : -1);
	else if (bits & 2)
		wire_opt_ts(&f, val, ecr);
	if (!(f.flags & TH_SYN) && bits & 8)
		wire_opt_sack(&f, b, 1 + (bits >> 4) % SACK_BLOCKS_MAX);
	len = wire_write_tcp(tcp, &f);
	if (wire_parse_tcp(tcp, len, len, address(2), address(1), &s) != WIRE_OK)
		world_fault("what was written cannot be read");
	check_segment(&s, len);
	if (s.seq != f.seq || s.ack != f.ack || s.flags != f.flags || s.t.rport != f.sport || s.t.lport != f.dport)
		world_fault("a header changed between writing and reading");
	if (!!(s.opts & OPT_TS) != !!(bits & 2) || (bits & 2 && (s.tsval != val || s.tsecr != ecr)))
		world_fault("timestamps changed between writing and reading");
	if (f.flags & TH_SYN && s.mss != mss)
		world_fault("the MSS changed between writing and reading");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input_bytes in = {data, size};

	switch (in_u8(&in) & 3) {
	case 0:
		parse(&in);
		break;
	case 1:
		write_and_read(&in);
		break;
	case 2:
		world_handshake(&in, false);
		break;
	default:
		world_handshake(&in, true);
	}
	return 0;
}
