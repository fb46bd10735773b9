# SPDX-License-Identifier: BSD-3-Clause
# asyncio_echo.py - echo over asyncio (epoll, non-blocking sockets): server PORT, or client ADDRESS PORT CLIENTS BYTES, which fails if one byte differs.
import asyncio
import random
import sys


async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def server(port):
    async with await asyncio.start_server(serve, "0.0.0.0", port, backlog=512) as s:
        await s.serve_forever()


async def client(address, port, number, size):
    reader, writer = await asyncio.open_connection(address, port)
    sent = random.Random(number).randbytes(size)

    async def send():
        for at in range(0, size, 7919):
            writer.write(sent[at:at + 7919])
            await writer.drain()
        writer.write_eof()

    sender = asyncio.create_task(send())
    received = await reader.read(-1)
    await sender
    writer.close()
    if received != sent:
        sys.exit(f"client {number}: {len(received)} bytes came back of {size}, or others")


async def clients(address, port, count, size):
    await asyncio.wait_for(asyncio.gather(*(client(address, port, i, size) for i in range(count))), 30)


if sys.argv[1] == "server":
    asyncio.run(server(int(sys.argv[2])))
else:
    asyncio.run(clients(sys.argv[2], *map(int, sys.argv[3:6])))
