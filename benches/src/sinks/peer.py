"""A peer of the tracker: the tracker that it comes from, in plain CPython.

A dict of keys, each with alpha, beta, a cached mean and, if asked for, the history of its means. An
update takes the lock, adds its weight, computes the mean and appends it to the history, which is
bounded so that memory does not decide; a batch updates one by one.

Arguments: keys, updates per batch, points of history per key, seconds. Prints a line of JSON.
"""

import json
import random
import sys
import threading
import time


class Trust:
    __slots__ = ("alpha", "beta", "mean", "history")

    def __init__(self):
        self.alpha = 1.0
        self.beta = 1.0
        self.mean = 0.5
        self.history = []


class TrustTracker:
    def __init__(self, history):
        self.lock = threading.RLock()
        self.keys = {}
        self.history = history

    def update(self, key, success, weight=1.0):
        with self.lock:
            trust = self.keys.get(key)
            if trust is None:
                trust = self.keys[key] = Trust()
            if success:
                trust.alpha += weight
            else:
                trust.beta += weight
            trust.mean = trust.alpha / (trust.alpha + trust.beta)
            if self.history:
                trust.history.append((time.time(), trust.mean))
                if len(trust.history) > self.history:
                    del trust.history[0]

    def batch_update(self, updates):
        for key, success, weight in updates:
            self.update(key, success, weight)


def run(keys, batch, history, seconds):
    draw = random.Random(keys)
    names = [f"rule-{key:07}" for key in range(keys)]
    tracker = TrustTracker(history)
    tracker.batch_update((name, True, 0.0) for name in names)
    # Made beforehand, so that only the tracker is timed; new strings, as updates that arrive are.
    stream = [
        (f"rule-{draw.randrange(keys):07}", number % 4 != 0, 1.0) for number in range(1 << 20)
    ]
    number = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        first = number % len(stream)
        updates = stream[first : first + batch]
        tracker.batch_update(updates)
        number += len(updates)
    elapsed = time.perf_counter() - started
    strength = sum(trust.alpha + trust.beta for trust in tracker.keys.values())
    print(json.dumps({"updates": number, "seconds": elapsed, "evidence": strength - 2.0 * keys}))


if __name__ == "__main__":
    run(*(int(argument) for argument in sys.argv[1:4]), float(sys.argv[4]))
