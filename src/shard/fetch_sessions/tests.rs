// SPDX-License-Identifier: Apache-2.0
//! Epochs, eviction and order of sessions, and a model of what an answer may leave out.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const IDS: SessionIds = SessionIds {
    incarnation: Uuid([5; 16]),
    shard: ShardId(1),
};

const EVICTION_US: u64 = FETCH_SESSION_EVICTION_MS * 1000;

fn wanted(partition: i32) -> Wanted {
    Wanted {
        topic: TopicKey::Name("t".into()),
        params: FetchPartition {
            partition,
            ..FetchPartition::default()
        },
    }
}

fn key(partition: i32) -> PartitionKey {
    wanted(partition).key()
}

fn answer(high_watermark: i64, records: &'static [u8]) -> PartitionData {
    PartitionData {
        high_watermark,
        log_start_offset: 0,
        records: Some(Bytes::from_static(records)),
        ..PartitionData::default()
    }
}

fn open(sessions: &mut FetchSessions, now_us: u64, count: i32) -> i32 {
    let named: Vec<Wanted> = (0..count).map(wanted).collect();
    let answers: Vec<PartitionData> = named.iter().map(|_| answer(0, b"")).collect();
    sessions.handle_new(now_us, IDS, false, &named, &answers)
}

fn go_on(
    sessions: &mut FetchSessions,
    now_us: u64,
    id: i32,
    epoch: i32,
) -> Result<usize, ErrorCode> {
    let uses_ids = false;
    let request = SessionRequest {
        id,
        epoch,
        uses_ids,
    };
    let begun = begin(sessions, now_us, request, Vec::new(), &[]);
    begun.map(|(_, wanted)| wanted.len())
}

/// Begins a request: how it stands to its session, and what it reads.
fn begin(
    sessions: &mut FetchSessions,
    now_us: u64,
    request: SessionRequest,
    named: Vec<Wanted>,
    forgotten: &[PartitionKey],
) -> Result<(SessionContext, Vec<Wanted>), ErrorCode> {
    let mut wanted = named;
    let context = sessions.handle_request(now_us, request, &mut wanted, forgotten)?;
    Ok((context, wanted))
}

/// Ends a request: which of its answers have news.
fn end(
    sessions: &mut FetchSessions,
    id: i32,
    epoch: i32,
    told: &[(Wanted, PartitionData)],
) -> Result<Vec<bool>, ErrorCode> {
    let mut has_news = Vec::new();
    let answers = told.iter().map(|(wanted, answer)| (wanted, answer));
    sessions.handle_answers(id, epoch, answers, &mut has_news)?;
    Ok(has_news)
}

#[test]
fn an_epoch_counts_up_from_1_and_no_other_passes() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 3);
    assert_eq!(
        go_on(&mut sessions, 1, id, 2),
        Err(ErrorCode::InvalidFetchSessionEpoch)
    );
    for epoch in 1..5 {
        assert_eq!(go_on(&mut sessions, 1, id, epoch), Ok(3));
        assert_eq!(
            go_on(&mut sessions, 1, id, epoch),
            Err(ErrorCode::InvalidFetchSessionEpoch)
        );
    }
    assert_eq!(
        go_on(&mut sessions, 1, id + 1, 1),
        Err(ErrorCode::FetchSessionIdNotFound)
    );
    assert_eq!(next_epoch(i32::MAX), 1, "0 and -1 mean something else");
}

#[test]
fn a_full_request_ends_the_session_that_it_names() {
    for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
        let mut sessions = FetchSessions::default();
        let id = open(&mut sessions, 0, 1);
        let request = SessionRequest {
            id,
            epoch,
            uses_ids: true,
        };
        let (context, _) = begin(&mut sessions, 1, request, vec![wanted(4)], &[]).expect("full");
        assert_eq!(context == SessionContext::New, epoch == INITIAL_EPOCH);
        assert_eq!((sessions.count(), sessions.partition_count), (0, 0));
    }
}

#[test]
fn names_and_ids_do_not_mix() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 1);
    let request = SessionRequest {
        id,
        epoch: 1,
        uses_ids: true,
    };
    let refused = begin(&mut sessions, 1, request, Vec::new(), &[]);
    assert_eq!(refused, Err(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(
        go_on(&mut sessions, 1, id, 1),
        Ok(1),
        "nothing has happened to it"
    );
}

#[test]
fn a_session_that_forgets_everything_is_over() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 2);
    let request = SessionRequest {
        id,
        epoch: 1,
        uses_ids: false,
    };
    let begun = begin(
        &mut sessions,
        1,
        request,
        Vec::new(),
        &[key(0), key(1), key(9)],
    );
    assert_eq!(begun, Ok((SessionContext::Sessionless, Vec::new())));
    assert_eq!((sessions.count(), sessions.partition_count), (0, 0));
}

