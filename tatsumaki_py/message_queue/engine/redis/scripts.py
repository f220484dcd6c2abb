"""The Lua scripts, which Redis runs one at a time.

Rules:
1. Ids increase, even if the clock of Redis steps back. `t` has the newest id. If `t` is lost, the
   newest id is that of the newest entry. Without an entry, it is a new id, so that no cursor from
   before the loss is known.
2. A place is known if it is the newest id, the id of an entry, or the id before the first entry.
   Events after any other place may be lost.
3. A process publishes to a channel in the order of the numbers of its calls. A repeated call is
   answered as before. A call that comes after a later one does nothing.
4. A call does nothing after its deadline, so that no event is accepted after its publisher has got
   an error.
5. Redis does not undo a script that fails halfway. Only PUBLISH can be forbidden separately,
   because it needs permission for a pub/sub channel: if it fails, the events are removed again.
6. The last event of each key is also stored outside of the stream, in `l` and `h` (see
   `keys.Keys`). `shrink_last` enforces their limits, and drops a bounded number of events per call.

`t` is ``<newest id> <bytes of all events ever> <how many of these bytes are known to be dropped>
<when to drop old events next, in milliseconds> <settings>``. `wire` has the other formats.
"""

from __future__ import annotations

from hashlib import sha1

from tatsumaki_py.message_queue.engine.redis.wire import DEFAULTS
from tatsumaki_py.message_queue.event import OVERHEAD
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["HISTORY", "PUBLISH", "PUBLISH_SHARDED", "RECOVER", "Script"]


class Script:
    """A script and its digest, by which Redis identifies it."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()


KEPT_KEYS = int(ChannelSettings.kept_keys)
"""The limit if the stored settings are from a version that had no such setting."""

_COMMON = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stream = KEYS[1]
local top, total, base, due, stored
local last, ids = string.sub(stream, 1, -2) .. 'l', string.sub(stream, 1, -2) .. 'h'

local function whole(number) return string.format('%.0f', number) end

-- the bytes of all events before an entry, and where its body begins
local function before(entry)
  local bytes, at = string.match(entry[2][2], '^%S+ (%d+) q? ()')
  return tonumber(bytes), at
end

local function read_top(random)
  local t = redis.call('GET', KEYS[2])
  if t then
    top, total, base, due, stored = string.match(t, '^(%S+) (%d+) (%d+) (%d+) (.+)$')
    total, base, due = tonumber(total), tonumber(base), tonumber(due)
    return true
  end
  total, base, due, stored = 0, 0, 0, '-'
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if last then
    local bytes, at = before(last)
    top, total = last[1], bytes + #last[2][2] - at + 1 + OVERHEAD
  else
    top = whole(now - 1) .. '-' .. random
  end
  return false
end

local function write_top(lasts)
  local t = top .. ' ' .. whole(total) .. ' ' .. whole(base) .. ' ' .. whole(due) .. ' ' .. stored
  redis.call('SET', KEYS[2], t, 'PX', lasts)
end

local function settings(said)
  if said ~= '' then stored = said end
  local text = stored == '-' and 'DEFAULTS' or stored
  local numbers = {}
  for number in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  return unpack(numbers)
end

local function known(cursor)
  if cursor == top then return true end
  if cursor == '' or #redis.call('XRANGE', stream, cursor, cursor, 'COUNT', 1) > 0 then
    return cursor ~= ''
  end
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return first and string.match(first[2][2], '^%S+') == cursor
end

local function stay(milliseconds)
  redis.call('PEXPIRE', stream, milliseconds)
  -- pcall: these keys are not among KEYS, so a cluster refuses them while their slot is moving
  if redis.pcall('PEXPIRE', ids, milliseconds) == 1 then
    redis.pcall('PEXPIRE', last, milliseconds)
  end
end

-- drop the last event of a key
local function forget(key, known)
  local id, bytes = string.match(known, '^(%S+) (%d+)$')
  redis.call('XDEL', last, id)
  redis.call('HDEL', ids, key)
  redis.call('HINCRBY', ids, '', -bytes)
end

local function shrink_last(keys, size, lives, most)
  local oldest = lives < MOST and now - lives or 0
  while most > 0 do
    local entry = redis.call('XRANGE', last, '-', '+', 'COUNT', 1)[1]
    if not entry then return end
    local over = redis.call('XLEN', last) > keys
      or tonumber(redis.call('HGET', ids, '') or 0) > size
      or tonumber(string.match(entry[1], '^%d+')) < oldest
    if not over then return end
    local key = entry[2][4]
    local known = redis.call('HGET', ids, key)
    if known and string.match(known, '^%S+') == entry[1] then
      forget(key, known)
    else
      redis.call('XDEL', last, entry[1])
    end
    most = most - 1
  end
end

local function expire(lives)
  if lives < MOST then
    redis.call('XTRIM', stream, 'MINID', '=', whole(math.max(now - lives, 0)))
  end
end
"""

