// SPDX-License-Identifier: Apache-2.0
//! What the controller acknowledged holds at the end: topics that were made are there, deleted ones
//! are not, and a setting has the value that was acknowledged last (or one whose outcome nobody
//! learned).

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::history::Entry;

#[derive(Default)]
struct Setting {
    done: Option<String>,
    maybe: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    There,
    Gone,
    Maybe,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    check_topics(evidence, wrong);
    check_settings(evidence, wrong);
}

fn check_topics(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut topics = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::Created { topic, .. } => topics.insert(*topic, Topic::There),
            Entry::Deleted { topic } => topics.insert(*topic, Topic::Gone),
            Entry::CreateAsked { topic } | Entry::DeleteAsked { topic } => {
                topics.insert(*topic, Topic::Maybe)
            }
            Entry::TopicsAtEnd { names } => {
                for (topic, state) in &topics {
                    let name = &history.topics[*topic];
                    let there = names.contains(name);
                    match (state, there) {
                        (Topic::There, false) => {
                            wrong.push(format!("metadata: {name} was made and is not there"));
                        }
                        (Topic::Gone, true) => {
                            wrong.push(format!("metadata: {name} was deleted and is there"));
                        }
                        _ => {}
                    }
                }
                None
            }
            _ => None,
        };
    }
}

fn check_settings(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut settings: BTreeMap<(usize, &str), Setting> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::ConfigAsked { topic, key, value } => {
                let setting = settings.entry((*topic, key)).or_default();
                setting.maybe.insert(value.clone());
            }
            Entry::ConfigDone { topic, key, value } => {
                let setting = settings.entry((*topic, key)).or_default();
                setting.maybe.remove(value);
                setting.done = Some(value.clone());
            }
            Entry::ConfigAtEnd { topic, key, value } => {
                let Some(setting) = settings.get(&(*topic, key.as_str())) else {
                    continue;
                };
                let Some(done) = &setting.done else {
                    continue;
                };
                if done != value && !setting.maybe.contains(value) {
                    let name = &history.topics[*topic];
                    wrong.push(format!(
                        "metadata: {key} of {name} was set to {done} and is {value} at the end"
                    ));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::Entry;

    #[test]
    fn a_lost_topic_is_seen() {
        let mut history = sample::history();
        let names = Vec::new();
        history.push(Entry::TopicsAtEnd { names });
        sample::expect(&history, "metadata: sample was made and is not there");
    }

    #[test]
    fn a_lost_setting_is_seen() {
        let mut history = sample::history();
        let entry = |value: &str| (0, "retention.ms".to_owned(), value.to_owned());
        let (topic, key, value) = entry("5");
        history.push(Entry::ConfigDone { topic, key, value });
        let (topic, key, value) = entry("6");
        history.push(Entry::ConfigAtEnd { topic, key, value });
        sample::expect(&history, "was set to 5 and is 6 at the end");
    }
}
