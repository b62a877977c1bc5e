"""A peer of `forebay ingest`: json, one executemany per 500 rows, a commit after each.

The same table and the same promise as the program: write-ahead log and synchronous=FULL.
"""

import json
import sqlite3
import sys

BATCH_ROWS = 500
# STRICT came with SQLite 3.37; without it the table takes the same values.
STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
CREATE = f"""CREATE TABLE tag_values(
    timestamp INTEGER NOT NULL, source TEXT NOT NULL, tag TEXT NOT NULL, value ANY,
    quality TEXT NOT NULL, scope INTEGER NOT NULL, position INTEGER NOT NULL) {STRICT}"""
INSERT = "INSERT INTO tag_values VALUES (?, ?, ?, ?, ?, 1, ?)"


def load(source, database):
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(CREATE)
    batch = []
    with open(source, encoding="utf-8") as lines:
        for position, line in enumerate(lines, 1):
            row = json.loads(line)
            batch.append(
                (
                    row["timestamp"],
                    row["source"],
                    row["tag"],
                    row["value"],
                    row["quality"],
                    position,
                )
            )
            if len(batch) == BATCH_ROWS:
                connection.executemany(INSERT, batch)
                connection.commit()
                batch.clear()
    connection.executemany(INSERT, batch)
    connection.commit()
    connection.close()


if __name__ == "__main__":
    load(sys.argv[1], sys.argv[2])
