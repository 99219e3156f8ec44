"""Values in Redis, by the rules of `src/cache`: times, tokens that a writer takes away and closes, single flight in each process.

What is left out makes this cheaper: nothing is kept for a time without a database, there is no breaker, and nobody looks whether the
server has started anew.
"""

import asyncio
import hashlib
import secrets

import redis.asyncio

TOKEN = 16
TOKEN_KEPT = 2 * 24 * 3600
LAPSE_MS = 60_000
TIMES = {"plan": 300, "thermal": 300, "optimise": 600, "search": 3600, "kinds": 3600}

# The scripts are those of `src/cache/entries.rs` and `src/cache/limiter.rs`.
CLOSE = """
local clock = redis.call('TIME')
local lapses = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.call('ZADD', KEYS[i + 1], string.format('%.0f', lapses), ARGV[1])
  redis.call('PEXPIRE', KEYS[i + 1], ARGV[2])
  redis.call('SET', KEYS[i], 'closed', 'PX', ARGV[2])
end"""

OPEN = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.call('ZREM', KEYS[i + 1], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', string.format('%.0f', now))
  local last = redis.call('ZREVRANGE', KEYS[i + 1], 0, 0, 'WITHSCORES')
  if last[2] then
    redis.call('SET', KEYS[i], 'closed', 'PX', string.format('%.0f', last[2] - now))
  end
end"""

COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = tonumber(redis.call('GET', KEYS[1]) or now)
if time < now or time > now + tolerance then time = now end
local next = time + interval
if next > now + tolerance then return {1, next - now - tolerance} end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', string.format('%.0f', math.ceil((next - now) / 1000)))
return {0, math.floor((now + tolerance - next) / interval)}"""


class Cache:
    """The server, through its socket."""

    def __init__(self, path, prefix, per_minute):
        # Bounded, with a wait: thousands of requests at once would otherwise make more connections than the server takes.
        pool = redis.asyncio.BlockingConnectionPool(
            max_connections=64, timeout=20, connection_class=redis.asyncio.UnixDomainSocketConnection, path=path
        )
        self.redis = redis.asyncio.Redis(connection_pool=pool)
        self.prefix, self.flights = prefix, {}
        self.close_groups = self.redis.register_script(CLOSE)
        self.open_groups = self.redis.register_script(OPEN)
        self.counts = self.redis.register_script(COUNT)
        interval = max(60_000_000 // per_minute, 1)
        self.rate = [interval, interval * max((per_minute + 1) // 2, 1)]

    def token_key(self, group):
        return f"{self.prefix}token:{group}"

    async def get_or(self, group, key, make):
        """The value with this key, or what `make` gives; and whether it is a hit."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        token_key, value_key = self.token_key(group), f"{self.prefix}value:{group}:{digest}"
        token, value = await self.redis.mget(token_key, value_key)
        if token is None:
            await self.redis.set(token_key, secrets.token_bytes(TOKEN), nx=True, ex=TOKEN_KEPT)
            token = await self.redis.get(token_key)
        if token is None or len(token) != TOKEN:
            # A writer has closed the group.
            return await make(), "miss"
        if value is not None and value.startswith(token):
            return value[TOKEN:], "hit"
        flight = (value_key, token)
        under_way = self.flights.get(flight)
        if under_way is not None:
            return await asyncio.shield(under_way), "miss"
        self.flights[flight] = done = asyncio.get_running_loop().create_future()
        try:
            value = await make()
            await self.redis.set(value_key, token + value, ex=TIMES[group])
            done.set_result(value)
            return value, "miss"
        except BaseException as error:
            done.set_exception(error)
            # It is told even if nobody else waits for it.
            done.exception()
            raise
        finally:
            del self.flights[flight]

    async def change(self, groups, write):
        """Changes the database such that values of these groups become old. A change that was begun is finished."""
        return await asyncio.shield(asyncio.ensure_future(self.change_here(groups, write)))

    async def change_here(self, groups, write):
        keys = [key for group in groups for key in (self.token_key(group), f"{self.prefix}writers:{group}")]
        arguments = [secrets.token_bytes(TOKEN), LAPSE_MS]
        await self.close_groups(keys=keys, args=arguments)
        try:
            return await write
        finally:
            await self.open_groups(keys=keys, args=arguments)

    async def permits(self, who):
        """Counts a request of somebody; the seconds to wait, or 0 if it is permitted."""
        digest = hashlib.sha256(who.encode()).hexdigest()[:32]
        refused, rest = await self.counts(keys=[f"{self.prefix}limit:request:{digest}"], args=self.rate)
        return rest // 1_000_000 + 1 if refused else 0
