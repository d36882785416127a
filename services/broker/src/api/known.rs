//! What a change is checked against before the active controller is asked for it.
//!
//! A broker may not have heard yet of a topic that the controller has. Nothing is said to be unknown before this broker
//! has all that the controller had when the client asked: a client may create a topic through one broker and change it
//! through the next. Only a controller that has been cut off takes itself, for a moment, for the one that knows.

use std::sync::Arc;
use std::time::Duration;

use engine::metadata::Image;
use wire::ErrorCode;

use super::proposal::Refusal;
use crate::quorum::Quorum;

/// This broker's metadata, and whether it is as new as it must be to say that something does not exist.
pub struct Known {
    /// What is known.
    pub image: Arc<Image>,
    /// Why it may be old.
    stale: Option<Refusal>,
}

impl Known {
    /// The metadata at once if everything that is asked for is in it, else when this broker has caught up.
    pub async fn with(quorum: &Quorum, deadline: Duration, has: impl Fn(&Image) -> bool) -> Known {
        let stale = match has(&quorum.image()) {
            true => None,
            false => quorum.catch_up(deadline).await.err(),
        };
        Known {
            image: quorum.image(),
            stale: stale.map(|error| Refusal::from(&error)),
        }
    }

    /// The judgement that was come to with it. That something is unknown is not certain where the metadata may be old.
    pub fn judged<T>(&self, judgement: Result<T, Refusal>) -> Result<T, Refusal> {
        judgement.map_err(|refusal| match (&self.stale, refusal.error) {
            (Some(stale), ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition) => {
                stale.clone()
            }
            _ => refusal,
        })
    }
}
