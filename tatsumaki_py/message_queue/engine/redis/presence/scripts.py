"""The Lua scripts that decide which process a client is in.

In the hash of present clients, a value is ``<process> <number of the arrival there> <whether the
client was new> <process before> <number there>``; the last two may be empty.
"""

from __future__ import annotations

from tatsumaki_py.message_queue.engine.redis.scripts import Script

__all__ = ["BEAT", "MARK", "MOVE", "PLACE", "SAY", "SAY_SHARDED", "SWEEP", "UNKNOWN"]

MOVE = Script("""
-- KEYS: present, place. ARGV: client, process; for an arrival also: its number, '1' if an earlier
-- arrival is announced again (which has no effect if the client is in another process by now),
-- milliseconds for which `present` lasts.
-- Returns for an arrival: {whether the client is new, the process that it was in or '', the number
-- of its arrival there, place or nil}; for a departure: 0 if the client is in another process, 1 if
-- it was in this one, 2 if it was in none.
local value = redis.call('HGET', KEYS[1], ARGV[1])
local process, number, new, from, there = '', '', '1', '', ''
if value then
  process, number, new, from, there = string.match(value, '^(%S+) (%S+) (%S+) (%S*) (%S*)$')
end
local elsewhere = value and process ~= ARGV[2]
if not ARGV[3] then
  if value and not elsewhere then redis.call('HDEL', KEYS[1], ARGV[1]) end
  return elsewhere and 0 or (value and 1 or 2)
end
if ARGV[4] == '1' and value then
  if elsewhere then return {0, process, number, false} end
  return {0, '', '', false}
end
-- A call that is repeated because its answer was lost gets the same answer.
if value and (elsewhere or number ~= ARGV[3]) then
  new, from, there = '0', elsewhere and process or '', elsewhere and number or ''
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], ARGV[3], new, from, there}, ' '))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {tonumber(new), from, there, redis.call('GET', KEYS[2])}
""")
"""One script for arrivals and departures, so that they stay in order even if Redis has forgotten
it.
"""
UNKNOWN = 2
"""The answer to the departure of a client that was in no process."""

PLACE = Script("""
-- KEYS: stream and top of a channel. ARGV: milliseconds. Returns the newest id at or before that
-- time. If that event is no longer kept, returns an id that no event has, which leads to a gap.
local last = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', 1)[1]
if last then return last[1] end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local text = first and first[2][2] or redis.call('GET', KEYS[2])
if text then
  -- `place` is the id before the first event or, without an event, the newest id;
  -- `bytes` counts all events up to `place`.
  local place, ms, bytes = string.match(text, '^((%d+)%S+) (%d+)')
  if bytes == '0' or tonumber(ms) <= tonumber(ARGV[1]) then return place end
end
return ARGV[1] .. '-0'
""")

SWEEP = Script("""
-- KEYS: present. ARGV: client, ended process. Returns whether this call has removed the client.
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or string.match(value, '^%S+') ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
""")

BEAT = Script("""
-- KEYS: alive. ARGV: process, milliseconds for which it counts as alive (0 when it ends),
-- milliseconds for which `alive` lasts.
-- Returns {whether it counted as alive, now, the processes that have ended and their times}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
local until_ = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], until_, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)
return {before and tonumber(before) > now and 1 or 0, now, ended}
""")

MARK = Script("""
-- KEYS: alive. ARGV: process, '1' if all of its clients were removed, '0' if they are about to be
-- removed. Returns 1 if the process has ended, 0 if it is alive and its clients must stay.
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
-- KEYS: log. ARGV: pub/sub channel, process, number, message, messages to keep, milliseconds to
-- keep them.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before = last and last[1] or '0-0'
local id = redis.call(
  'XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', 'p', ARGV[2], 'n', ARGV[3], 'm', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
local words = {before, id, ARGV[2], ARGV[3], ARGV[4]}
redis.call('PUBLISH', ARGV[1], '!' .. table.concat(words, ' '))
return id
"""

SAY = Script(_SAY)
SAY_SHARDED = Script(_SAY.replace("'PUBLISH'", "'SPUBLISH'"))
