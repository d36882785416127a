//! LeaveGroup: members go, of their own will or by an administrator's (batches, since version 3).

use wire::ErrorCode;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::leave_group_response::MemberResponse;

use super::state::{Cx, Group};

impl Group {
    pub fn leave(&mut self, who: &MemberIdentity, cx: &mut Cx<'_>) -> ErrorCode {
        let id = match self.find_leaving(who) {
            Ok(id) => id,
            Err(error) => return error,
        };
        if self.pending.remove(&*id).is_some() {
            self.complete_join_if_all_joined(cx);
        } else {
            self.remove_member(&id, cx);
        }
        ErrorCode::None
    }

    /// A static member may be named by its instance id alone: that is how administrators remove one.
    fn find_leaving(&self, who: &MemberIdentity) -> Result<wire::Str, ErrorCode> {
        if let Some(instance) = &who.group_instance_id {
            return match self.statics.get(instance) {
                None => Err(ErrorCode::UnknownMemberId),
                Some(holder) if !who.member_id.is_empty() && *holder != who.member_id => {
                    Err(ErrorCode::FencedInstanceId)
                }
                Some(holder) => Ok(holder.clone()),
            };
        }
        let known =
            self.members.contains_key(&who.member_id) || self.pending.contains_key(&who.member_id);
        if known {
            Ok(who.member_id.clone())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }
}

pub(super) fn answer(who: &MemberIdentity, error: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: who.member_id.clone(),
        group_instance_id: who.group_instance_id.clone(),
        error_code: error.code(),
    }
}
