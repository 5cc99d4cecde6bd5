//! Which tokens the edge takes: its scenario's, which say themselves what they stand for, and those of its
//! artifacts, which are looked up.

use std::sync::Arc;

use super::artifact::Artifacts;
use super::scenario::Scenario;
use super::subject::{Candidates, Subject};
use super::tokens::{Kind, Token};

/// All tokens that are taken.
#[derive(Clone, Copy)]
pub(super) struct Issued<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) artifacts: &'a Artifacts,
}

impl Issued<'_> {
    /// What an event token may stand for; `None` for one that is not taken.
    pub(super) fn event(&self, text: &str) -> Option<Candidates> {
        if let Some(token) = Token::decode(text).filter(|token| token.kind != Kind::State) {
            return Some(vec![self.subject_of(token)]);
        }
        self.artifacts.candidates(text).or_else(|| self.scenario.accept_any_token.then(Vec::new))
    }

    /// Whether a state is taken.
    pub(super) fn is_state(&self, text: &str) -> bool {
        self.scenario.accept_any_token || Token::decode(text).is_some_and(|token| token.kind == Kind::State)
    }

    /// A token may be older than the scenario: then the activity has no name here.
    fn subject_of(&self, token: Token) -> Arc<Subject> {
        let current = self.scenario.offer(token.place, &token.name).map(|offer| &offer.subject);
        let current = current.filter(|subject| subject.activity == token.activity);
        if let Some(subject) = current.filter(|subject| subject.experience == token.experience) {
            return Arc::clone(subject);
        }
        Arc::new(Subject {
            place: token.place,
            name: token.name,
            activity: token.activity,
            activity_name: current.map(|subject| subject.activity_name.clone()).unwrap_or_default(),
            experience: token.experience,
            ..Subject::default()
        })
    }
}
