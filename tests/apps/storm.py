# SPDX-License-Identifier: BSD-3-Clause
# storm.py - a family of processes that share a listener, an epoll set and connections, killed at random moments of a seed; and its
# clients, of whose processes some are killed as well.  STORM_SEED, STORM_SECONDS.
#
# storm.py server PORT DIR: from the moment that DIR/kill exists one of the workers, or of their children, is killed every few
# milliseconds; then all are, and DIR/calm exists.  When DIR/again does, there are new ones.
# storm.py client PORT DIR HOST: what arrives is right, nobody waits for ever, and a connection of the new workers is whole.
import os, random, select, signal, socket, sys, threading, time

SEED = int(os.environ.get("STORM_SEED", "1"))
SECONDS = float(os.environ.get("STORM_SECONDS", "15"))
EVERY = 0.01
WORKERS = 4
PATIENCE = 10


def serve_to_the_end(c):
    """In a child that its worker shares the connection with, for a moment."""
    try:
        while data := c.recv(65536):
            c.sendall(data)
    except OSError:
        pass
    os._exit(0)


def change_a_socket():
    """What a socket's connections go through, in all stacks."""
    with socket.socket() as s:
        try:
            s.bind(("0.0.0.0", 0))
            s.listen(4)
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answer(own, conns, fd):
    try:
        data = conns[fd].recv(65536)
        conns[fd].sendall(data)
    except OSError:
        data = b""
    if not data:
        own.unregister(fd)
        conns.pop(fd).close()


def take_in(own, conns, listener, chance):
    try:
        c = listener.accept()[0]
    except OSError:
        return
    c.setblocking(True)
    if chance.random() < 0.7:
        own.register(c, select.EPOLLIN)
        conns[c.fileno()] = c
    elif os.fork():
        c.close()
    else:
        serve_to_the_end(c)


def work(listener, shared, chance):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    own, conns = select.epoll(), {}
    own.register(shared, select.EPOLLIN)
    while True:
        for fd, _ in own.poll():
            if fd in conns:
                answer(own, conns, fd)
            elif shared.poll(0):
                take_in(own, conns, listener, chance)
        if chance.random() < 0.1:
            change_a_socket()


def start(listener, shared, chance):
    seed = chance.random()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        work(listener, shared, random.Random(seed))
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass
    return pid


def end(pid, children):
    if children:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def end_orphans(groups):
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass


def await_file(path):
    while not os.path.exists(path):
        time.sleep(0.02)


def server(port, path):
    listener = socket.create_server(("0.0.0.0", port), backlog=128)
    listener.setblocking(False)
    shared, chance = select.epoll(), random.Random(SEED)
    shared.register(listener, select.EPOLLIN)
    pids, groups = [start(listener, shared, chance) for _ in range(WORKERS)], set()
    signal.signal(signal.SIGTERM, lambda *_: (end_orphans(groups.union(pids)), os._exit(0)))
    await_file(path + "/kill")
    stop = time.time() + SECONDS
    while time.time() < stop:
        time.sleep(EVERY * chance.random() * 2)
        i = chance.randrange(WORKERS)
        groups.add(pids[i])
        end(pids[i], chance.random() < 0.5)
        pids[i] = start(listener, shared, chance)
    while pids:
        end(pids.pop(), True)
    end_orphans(groups)
    open(path + "/calm", "w").close()
    await_file(path + "/again")
    pids += [start(listener, shared, chance) for _ in range(WORKERS)]
    while True:
        signal.pause()


def visit(at, data):
    """How much of it came back; what did was right."""
    got = bytearray()
    with socket.create_connection(at, timeout=PATIENCE) as s:
        def send():
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        t = threading.Thread(target=send, daemon=True)
        t.start()
        try:
            while part := s.recv(262144):
                got += part
        except socket.timeout:
            os._exit(3)
        except OSError:
            pass
        t.join()
    if not data.startswith(got):
        os._exit(4)
    return len(got)


def guests(at, seed):
    """Visits until it is killed: 3 and 4 are what must not happen."""
    chance = random.Random(seed)
    while True:
        try:
            visit(at, chance.randbytes(chance.choice((1, 1000, 100000))))
        except socket.timeout:
            os._exit(3)
        except OSError:
            pass


def guest(at, chance):
    seed = chance.random()
    pid = os.fork()
    if not pid:
        guests(at, seed)
    return pid


def client(port, path, host):
    at, chance, data = (host, port), random.Random(SEED + 1), os.urandom(1000000)
    socket.create_connection(at, timeout=PATIENCE).close()
    pids, deaths = [guest(at, chance) for _ in range(3)], 0
    open(path + "/kill", "w").close()
    while not os.path.exists(path + "/calm"):
        time.sleep(EVERY * chance.random() * 20)
        i = chance.randrange(len(pids))
        os.kill(pids[i], signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pids[i], 0)[1])
        if status != -signal.SIGKILL:
            sys.exit("a guest ended with status %d: %s" % (status, {3: "it waited too long", 4: "wrong bytes"}.get(status)))
        deaths += 1
        pids[i] = guest(at, chance)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    await_file(path + "/counted")
    open(path + "/again", "w").close()
    whole = sum(visit(at, data) == len(data) for _ in range(20))
    print("%d guests killed; then %d of 20 visits whole" % (deaths, whole))
    sys.exit(whole < 20)


if sys.argv[1] == "server":
    server(int(sys.argv[2]), sys.argv[3])
else:
    client(int(sys.argv[2]), sys.argv[3], sys.argv[4])
