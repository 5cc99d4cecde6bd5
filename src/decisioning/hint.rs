//! The location hint of a client that was given none: asked of the edge in the background, once.
//!
//! A request that asks for nothing is answered with the cluster that it went to. Ids that are made on this
//! machine carry it, so that what is sent later finds the same profile. Without an answer they carry none.

use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::readiness::Readiness;
use super::source::Surroundings;
use crate::config::{ClientConfig, RetryPolicy};
use crate::delivery::normalize::{Circumstances, normalize, query};
use crate::delivery::telemetry::TelemetryQueue;
use crate::envelope::{Answer, Digest};
use crate::error::TargetError;
use crate::ids;
use crate::json::{Document, Strictness};
use crate::options::{Operation, ParsedOptions};
use crate::process;
use crate::stats::Stats;
use crate::sync::lock;
use crate::transport::Transport;
use crate::transport::control::{CallControl, End};
use crate::transport::retry::{Shipment, deliver};

/// Waits after failures: the first, and the longest of those that double.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// The hint of one client, once it is known.
pub(crate) struct Hint {
    found: Arc<OnceLock<String>>,
    life: Arc<CallControl>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread needs. It knows nothing of the client, and so cannot keep it alive.
struct Search {
    transport: Arc<dyn Transport>,
    stats: Arc<Stats>,
    found: Arc<OnceLock<String>>,
    life: Arc<CallControl>,
    url: String,
    request_id: String,
    body: String,
    /// Of one request.
    timeout: Duration,
    first_retry: Duration,
}

/// Holds up those who wait for the client to be ready.
struct Awaited(Arc<Readiness>);

impl Awaited {
    fn begin(readiness: &Arc<Readiness>) -> Self {
        readiness.hint_is_awaited(true);
        Awaited(Arc::clone(readiness))
    }

