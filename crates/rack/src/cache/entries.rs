//! What is in the server: values, and the tokens of their groups. The reasons are in the head of the module above.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Pipeline, RedisResult, Script};
use ring::rand::{SystemRandom, generate};

use super::Group;
use super::server::{Link, Server, Trouble};

/// The size of a token.
const TOKEN: usize = 16;
/// How long values are kept, for the time without a database.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long tokens are kept. One that is gone is replaced by another one, which costs no more than the values of its group.
const TOKEN_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long a group is closed by a writer that is never heard of again. A change that takes longer is told of all the same, when it
/// is done.
const LAPSE: Duration = Duration::from_secs(60);

/// Tells the values of a group that were made since its last change from those before. It is never used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token([u8; TOKEN]);

impl Token {
    /// One that nobody has seen.
    pub(super) fn new() -> Self {
        let random = generate(&SystemRandom::new()).expect("the kernel has random numbers");
        Token(random.expose())
    }

    /// One that is written somewhere; none if a group is closed.
    fn read(text: &[u8]) -> Option<Self> {
        Some(Token(text.try_into().ok()?))
    }
}

/// A value as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The token that its maker found before it was made.
    pub(super) token: Token,
    /// How long ago it was kept, by the clock of the server.
    pub(super) age: Duration,
    /// It.
    pub(super) value: Bytes,
}

/// What a reader finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The token of the group; none if it is closed.
    pub(super) token: Option<Token>,
    /// The value, of any token and age.
    pub(super) entry: Option<Entry>,
    /// The number of the connection that both were found by.
    pub(super) link: u64,
}

/// For each of the groups: its token is taken away, and it is closed until this writer, and all others that came meanwhile, have
/// opened it again, or have lapsed. What is forgotten comes first: it is permitted even where memory is full.
const CLOSE: &str = r"
local clock = redis.call('TIME')
local lapses = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.call('ZADD', KEYS[i + 1], string.format('%.0f', lapses), ARGV[1])
  redis.call('PEXPIRE', KEYS[i + 1], ARGV[2])
  redis.call('SET', KEYS[i], 'closed', 'PX', ARGV[2])
end";

/// For each of the groups: its token is taken away, and it is open unless other writers have closed it.
const OPEN: &str = r"
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
end";

/// The name of a value's key. It does not depend on the token, so that the server has one value of each thing, and depends on
/// the version, since another one may write a value otherwise.
fn value_name(group: Group, key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let digest: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("value:{version}:{}:{digest}", group.word())
}

fn token_key(link: &Link, group: Group) -> String {
    link.keys.of_run(&format!("token:{}", group.word()))
}

/// Looks for a value and the token of its group. If the group has no token and is not closed, it gets one.
pub(super) async fn look(server: &Arc<Server>, group: Group, key: &str) -> Result<Found, Trouble> {
    let name = value_name(group, key);
    let looked = server.ask(|mut link| async move {
        let (token_key, value_key) = (token_key(&link, group), link.keys.lasting(&name));
        let mut ask = Pipeline::new();
        // The time comes first: if the value is replaced in between, it seems older than it is, not younger.
        ask.cmd("PTTL").arg(&value_key);
        ask.cmd("MGET").arg(&token_key).arg(&value_key);
        let found: (i64, [Option<Vec<u8>>; 2]) = ask.query_async(&mut link.connection).await?;
        let (left, [token, value]) = found;
        if token.is_some() {
            return Ok((left, token, value, link.number));
        }
        let mut create = Pipeline::new();
        let new = Token::new();
        let set = create.cmd("SET").arg(&token_key).arg(&new.0);
        set.arg("NX").arg("EX").arg(TOKEN_KEPT.as_secs()).ignore();
        create.cmd("GET").arg(&token_key);
        let (token,): (Option<Vec<u8>>,) = create.query_async(&mut link.connection).await?;
        Ok((left, token, value, link.number))
    });
    let (left, token, value, link) = looked.await?;
    Ok(Found {
        token: token.and_then(|token| Token::read(&token)),
        entry: value.and_then(|value| entry(left, value.into())),
        link,
    })
}

