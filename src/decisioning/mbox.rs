//! One mbox decided without JSON: borrowed texts in, the options of the rule that fits out. For programs that decide
//! often, such as feature flags in a request's path.

use serde::de::DeserializeOwned;

use super::allocation::Visitor;
use super::artifact::Artifact;
use super::context::{Context, ContextTexts, Geo, PlaceTexts, Scope};
use super::decide::RuleFailures;
use super::macros::MacroValues;
use super::parameters::Parameters;
use super::rules::Offer;
use super::select::{Matching, SeenKeys, select};
use crate::error::TargetError;
use crate::json::{Document, Strictness, string_content};

/// What [`TargetClient::decide_mbox`](crate::TargetClient::decide_mbox) is asked.
///
/// ```
/// use adobe_target::MboxQuery;
/// let query = MboxQuery { page_url: Some("https://www.acme.com/cart"), ..MboxQuery::new("cart", "a-device-id") };
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MboxQuery<'a> {
    /// Name of the mbox.
    pub mbox: &'a str,
    /// What allocation is computed of: the Experience Cloud id, else the device id (`tntId`) before its dot, else the
    /// third-party id. The same id sees the same experience, here and in
    /// [`get_offers`](crate::TargetClient::get_offers).
    pub visitor_id: &'a str,
    /// Parameters of the mbox: names and texts. A dotted name is an object for the rules.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The page that the visitor sees.
    pub page_url: Option<&'a str>,
    /// The page before it.
    pub referring_url: Option<&'a str>,
    /// The browser's `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// Instead of the client's.
    pub property_token: Option<&'a str>,
}

impl<'a> MboxQuery<'a> {
    /// Of that mbox for that visitor.
    pub fn new(mbox: &'a str, visitor_id: &'a str) -> Self {
        MboxQuery { mbox, visitor_id, ..MboxQuery::default() }
    }
}

/// What an mbox shows a visitor. Nothing was counted: what is shown is reported with its event token, by
/// [`send_notifications`](crate::TargetClient::send_notifications).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MboxDecision {
    /// The options of the rule that fits; empty when none does.
    pub options: Vec<DecidedOption>,
    /// Whether the edge has rules of this mbox that this machine cannot evaluate: the edge may answer otherwise.
    pub is_remote: bool,
}

/// One option of a [`MboxDecision`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecidedOption {
    /// `html`, `json`, `actions`, `redirect`…
    pub kind: Option<String>,
    /// The content as JSON text: a string for HTML, what the offer says for JSON.
    pub content_json: Option<String>,
    /// To be reported when the option is shown.
    pub event_token: Option<String>,
}

impl DecidedOption {
    /// The content as a type of the caller's.
    ///
    /// # Errors
    /// [`TargetError::InvalidResponse`] when there is no content or it is of another form.
    pub fn content<T: DeserializeOwned>(&self) -> Result<T, TargetError> {
        let text = self.content_json.as_deref().unwrap_or("null");
        serde_json::from_str(text)
            .map_err(|error| TargetError::invalid_response(format!("the option's content cannot be read: {error}")))
    }
}

/// Decides. The client has checked the query.
pub(crate) fn decide_mbox(
    artifact: &Artifact,
    query: &MboxQuery<'_>,
    property_token: Option<&str>,
    matches_all: bool,
    now_ms: i64,
) -> (MboxDecision, RuleFailures) {
    let texts = ContextTexts::with(
        query.page_url.unwrap_or_default(),
        query.referring_url.unwrap_or_default(),
        query.user_agent,
    );
    let context = Context::new(&texts, Geo::default(), now_ms);
    let parameters = Parameters::Pairs(query.parameters);
    let place = PlaceTexts::with(parameters);
    let visitor = Visitor::new(query.visitor_id);
    let mut scope = Scope::new(&context, &place, &artifact.activities, &visitor);
    let matching = Matching::of_mbox(query.mbox == artifact.global_mbox, matches_all);
    let mut failures = RuleFailures::default();
    let rules = select(
        artifact.mbox(query.mbox),
        matching,
        query.property_token.or(property_token),
        &artifact.texts,
        &mut scope,
        &mut SeenKeys::default(),
        |rule, outcome, _| {
            if let Err(error) = outcome {
                failures.note(artifact, rule, &error);
            }
        },
    );
    let values = MacroValues { name: Some(query.mbox), index: None, detail: None, parameters };
    let offers = rules.iter().flat_map(|rule| rule.offers.iter());
    let options = offers.map(|offer| option_of(artifact, offer, &values)).collect();
    (MboxDecision { options, is_remote: artifact.mbox_availability().is_remote(query.mbox) }, failures)
}

fn option_of(artifact: &Artifact, offer: &Offer, values: &MacroValues<'_>) -> DecidedOption {
    let texts = &artifact.texts;
    let content_json = match &offer.pieces {
        None => offer.content.map(|content| content.of(texts).to_owned()),
        // The gaps are in the content, so that it has to be found in what they make.
        Some(pieces) => {
            let mut option = String::from("{");
            values.write(&mut option, texts, pieces);
            option.push_str("}}");
            let document = Document::parse(&option, Strictness::Artifact);
            document.ok().and_then(|document| Some(document.root().get("content")?.raw().to_owned()))
        }
    };
    let token = offer.event_token.or(offer.metric_token).map(|token| token.of(&artifact.source));
    DecidedOption {
        kind: offer.kind.map(|kind| kind.of(texts).to_owned()),
        content_json,
        event_token: token.map(|token| string_content(token).into_owned()),
    }
}