    fn end(&self) {
        self.0.hint_is_awaited(false);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hint {
    /// Starts asking. `base_url` is the delivery host's scheme and name.
    pub(crate) fn search(
        config: &ClientConfig,
        base_url: &str,
        surroundings: &Surroundings,
        stats: &Arc<Stats>,
    ) -> Result<Self, TargetError> {
        Self::search_again_after(FIRST_RETRY, config, base_url, surroundings, stats)
    }

    fn search_again_after(
        first_retry: Duration,
        config: &ClientConfig,
        base_url: &str,
        surroundings: &Surroundings,
        stats: &Arc<Stats>,
    ) -> Result<Self, TargetError> {
        let (query, body) = request(config, surroundings.clock.now_ms())?;
        let search = Search {
            transport: Arc::clone(&surroundings.transport),
            stats: Arc::clone(stats),
            found: Arc::default(),
            life: Arc::new(CallControl::endless()),
            url: format!("{base_url}/rest/v1/delivery?{query}"),
            request_id: ids::uuid(),
            body,
            timeout: config.timeout,
            first_retry,
        };
        let (found, life) = (Arc::clone(&search.found), Arc::clone(&search.life));
        let awaited = Awaited::begin(&surroundings.readiness);
        let thread = std::thread::Builder::new()
            .name("target-hint".into())
            .spawn(move || {
                process::enter_library_thread();
                // Whatever becomes of the thread, nobody waits for it for ever.
                let awaited = awaited;
                search.run(&awaited);
            })
            .map_err(|error| TargetError::internal(format!("no thread for the location hint: {error}")))?;
        Ok(Hint { found, life, thread: Mutex::new(Some(thread)) })
    }

    /// A hint that a parent process has been told.
    pub(crate) fn known(hint: &str) -> Self {
        let found = Arc::new(OnceLock::from(hint.to_owned()));
        Hint { found, life: Arc::new(CallControl::endless()), thread: Mutex::default() }
    }

    /// Takes no lock.
    pub(crate) fn get(&self) -> Option<&str> {
        self.found.get().map(String::as_str)
    }

    /// Ends the thread, in the middle of a request too. Does not wait for it.
    pub(crate) fn stop(&self) {
        self.life.end_call(End::Closed);
    }

    /// Waits for the thread after [`Hint::stop`].
    pub(crate) fn join(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Query and body of a request that asks for nothing, in a session of its own.
fn request(config: &ClientConfig, now_ms: i64) -> Result<(String, String), TargetError> {
    const OPTIONS: &str = r#"{"request":{"context":{"channel":"web"}}}"#;
    let document = Document::parse(OPTIONS, Strictness::Options)
        .map_err(|error| TargetError::internal(format!("the request for the location hint: {}", error.reason)))?;
    let options = ParsedOptions::read(document.root(), Operation::GetOffers)?;
    // Telemetry waits for the first call of the host.
    let telemetry = TelemetryQueue::new(false);
    let circumstances = Circumstances { now_ms, location_hint: None, decided_here: false };
    let mut normalized = normalize(config, circumstances, &options, Operation::GetOffers, &[], &telemetry)?;
    let body = normalized.parts.pop().map(|part| part.body).unwrap_or_default();
    Ok((query(config, &normalized.session_id), body))
}

impl Search {
    fn run(&self, awaited: &Awaited) {
        let mut wait = self.first_retry;
        loop {
            let outcome = self.ask();
            // Those who wait for the client to be ready have waited for one answer, and do not wait for another.
            let is_over = match outcome {
                Ok(hint) => {
                    crate::log::debug(format_args!("location hint: {}", hint.as_deref().unwrap_or("none")));
                    if let Some(hint) = hint {
                        let _ = self.found.set(hint);
                    }
                    true
                }
                Err(error) => {
                    crate::log::debug(format_args!("location hint: {error}"));
                    !error.is_retryable()
                }
            };
            awaited.end();
            if is_over || self.life.end().is_some() {
                return;
            }
            self.life.wait_until(Some(Instant::now() + wait.mul_f64(0.9 + ids::random_fraction() / 5.0)), || false);
            if self.life.end().is_some() {
                return;
            }
            wait = wait.saturating_mul(2).min(LONGEST_RETRY);
        }
    }

    fn ask(&self) -> Result<Option<String>, TargetError> {
        let _limited = self.life.limit(self.timeout, None);
        let shipment = Shipment {
            url: &self.url,
            fallback_url: None,
            request_id: &self.request_id,
            body: &self.body,
            repeatable: true,
        };
        // Repeating is done here, with more patience than a call has.
        let once = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
        let answer = deliver(&*self.transport, &shipment, &once, &self.life, &self.stats)
            .map_err(|undelivered| undelivered.error)?;
        let answer = Answer::new(answer.body)?;
        let document = answer.document()?;
        let digest = Digest::of(document.root(), false);
        Ok(digest.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::events::Events;
    use crate::transport::scripted::{Scripted, Step};
    use crate::transport::{Failure, GetAnswer, GetRequest, HttpRequest, HttpResponse};

    struct Scene {
        edge: Arc<Scripted>,
        readiness: Arc<Readiness>,
        stats: Arc<Stats>,
        hint: Hint,
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.hint.stop();
            self.hint.join();
        }
    }

    fn surroundings(transport: Arc<dyn Transport>) -> Surroundings {
        Surroundings { transport, events: Arc::new(Events::new(8)), clock: Clock::default(), readiness: Arc::default() }
    }

    fn scene(steps: impl IntoIterator<Item = Step>) -> Scene {
        let config = r#"{"client":"acme","organization_id":"1@AdobeOrg","environment_id":7,"version":"2"}"#;
        let config = ClientConfig::from_json(config).unwrap();
        let edge = Scripted::new(steps);
        let surroundings = surroundings(Arc::clone(&edge) as Arc<dyn Transport>);
        let stats = Arc::default();
        let short = Duration::from_millis(1);
        let hint = Hint::search_again_after(short, &config, "https://acme.test", &surroundings, &stats).unwrap();
        Scene { edge, readiness: surroundings.readiness, stats, hint }
    }

    impl Scene {
        /// The hint once the search is over.
        fn found(&self) -> Option<&str> {
            self.hint.join();
            self.hint.get()
        }
    }

    fn answer(status: u16, body: &str) -> Step {
        Step::Post(HttpResponse { status, body: body.into(), ..Default::default() })
    }

    #[test]
    fn the_edge_is_asked_for_nothing_in_a_session_of_its_own() {
        let scene = scene([answer(200, r#"{"edgeHost":"mboxedge38.tt.omtrdc.net","id":{"tntId":"a.35_0"}}"#)]);
        assert_eq!(scene.found(), Some("38"));
        let asked = scene.edge.asked();
        assert_eq!(asked.len(), 1);
        let session = asked[0].url.split("sessionId=").nth(1).unwrap().split('&').next().unwrap();
        assert_eq!(session.len(), 36);
        let whole = format!("https://acme.test/rest/v1/delivery?imsOrgId=1%40AdobeOrg&sessionId={session}&version=2");
        assert_eq!(asked[0].url, whole);
        let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
        assert_eq!((&body["context"]["channel"], &body["environmentId"]), (&"web".into(), &7.into()));
        for absent in ["execute", "prefetch", "notifications", "id", "telemetry"] {
            assert!(body[absent].is_null(), "{body}");
        }
        assert_eq!(scene.stats.read().requests, 1);
    }

    #[test]
    fn a_host_of_another_form_tells_nothing() {
        assert_eq!(scene([answer(200, r#"{"edgeHost":"gateway.test","id":{"tntId":"a.35_0"}}"#)]).found(), None);
    }

    #[test]
    fn what_will_not_change_is_not_asked_for_again() {
        for last in [answer(200, "{}"), answer(200, "<html>"), answer(204, ""), answer(400, "{}")] {
            let scene = scene([last]);
            assert_eq!(scene.found(), None);
            assert_eq!(scene.edge.asked().len(), 1);
        }
    }

    #[test]
    fn what_may_pass_is_asked_for_again_with_the_same_request() {
        let scene = scene([answer(503, ""), Step::Broken, answer(200, r#"{"edgeHost":"mboxedge38.tt.omtrdc.net"}"#)]);
        assert_eq!(scene.found(), Some("38"));
        let asked = scene.edge.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|request| *request == asked[0]));
    }

    #[test]
    fn a_stop_ends_the_request() {
        let scene = scene([Step::Silence]);
        scene.edge.wait_for(1);
        scene.hint.stop();
        assert_eq!(scene.found(), None);
    }

    #[test]
    fn nobody_waits_for_a_search_that_has_broken_down() {
        struct Broken;
        impl Transport for Broken {
            fn post(&self, _: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
                panic!("a fault of the transport's own");
            }
            fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
                panic!("nothing is downloaded here");
            }
        }
        let surroundings = surroundings(Arc::new(Broken));
        let config = ClientConfig::new("acme", "1@AdobeOrg");
        let hint = Hint::search(&config, "https://acme.test", &surroundings, &Arc::default()).unwrap();
        hint.join();
        assert_eq!(hint.get(), None);
        surroundings.readiness.artifact_is_there(&surroundings.events);
        assert_eq!(surroundings.readiness.wait(None), super::super::readiness::Waited::Ready);
    }

    #[test]
    fn the_first_answer_is_waited_for_and_no_other() {
        let events = Events::new(8);
        let scene = scene([answer(503, "")]);
        scene.readiness.artifact_is_there(&events);
        scene.edge.wait_for(2);
        // The second request is silent: an endless wait ends all the same.
        assert_eq!(scene.readiness.wait(None), super::super::readiness::Waited::Ready);
    }
}