fn entry(left: i64, mut value: Bytes) -> Option<Entry> {
    let left = Duration::from_millis(left.try_into().ok()?);
    let token = (value.len() >= TOKEN).then(|| value.split_to(TOKEN))?;
    Some(Entry {
        token: Token::read(&token)?,
        age: KEPT.saturating_sub(left),
        value,
    })
}

/// Keeps a value that was made after its maker had found this token.
pub(super) async fn keep(
    server: &Arc<Server>,
    group: Group,
    key: &str,
    token: &Token,
    value: &Bytes,
) -> Result<(), Trouble> {
    let name = value_name(group, key);
    let entry = [&token.0[..], value].concat();
    let kept = server.ask(|mut link| async move {
        let mut set = redis::cmd("SET");
        set.arg(link.keys.lasting(&name)).arg(entry);
        set.arg("PX").arg(KEPT.as_millis() as u64);
        set.query_async(&mut link.connection).await
    });
    kept.await
}

/// What is done with groups.
#[derive(Debug)]
pub(super) struct Scripts {
    close: Script,
    open: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts {
            close: Script::new(CLOSE),
            open: Script::new(OPEN),
        }
    }
}

impl Scripts {
    /// Closes groups before a change.
    pub(super) async fn close(
        &self,
        server: &Arc<Server>,
        groups: &[Group],
        writer: &Token,
    ) -> Result<(), Trouble> {
        tell(&self.close, server, groups, writer).await
    }

    /// Opens groups after a change.
    pub(super) async fn open(
        &self,
        server: &Arc<Server>,
        groups: &[Group],
        writer: &Token,
    ) -> Result<(), Trouble> {
        tell(&self.open, server, groups, writer).await
    }

    /// Takes the token of a group away. Gives the number of the connection by which that was done.
    pub(super) async fn clear(&self, server: &Arc<Server>, group: Group) -> Result<u64, Trouble> {
        let (groups, nobody) = ([group], Token::new());
        let run = |link| run(&self.open, link, &groups, &nobody);
        server.ask(run).await
    }
}

/// Tells the server of a change, even if the breaker is open: otherwise it would not know of it just because it was gone a moment
/// ago. If the connection breaks, another one is tried, since nobody may use the groups before they are open.
async fn tell(
    script: &Script,
    server: &Arc<Server>,
    groups: &[Group],
    writer: &Token,
) -> Result<(), Trouble> {
    let run = |link| run(script, link, groups, writer);
    match server.insist(run).await {
        Err(Trouble::Gone(_)) => server.insist(run).await,
        told => told,
    }
    .map(drop)
}

async fn run(
    script: &Script,
    mut link: Link,
    groups: &[Group],
    writer: &Token,
) -> RedisResult<u64> {
    let mut run = script.prepare_invoke();
    for group in groups {
        run.key(token_key(&link, *group));
        run.key(link.keys.of_run(&format!("writers:{}", group.word())));
    }
    run.arg(&writer.0).arg(LAPSE.as_millis() as u64);
    run.invoke_async::<()>(&mut link.connection).await?;
    Ok(link.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_with_its_token_and_its_age() {
        let token = Token::new();
        let written = Bytes::from([&token.0[..], b"plan"].concat());
        let day = KEPT.as_millis() as i64;
        let read = entry(day - 1500, written.clone()).unwrap();
        assert_eq!(read.age, Duration::from_millis(1500));
        assert_eq!((read.token, &read.value[..]), (token, &b"plan"[..]));
        // What has no end, or is gone, or is of somebody else, is none.
        assert_eq!(entry(-1, written.clone()), None);
        assert_eq!(entry(-2, written), None);
        assert_eq!(entry(1, Bytes::from_static(b"closed")), None);
        assert_eq!(Token::read(b"closed"), None);
    }

    #[test]
    fn no_key_is_longer_than_another_one() {
        let long = "x".repeat(100_000);
        let names = ["rack 1", "rack 2", long.as_str()].map(|key| value_name(Group::Plan, key));
        assert!(names[0] != names[1] && names[0].len() == names[2].len());
    }
}
