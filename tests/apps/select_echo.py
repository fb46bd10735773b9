# SPDX-License-Identifier: BSD-3-Clause
# select_echo.py - echo with select() on the server and blocking file objects in threads on the client: server PORT, or client ADDRESS PORT.
import random
import select
import socket
import sys
import threading

CLIENTS, LINES = 8, 500


def server(port):
    listener = socket.create_server(("", port), backlog=64)
    peers = [listener]
    while True:
        for s in select.select(peers, [], [])[0]:
            if s is listener:
                peer, address = s.accept()
                assert peer.getpeername() == address and peer.getsockname()[1] == port
                peers.append(peer)
            elif data := s.recv(65536):
                s.sendall(data)
            else:
                peers.remove(s)
                s.close()


def client(address, port, number, failures):
    rng = random.Random(number)
    with socket.create_connection((address, port), timeout=20) as s, s.makefile("rw", newline="\n") as f:
        if s.getpeername() != (address, port):
            failures.append(f"getpeername says {s.getpeername()}")
        for _ in range(LINES):
            line = f"{rng.getrandbits(64)}\n" * rng.randrange(1, 4)
            f.write(line)
            f.flush()
            if (got := "".join(f.readline() for _ in range(line.count("\n")))) != line:
                failures.append(f"client {number}: {got!r} came back for {line!r}")
                return


if sys.argv[1] == "server":
    server(int(sys.argv[2]))
failures = []
threads = [threading.Thread(target=client, args=(sys.argv[2], int(sys.argv[3]), i, failures)) for i in range(CLIENTS)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.exit("\n".join(failures) or 0)
