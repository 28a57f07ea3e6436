// SPDX-License-Identifier: Apache-2.0
//! What a member of the new protocol says to its coordinator, and what it hears (KIP-848).
//!
//! Owns: [`Talk`]: the epoch, what the member has and what it may have. Invariants: what has not
//! changed since the coordinator heard it is left out, and all is said again after an answer that
//! did not come; a member that was fenced says nothing until it joins again. Runs on: any thread,
//! under a lock. Bounded by: the partitions of one topic.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;

use super::heart::Verdict;
use crate::cli::client::coordinator::passes;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::model::ids::Uuid;
use crate::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that leaves.
const LEAVES: i32 = -1;
/// The epoch of a static member that leaves for a while.
const LEAVES_FOR_A_WHILE: i32 = -2;
/// Until the coordinator has said how often it wants to be told.
const INTERVAL_AT_FIRST: Duration = Duration::from_secs(5);

/// Partitions by the ids of their topics.
pub(super) type Share = BTreeMap<Uuid, Vec<i32>>;

/// Who a member is, and what it wants.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) group: ByteString,
    /// Made by the member itself (KIP-1082), and kept over every loss.
    pub(super) id: ByteString,
    pub(super) instance: Option<ByteString>,
    pub(super) topic: ByteString,
    pub(super) assignor: Option<ByteString>,
    /// For so long the group waits until it has given up partitions, in milliseconds.
    pub(super) rebalance_timeout_ms: i32,
}

/// The conversation of one member with its coordinator.
#[derive(Debug)]
pub(super) struct Talk {
    who: Who,
    epoch: i32,
    interval: Duration,
    /// What it has.
    owned: Share,
    /// What the coordinator knows that it has; `None` where all is to be said.
    told: Option<Share>,
    /// What it may have; `None` before the coordinator has said it.
    granted: Option<Share>,
    /// It may have something else than when it looked last.
    has_news: bool,
    /// Why it has to join again.
    verdict: Option<Verdict>,
    /// What cannot pass.
    failure: Option<ClientError>,
}

impl Talk {
    /// Of somebody who has not joined.
    pub(super) fn new(who: Who) -> Talk {
        Talk {
            who,
            epoch: JOINS,
            interval: INTERVAL_AT_FIRST,
            owned: Share::new(),
            told: None,
            granted: None,
            has_news: false,
            verdict: None,
            failure: None,
        }
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    /// Why it is a member no longer, if so.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn take_failure(&mut self) -> Option<ClientError> {
        self.failure.take()
    }

    /// It has joined, and the coordinator has said what it may have, which may be nothing.
    pub(super) fn granted(&self) -> Option<&Share> {
        self.granted.as_ref().filter(|_| self.epoch > JOINS)
    }

    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// It has this from now on, and nothing else any more. What came since it looked stays news.
    pub(super) fn take(&mut self, owned: Share, is_newest: bool) {
        self.owned = owned;
        self.has_news &= !is_newest;
    }

    /// There is nothing that a member could say until it joins again.
    pub(super) fn is_silent(&self) -> bool {
        self.verdict.is_some() || self.failure.is_some()
    }

    /// It was told elsewhere that it is a member no longer.
    pub(super) fn lose(&mut self, verdict: Verdict) {
        self.verdict = self.verdict.or(Some(verdict));
    }

    /// It has nothing, and joins with its next word.
    pub(super) fn start_over(&mut self) {
        let who = self.who.clone();
        *self = Talk {
            interval: self.interval,
            ..Talk::new(who)
        };
    }

