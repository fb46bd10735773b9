# SPDX-License-Identifier: BSD-3-Clause
# loopback.py - one process on both ends of connections in 127.0.0.0/8: what it reads is what was written, from every kind of address.
import hashlib
import os
import socket
import threading

SIZE = 8 << 20
data = os.urandom(SIZE)


def serve(listener, digests):
    conn, peer = listener.accept()
    h = hashlib.sha256()
    while chunk := conn.recv(65536):
        h.update(chunk)
    conn.sendall(h.digest())
    conn.close()
    digests.append(peer)


def exchange(listen_at, connect_to, expect_peer, family=socket.AF_INET, bind_to=None):
    listener = socket.create_server((listen_at, 0))
    peers = []
    thread = threading.Thread(target=serve, args=(listener, peers))
    thread.start()
    s = socket.socket(family)
    if bind_to:
        s.bind((bind_to, 0))
    s.connect((connect_to, listener.getsockname()[1]))
    assert s.getpeername()[0] == connect_to, s.getpeername()
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    assert s.recv(32, socket.MSG_WAITALL) == hashlib.sha256(data).digest()
    assert s.recv(1) == b""
    thread.join()
    assert peers[0][0] == expect_peer, peers
    assert s.getsockname()[1] == peers[0][1]
    listener.close()
    s.close()


def to_itself():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.connect(s.getsockname())
    assert s.getpeername() == s.getsockname()
    s.sendall(b"to myself")
    assert s.recv(100) == b"to myself"
    s.close()


def never_accepted():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    for c in clients:
        c.sendall(b"hello")
    listener.close()
    for c in clients:
        c.settimeout(10)
        try:
            assert c.recv(1) == b""
        except ConnectionResetError:
            pass


exchange("127.0.0.1", "127.0.0.1", "127.0.0.1")
exchange("127.0.0.2", "127.0.0.2", "127.0.0.1")
exchange("0.0.0.0", "127.1.2.3", "127.0.0.1")
exchange("127.0.0.1", "127.0.0.1", "127.9.9.9", bind_to="127.9.9.9")
exchange("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1", family=socket.AF_INET6)
to_itself()
never_accepted()
print("carried", SIZE)