#[test]
fn what_a_request_names_is_added_or_changed_in_its_place() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 2);
    let mut changed = wanted(0);
    changed.params.fetch_offset = 77;
    let request = SessionRequest {
        id,
        epoch: 1,
        uses_ids: false,
    };
    let named = vec![changed.clone(), wanted(5)];
    let (context, read) = begin(&mut sessions, 1, request, named, &[key(1)]).expect("passes");
    assert_eq!(context, SessionContext::Incremental { id, epoch: 2 });
    assert_eq!(read, [changed, wanted(5)]);
}

#[test]
fn of_repetitions_the_last_counts_in_the_first_place() {
    let mut last = wanted(3);
    last.params.fetch_offset = 8;
    let (mut kept, mut places) = (vec![wanted(3), wanted(4), last.clone()], Vec::new());
    drop_repetitions(&mut kept, &mut places);
    assert_eq!(kept, [last, wanted(4)]);
}

#[test]
fn records_move_a_partition_behind_the_others() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 3);
    assert_eq!(go_on(&mut sessions, 1, id, 1), Ok(3));
    let told = [
        (wanted(0), answer(5, b"r")),
        (wanted(1), answer(0, b"")),
        (wanted(2), answer(0, b"")),
    ];
    assert_eq!(
        end(&mut sessions, id, 2, &told),
        Ok(vec![true, false, false])
    );
    let request = SessionRequest {
        id,
        epoch: 2,
        uses_ids: false,
    };
    let (_, read) = begin(&mut sessions, 1, request, Vec::new(), &[]).expect("passes");
    assert_eq!(read, [wanted(1), wanted(2), wanted(0)]);
}

#[test]
fn a_later_request_makes_the_answer_of_an_earlier_one_void() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 1);
    assert_eq!(go_on(&mut sessions, 1, id, 1), Ok(1));
    assert_eq!(go_on(&mut sessions, 1, id, 2), Ok(1));
    let told = [(wanted(0), answer(0, b""))];
    let early = end(&mut sessions, id, 2, &told);
    assert_eq!(early, Err(ErrorCode::InvalidFetchSessionEpoch));
    let late = end(&mut sessions, id, 3, &told);
    assert_eq!(late, Ok(vec![false]));
}

#[test]
fn a_session_that_was_pushed_out_meanwhile_is_answered_in_full() {
    let mut sessions = FetchSessions::default();
    let id = open(&mut sessions, 0, 1);
    assert_eq!(go_on(&mut sessions, 1, id, 1), Ok(1));
    sessions.remove(id);
    let told = [(wanted(0), answer(0, b""))];
    let answers = end(&mut sessions, id, 2, &told);
    assert_eq!(answers, Ok(vec![true]));
}

fn full() -> (FetchSessions, Vec<i32>) {
    let mut sessions = FetchSessions::default();
    let ids = (0..FETCH_SESSIONS_PER_SHARD_MAX).map(|_| open(&mut sessions, 0, 2));
    let ids = ids.collect();
    (sessions, ids)
}

#[test]
fn a_full_cache_keeps_young_sessions_and_pushes_out_the_stale_one() {
    let (mut sessions, ids) = full();
    assert_eq!(
        open(&mut sessions, EVICTION_US, 9),
        0,
        "all are used and young"
    );
    assert_eq!(go_on(&mut sessions, 10, ids[0], 1), Ok(2));
    let new = open(&mut sessions, EVICTION_US + 1, 1);
    assert_ne!(new, 0, "however small it is");
    assert_eq!(sessions.count(), FETCH_SESSIONS_PER_SHARD_MAX);
    assert_eq!(
        go_on(&mut sessions, EVICTION_US + 1, ids[0], 2),
        Ok(2),
        "it was used later"
    );
}

#[test]
fn a_larger_session_pushes_out_a_smaller_old_one_in_use_and_no_other() {
    let (mut sessions, ids) = full();
    let later = EVICTION_US + 1;
    for id in &ids {
        assert_eq!(go_on(&mut sessions, later, *id, 1), Ok(2));
    }
    assert_eq!(open(&mut sessions, later, 2), 0, "not larger");
    let new = open(&mut sessions, later, 3);
    assert_ne!(new, 0);
    assert_eq!(sessions.count(), FETCH_SESSIONS_PER_SHARD_MAX);
    assert_eq!(go_on(&mut sessions, later, new, 1), Ok(3));
}

