"""Events of one outermost run: told to sinks at once, to readers as they can follow.

A slow reader never slows a run: adjacent text deltas are merged, and when its
queue is full the oldest events give way to one `Lagged(n)`. The end of a run is
never dropped. A `Feed` also keeps the last events, so that a reader that comes
(back) later can go on after the `seq` that it saw last.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Sequence

from agentflow.runtime.clock import Clock
from agentflow_protocols.trace import Event, Lagged, RunFinished, TextDelta

__all__ = ["EventStream", "Feed"]

KEPT = 256  # events kept for readers that come later, after merging
QUEUED = 1024  # events that one reader may be behind, after merging
MERGED = 4096  # characters that merged text deltas may have together


class _Text:
    """Adjacent text deltas of one run. Their seqs follow one another."""

    __slots__ = ("ends", "first", "run", "text", "time")

    def __init__(self, event: TextDelta) -> None:
        self.run, self.first, self.time = event.run, event.seq, event.time
        self.text = event.text
        self.ends = array("I", [len(event.text)])

    def add(self, event: TextDelta) -> bool:
        """Take `event` in, if it follows directly."""
        if event.run != self.run or event.seq != self.first + len(self.ends) or len(self.text) > MERGED:
            return False
        self.text += event.text
        self.ends.append(len(self.text))
        return True

    def after(self, seq: int) -> TextDelta | None:
        """Return what came after `seq`."""
        skip = max(0, seq + 1 - self.first)
        if skip >= len(self.ends):
            return None
        text = self.text[self.ends[skip - 1] :] if skip else self.text
        return TextDelta(text, run=self.run, seq=self.first + len(self.ends) - 1, time=self.time)


class _Kept:
    """The last events, text deltas merged."""

    __slots__ = ("dropped", "items", "size")

    def __init__(self, size: int) -> None:
        self.items: deque[Event | _Text] = deque()
        self.size = size
        self.dropped = 0

    def push(self, event: Event) -> None:
        if type(event) is TextDelta:
            last = self.items[-1] if self.items else None
            if type(last) is _Text and last.add(event):
                return
            self.items.append(_Text(event))
        else:
            self.items.append(event)
        if len(self.items) > self.size:
            self._drop()

    def _drop(self) -> None:
        first = self.items.popleft()
        if type(first) is RunFinished:  # never dropped: it goes behind the next one
            first, keep = self.items.popleft(), first
            self.items.appendleft(keep)
        self.dropped += len(first.ends) if type(first) is _Text else 1


class EventStream:
    """An async iterator over the events of a run; it ends when the run has ended."""

    def __init__(self, feed: Feed, after: int) -> None:
        self._feed = feed
        self._seen = after
        self._queue = _Kept(QUEUED)
        self._waiter: asyncio.Future[None] | None = None

    def push(self, event: Event) -> None:
        """Queue `event`, dropping the oldest when the reader is too far behind."""
        self._queue.push(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wake(self) -> None:
        """Let a waiting reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self._take()
            if event is not None:
                self._seen = max(self._seen, event.seq)
                return event
            if self._feed.closed:
                self._feed.leave(self)
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take(self) -> Event | None:
        queue = self._queue
        if queue.dropped:
            lagged = Lagged(queue.dropped, run=self._feed.run, seq=self._seen)
            queue.dropped = 0
            return lagged
        while queue.items:
            item = queue.items.popleft()
            event = item.after(self._seen) if type(item) is _Text else item
            if isinstance(event, Event) and event.seq > self._seen:
                return event
        return None


class Feed:
    """The events of one outermost run and of all below it."""

    def __init__(self, run: str, clock: Clock, sinks: Sequence[Callable[[Event], object]] = ()) -> None:
        self.run = run
        self.seq = 0
        self.closed = False
        self._time = clock.time
        self._sinks = sinks
        self._kept = _Kept(KEPT)
        self._readers: list[EventStream] = []

    def emit(self, event: Event, run: str) -> None:
        """Tell `event` of the run `run`."""
        self.seq = event.seq = self.seq + 1
        event.run = run
        event.time = self._time()
        if self._sinks:
            for sink in self._sinks:
                sink(event)
        self._kept.push(event)
        if self._readers:
            for reader in self._readers:
                reader.push(event)

    def attach(self, after: int = 0) -> EventStream:
        """Return the events after `after`: what is still kept of the past, then what comes."""
        stream = EventStream(self, after)
        kept = self._kept
        first = self.seq + 1
        if kept.items:
            head = kept.items[0]
            first = head.first if type(head) is _Text else head.seq  # type: ignore[union-attr]
        stream._queue.dropped = max(0, first - after - 1)
        for item in kept.items:
            if type(item) is _Text:
                delta = item.after(after)
                if delta is not None:
                    copy = _Text(delta)
                    copy.first = delta.seq
                    stream._queue.items.append(copy)
            elif isinstance(item, Event) and item.seq > after:
                stream._queue.items.append(item)
        if not self.closed:
            self._readers.append(stream)
        return stream

    def leave(self, reader: EventStream) -> None:
        """Stop telling `reader`."""
        if reader in self._readers:
            self._readers.remove(reader)

    def close(self) -> None:
        """End every reader's stream after what it still has to read."""
        self.closed = True
        for reader in self._readers:
            reader.wake()
        self._readers.clear()
