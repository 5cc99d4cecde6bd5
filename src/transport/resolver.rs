//! Name look-ups that are remembered for a short time.
//!
//! ureq asks for addresses before every request, pooled connection or not, and its own resolver starts a
//! thread for each. Here an answer serves for [`MAX_AGE`], one thread at a time looks up a host whoever
//! waits for it, and a failed connect makes the next call look again. An older answer goes on serving while it
//! is renewed, and when it cannot be: a call with an open connection must not fail because a name server does.
//! The system's look-up cannot be interrupted, so its thread may outlive its callers; it owns all it touches.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::control::{CallControl, current};
use crate::error::Phase;
use crate::sync::lock;

/// How long an answer serves: below the time to live of the edge's records, above the gap between calls.
const MAX_AGE: Duration = Duration::from_secs(30);
/// How long an answer serves without waiting for the one that replaces it.
const MAX_STALE: Duration = Duration::from_secs(300);

type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

/// A look-up in progress and those who wait for it.
struct Lookup {
    answer: Mutex<Option<Answer>>,
    waiting: Mutex<Vec<Arc<CallControl>>>,
}

#[derive(Default)]
struct Cache {
    known: HashMap<String, (Instant, Arc<[IpAddr]>)>,
    running: HashMap<String, Arc<Lookup>>,
}

/// How names become addresses: the system's way, or a test's.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The resolver of one client. Cheap to clone; clones share what is known.
#[derive(Clone)]
pub(crate) struct CachingResolver {
    cache: Arc<Mutex<Cache>>,
    look_up: Arc<LookUp>,
    proxy_host: Option<Arc<str>>,
    max_age: Duration,
    max_stale: Duration,
}

impl std::fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachingResolver")
    }
}

impl CachingResolver {
    pub(crate) fn new() -> Self {
        Self::with_look_up(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    pub(crate) fn with_look_up(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        CachingResolver {
            cache: Arc::default(),
            look_up: Arc::new(look_up),
            proxy_host: None,
            max_age: MAX_AGE,
            max_stale: MAX_STALE,
        }
    }

    /// The same cache for an agent that goes through a proxy: a failed look-up of that host is the proxy's fault.
    pub(crate) fn for_proxy(&self, host: &str) -> Self {
        CachingResolver { proxy_host: Some(host.into()), ..self.clone() }
    }

    /// What a forked child starts with: its own cache with what was known, so that its first calls need no look-up. The
    /// system's may be stuck there, where a thread of the parent was in the middle of one.
    pub(crate) fn inherited(&self) -> Self {
        // A thread of the parent that holds the lock does so for ever.
        let known = self.cache.try_lock().map(|cache| cache.known.clone()).unwrap_or_default();
        let cache = Cache { known, running: HashMap::new() };
        CachingResolver { cache: Arc::new(Mutex::new(cache)), ..self.clone() }
    }

    /// The next call asks again: none of the addresses could be reached.
    pub(crate) fn forget(&self, host: &str) {
        lock(&self.cache).known.remove(host);
    }

    fn addresses(&self, host: &str, control: &Arc<CallControl>) -> Result<Arc<[IpAddr]>, ureq::Error> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Arc::new([address]));
        }
        let (lookup, old) = {
            let mut cache = lock(&self.cache);
            let known = cache.known.get(host).map(|(at, addresses)| (at.elapsed(), Arc::clone(addresses)));
            if let Some((age, addresses)) = &known
                && *age < self.max_age
            {
                return Ok(Arc::clone(addresses));
            }
            let lookup = match cache.running.get(host) {
                Some(lookup) => Arc::clone(lookup),
                None => {
                    let lookup = Arc::new(Lookup { answer: Mutex::new(None), waiting: Mutex::new(Vec::new()) });
                    self.start(host, &lookup)?;
                    cache.running.insert(host.to_owned(), Arc::clone(&lookup));
                    lookup
                }
            };
            match known {
                Some((age, addresses)) if age < self.max_stale => return Ok(addresses),
                known => (lookup, known.map(|(_, addresses)| addresses)),
            }
        };
        lock(&lookup.waiting).push(Arc::clone(control));
        if !control.wait_until(None, || lock(&lookup.answer).is_some()) {
            lock(&lookup.waiting).retain(|waiting| !Arc::ptr_eq(waiting, control));
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        match (lock(&lookup.answer).clone(), old) {
            (Some(Ok(addresses)), _) | (_, Some(addresses)) => Ok(addresses),
            (Some(Err(reason)), None) => Err(io::Error::other(reason.to_string()).into()),
            (None, None) => Err(ureq::Error::HostNotFound),
        }
    }

    fn start(&self, host: &str, lookup: &Arc<Lookup>) -> io::Result<()> {
        let cache = Arc::downgrade(&self.cache);
        let (look_up, lookup, host) = (Arc::clone(&self.look_up), Arc::clone(lookup), host.to_owned());
        std::thread::Builder::new().name("target-resolve".into()).spawn(move || {
            let answer: Answer = match look_up(&host) {
                Ok(addresses) if addresses.is_empty() => Err("the name has no address".into()),
                Ok(addresses) => Ok(addresses.into()),
                Err(error) => Err(error.to_string().into()),
            };
            if let Some(cache) = cache.upgrade() {
                let mut cache = lock(&cache);
                cache.running.remove(&host);
                if let Ok(addresses) = &answer {
                    let now = Instant::now();
                    cache.known.retain(|_, (at, _)| now.duration_since(*at) < MAX_STALE);
                    cache.known.insert(host, (now, Arc::clone(addresses)));
                }
            }
            *lock(&lookup.answer) = Some(answer);
            for control in lock(&lookup.waiting).drain(..) {
                control.notify();
            }
        })?;
        Ok(())
    }
}

