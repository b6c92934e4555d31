"""A loopback server with the batch APIs of OpenAI, Azure, Anthropic and Gemini, answered at once."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class BatchServer:
    """What was handed in, and what the server shall do: see the attributes."""

    def __init__(self):
        self.seen = []
        """(method, path, headers) of each request."""
        self.files = {}
        self.batches = {}
        self.outcomes = {}
        """By custom_id: `expired`, `cancelled`, `refused`, `empty`; any other is answered."""
        self.status = "completed"
        self.file_states = []
        """What is said of a file's state, one after the other."""
        self.faults = []
        """Statuses that the next requests are answered with; 0 drops the connection, after the work."""
        self.cut_after = None
        """Bytes after which a download is cut, once; -1: behind all that there is."""
        self.ranges = True
        self.url = ""

    def row(self, line):
        identity = line["custom_id"]
        outcome = self.outcomes.get(identity)
        row = {"id": f"r-{identity}", "custom_id": identity, "response": None, "error": None}
        if outcome in ("expired", "cancelled"):
            return {**row, "error": {"code": f"batch_{outcome}", "message": "not executed"}}
        if outcome == "refused":
            error = {"error": {"type": "invalid_request_error", "message": "no such role"}}
            return {**row, "response": {"status_code": 400, "body": error}}
        said = "" if outcome == "empty" else f"answer {identity}"
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        body = {"model": "gpt", "choices": [choice], "usage": usage}
        return {**row, "response": {"status_code": 200, "body": body}}

    def make(self, asked):
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        rows = [self.row(line) for line in lines]
        good = [row for row in rows if row["response"] and row["response"]["status_code"] == 200]
        bad = [row for row in rows if row not in good]
        identity = f"batch_{len(self.batches) + 1}"
        batch = {"id": identity, "status": self.status, "metadata": asked.get("metadata"), "asked": asked}
        batch["request_counts"] = {"total": len(rows), "completed": len(good), "failed": len(bad)}
        for kind, found in (("output", good), ("error", bad)):
            name = f"{identity}-{kind}"
            self.files[name] = b"".join(json.dumps(row).encode() + b"\n" for row in found)
            batch[f"{kind}_file_id"] = name if found else None
        self.batches[identity] = batch
        return batch

    def openai(self, method, path, body):
        if method == "POST" and path == "/files":
            identity = f"file_{len(self.files) + 1}"
            self.files[identity] = re.search(rb"application/jsonl\r\n\r\n(.*)\r\n--", body, re.DOTALL)[1]
            return {"id": identity, "status": self.file_states.pop(0) if self.file_states else "processed"}
        if method == "GET" and re.fullmatch(r"/files/\w+", path):
            return {"id": path[7:], "status": self.file_states.pop(0)}
        if method == "POST" and path == "/batches":
            return self.make(json.loads(body))
        if path == "/batches":
            return {"data": list(reversed(self.batches.values())), "has_more": False}
        if found := re.fullmatch(r"/files/([\w-]+)/content", path):
            return self.files[found[1]]
        batch = self.batches[path.split("/")[2]]
        if path.endswith("/cancel"):
            batch["status"] = "cancelled"
        return batch

    def anthropic(self, method, path, body):
        if method == "POST" and path == "/messages/batches":
            self.batches["msgbatch_1"] = json.loads(body)["requests"]
        rows = self.batches.get("msgbatch_1", [])
        if path.endswith("/results"):
            return b"".join(json.dumps(self.message(row)).encode() + b"\n" for row in rows)
        ended = "ended" if self.status == "completed" else "in_progress"
        counts = {"processing": 0, "succeeded": len(rows) - 1, "errored": 1, "canceled": 0, "expired": 0}
        return {
            "id": "msgbatch_1",
            "processing_status": ended,
            "request_counts": counts,
            "results_url": "http://x/",
        }

    def message(self, row):
        identity = row["custom_id"]
        outcome = self.outcomes.get(identity)
        result = {"type": {"cancelled": "canceled"}.get(outcome, outcome)}
        if outcome == "refused":
            told = {"type": "invalid_request_error", "message": "no such role"}
            result = {"type": "errored", "error": {"type": "error", "error": told}}
        elif outcome is None:
            said = [{"type": "text", "text": f"answer {identity}"}]
            usage = {"input_tokens": 3, "output_tokens": 2}
            message = {"type": "message", "content": said, "stop_reason": "end_turn", "usage": usage}
            result = {"type": "succeeded", "message": {**message, "model": "claude"}}
        return {"custom_id": identity, "result": result}

    def gemini(self, method, path, body):
        if method == "POST" and path.endswith(":batchGenerateContent"):
            self.batches["batches/1"] = json.loads(body)["batch"]
        if path == "/batches":
            listed = [
                {"name": name, "metadata": {"displayName": batch["displayName"]}}
                for name, batch in self.batches.items()
            ]
            return {"operations": listed}
        batch = self.batches["batches/1"]
        rows = [self.content(row) for row in batch["inputConfig"]["requests"]["requests"]]
        stats = {"requestCount": str(len(rows)), "successfulRequestCount": str(len(rows) - 1)}
        state = "BATCH_STATE_SUCCEEDED" if self.status == "completed" else "BATCH_STATE_RUNNING"
        told = {"state": state, "batchStats": {**stats, "failedRequestCount": "1"}}
        operation = {"name": "batches/1", "metadata": {**told, "displayName": batch.get("displayName")}}
        if self.status == "completed":
            response = {"inlinedResponses": {"inlinedResponses": rows}}
            operation |= {"done": True, "response": response}
        return operation

    def content(self, row):
        identity = row["metadata"]["key"]
        if self.outcomes.get(identity) == "refused":
            return {"metadata": row["metadata"], "error": {"code": 3, "message": "no such role"}}
        candidate = {"content": {"parts": [{"text": f"answer {identity}"}]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": 3, "candidatesTokenCount": 2}
        return {"metadata": row["metadata"], "response": {"candidates": [candidate], "usageMetadata": usage}}


class Handler(BaseHTTPRequestHandler):
    """Answers for the state and the kind that a subclass has."""

    state: BatchServer
    kind = ""
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.state.seen.append((self.command, self.path, headers))
        fault = self.state.faults.pop(0) if self.state.faults else None
        if fault:
            return self.give(fault, b'{"error": {"message": "not now"}}')
        made = getattr(self.state, self.kind)(
            self.command, self.path.split("?")[0].removeprefix("/openai"), body
        )
        if fault == 0:
            return self.drop()
        if isinstance(made, bytes):
            return self.download(made, headers.get("range"))
        return self.give(200, json.dumps(made).encode())

    do_GET = do_POST = answer

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def download(self, data, span):
        status, more = 200, {}
        if span and self.state.ranges:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.give(416, b"{}")
                return
            more = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            status, data = 206, data[start:]
        cut, self.state.cut_after = self.state.cut_after, None
        if cut == -1:
            self.give(status, data + b" ", data, more)
        else:
            self.give(status, data, data if cut is None else data[:cut], more)
        if cut is not None:
            self.drop()

    def give(self, status, body, sent=None, more=()):
        self.send_response(status)
        for name, value in dict(more).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else sent)

    def log_message(self, *arguments):
        pass


@contextmanager
def serve(kind="openai"):
    """Serve one of the APIs; yield the server."""
    state = BatchServer()

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state, "kind": kind}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
