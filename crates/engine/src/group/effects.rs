//! What a step of the state machine asks its driver to do: answer requests and write records.

use wire::ErrorCode;
use wire::messages::{
    JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, OffsetDeleteResponse,
    SyncGroupResponse,
};

use super::Record;

/// Names one waiting request; chosen by the driver, unique among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The answer to one request.
#[derive(Clone, Debug)]
pub enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(ErrorCode),
    Leave(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    DeleteGroup(ErrorCode),
    OffsetDelete(OffsetDeleteResponse),
}

impl Reply {
    /// The same answer, had its records not been written.
    pub(super) fn failed(self, error: ErrorCode) -> Reply {
        let code = error.code();
        match self {
            Reply::Join(ok) => Reply::Join(JoinGroupResponse {
                error_code: code,
                generation_id: -1,
                protocol_name: ok.protocol_name.map(|_| "".into()),
                member_id: ok.member_id,
                ..Default::default()
            }),
            Reply::Sync(_) => Reply::Sync(SyncGroupResponse {
                error_code: code,
                ..Default::default()
            }),
            Reply::Heartbeat(_) => Reply::Heartbeat(error),
            Reply::Leave(_) => Reply::Leave(LeaveGroupResponse {
                error_code: code,
                ..Default::default()
            }),
            Reply::OffsetCommit(mut ok) => {
                let partitions = ok
                    .topics
                    .iter_mut()
                    .flat_map(|topic| topic.partitions.iter_mut());
                partitions
                    .filter(|p| p.error_code == 0)
                    .for_each(|p| p.error_code = code);
                Reply::OffsetCommit(ok)
            }
            Reply::DeleteGroup(_) => Reply::DeleteGroup(error),
            Reply::OffsetDelete(_) => Reply::OffsetDelete(OffsetDeleteResponse {
                error_code: code,
                ..Default::default()
            }),
        }
    }
}

/// Records to append, in one piece and in the order of tickets. Their fate comes back by the ticket.
#[derive(Clone, Debug)]
pub struct Write {
    pub ticket: u64,
    pub records: Vec<Record>,
}

impl Write {
    /// About how many bytes the records take in a batch.
    pub fn size_hint(&self) -> usize {
        self.records.iter().map(Record::size_hint).sum()
    }
}

/// What one or several steps ask for, in order.
#[derive(Debug, Default)]
pub struct Effects {
    pub replies: Vec<(Token, Reply)>,
    pub writes: Vec<Write>,
}

impl Effects {
    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.replies.push((token, reply));
    }
}