impl Resolver for CachingResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let control = current().ok_or(ureq::Error::HostNotFound)?;
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        control.set_phase(if self.proxy_host.as_deref() == Some(host) { Phase::Proxy } else { Phase::Resolve });
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses = self.addresses(host, &control)?;
        let mut resolved = self.empty();
        // The list that ureq passes on holds 16.
        for address in addresses.iter().take(16) {
            resolved.push(SocketAddr::new(*address, port));
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn control() -> Arc<CallControl> {
        Arc::new(CallControl::new(Duration::from_secs(30)))
    }

    #[test]
    fn an_answer_serves_later_calls_until_it_is_forgotten() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let resolver = CachingResolver::with_look_up(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        });
        for _ in 0..3 {
            assert_eq!(&*resolver.addresses("edge.test", &control()).unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        resolver.forget("edge.test");
        resolver.addresses("edge.test", &control()).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn callers_share_a_look_up_and_leave_it_at_their_deadline() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let resolver = CachingResolver::with_look_up(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = lock(&held).recv();
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let hurried = Arc::new(CallControl::new(Duration::from_millis(20)));
        assert!(resolver.addresses("slow.test", &hurried).is_err());
        let patient = {
            let resolver = resolver.clone();
            std::thread::spawn(move || resolver.addresses("slow.test", &control()).map(|a| a.len()))
        };
        while lock(&resolver.cache).running.get("slow.test").map(|l| lock(&l.waiting).len()) != Some(1) {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        assert_eq!(patient.join().unwrap().unwrap(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    /// A resolver whose answers are old at once, and what the look-ups shall bring.
    fn forgetful(max_stale: Duration) -> (CachingResolver, mpsc::Sender<io::Result<u8>>) {
        let (answer, answers) = mpsc::channel::<io::Result<u8>>();
        let answers = Mutex::new(answers);
        let look_up =
            move |_: &str| Ok(vec![IpAddr::from([10, 0, 0, lock(&answers).recv().map_err(io::Error::other)??])]);
        let resolver = CachingResolver::with_look_up(look_up);
        (CachingResolver { max_age: Duration::ZERO, max_stale, ..resolver }, answer)
    }

    fn last_byte(resolver: &CachingResolver) -> u8 {
        let addresses = resolver.addresses("edge.test", &control()).unwrap();
        let IpAddr::V4(address) = addresses[0] else { panic!("{addresses:?}") };
        address.octets()[3]
    }

    #[test]
    fn an_old_answer_serves_while_it_is_renewed() {
        let (resolver, answer) = forgetful(MAX_STALE);
        answer.send(Ok(1)).unwrap();
        assert_eq!(last_byte(&resolver), 1);
        // The look-up hangs until the answer is there, the calls do not.
        assert_eq!((last_byte(&resolver), last_byte(&resolver)), (1, 1));
        answer.send(Ok(2)).unwrap();
        while last_byte(&resolver) != 2 {
            std::thread::yield_now();
        }
        drop(answer);
    }

    #[test]
    fn an_old_answer_serves_where_there_is_no_new_one() {
        let (resolver, answer) = forgetful(Duration::ZERO);
        answer.send(Ok(1)).unwrap();
        assert_eq!(last_byte(&resolver), 1);
        answer.send(Err(io::Error::other("the name server is down"))).unwrap();
        assert_eq!(last_byte(&resolver), 1);
        answer.send(Ok(2)).unwrap();
        assert_eq!(last_byte(&resolver), 2);
        // A failed connect has shown that the answer is wrong: then it does not serve.
        resolver.forget("edge.test");
        answer.send(Err(io::Error::other("the name server is down"))).unwrap();
        assert!(resolver.addresses("edge.test", &control()).is_err());
    }

    #[test]
    fn failures_are_not_remembered_and_say_why() {
        let resolver = CachingResolver::with_look_up(|_| Err(io::Error::other("no such host")));
        let error = resolver.addresses("nowhere.test", &control()).unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        assert!(lock(&resolver.cache).running.is_empty());
    }

    #[test]
    fn a_child_knows_what_its_parent_knew_and_waits_for_none_of_its_threads() {
        let (resolver, answer) = forgetful(MAX_STALE);
        let resolver = CachingResolver { max_age: MAX_AGE, ..resolver };
        answer.send(Ok(1)).unwrap();
        assert_eq!(last_byte(&resolver), 1);
        let parents_thread = lock(&resolver.cache);
        let of_busy_parent = resolver.inherited();
        drop(parents_thread);
        let inherited = resolver.inherited();
        assert_eq!(last_byte(&inherited), 1);
        inherited.forget("edge.test");
        assert_eq!(last_byte(&resolver), 1);
        answer.send(Ok(2)).unwrap();
        assert_eq!(last_byte(&of_busy_parent), 2);
    }

    #[test]
    fn addresses_need_no_look_up() {
        let resolver = CachingResolver::with_look_up(|_| panic!("asked"));
        assert_eq!(resolver.addresses("[::1]", &control()).unwrap()[0], "::1".parse::<IpAddr>().unwrap());
        assert_eq!(resolver.addresses("127.0.0.1", &control()).unwrap().len(), 1);
    }
}