#[test]
fn partitions_are_bounded_over_all_sessions() {
    let mut sessions = FetchSessions::default();
    let half = i32::try_from(FETCH_SESSION_PARTITIONS_PER_SHARD_MAX / 2).expect("small");
    let first = open(&mut sessions, 0, half);
    assert_ne!(first, 0);
    assert_ne!(open(&mut sessions, 0, half), 0);
    assert_eq!(open(&mut sessions, 0, 1), 0);
    let request = SessionRequest {
        id: first,
        epoch: 1,
        uses_ids: false,
    };
    let grown = begin(&mut sessions, 1, request, vec![wanted(half)], &[]);
    assert_eq!(
        grown,
        Err(ErrorCode::FetchSessionIdNotFound),
        "it ends instead of growing"
    );
    assert_eq!(sessions.count(), 1);
}

#[test]
fn ids_differ_between_shards_and_lives() {
    let draw = |incarnation, shard| {
        let ids = SessionIds { incarnation, shard };
        let mut sessions = FetchSessions::default();
        let drawn =
            (0..50).map(|_| sessions.handle_new(0, ids, false, &[wanted(0)], &[answer(0, b"")]));
        drawn.collect::<BTreeSet<i32>>()
    };
    let here = draw(Uuid([1; 16]), ShardId(0));
    assert_eq!(here.len(), 50);
    assert!(here.iter().all(|id| *id > 0));
    assert!(here.is_disjoint(&draw(Uuid([1; 16]), ShardId(1))));
    assert!(here.is_disjoint(&draw(Uuid([2; 16]), ShardId(0))));
}

proptest! {
    /// However partitions are named, dropping repetitions does what a plain search would.
    #[test]
    fn repetitions_are_found_wherever_they_are(
        named in prop::collection::vec((0i32..8, 0i64..1000), 0..30),
    ) {
        let wish = |(partition, offset): (i32, i64)| {
            let mut wish = wanted(partition);
            wish.params.fetch_offset = offset;
            wish
        };
        let mut plain: Vec<Wanted> = Vec::new();
        for one in named.iter().copied().map(wish) {
            match plain.iter_mut().find(|it| it.key() == one.key()) {
                Some(known) => *known = one,
                None => plain.push(one),
            }
        }
        let mut kept: Vec<Wanted> = named.into_iter().map(wish).collect();
        drop_repetitions(&mut kept, &mut Vec::new());
        prop_assert_eq!(kept, plain);
    }

    /// A client that keeps the last of what it was told of each partition always knows the truth.
    #[test]
    fn a_client_that_hears_only_news_knows_everything(
        steps in prop::collection::vec((0i32..6, 0i64..4, 0i64..3, any::<bool>()), 1..60),
    ) {
        let mut sessions = FetchSessions::default();
        let mut truth: BTreeMap<i32, (i64, i64, i16)> = (0..6).map(|it| (it, (0, 0, 0))).collect();
        let id = open(&mut sessions, 0, 6);
        let mut known = truth.clone();
        for (epoch, (partition, high_watermark, log_start_offset, fails)) in (1..).zip(steps) {
            let code = if fails { 6 } else { 0 };
            truth.insert(partition, (high_watermark, log_start_offset, code));
            let uses_ids = false;
            let request = SessionRequest { id, epoch, uses_ids };
            let begun = begin(&mut sessions, 1, request, Vec::new(), &[]);
            let (_, read) = begun.expect("passes");
            prop_assert_eq!(read.len(), 6);
            let answers = read.iter().map(|wanted| {
                let (high_watermark, log_start_offset, error_code) =
                    truth[&wanted.params.partition];
                PartitionData {
                    log_start_offset,
                    error_code,
                    ..answer(high_watermark, b"")
                }
            });
            let answers: Vec<PartitionData> = answers.collect();
            let told: Vec<(Wanted, PartitionData)> = read.iter().cloned().zip(answers).collect();
            let news = end(&mut sessions, id, epoch + 1, &told);
            for (place, has_news) in news.expect("one request at a time").into_iter().enumerate() {
                let partition = read[place].params.partition;
                if has_news {
                    known.insert(partition, truth[&partition]);
                }
            }
            prop_assert_eq!(&known, &truth);
        }
    }
}
