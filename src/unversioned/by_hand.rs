//! A client whose network is a function and whose artifacts are handed to it, and cookies read without a client.

use std::sync::Arc;

use crate::client::TargetClient;
use crate::config::{ArtifactFormat, ClientConfig};
use crate::cookies::{TargetCookie, VisitorCookie, cluster_of_device_id};
use crate::error::TargetError;
use crate::transport::control::CallControl;
use crate::transport::{Failure, GetAnswer, GetRequest, HttpRequest, HttpResponse, Transport};
use crate::visitor::ExperienceCloudCookie;

/// A client for that configuration whose requests, to whatever host, are answered by a function: URL and body (empty
/// for a GET) in, the body of a 200 out. It runs on the threads that would wait for the network.
pub fn client_without_network(
    mut config: ClientConfig,
    answer: impl Fn(&str, &str) -> String + Send + Sync + 'static,
) -> Result<TargetClient, TargetError> {
    config.validate()?;
    TargetClient::with_transport(config, Arc::new(Answering(answer)), Arc::default())
}

struct Answering<F>(F);

impl<F: Fn(&str, &str) -> String + Send + Sync> Transport for Answering<F> {
    fn post(&self, request: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        let body = (self.0)(request.url, request.body).into_bytes();
        Ok(HttpResponse { status: 200, body, attempts: 1, ..HttpResponse::default() })
    }

    fn get(&self, request: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        let body = (self.0)(request.url, "").into_bytes();
        Ok(GetAnswer { status: 200, body, ..GetAnswer::default() })
    }
}

/// Puts an artifact into force as if the configuration had had it, in either form; the error says why it cannot be
/// used.
pub fn replace_artifact(client: &TargetClient, bytes: Vec<u8>, format: ArtifactFormat) -> Result<(), String> {
    let replaced = client.with_source(|source| match source {
        Some(source) => source.take_given(bytes, format).map_err(|error| error.to_string()),
        None => Err("a client that decides nothing has no artifact".to_owned()),
    });
    replaced.unwrap_or_else(|error| Err(error.to_string()))
}

/// What the cookies of a visitor say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisitorParts {
    /// Of the `mbox` cookie.
    pub session_id: Option<String>,
    /// Of the `mbox` cookie.
    pub device_id: Option<String>,
    /// Of the device id.
    pub cluster: Option<String>,
    /// Of the AMCV cookie.
    pub marketing_cloud_visitor_id: Option<String>,
    /// Of the AMCV cookie.
    pub location_hint: Option<i64>,
    /// Of the AMCV cookie.
    pub blob: Option<String>,
}

/// Reads the value of an `mbox` cookie.
pub fn read_target_cookie(value: &str, now_ms: i64) -> VisitorParts {
    let VisitorCookie { session_id, device_id } = VisitorCookie::parse(value, now_ms);
    let cluster = device_id.as_deref().and_then(cluster_of_device_id).map(str::to_owned);
    VisitorParts { session_id, device_id, cluster, ..VisitorParts::default() }
}

/// The `mbox` cookie of a visitor.
pub fn write_target_cookie(session_id: &str, device_id: Option<&str>, now_ms: i64) -> TargetCookie {
    TargetCookie::of_visitor(session_id, device_id, now_ms)
}

/// Reads the value of an AMCV cookie.
pub fn read_experience_cloud_cookie(value: &str, now_ms: i64) -> VisitorParts {
    let ExperienceCloudCookie { marketing_cloud_visitor_id, location_hint, blob } =
        ExperienceCloudCookie::parse(value, now_ms);
    VisitorParts { marketing_cloud_visitor_id, location_hint, blob, ..VisitorParts::default() }
}
