// SPDX-License-Identifier: Apache-2.0
//! Who divides the partitions of a group, and how: `--group-protocol` and `--assignor`.
//!
//! Owns: [`GroupProtocol`], [`Assignor`], [`Division`]. Invariants: an assignor that the protocol
//! does not have is a mistake of the command line, found before anybody joins. Runs on: the
//! command's thread. Bounded by: the command line.

use clap::ValueEnum;

use crate::cli::CliError;
use crate::cli::client::assign::Assignor as Classic;

/// How a group works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    /// One of the members divides the partitions
    Classic,
    /// The broker divides them (KIP-848)
    Consumer,
}

/// A way to divide partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Assignor {
    /// Neighbouring partitions of each topic together; the first members get one more
    Range,
    /// One partition after the other, to one member after the other (classic only)
    #[value(name = "roundrobin")]
    RoundRobin,
    /// Even, and as before where possible (classic only)
    Sticky,
    /// The same; what moves is given up first, and all else stays (classic only, KIP-429)
    CooperativeSticky,
    /// Even, and as before where possible (consumer only)
    Uniform,
}

/// Who divides, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Division {
    /// A member, in this way.
    ByMembers(Classic),
    /// The broker, in the way of this name or in the one that it prefers.
    ByBroker(Option<&'static str>),
}

impl Division {
    /// What was asked for.
    pub(super) fn of(
        protocol: GroupProtocol,
        assignor: Option<Assignor>,
    ) -> Result<Division, CliError> {
        let classic = match (protocol, assignor) {
            (GroupProtocol::Consumer, None) => return Ok(Division::ByBroker(None)),
            (GroupProtocol::Consumer, Some(Assignor::Range)) => {
                return Ok(Division::ByBroker(Some("range")));
            }
            (GroupProtocol::Consumer, Some(Assignor::Uniform)) => {
                return Ok(Division::ByBroker(Some("uniform")));
            }
            (GroupProtocol::Consumer, Some(_)) => {
                return Err(CliError::usage(
                    "with --group-protocol consumer the broker divides the partitions, and its \
                     ways are uniform and range; give one of them to --assignor, or leave it out",
                ));
            }
            (GroupProtocol::Classic, Some(Assignor::Uniform)) => {
                return Err(CliError::usage(
                    "uniform is a way in which the broker divides the partitions; give \
                     --group-protocol consumer with it",
                ));
            }
            (GroupProtocol::Classic, None | Some(Assignor::Range)) => Classic::Range,
            (GroupProtocol::Classic, Some(Assignor::RoundRobin)) => Classic::RoundRobin,
            (GroupProtocol::Classic, Some(Assignor::Sticky)) => Classic::Sticky,
            (GroupProtocol::Classic, Some(Assignor::CooperativeSticky)) => {
                Classic::CooperativeSticky
            }
        };
        Ok(Division::ByMembers(classic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_assignors() {
        use GroupProtocol as P;
        let all = Assignor::value_variants();
        let of = |protocol| {
            let found = all.iter().map(|one| Division::of(protocol, Some(*one)));
            found.map(Result::ok).collect::<Vec<_>>()
        };
        let classic = [
            Classic::Range,
            Classic::RoundRobin,
            Classic::Sticky,
            Classic::CooperativeSticky,
        ];
        let mut wanted: Vec<_> = classic.map(|one| Some(Division::ByMembers(one))).into();
        wanted.push(None);
        assert_eq!(of(P::Classic), wanted);
        let (range, uniform) = (Some("range"), Some("uniform"));
        let [range, uniform] = [range, uniform].map(|name| Some(Division::ByBroker(name)));
        assert_eq!(of(P::Consumer), [range, None, None, None, uniform]);
        let error = Division::of(P::Classic, Some(Assignor::Uniform)).expect_err("not there");
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("--group-protocol consumer"),
            "{error}"
        );
    }

    #[test]
    fn without_a_word_it_is_as_everywhere() {
        let none = |protocol| Division::of(protocol, None).expect("it has a default");
        assert_eq!(
            none(GroupProtocol::Classic),
            Division::ByMembers(Classic::Range)
        );
        assert_eq!(none(GroupProtocol::Consumer), Division::ByBroker(None));
    }
}
