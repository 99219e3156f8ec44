"""The ticker service's ingest as one would write it in Python: asyncio, websockets, pyarrow. What `compare` races.

The same design, and tuned: uvloop and orjson, no compression on the wire, one list per column and partition in
place of objects, records handed over in batches, pyarrow building whole columns at once. It does less than the
service: no salvage, no metrics, no late records.

    python writer.py URL DIRECTORY MESSAGES
"""

import asyncio
import collections
import os
import resource
import sys
import time

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import uvloop
import websockets

QUEUE, FLUSH_RECORDS, FLUSH_SECONDS, PACE, MOST = 10_000, 100, 5.0, 2.0, 20_000
SEGMENT = 100 << 20
UTC = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([
    pa.field("received", UTC, nullable=False), pa.field("time", UTC), pa.field("sequence", pa.int64()),
    pa.field("trade_id", pa.int64()), pa.field("price", pa.float64()), pa.field("size", pa.float64()),
    pa.field("buy", pa.bool_()),
])


class Partition:
    def __init__(self, directory, stream, symbol, hour):
        self.hour, self.bytes = hour, 0
        self.name = f"{directory}/{stream}-{symbol}-{hour}-{time.time_ns()}.parquet"
        self.file = open(self.name, "wb")
        self.writer = pq.ParquetWriter(
            self.file, SCHEMA, compression="zstd", compression_level=1, use_dictionary=["price", "size"],
            column_encoding={"received": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED",
                             "sequence": "DELTA_BINARY_PACKED", "trade_id": "DELTA_BINARY_PACKED"})
        self.clear()

    def clear(self):
        self.received, self.times, self.ids, self.prices, self.sizes, self.buys = [], [], [], [], [], []

    def flush(self):
        if not self.ids:
            return 0
        count = len(self.ids)
        # Numbers arrive as text: Arrow reads a whole column of it at once.
        self.writer.write_table(pa.table([
            pa.array(self.received, pa.int64()).cast(UTC), pa.array(self.times, pa.int64()).cast(UTC),
            pa.nulls(count, pa.int64()), pa.array(self.ids, pa.int64()),
            pa.array(self.prices).cast(pa.float64()), pa.array(self.sizes).cast(pa.float64()),
            pa.array(self.buys, pa.bool_()),
        ], schema=SCHEMA), row_group_size=count)
        self.file.flush()
        os.fdatasync(self.file.fileno())
        self.clear()
        return count


async def main(url, directory, messages):
    queue, filled, emptied = collections.deque(), asyncio.Event(), asyncio.Event()
    last, seen = {}, {"gaps": 0, "duplicates": 0, "garbage": 0}

    async def listen():
        async with websockets.connect(url, compression=None, max_queue=1024, ping_interval=None) as socket:
            loads, now, recv, put = orjson.loads, time.time_ns, socket.recv, queue.append
            while True:
                text = await recv()
                try:
                    message = loads(text)
                    data = message["data"]
                    symbol, number = data["s"], data["t"]
                    key = (message["stream"].partition("@")[2], symbol)
                    record = (key, now() // 1000, data["T"] * 1000, number, data["p"], data["q"], not data["m"])
                except (KeyError, TypeError, ValueError):
                    seen["garbage"] += 1
                    continue
                before = last.get(key, number - 1)
                if number <= before:
                    seen["duplicates"] += 1
                    continue
                if number > before + 1:
                    seen["gaps"] += 1
                last[key] = number
                while len(queue) >= QUEUE:
                    emptied.clear()
                    await emptied.wait()
                put(record)
                filled.set()

    async def write():
        partitions, flushed, paced = {}, 0, 0.0
        while flushed < messages:
            try:
                await asyncio.wait_for(filled.wait(), 0.1)
            except asyncio.TimeoutError:
                pass
            filled.clear()
            while queue:
                key, received, at, number, price, size, buy = queue.popleft()
                hour = received // 3_600_000_000
                partition = partitions.get(key)
                if partition is None or partition.hour != hour or partition.file.tell() > SEGMENT:
                    if partition is not None:
                        flushed += partition.flush()
                        partition.writer.close()
                    partition = partitions[key] = Partition(directory, *key, hour)
                partition.received.append(received)
                partition.times.append(at)
                partition.ids.append(number)
                partition.prices.append(price)
                partition.sizes.append(size)
                partition.buys.append(buy)
                if len(partition.ids) >= MOST:
                    flushed += partition.flush()
            emptied.set()
            now = time.monotonic()
            if now - paced >= PACE:
                paced, oldest = now, (time.time() - FLUSH_SECONDS) * 1e6
                for partition in partitions.values():
                    if len(partition.ids) >= FLUSH_RECORDS or partition.received and partition.received[0] < oldest:
                        flushed += partition.flush()
        for partition in partitions.values():
            partition.writer.close()

    listening = asyncio.create_task(listen())
    await write()
    listening.cancel()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(orjson.dumps({"cpu_seconds": usage.ru_utime + usage.ru_stime, "resident_bytes": usage.ru_maxrss * 1024,
                        **seen}).decode())


uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
