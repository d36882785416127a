//! What AlterConfigs and IncrementalAlterConfigs have in common: a change of each resource is checked by itself, all
//! good ones are proposed at once, and each has an answer.

use std::time::Duration;

use engine::metadata::{Command, ConfigChange, ConfigEdit, Image, Resource};
use wire::{ErrorCode, Str};

use super::known::Known;
use super::proposal::{Refusal, carry_out, each};
use super::{resources, settings};
use crate::quorum::Quorum;

/// The requests have no timeout of their own.
const DEADLINE: Duration = Duration::from_secs(30);

/// A resource as a client names it, and what is to be done to it.
pub struct Asked {
    /// Kafka's number of the type.
    pub kind: i8,
    /// Its name.
    pub name: Str,
    /// The change, or why it is none.
    pub change: Result<ConfigChange, Refusal>,
}

/// The answer for one resource.
pub struct Answer {
    /// Kafka's number of the type.
    pub kind: i8,
    /// Its name.
    pub name: Str,
    /// What went wrong.
    pub error: ErrorCode,
    /// In words.
    pub message: Option<Str>,
}

/// What changes of these resources are checked against.
pub async fn known(
    quorum: &Quorum,
    resources: impl Iterator<Item = Result<Resource, Refusal>>,
) -> Known {
    let topics: Vec<String> = resources
        .filter_map(|resource| match resource {
            Ok(Resource::Topic(name)) => Some(name),
            _ => None,
        })
        .collect();
    let has = |image: &Image| topics.iter().all(|name| image.topic(name).is_some());
    Known::with(quorum, DEADLINE, has).await
}

/// Carries the good changes out, or only rehearses them, and answers for each resource.
pub async fn answer(quorum: &Quorum, mut asked: Vec<Asked>, validate_only: bool) -> Vec<Answer> {
    let named = |one: &Asked| (one.kind, one.name.clone());
    let repeated = resources::repeated(asked.iter().map(named));
    for one in &mut asked {
        if let Err(refusal) = resources::check_once(&repeated, &named(one)) {
            one.change = Err(refusal);
        }
    }
    let changes = asked.iter().flat_map(|one| one.change.clone()).collect();
    let mut outcomes = alter(quorum, changes, validate_only).await.into_iter();
    let mut one = |asked: Asked| {
        let outcome = asked.change.and_then(|_| outcomes.next().unwrap_or(Ok(())));
        let refusal = outcome.err();
        Answer {
            kind: asked.kind,
            name: asked.name,
            error: refusal.as_ref().map_or(ErrorCode::None, |r| r.error),
            message: refusal.and_then(|r| r.text()),
        }
    };
    asked.into_iter().map(&mut one).collect()
}

/// Returns when this broker's image has what was done.
async fn alter(
    quorum: &Quorum,
    changes: Vec<ConfigChange>,
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    if changes.is_empty() {
        return Vec::new();
    }
    let command = Command::AlterConfigs {
        changes: changes.clone(),
    };
    let outcome = carry_out(quorum, command, validate_only, DEADLINE).await;
    let outcomes = each(outcome, changes.len());
    if !validate_only {
        let made: Vec<_> = changes
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_ok())
            .collect();
        quorum
            .wait_for(DEADLINE, |image| {
                made.iter().all(|(change, _)| is_in(image, change))
            })
            .await;
    }
    outcomes
}

/// Whether the image has the change: then making it once more alters nothing.
fn is_in(image: &Image, change: &ConfigChange) -> bool {
    let command = Command::AlterConfigs {
        changes: vec![change.clone()],
    };
    let (again, _) = image.apply(&command, image.index() + 1);
    again.configs(&change.resource) == image.configs(&change.resource)
}

/// Rehearses the change and checks what would come of it: lists are only known then.
pub fn settle(image: &Image, change: ConfigChange) -> Result<ConfigChange, Refusal> {
    let command = Command::AlterConfigs {
        changes: vec![change.clone()],
    };
    let (after, outcome) = image.apply(&command, image.index() + 1);
    each(outcome.map_err(Refusal::from), 1)
        .into_iter()
        .collect::<Result<Vec<()>, Refusal>>()?;
    for (name, edit) in &change.edits {
        if let Some(value) = after.config(&change.resource, name)
            && !matches!(edit, ConfigEdit::Delete)
        {
            settings::check(&change.resource, name, value)?;
        }
    }
    Ok(change)
}

/// A value must be given.
pub fn value<'a>(name: &str, value: Option<&'a Str>) -> Result<&'a Str, Refusal> {
    value.ok_or_else(|| Refusal::invalid_request(format!("Null value not supported for : {name}")))
}