_PUBLISH = """
-- KEYS: stream, t; then the record of the process or, with an idempotency key, its answer and the
-- set of these keys; then l and h, if the events have a key.
-- ARGV: packed events, settings or '', milliseconds for which t lasts, random number, pub/sub
-- channel, number of the call, deadline or ''; with an idempotency key also: digest of the events,
-- prefix of the names of answers, the idempotency key.
-- Returns '<prev> <first> <now>'; '!other' if the idempotency key is that of other events;
-- '!late <now>' after the deadline or a later call; '!none' if there is no event to publish.
local packed, random, digest = ARGV[1], ARGV[4], ARGV[8]
local record = redis.call('GET', KEYS[3])
if record then
  local by, ids = string.match(record, '^(%S+) (.+)$')
  if by == (digest or ARGV[6]) then return ids .. ' ' .. whole(now) end
  if digest then return '!other' end
  if tonumber(by) > tonumber(ARGV[6]) then return '!late ' .. whole(now) end
end
if packed == '' then return '!none' end
if ARGV[7] ~= '' and now > tonumber(ARGV[7]) then return '!late ' .. whole(now) end
read_top(random)
local backlog, length, size, kept, lives, idle, answer_time, answers, keys = settings(ARGV[2])
local tms, tsq = string.match(top, '(%d+)%-(%d+)')
local ms, sq = now, tonumber(random)
if now <= tonumber(tms) then ms, sq = tonumber(tms), tonumber(tsq) + 1 end
local half = whole(ms) .. '-'
local prev, first = top, half .. whole(sq)
local head, at = string.match(packed, '^(%S+) ()')
local added, keyed = {}, nil
for bytes, quiet, long in string.gmatch(head, '(%d+)(q?)k?(%d*)') do
  local id, key = half .. whole(sq), nil
  if long ~= '' then
    key = string.sub(packed, at, at + long - 1)
    at = at + long
  end
  local value = top .. ' ' .. whole(total) .. ' ' .. quiet .. ' ' ..
    string.sub(packed, at, at + bytes - 1)
  if key then
    redis.call('XADD', stream, id, 'e', value, 'k', key)
    keyed = keyed or {}
    keyed[#keyed + 1] = {id, value, key, whole(bytes + OVERHEAD)}
  else
    redis.call('XADD', stream, id, 'e', value)
  end
  at, total, top, sq = at + bytes, total + bytes + OVERHEAD, id, sq + 1
  added[#added + 1] = id
end
local heard = redis.pcall('PUBLISH', ARGV[5], prev .. ' ' .. first .. ' ' .. packed)
if type(heard) == 'table' then
  redis.call('XDEL', stream, unpack(added))
  return heard
end

local count = redis.call('XLEN', stream)
if count > length then
  redis.call('XTRIM', stream, 'MAXLEN', '=', whole(length))
end
expire(lives)
if total - base > size then
  -- Perhaps there are too many bytes: look for the first entry that may stay.
  local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  base = entry and before(entry) or total
  while entry and total - base > size do
    entry = redis.call('XRANGE', stream, '(' .. entry[1], '+', 'COUNT', 1)[1]
    base = entry and before(entry) or total
  end
  if entry then
    redis.call('XTRIM', stream, 'MINID', '=', entry[1])
  else
    redis.call('XTRIM', stream, 'MAXLEN', '=', 0)
  end
end
if count > backlog and (now >= due or now < due - 2000) then
  due = now + 1000
  local since, entry = now - kept, redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if entry and tonumber(string.match(entry[1], '^%d+')) < since then
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', whole(backlog))
    local cut = #newest > 0 and newest[#newest][1] or whole(since)
    if tonumber(string.match(cut, '^%d+')) > since then cut = whole(since) end
    redis.call('XTRIM', stream, 'MINID', '=', cut)
  end
end
local stays = whole(math.max(math.min(idle, lives), 1))
if keyed then
  local newest = {}
  for _, event in ipairs(keyed) do newest[event[3]] = event end
  for _, event in ipairs(keyed) do
    local id, value, key, bytes = unpack(event)
    if newest[key] == event then
      local known = redis.call('HGET', ids, key)
      if known then forget(key, known) end
      local done = redis.pcall('XADD', last, id, 'e', value, 'k', key)
      if type(done) == 'table' and done.err then
        -- t was lost, and the clock has stepped back: the stored ids are greater
        redis.call('DEL', last, ids)
        redis.call('XADD', last, id, 'e', value, 'k', key)
      end
      redis.call('HSET', ids, key, id .. ' ' .. bytes)
      redis.call('HINCRBY', ids, '', bytes)
    end
  end
  shrink_last(keys or KEPT_KEYS, size / 2, lives, 2 * #keyed + 100)
end
stay(stays)
write_top(ARGV[3])
record = (digest or ARGV[6]) .. ' ' .. prev .. ' ' .. first
if not digest then
  redis.call('SET', KEYS[3], record, 'PX', 60000)
elseif answer_time > 0 and answers > 0 then
  answer_time = whole(answer_time)
  redis.call('SET', KEYS[3], record, 'PX', answer_time)
  redis.call('ZADD', KEYS[4], now, ARGV[10])
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', whole(now - answer_time))
  while redis.call('ZCARD', KEYS[4]) > answers do
    redis.call('DEL', ARGV[9] .. redis.call('ZPOPMIN', KEYS[4])[1])
  end
  redis.call('PEXPIRE', KEYS[4], answer_time)
end
return prev .. ' ' .. first .. ' ' .. whole(now)
"""

