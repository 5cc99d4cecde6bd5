//! What was shown or clicked, as the report counts it, and which of several it was.
//!
//! The event token of an option belongs to one experience of one activity in one place. That of a click metric is
//! in Adobe's artifacts the same for all experiences of its activity, and only what the visitor was shown before
//! says which of them was clicked.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::scenario::Place;

/// How many visitors and activities are remembered for certain.
const MAX_SHOWN: usize = 500_000;

/// One experience of one activity in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) place: Place,
    /// The mbox or view.
    pub(super) name: String,
    pub(super) activity: String,
    pub(super) activity_name: String,
    pub(super) experience_id: String,
    /// The experience's name; empty where it is not known which one it was.
    pub(super) experience: String,
}

/// What a token may stand for. None: a foreign token that was let through.
pub(super) type Candidates = Vec<Arc<Subject>>;

/// The experiences that visitors were shown last. Bounded: the older half is forgotten when the newer one is full.
#[derive(Default)]
pub(super) struct LastShown {
    current: HashMap<u64, Arc<Subject>>,
    previous: HashMap<u64, Arc<Subject>>,
}

impl LastShown {
    /// Remembers that someone, known by any of these names, was shown this.
    pub(super) fn remember(&mut self, visitor: &[&str], subject: &Arc<Subject>) {
        for name in visitor {
            if self.current.len() >= MAX_SHOWN {
                self.previous = std::mem::take(&mut self.current);
            }
            self.current.insert(key(name, subject), Arc::clone(subject));
        }
    }

    /// The candidate that a notification is about: of the place it names where there is one, of what this visitor
    /// was shown last where experiences share a token.
    pub(super) fn choose(&self, visitor: &[&str], place: &str, candidates: &[Arc<Subject>]) -> Option<Arc<Subject>> {
        let mut fitting: Vec<&Arc<Subject>> = candidates.iter().filter(|subject| subject.name == place).collect();
        if fitting.is_empty() {
            fitting = candidates.iter().collect();
        }
        let first = *fitting.first()?;
        if fitting.iter().all(|subject| *subject == first) {
            return Some(Arc::clone(first));
        }
        for name in visitor {
            for subject in &fitting {
                let key = key(name, subject);
                let shown = self.current.get(&key).or_else(|| self.previous.get(&key));
                if let Some(shown) = shown.filter(|shown| fitting.contains(shown)) {
                    return Some(Arc::clone(shown));
                }
            }
        }
        Some(Arc::new(Subject { experience_id: String::new(), experience: String::new(), ..Subject::clone(first) }))
    }
}

/// A visitor and an activity in a place. Two that collide cost a test edge one wrong row.
fn key(visitor: &str, subject: &Subject) -> u64 {
    let mut hasher = DefaultHasher::new();
    (visitor, subject.place, &subject.name, &subject.activity).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str, experience: &str) -> Arc<Subject> {
        Arc::new(Subject {
            name: name.to_owned(),
            activity: "7".to_owned(),
            experience: experience.to_owned(),
            ..Subject::default()
        })
    }

    #[test]
    fn the_last_shown_experience_was_clicked() {
        let (a, b) = (subject("m", "A"), subject("m", "B"));
        let both = [Arc::clone(&a), Arc::clone(&b)];
        let mut shown = LastShown::default();
        shown.remember(&["session-1", "visitor-1"], &a);
        shown.remember(&["session-2"], &a);
        shown.remember(&["session-2"], &b);
        assert_eq!(shown.choose(&["session-9", "visitor-1"], "m", &both), Some(Arc::clone(&a)));
        assert_eq!(shown.choose(&["session-2"], "m", &both), Some(b));
        let nobody = shown.choose(&["session-3"], "m", &both).unwrap();
        assert_eq!((nobody.activity.as_str(), nobody.experience.as_str()), ("7", ""));
        assert_eq!(shown.choose(&["session-3"], "m", &[]), None);
    }

    #[test]
    fn the_place_of_the_notification_decides_before_the_visitor() {
        let (here, there) = (subject("here", "A"), subject("there", "A"));
        let both = [Arc::clone(&here), Arc::clone(&there)];
        let mut shown = LastShown::default();
        shown.remember(&["s"], &here);
        assert_eq!(shown.choose(&["s"], "there", &both), Some(there));
        assert_eq!(shown.choose(&["s"], "elsewhere", &both), Some(here));
    }
}
