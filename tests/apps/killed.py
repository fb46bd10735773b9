# SPDX-License-Identifier: BSD-3-Clause
# killed.py - an echo server whose workers are killed at work, again and again, and a client that compares its speed before and after.
#
# killed.py server PORT DIR: three workers.  From the moment that DIR/kill exists one is killed every few milliseconds, for SECONDS; then
# there is DIR/calm.
# killed.py client PORT DIR HOST: connections may be lost meanwhile, but nobody waits for ever, what arrives is right, and afterwards
# the survivors are as fast as the first were.
import os, random, signal, socket, sys, threading, time

SECONDS = 4
EVERY = 0.012


def echo(c):
    with c:
        try:
            while data := c.recv(65536):
                c.sendall(data)
        except OSError:
            pass


def start(listener):
    pid = os.fork()
    while not pid:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
    return pid


def server(port, path):
    listener = socket.create_server(("0.0.0.0", port), backlog=128)
    pids = [start(listener) for _ in range(3)]

    def end(*_):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while not os.path.exists(path + "/kill"):
        time.sleep(0.02)
    stop = time.time() + SECONDS
    while time.time() < stop:
        time.sleep(EVERY * random.random() * 2)
        i = random.randrange(len(pids))
        os.kill(pids[i], signal.SIGKILL)
        os.waitpid(pids[i], 0)
        pids[i] = start(listener)
    # What the last one held is released within 20 ms.
    time.sleep(0.2)
    open(path + "/calm", "w").close()
    while True:
        signal.pause()


def visit(at, data):
    """True if all of it came back; OSError if the connection was lost."""
    got = []
    with socket.create_connection(at, timeout=10) as s:
        def send():
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        t = threading.Thread(target=send, daemon=True)
        t.start()
        while part := s.recv(262144):
            got.append(part)
        t.join()
    got = b"".join(got)
    if not data.startswith(got):
        sys.exit("wrong bytes")
    return got == data


def seconds_for(at, data, times):
    began = time.time()
    for _ in range(times):
        if not visit(at, data):
            sys.exit("a connection ended early")
    return time.time() - began


def under_fire(at, path, tally):
    data = os.urandom(100000)
    while not os.path.exists(path + "/calm"):
        try:
            tally["good" if visit(at, data) else "lost"] += 1
        except socket.timeout:
            tally["late"] += 1
        except OSError:
            tally["lost"] += 1


def client(port, path, host):
    at, bulk = (host, port), os.urandom(4000000)
    tally = {"good": 0, "lost": 0, "late": 0}
    seconds_for(at, bulk, 1)
    before = min(seconds_for(at, bulk, 3) for _ in range(3))
    open(path + "/kill", "w").close()
    threads = [threading.Thread(target=under_fire, args=(at, path, tally)) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    after = min(seconds_for(at, bulk, 3) for _ in range(3))
    print(tally, "before %.2f s, after %.2f s" % (before, after))
    sys.exit(not tally["good"] or tally["late"] or after > 3 * before)


if sys.argv[1] == "server":
    server(int(sys.argv[2]), sys.argv[3])
else:
    client(int(sys.argv[2]), sys.argv[3], sys.argv[4])
