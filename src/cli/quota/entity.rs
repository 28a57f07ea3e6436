// SPDX-License-Identifier: Apache-2.0
//! Whose quotas a command line means.
//!
//! Owns: [`EntityArguments`], [`Entity`]. Invariants: an entity has a user, a client id or both, or
//! an address alone. Runs on: the command's thread. Bounded by: the command line.

use bytestring::ByteString;
use clap::Args;
use serde_json::{Map, Value};

use crate::cli::CliError;
use crate::model::quota::{CLIENT_ID, IP, USER};
use crate::wire::protocol::alter_client_quotas::EntityData;
use crate::wire::protocol::describe_client_quotas::{
    ComponentData, EntityData as DescribedEntityData,
};

/// Whose quotas.
#[derive(Clone, Debug, Default, Args)]
pub struct EntityArguments {
    /// This user (ANONYMOUS is who has not authenticated)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Every user that has no quota of its own
    #[arg(long, conflicts_with = "user")]
    user_default: bool,
    /// This client id
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
    /// Every client id that has no quota of its own
    #[arg(long, conflicts_with = "client_id")]
    client_id_default: bool,
    /// This address
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["user", "user_default", "client_id",
        "client_id_default"])]
    ip: Option<String>,
    /// Every address that has no quota of its own
    #[arg(long, conflicts_with_all = ["ip", "user", "user_default", "client_id",
        "client_id_default"])]
    ip_default: bool,
}

/// Parts with their names; no name stands for the default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entity {
    parts: Vec<(ByteString, Option<ByteString>)>,
}

impl EntityArguments {
    /// What they name.
    pub fn entity(&self) -> Result<Entity, CliError> {
        let all = [
            (USER, &self.user, self.user_default),
            (CLIENT_ID, &self.client_id, self.client_id_default),
            (IP, &self.ip, self.ip_default),
        ];
        let given = all.into_iter().filter_map(|(kind, name, is_default)| {
            let name = name.as_deref().map(ByteString::from);
            (is_default || name.is_some()).then_some((ByteString::from_static(kind), name))
        });
        let parts: Vec<(ByteString, Option<ByteString>)> = given.collect();
        if parts.is_empty() {
            return Err(CliError::usage(
                "whose quota? give --user NAME or --user-default, --client-id NAME or \
                 --client-id-default, one of each, or --ip ADDRESS or --ip-default",
            ));
        }
        Ok(Entity { parts })
    }
}

impl Entity {
    /// The entity that an answer tells.
    #[must_use]
    pub fn of_wire(parts: &[DescribedEntityData]) -> Entity {
        let mut parts: Vec<(ByteString, Option<ByteString>)> = parts
            .iter()
            .map(|part| (part.entity_type.clone(), part.entity_name.clone()))
            .collect();
        // A user comes before a client id, however the broker sorts them.
        parts.sort_by(|left, right| right.0.cmp(&left.0));
        Entity { parts }
    }

    /// As a request to change its quotas names it.
    #[must_use]
    pub fn wire(&self) -> Vec<EntityData> {
        let parts = self.parts.iter().map(|(kind, name)| EntityData {
            entity_type: kind.clone(),
            entity_name: name.clone(),
        });
        parts.collect()
    }

    /// The filter that lets nobody else through, if it is strict.
    #[must_use]
    pub fn filter(&self) -> Vec<ComponentData> {
        let parts = self.parts.iter().map(|(kind, name)| ComponentData {
            entity_type: kind.clone(),
            match_type: i8::from(name.is_none()),
            match_name: name.clone(),
        });
        parts.collect()
    }

    /// How it is called in sentences.
    #[must_use]
    pub fn title(&self) -> String {
        let parts = self.parts.iter().map(|(kind, name)| match name {
            Some(name) => format!("{kind} {name}"),
            None => format!("every {kind}"),
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// For programs: the name of each part, null for the default.
    #[must_use]
    pub fn object(&self) -> Value {
        let parts = self.parts.iter().map(|(kind, name)| {
            let name = name.as_deref().map_or(Value::Null, Value::from);
            (kind.to_string(), name)
        });
        Value::Object(parts.collect::<Map<String, Value>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        entity: EntityArguments,
    }

    fn title(words: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["set"].iter().chain(words));
        let line = line.map_err(|error| error.to_string())?;
        let entity = line.entity.entity().map_err(|error| error.to_string())?;
        assert_eq!(entity.wire().len(), entity.filter().len());
        Ok(entity.title())
    }

    #[test]
    fn entities_are_users_client_ids_both_or_addresses() {
        let good = |words: &[&str]| title(words).expect("an entity");
        assert_eq!(good(&["--user", "a"]), "user a");
        assert_eq!(good(&["--user-default"]), "every user");
        assert_eq!(
            good(&["--client-id", "c", "--user-default"]),
            "every user, client-id c"
        );
        assert_eq!(good(&["--ip", "10.0.0.1"]), "ip 10.0.0.1");
        assert_eq!(good(&["--ip-default"]), "every ip");
        for bad in [
            &[][..],
            &["--user", "a", "--user-default"],
            &["--user", "a", "--ip", "10.0.0.1"],
            &["--ip-default", "--ip", "10.0.0.1"],
            &["--client-id-default", "--ip-default"],
        ] {
            assert!(title(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_order_of_parts_is_always_the_same() {
        let part = |kind: &'static str| DescribedEntityData {
            entity_type: kind.into(),
            entity_name: Some("x".into()),
        };
        let one = Entity::of_wire(&[part(USER), part(CLIENT_ID)]);
        assert_eq!(one, Entity::of_wire(&[part(CLIENT_ID), part(USER)]));
        assert_eq!(one.title(), "user x, client-id x");
        assert_eq!(one.object().to_string(), r#"{"client-id":"x","user":"x"}"#);
    }
}