    /// What it says next.
    pub(super) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let who = &self.who;
        let is_whole = self.epoch == JOINS || self.told.is_none();
        let has_changed = self.told.as_ref() != Some(&self.owned);
        let base = ConsumerGroupHeartbeatRequest {
            group_id: who.group.clone(),
            member_id: who.id.clone(),
            member_epoch: self.epoch,
            instance_id: who.instance.clone(),
            topic_partitions: (is_whole || has_changed).then(|| to_wire(&self.owned)),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        if !is_whole {
            return base;
        }
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: who.rebalance_timeout_ms,
            subscribed_topic_names: Some(vec![who.topic.clone()]),
            server_assignor: who.assignor.clone(),
            ..base
        }
    }

    /// How it says that it goes. A static member comes back (KIP-345).
    pub(super) fn goodbye(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.who.group.clone(),
            member_id: self.who.id.clone(),
            member_epoch: match self.who.instance {
                None => LEAVES,
                Some(_) => LEAVES_FOR_A_WHILE,
            },
            instance_id: self.who.instance.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    /// Takes the answer to what it said.
    pub(super) fn hear(
        &mut self,
        said: &ConsumerGroupHeartbeatRequest,
        answer: ConsumerGroupHeartbeatResponse,
    ) {
        let code = answer.error_code;
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => {}
            _ if passes(code) => return self.miss(),
            Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => {
                return self.lose(Verdict::Lost);
            }
            Some(ErrorCode::FencedInstanceId) => return self.lose(Verdict::Fenced),
            _ => return self.fail(code, answer.error_message),
        }
        self.epoch = answer.member_epoch;
        if let Ok(ms @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            self.interval = Duration::from_millis(ms);
        }
        if let Some(owned) = &said.topic_partitions {
            self.told = Some(of_wire(owned));
        }
        if let Some(assignment) = answer.assignment {
            let granted = of_wire(&assignment.topic_partitions);
            self.has_news |= self.granted.as_ref() != Some(&granted) || granted != self.owned;
            self.granted = Some(granted);
        }
    }

    /// No answer came: who knows what was heard.
    pub(super) fn miss(&mut self) {
        self.told = None;
    }

    fn fail(&mut self, code: i16, message: Option<ByteString>) {
        // What the broker says of that names ids, and not what to do.
        let is_taken = code == ErrorCode::UnreleasedInstanceId.code();
        self.failure = Some(ClientError::Refused {
            what: format!("group {}", self.who.group),
            code,
            message: message.filter(|_| !is_taken).map(|text| text.to_string()),
        });
    }

    /// What cannot pass: the two do not understand each other.
    pub(super) fn give_up(&mut self, error: ClientError) {
        self.failure = Some(error);
    }
}

fn of_wire(topics: &[TopicPartitions]) -> Share {
    let mut share = Share::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let partitions = share.entry(topic.topic_id).or_default();
        partitions.extend(&topic.partitions);
        partitions.sort_unstable();
        partitions.dedup();
    }
    share
}

