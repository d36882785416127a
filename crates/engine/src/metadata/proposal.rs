//! Commands with a sender, so that one which is sent again for want of an answer is carried out once.
//!
//! The image keeps the outcome of each proposal that its proposer may still wait for, and answers a repetition with
//! it. What is kept is bounded: a proposer says with each proposal below which number it waits for nothing any more,
//! and never has more than [`MAX_OPEN_PROPOSALS`] numbers between that and its newest. Outcomes are of one incarnation
//! of a registered broker and go with it, because a process that has ended repeats nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::Uuid;

use super::{Command, Image, Outcome, Rejection, stored};
use crate::ids::BrokerId;

/// The distance between a proposer's oldest open proposal and its newest stays below this.
pub const MAX_OPEN_PROPOSALS: u64 = 256;

/// The entry of the metadata log: a command, and which proposal it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// None for what the controller itself decides, which it never repeats.
    pub id: Option<ProposalId>,
    /// What is to be done.
    pub command: Command,
}

impl From<Command> for Proposal {
    fn from(command: Command) -> Proposal {
        Proposal { id: None, command }
    }
}

/// What makes a proposal the same when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalId {
    /// The proposer.
    pub broker: BrokerId,
    /// Its process.
    #[serde(with = "stored::uuid")]
    pub incarnation: Uuid,
    /// Counts the proposals of the process.
    pub sequence: u64,
    /// The process waits for no proposal below this any more.
    pub settled: u64,
}

/// What the open proposals of one broker's incarnation have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answers {
    settled: u64,
    outcomes: BTreeMap<u64, Result<Outcome, Rejection>>,
}

impl Image {
    /// As [`Image::apply`], but a proposal that was carried out before changes nothing and has its first outcome.
    pub fn apply_proposal(
        &self,
        proposal: &Proposal,
        index: u64,
    ) -> (Image, Result<Outcome, Rejection>) {
        let Some(id) = proposal.id.filter(|id| self.is_living(id)) else {
            return self.apply(&proposal.command, index);
        };
        if let Some(first) = self.answered(&id) {
            return (self.at_index(index), first);
        }
        let (mut next, outcome) = self.apply(&proposal.command, index);
        let answers = Arc::make_mut(&mut next.answers)
            .entry(id.broker)
            .or_default();
        Arc::make_mut(answers).remember(&id, outcome.clone());
        (next, outcome)
    }

    fn is_living(&self, id: &ProposalId) -> bool {
        self.broker(id.broker)
            .is_some_and(|broker| broker.incarnation == id.incarnation)
    }

    fn answered(&self, id: &ProposalId) -> Option<Result<Outcome, Rejection>> {
        let answers = self.answers.get(&id.broker)?;
        if id.sequence < answers.settled {
            return Some(Err(Rejection::ProposalGivenUp));
        }
        answers.outcomes.get(&id.sequence).cloned()
    }
}

impl Answers {
    #[cfg(test)]
    pub(super) fn outcomes(&self) -> &BTreeMap<u64, Result<Outcome, Rejection>> {
        &self.outcomes
    }

    /// Whether one of the outcomes is of a kind that the second layout of the image does not have.
    pub(super) fn needs_layout_3(&self) -> bool {
        self.outcomes.values().any(needs_layout_3)
    }

    fn remember(&mut self, id: &ProposalId, outcome: Result<Outcome, Rejection>) {
        self.outcomes.insert(id.sequence, outcome);
        // A proposer that breaks the bound has its oldest proposals given up: memory is not its to take.
        let bound = (id.sequence + 1).saturating_sub(MAX_OPEN_PROPOSALS);
        self.settled = self.settled.max(id.settled.min(id.sequence)).max(bound);
        self.outcomes = self.outcomes.split_off(&self.settled);
    }
}

/// Whether an outcome has a kind, or a refusal, that came with the commands of the third layout.
pub fn needs_layout_3(outcome: &Result<Outcome, Rejection>) -> bool {
    let is_new = |rejection: &Rejection| {
        matches!(
            rejection,
            Rejection::NoReassignmentInProgress | Rejection::EligibleLeadersNotAvailable
        )
    };
    match outcome {
        Ok(Outcome::Leaving { .. }) => true,
        Ok(Outcome::Each(each) | Outcome::Elected(each)) => {
            each.iter().any(|one| one.as_ref().is_err_and(is_new))
        }
        Ok(_) => false,
        Err(rejection) => is_new(rejection),
    }
}

impl Command {
    /// Whether programs that write entries in the second layout do not know it.
    pub fn needs_layout_3(&self) -> bool {
        matches!(
            self,
            Command::AlterReassignments { .. }
                | Command::LeaveBroker { .. }
                | Command::UnregisterBroker { .. }
                | Command::ElectUnclean { .. }
        )
    }

    /// The same for the third layout.
    pub fn needs_layout_4(&self) -> bool {
        matches!(
            self,
            Command::SetMinInsyncDefault { .. } | Command::RegisterWithMemory { .. }
        )
    }

    /// The same for the fourth layout.
    pub fn needs_layout_5(&self) -> bool {
        matches!(
            self,
            Command::ForgetMemory { .. } | Command::LeavePartition { .. }
        )
    }

    /// The oldest layout of entries that has it.
    pub fn layout(&self) -> u8 {
        match self {
            _ if self.needs_layout_5() => 5,
            _ if self.needs_layout_4() => 4,
            _ if self.needs_layout_3() => 3,
            _ => 2,
        }
    }
}
