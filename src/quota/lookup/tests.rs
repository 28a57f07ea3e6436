// SPDX-License-Identifier: Apache-2.0
//! Tests of the precedence of quotas: the table, and that nothing else counts.

use super::*;
use proptest::prelude::*;

const KIND: QuotaKind = QuotaKind::ProducerByteRate;

/// The levels, the one that counts first: user part and client part; `*` stands for the default.
const LEVELS: [(Option<&str>, Option<&str>); 8] = [
    (Some("alice"), Some("app")),
    (Some("alice"), Some("*")),
    (Some("alice"), None),
    (Some("*"), Some("app")),
    (Some("*"), Some("*")),
    (Some("*"), None),
    (None, Some("app")),
    (None, Some("*")),
];

fn part(text: Option<&'static str>) -> Option<EntityName> {
    text.map(|text| match text {
        "*" => EntityName::Default,
        name => EntityName::Named(name.into()),
    })
}

/// Quotas at these levels; each allows its number and one.
fn quotas(levels: &[usize]) -> ClientQuotas {
    let one = |level: &usize| {
        let (user, client_id) = LEVELS[*level];
        let entity = QuotaEntity {
            user: part(user),
            client_id: part(client_id),
            ip: None,
        };
        let number = u32::try_from(level + 1).expect("few");
        let value = QuotaValue::new(f64::from(number)).expect("a value");
        (entity, [(KIND, value)].into())
    };
    levels.iter().map(one).collect()
}

/// The level that counts, and who shares it.
fn level(quotas: &ClientQuotas, user: &str, client_id: &str) -> Option<(usize, Scope)> {
    let found = find(quotas, KIND, &user.into(), &client_id.into())?;
    let place = LEVELS.iter().enumerate().find(|(place, _)| {
        let number = u32::try_from(place + 1).expect("few");
        found.value.value().to_bits() == f64::from(number).to_bits()
    });
    Some((place.expect("one of them").0, found.scope))
}

#[test]
fn each_level_counts_before_all_behind_it() {
    for (first, (user, client_id)) in LEVELS.into_iter().enumerate() {
        let behind: Vec<usize> = (first..LEVELS.len()).collect();
        let (found, scope) = level(&quotas(&behind), "alice", "app").expect("a quota");
        assert_eq!(found, first);
        assert_eq!(scope.user, user.map(|_| "alice".into()));
        assert_eq!(scope.client_id, client_id.map(|_| "app".into()));
    }
    assert_eq!(level(&quotas(&[]), "alice", "app"), None);
}

#[test]
fn what_is_for_somebody_else_does_not_count() {
    let all: Vec<usize> = (0..LEVELS.len()).collect();
    let of = |user, client| level(&quotas(&all), user, client).map(|(found, _)| found);
    assert_eq!(of("bob", "app"), Some(3));
    assert_eq!(of("bob", "other"), Some(4));
    assert_eq!(of("alice", "other"), Some(1));
    let clients = quotas(&[6]);
    assert_eq!(level(&clients, "bob", "other"), None);
    let other_kind = find(
        &quotas(&all),
        QuotaKind::ConsumerByteRate,
        &"alice".into(),
        &"app".into(),
    );
    assert_eq!(other_kind, None);
}

#[test]
fn who_has_no_client_id_has_the_quotas_of_users_only() {
    let all: Vec<usize> = (0..LEVELS.len()).collect();
    let of = |user| level(&quotas(&all), user, "").map(|(found, _)| found);
    assert_eq!(of("alice"), Some(2));
    assert_eq!(of("bob"), Some(5));
    assert_eq!(level(&quotas(&[0, 1, 3, 4, 6, 7]), "alice", ""), None);
}

#[test]
fn an_address_has_its_own_quota_or_the_default_one() {
    let rate = |value| {
        [(
            QuotaKind::ConnectionCreationRate,
            QuotaValue::new(value).unwrap(),
        )]
        .into()
    };
    let ip = |name| QuotaEntity {
        ip: part(Some(name)),
        ..QuotaEntity::default()
    };
    let quotas: ClientQuotas = [(ip("10.0.0.1"), rate(5.0)), (ip("*"), rate(2.0))].into();
    let of = |text| {
        let peer = PeerAddress::parse(text).expect("an address");
        find_of_ip(&quotas, peer).map(QuotaValue::value)
    };
    assert_eq!(of("10.0.0.1"), Some(5.0));
    assert_eq!(of("::ffff:10.0.0.1"), Some(5.0), "the same address");
    assert_eq!(of("10.0.0.2"), Some(2.0));
    assert_eq!(find_of_ip(&ClientQuotas::new(), PeerAddress::UNKNOWN), None);
}

proptest! {
    #[test]
    fn the_first_level_that_is_there_counts(
        there in proptest::collection::btree_set(0usize..8, 0..8),
    ) {
        let levels: Vec<usize> = there.iter().copied().collect();
        let found = level(&quotas(&levels), "alice", "app").map(|(found, _)| found);
        prop_assert_eq!(found, levels.first().copied());
    }
}
