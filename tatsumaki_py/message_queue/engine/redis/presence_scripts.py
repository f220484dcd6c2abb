"""The Lua scripts that decide which process a client is in.

In the hash of present clients, a value is ``<process> <number of the arrival there> <whether the
client was new>``.
"""

from __future__ import annotations

from tatsumaki_py.message_queue.engine.redis.scripts import Script

__all__ = ["BEAT", "MARK", "MOVE", "SAY", "SAY_SHARDED", "SWEEP"]

MOVE = Script("""
-- KEYS: present, place. ARGV: client, process, then of a client that comes: number of the arrival,
-- whether it is one of before, which does not count if the client is elsewhere now, milliseconds
-- for which `present` lasts.
-- Answers to a client that comes: {whether it is new, the process that it was in or '', its number
-- there, place or nil}; to one that leaves: whether it is in no process.
local value = redis.call('HGET', KEYS[1], ARGV[1])
local process, number, new = '', '', '1'
if value then process, number, new = string.match(value, '^(%S+) (%S+) (%S+)$') end
local elsewhere = value and process ~= ARGV[2]
if not ARGV[3] then
  if value and not elsewhere then redis.call('HDEL', KEYS[1], ARGV[1]) end
  return elsewhere and 0 or 1
end
-- The answer to the same call may have been lost.
if value and (elsewhere or number ~= ARGV[3]) then new = '0' end
if not (elsewhere and ARGV[4] == '1') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. new)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
if not elsewhere then process, number = '', '' end
return {tonumber(new), process, number, redis.call('GET', KEYS[2])}
""")
"""One script for both: if Redis has forgotten it, calls are still made in order."""

SWEEP = Script("""
-- KEYS: present. ARGV: client, process, which has ended. Answers whether this call has removed
-- the client.
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or string.match(value, '^%S+') ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
""")

BEAT = Script("""
-- KEYS: alive. ARGV: process, milliseconds for which it is taken for alive; 0 if it ends.
-- Answers {whether it was taken for alive, now, the processes that have ended and their times}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
local until_ = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], until_, ARGV[1])
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)
return {before and tonumber(before) > 0 and 1 or 0, now, ended}
""")

MARK = Script("""
-- KEYS: alive. ARGV: process, whether all of its clients are forgotten. Its clients are about to be
-- forgotten, unless it turns out to be alive: answers whether it has ended.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > now then return 0 end
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', -math.abs(tonumber(score))), ARGV[1])
end
return 1
""")

_SAY = """
-- KEYS: log. ARGV: pub/sub channel, process, message, messages to keep, milliseconds to keep them.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before = last and last[1] or '0-0'
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'p', ARGV[2], 'm', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[1], '!' .. before .. ' ' .. id .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
return id
"""

SAY = Script(_SAY)
SAY_SHARDED = Script(_SAY.replace("'PUBLISH'", "'SPUBLISH'"))
