# SPDX-License-Identifier: BSD-3-Clause
# prefork.py - a pre-forked server whose workers tell who they are, and a client that counts how its connections spread over them.
#
# prefork.py server MODE WORKERS PORT: each worker takes one connection after the other by accept() ("accept"), by epoll with
# EPOLLEXCLUSIVE ("exclusive") or without ("epoll"), from one listener; or from one of its own ("reuseport").  A connection's eight
# bytes say for how many microseconds of work, or of sleep if negative, it keeps the worker.
# prefork.py client MODE WORKERS PORT HOST: fails unless load reaches all workers and a busy one keeps nobody waiting.
import os, select, signal, socket, sys, threading, time
from collections import Counter

LATE = 0.4  # seconds; half of what a busy worker would make one wait
HELD = 1000000


def listener(port, reuse):
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
    l.bind(("0.0.0.0", port))
    l.listen(256)
    return l


def answer(c, me):
    with c:
        ask = c.recv(8, socket.MSG_WAITALL)
        if len(ask) < 8:
            return
        us = int(ask)
        end = time.thread_time() + us / 1e6
        while us > 0 and time.thread_time() < end:
            pass
        time.sleep(max(-us, 0) / 1e6)
        c.sendall(bytes([me]))


def work(mode, l, me):
    if mode in ("accept", "reuseport"):
        while True:
            answer(l.accept()[0], me)
    l.setblocking(False)
    events = select.epoll()
    events.register(l, select.EPOLLIN | (select.EPOLLEXCLUSIVE if mode == "exclusive" else 0))
    while True:
        events.poll()
        try:
            c = l.accept()[0]
        except BlockingIOError:
            continue
        c.setblocking(True)
        answer(c, me)


def server(mode, workers, port):
    reuse = mode == "reuseport"
    listeners = [listener(port, reuse) for _ in range(workers if reuse else 1)]
    pids = []
    for i in range(workers):
        pids.append(os.fork())
        if not pids[i]:
            work(mode, listeners[i % len(listeners)], i)

    def end(*_):
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        signal.pause()


def visit(at, us, got):
    began = time.time()
    with socket.create_connection(at, timeout=20) as s:
        s.sendall(b"%08d" % us)
        got[s.recv(1)[0]] += 1
    return time.time() - began


def visits(at, us, each, got, threads):
    mine = [Counter() for _ in range(threads)]
    ts = [threading.Thread(target=lambda g=g: [visit(at, us, g) for _ in range(each)]) for g in mine]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    for g in mine:
        got.update(g)


def client(mode, workers, port, host):
    at, failed = (host, port), 0
    # Connections that keep a worker, as many as there are workers and more; then, of CPU time.
    for what, us, each in (("waiting", -4000, 40), ("working", 1000, 25)):
        got = Counter()
        visits(at, us, each, got, 2 * workers)
        least = 2 * workers * each // workers // 4
        print(what, dict(sorted(got.items())))
        failed |= len(got) < workers or sum(got.values()) != 2 * workers * each or (us < 0 and min(got.values()) < least)
    # All workers but one have no time; SO_REUSEPORT chooses without regard to that, as on Linux.
    if mode != "reuseport":
        held = [threading.Thread(target=visit, args=(at, -HELD, Counter())) for _ in range(workers - 1)]
        for h in held:
            h.start()
        time.sleep(0.2)
        got = Counter()
        worst = max(visit(at, 0, got) for _ in range(60))
        print("beside busy ones", dict(got), "worst %.1f ms" % (worst * 1000))
        failed |= worst > LATE
        for h in held:
            h.join()
    sys.exit(failed)


if sys.argv[1] == "server":
    server(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    client(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
