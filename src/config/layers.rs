// SPDX-License-Identifier: Apache-2.0
//! The places where a broker setting can have a value, the strongest first.
//!
//! Owns: [`BrokerLayers`]. Invariants: a setting of this broker alone beats one for all brokers,
//! which beats the file, which beats the built-in default; within one place the order of a
//! setting's names decides.
//! Runs on: any core. Bounded by: three maps and the table of broker settings.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::broker;
use super::definition::{ConfigSource, ConfigSynonym};
use crate::model::ids::BrokerId;

/// Settings in text form by name.
pub type Settings = BTreeMap<ByteString, ByteString>;

/// Where a broker looks for its settings.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    own: Option<&'a Settings>,
    cluster: Option<&'a Settings>,
    file: &'a Settings,
}

impl<'a> BrokerLayers<'a> {
    /// The places of one broker: what was set while running (`MetadataImage::broker_configs`) and
    /// its file.
    #[must_use]
    pub fn new(
        dynamic: &'a BTreeMap<Option<BrokerId>, Settings>,
        node_id: BrokerId,
        file: &'a Settings,
    ) -> BrokerLayers<'a> {
        BrokerLayers {
            own: dynamic.get(&Some(node_id)),
            cluster: dynamic.get(&None),
            file,
        }
    }

    /// The file alone.
    #[must_use]
    pub fn of_file(file: &'a Settings) -> BrokerLayers<'a> {
        BrokerLayers {
            own: None,
            cluster: None,
            file,
        }
    }

    /// What was set for all brokers while they run.
    pub(super) fn cluster(&self) -> Option<&'a Settings> {
        self.cluster
    }

    /// The value that was set while the brokers run, of a setting that has one name.
    #[must_use]
    pub fn dynamic_value(&self, name: &str) -> Option<&'a str> {
        let mut set = [self.own, self.cluster].into_iter().flatten();
        let value = set.find_map(|settings| settings.get(name));
        value.map(|value| &**value)
    }

    /// The value of a setting that has one name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let places = [self.own, self.cluster, Some(self.file)];
        let mut set = places.into_iter().flatten();
        let value = set.find_map(|settings| settings.get(name));
        value.map(|value| &**value).or(broker::default_of(name))
    }

    /// Every place where one of these names has a value, the one that counts first.
    pub(super) fn values(&self, names: &[&'static str]) -> Vec<ConfigSynonym> {
        let places = [
            (self.own, ConfigSource::DynamicBroker),
            (self.cluster, ConfigSource::DynamicDefaultBroker),
            (Some(self.file), ConfigSource::StaticBroker),
        ];
        let mut found = Vec::new();
        for (settings, source) in places {
            for name in names {
                if let Some(value) = settings.and_then(|settings| settings.get(*name)) {
                    found.push(ConfigSynonym {
                        name,
                        value: value.clone(),
                        source,
                    });
                }
            }
        }
        for name in names {
            if let Some(default) = broker::default_of(name) {
                let value = ByteString::from_static(default);
                found.push(ConfigSynonym {
                    name,
                    value,
                    source: ConfigSource::Default,
                });
            }
        }
        found
    }
}
