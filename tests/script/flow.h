/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow.h - connections as a script numbers them, and the translation between script and wire: ports, sequence numbers,
 * timestamps.
 *
 * In scripts a SYN carries its sequence number as it is on the wire (the peer's) or 0 (the engine's, which chooses its own);
 * every other number is relative to the SYN of its direction.  Timestamps of the engine are relative to the first one that the
 * script expects.
 */
#ifndef FLOW_H
#define FLOW_H

#include "tests/script/script.h"

#define FLOWS_MAX 16
#define TS_MAP_MAX 64

struct flow {
	bool bound; /* the ports are known */
	uint16_t local_port, remote_port;
	bool has_local_isn, has_remote_isn;
	uint32_t local_isn, remote_isn;
	bool new_syn; /* another SYN came from the peer: new_isn counts once the engine accepts it */
	uint32_t new_isn;
	bool has_ts;
	uint32_t ts_offset; /* wire minus script */
	unsigned ts_mapped; /* with ts_tick_usecs 0: the last pairs of (script, wire) */
	uint32_t ts_map[TS_MAP_MAX][2];
	bool unchecked; /* urgent data makes holes in the stream: payloads are not compared */
};

struct flows {
	const struct script_settings *set;
	struct script_error *err;
	struct flow flow[FLOWS_MAX + 1];	     /* from 1 */
	uint8_t cookie[PACKET_OPTS_MAX], cookie_len; /* of Fast Open, that the engine sent last */
};

/* The flow of that number; fails if it cannot be. */
struct flow *flows_get(struct flows *fs, unsigned number, int line);
/* The number of the flow that a decoded packet of the engine's belongs to, 0 if none. */
unsigned flows_find(const struct flows *fs, const struct packet *p);
/* Turn a packet of the script's into one of the wire; *payload_offset is the place of its payload in the peer's stream. */
void flows_to_wire(struct flows *fs, const struct packet *script, int line, struct packet *wire, uint64_t *payload_offset);
/*
 * Turn a decoded packet of the engine's into the script's numbers, learning from it: want is the packet expected there (its flow
 * is bound to the ports if it has none yet), or NULL if none is.  *payload_offset is the place of the payload in the engine's
 * stream.
 */
void flows_to_script(struct flows *fs, const struct packet *wire, const struct packet *want, struct packet *script,
		     uint64_t *payload_offset);

#endif
