"""A peer of the data service: the algorithm that it comes from, in CPython.

One buffer per key, as deep as the greediest subscriber needs. A put appends and notes the key; at
the end of a transaction each subscriber is called with what its extractor makes of the keys that
changed. Three subscribers of all keys: the newest value, a window, everything since the last call.

Arguments: keys, updates per transaction, window, seconds. Prints a line of JSON.
"""

import json
import random
import sys
import time
from collections import defaultdict, deque


class Latest:
    def extract(self, key, buffer, appended):
        return buffer[-1]


class Window:
    """The whole buffer, which is as deep as the one window there is."""

    def extract(self, key, buffer, appended):
        return list(buffer)


class SinceLast:
    def __init__(self):
        self.seen = defaultdict(int)

    def extract(self, key, buffer, appended):
        fresh = appended - self.seen[key]
        self.seen[key] = appended
        if fresh == 1:
            return [buffer[-1]]
        return list(buffer)[-fresh:]


class Service:
    def __init__(self, keys, depth):
        self.buffers = {key: deque(maxlen=depth) for key in range(keys)}
        self.appended = dict.fromkeys(range(keys), 0)
        self.changed = set()
        self.subscribers = []

    def put(self, key, time_us, value):
        self.buffers[key].append((time_us, value))
        self.appended[key] += 1
        self.changed.add(key)

    def commit(self):
        changed, self.changed = self.changed, set()
        buffers, appended = self.buffers, self.appended
        for keys, extractor, callback in self.subscribers:
            extract = extractor.extract
            callback(
                {key: extract(key, buffers[key], appended[key]) for key in changed & keys}
            )


def run(keys, updates, window, seconds):
    draw = random.Random(keys)
    stream = [draw.randrange(keys) for _ in range(updates * 64)]
    service = Service(keys, window)
    newest, longest, count, total = {}, 0, 0, 0.0

    def show_latest(shown):
        newest.update(shown)

    def show_window(shown):
        nonlocal longest
        longest = max(longest, max(map(len, shown.values())))

    def show_since_last(shown):
        nonlocal count, total
        for samples in shown.values():
            count += len(samples)
            for _, value in samples:
                total += value

    everything = set(range(keys))
    service.subscribers = [
        (everything, Latest(), show_latest),
        (everything, Window(), show_window),
        (everything, SinceLast(), show_since_last),
    ]
    number, put = 0, service.put
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        first = number % len(stream)
        for key in stream[first : first + updates]:
            put(key, number, float(number))
            number += 1
        service.commit()
    elapsed = time.perf_counter() - started
    newest_time = max(time_us for time_us, _ in newest.values())
    print(
        json.dumps(
            {
                "updates": number,
                "seconds": elapsed,
                "seen": count,
                "sum": total,
                "newest": newest_time,
                "longest": longest,
            }
        )
    )


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