_RECOVER = """
-- KEYS: stream, t. ARGV: cursor or '', length of the backlog or '' to get only events after the
-- cursor, maximum number of events, settings or '', milliseconds for which t lasts, random number.
-- Returns {whether the cursor is known, newest id, events, now}.
local cursor, most = ARGV[1], tonumber(ARGV[3])
local was = read_top(ARGV[6]) and stored
local _, _, _, _, lives, idle = settings(ARGV[4])
if was ~= stored then write_top(ARGV[5]) end
expire(lives)
local newest, oldest = top, known(cursor)
local after = {}
if oldest and cursor ~= top then
  after = redis.call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', most + 1)
end
local load = ARGV[2] ~= ''
local wanted = load and tonumber(ARGV[2]) or 0
if load then
  stay(whole(math.max(math.min(idle, lives), 1)))
end
if not oldest and not load then wanted = most end
if load and #after > most then after, wanted = {}, most end
if #after > most then after[#after] = nil end
if wanted > #after then
  local back = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', whole(wanted))
  after = {}
  for index = #back, 1, -1 do after[#after + 1] = back[index] end
end
return {oldest and 1 or 0, newest, after, whole(now)}
"""

_HISTORY = """
-- KEYS: stream, t. ARGV: cursor, id of the last wanted event, maximum number of events, settings
-- or ''. Returns the events, or nil if some are lost or there are more than the maximum.
read_top('0')
local _, _, _, _, lives = settings(ARGV[4])
expire(lives)
if not known(ARGV[1]) then return nil end
local most = tonumber(ARGV[3])
local events = redis.call('XRANGE', stream, '(' .. ARGV[1], ARGV[2], 'COUNT', most + 1)
if #events > most then return nil end
return events
"""


def _script(text: str) -> Script:
    """The script, with the names of constants replaced by numbers."""
    text = _COMMON + text
    for word, number in (("OVERHEAD", OVERHEAD), ("KEPT_KEYS", KEPT_KEYS), ("MOST", 1 << 50)):
        text = text.replace(word, str(number))
    return Script(text.replace("DEFAULTS", DEFAULTS))


PUBLISH = _script(_PUBLISH)
PUBLISH_SHARDED = _script(_PUBLISH.replace("'PUBLISH'", "'SPUBLISH'"))
RECOVER = _script(_RECOVER)
HISTORY = _script(_HISTORY)
