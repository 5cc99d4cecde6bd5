//! Which rules of an mbox, a view or a page load fit.

use super::context::Scope;
use super::logic::LogicError;
use super::rules::Rule;

/// Whether rules are looked for one after the other until one fits, or further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    First,
    All,
    /// All, but of those of one key the first that fits.
    OnePerKey,
}

impl Matching {
    /// Of an mbox. The global one stands for many activities; others do where the client is told so.
    pub(super) fn of_mbox(is_global: bool, takes_all: bool) -> Self {
        match (takes_all, is_global) {
            (true, _) => Matching::All,
            (false, true) => Matching::OnePerKey,
            (false, false) => Matching::First,
        }
    }
}

/// The keys of rules that fit already.
#[derive(Debug, Default)]
pub(super) struct SeenKeys(Vec<u64>);

impl SeenKeys {
    fn contains(&self, key: u32) -> bool {
        self.0.get((key / 64) as usize).is_some_and(|word| word & (1 << (key % 64)) != 0)
    }

    fn insert(&mut self, key: u32) {
        let word = (key / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (key % 64);
        }
    }
}

/// The rules that fit, in their order. `observe` is told of each one that was evaluated; one that cannot be does not
/// fit. `texts` is the artifact's arena.
pub(super) fn select<'a>(
    rules: &'a [Rule],
    matching: Matching,
    property_token: Option<&str>,
    texts: &str,
    scope: &mut Scope<'_, '_>,
    seen: &mut SeenKeys,
    mut observe: impl FnMut(&'a Rule, Result<bool, LogicError>, &Scope<'_, '_>),
) -> Vec<&'a Rule> {
    let mut fitting = Vec::new();
    for rule in rules {
        if matching == Matching::OnePerKey && seen.contains(rule.key) {
            continue;
        }
        if !fits_property(rule, property_token, texts) {
            continue;
        }
        scope.set_activity(rule.activity);
        let outcome = rule.condition.matches(scope);
        let fits = matches!(outcome, Ok(true));
        observe(rule, outcome, scope);
        if !fits {
            continue;
        }
        fitting.push(rule);
        match matching {
            Matching::First => break,
            Matching::All => {}
            Matching::OnePerKey => seen.insert(rule.key),
        }
    }
    fitting
}

/// A rule without properties fits every one; others only their own.
fn fits_property(rule: &Rule, property_token: Option<&str>, texts: &str) -> bool {
    let Some(tokens) = &rule.property_tokens else { return true };
    property_token.is_some_and(|property| tokens.iter().any(|token| token.of(texts) == property))
}
