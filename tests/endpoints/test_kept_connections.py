"""A server that closes a connection with the end of a reply, and does not say so before."""

from __future__ import annotations

import socket
import threading

from agentflow import Endpoint

BODY = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REPLY = HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


async def test_a_kept_connection_that_is_at_its_end_is_not_used() -> None:
    closed = threading.Semaphore(0)

    def serve() -> None:
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(REPLY)
            closed.release()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        async with Endpoint("m", base_url=url, retry=1) as endpoint:
            for _ in range(2):
                reply = await endpoint.complete("Hello?")
                assert reply.message.text == "Hi"
                # The loop stands still meanwhile: it has not seen that the server is gone.
                assert closed.acquire(timeout=5)
        thread.join()