fn to_wire(share: &Share) -> Vec<TopicPartitions> {
    let one = |(topic_id, partitions): (&Uuid, &Vec<i32>)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.clone(),
    };
    share.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::consumer_group_heartbeat::HeartbeatAssignment;

    const TOPIC: Uuid = Uuid([7; 16]);

    fn talk(instance: Option<&str>) -> Talk {
        Talk::new(Who {
            group: "g".into(),
            id: "m".into(),
            instance: instance.map(ByteString::from),
            topic: "t".into(),
            assignor: Some("range".into()),
            rebalance_timeout_ms: 60_000,
        })
    }

    fn share(partitions: &[i32]) -> Share {
        Share::from([(TOPIC, partitions.to_vec())])
    }

    fn told(epoch: i32, granted: Option<&[i32]>) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            heartbeat_interval_ms: 700,
            assignment: granted.map(|partitions| HeartbeatAssignment {
                topic_partitions: to_wire(&share(partitions)),
            }),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    fn refused(code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: Some("It is so.".into()),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    /// One that has joined and has these.
    fn with(partitions: &[i32]) -> Talk {
        let mut talk = talk(None);
        let said = talk.request();
        talk.hear(&said, told(3, Some(partitions)));
        talk.take(share(partitions), true);
        let said = talk.request();
        talk.hear(&said, told(3, None));
        talk
    }

    #[test]
    fn who_joins_says_all_and_owns_nothing() {
        let mut talk = talk(None);
        let said = talk.request();
        assert_eq!((said.member_epoch, said.rebalance_timeout_ms), (0, 60_000));
        assert_eq!(said.topic_partitions, Some(Vec::new()));
        assert_eq!(said.subscribed_topic_names, Some(vec!["t".into()]));
        assert_eq!(said.server_assignor.as_deref(), Some("range"));
        assert_eq!(talk.granted(), None);
        talk.hear(&said, told(3, Some(&[])));
        assert_eq!(
            talk.granted(),
            Some(&Share::new()),
            "nothing is an answer, too"
        );
        assert_eq!(
            (talk.epoch(), talk.interval()),
            (3, Duration::from_millis(700))
        );
    }

    #[test]
    fn what_has_not_changed_is_not_said_again() {
        let mut talk = with(&[0, 1]);
        let said = talk.request();
        assert_eq!((said.member_epoch, said.rebalance_timeout_ms), (3, -1));
        assert_eq!(said.topic_partitions, None);
        assert_eq!(
            (said.subscribed_topic_names, said.server_assignor),
            (None, None)
        );
        // An answer that did not come may have been heard or not.
        talk.miss();
        let said = talk.request();
        assert!(said.subscribed_topic_names.is_some() && said.topic_partitions.is_some());
        assert_eq!(said.member_epoch, 3, "it is no join");
    }

    #[test]
    fn what_is_revoked_is_given_up_by_saying_what_is_left() {
        let mut talk = with(&[0, 1]);
        assert!(!talk.has_news());
        let said = talk.request();
        talk.hear(&said, told(4, Some(&[1])));
        assert!(talk.has_news());
        assert_eq!(
            talk.request().topic_partitions,
            None,
            "it is not given up yet"
        );
        talk.take(share(&[1]), true);
        assert!(!talk.has_news());
        assert_eq!(talk.request().topic_partitions, Some(to_wire(&share(&[1]))));
        // The same again, as a whole heartbeat is answered, is no news.
        let said = talk.request();
        talk.hear(&said, told(4, Some(&[1])));
        assert!(!talk.has_news());
        assert_eq!(talk.request().topic_partitions, None);
    }

    #[test]
    fn who_is_fenced_is_silent_and_joins_under_the_same_id() {
        for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
            let mut talk = with(&[0]);
            let said = talk.request();
            talk.hear(&said, refused(code));
            assert_eq!(
                (talk.verdict(), talk.is_silent()),
                (Some(Verdict::Lost), true)
            );
            talk.start_over();
            let said = talk.request();
            assert_eq!((said.member_epoch, &*said.member_id), (0, "m"));
            assert_eq!(said.topic_partitions, Some(Vec::new()));
            assert!(!talk.is_silent() && talk.granted().is_none());
        }
    }

    #[test]
    fn what_passes_is_no_verdict_and_what_does_not_is_a_sentence() {
        let mut talk = with(&[0]);
        let said = talk.request();
        talk.hear(&said, refused(ErrorCode::NotCoordinator));
        assert!(!talk.is_silent());
        assert!(talk.request().topic_partitions.is_some());
        talk.hear(&said, refused(ErrorCode::FencedInstanceId));
        assert_eq!(talk.verdict(), Some(Verdict::Fenced));
        for (code, words) in [
            (ErrorCode::UnsupportedAssignor, "group g: It is so."),
            (ErrorCode::UnreleasedInstanceId, "has not left"),
        ] {
            let mut talk = with(&[0]);
            talk.hear(&said, refused(code));
            assert!(talk.is_silent() && talk.has_failed());
            let failure = talk.take_failure().expect("it has failed").to_string();
            assert!(failure.contains(words), "{failure}");
        }
    }

    #[test]
    fn static_members_leave_for_a_while() {
        assert_eq!(talk(None).goodbye().member_epoch, -1);
        let said = talk(Some("i")).goodbye();
        assert_eq!(
            (said.member_epoch, said.instance_id.as_deref()),
            (-2, Some("i"))
        );
    }
}
