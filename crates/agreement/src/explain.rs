//! The agreement in words, for a lawyer or a privacy officer.
use std::collections::BTreeMap;
use incamera_types::{PartyName, PrivacyLoss};
use crate::Agreement;
/// What each party has spent so far.
pub type Spent = BTreeMap<PartyName, PrivacyLoss>;
/// [`explain_with`] before anything is spent.
#[must_use]
pub fn explain(agreement: &Agreement) -> String { explain_with(agreement, &Spent::new()) }
/// The agreement in words.
#[must_use]
pub fn explain_with(_agreement: &Agreement, _spent: &Spent) -> String { crate::page::Page::default().finish() }
