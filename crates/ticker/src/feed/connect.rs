//! Connecting to a name that has several addresses, some of which may never answer (RFC 8305, "Happy Eyeballs").

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// How long an address is waited for alone, before the next one is tried beside it (section 5 of the RFC).
const NEXT: Duration = Duration::from_millis(250);

/// Connects to the first address of `host` that answers.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = in_turn(lookup_host((host, port)).await?.collect());
    first(addresses, TcpStream::connect).await
}

/// The addresses in their order, but of both families in turn.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let one = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (these, those): (Vec<_>, Vec<_>) =
        (addresses.into_iter()).partition(|a| a.is_ipv6() == one);
    let longest = these.len().max(those.len());
    let pairs = (0..longest).flat_map(|at| [these.get(at), those.get(at)]);
    pairs.flatten().copied().collect()
}

async fn first<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut rest = addresses.into_iter();
    let mut tries: FuturesUnordered<F> = rest.next().map(&connect).into_iter().collect();
    let mut wrong = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let more = rest.len() > 0;
        tokio::select! {
            tried = tries.next(), if !tries.is_empty() => match tried {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => {
                    wrong = error;
                    tries.extend(rest.next().map(&connect));
                }
                None => {}
            },
            () = sleep(NEXT), if more => tries.extend(rest.next().map(&connect)),
            else => return Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const V6: &str = "[2001:db8::1]:443";
    const V4: &str = "192.0.2.1:443";
    const OTHER: &str = "192.0.2.2:443";

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_answers_costs_a_moment() {
        let began = tokio::time::Instant::now();
        let connect = async |address: SocketAddr| match address.is_ipv6() {
            true => std::future::pending().await,
            false => Ok(address),
        };
        let found = first(addresses(&[V6, V4]), connect).await.unwrap();
        assert_eq!(found.to_string(), V4);
        assert!(began.elapsed() <= NEXT * 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing_and_the_last_error_is_told() {
        let began = tokio::time::Instant::now();
        let refuse = async |address: SocketAddr| match address.to_string() == OTHER {
            true => Ok(address),
            false => Err(io::Error::other(format!("{address} refuses"))),
        };
        let found = first(addresses(&[V6, V4, OTHER]), refuse).await.unwrap();
        assert_eq!(
            (found.to_string().as_str(), began.elapsed()),
            (OTHER, Duration::ZERO)
        );
        let error = first(addresses(&[V6, V4]), refuse).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{V4} refuses"));
        let error = first(vec![], refuse).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
    }

    #[test]
    fn both_families_have_their_turn() {
        let found = in_turn(addresses(&[V6, "[2001:db8::2]:443", V4, OTHER]));
        assert_eq!(found, addresses(&[V6, V4, "[2001:db8::2]:443", OTHER]));
    }
}
