// SPDX-License-Identifier: Apache-2.0
//! `furlong consume --group`: records are printed by a member of a group.
//!
//! Owns: the loop of joining, printing and committing. Invariants: an offset is committed once all
//! records below it were written to the output and flushed, and never in the name of a member that
//! has lost its partition; however the command ends, the member leaves. Runs on: the command's
//! thread. Bounded by: one opened batch, the partitions of one topic.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use super::division::Division;
use super::{ConsumeArguments, Printer, Stop};
use crate::cli::client::RETRY_FOR;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::consumer::{Consumer, Position, Until, Waited};
use crate::cli::client::member::consumer::{ConsumerMember, ConsumerMemberOptions};
use crate::cli::client::member::{
    JoinError, LEAVE_PATIENCE, Member, MemberOptions, Membership, Verdict,
};
use crate::cli::client::offsets::Place;
use crate::cli::client::positions::{Range, place};
use crate::cli::interrupt::Interrupt;
use crate::cli::{CliError, ClientError};
use crate::model::error_code::ErrorCode;
use crate::server::identity::random_id;

/// How long to wait for records before signs of the group and of the person are looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// How often is committed what was printed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How often the leader looks whether the topic has got more partitions.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Consumes until the end, the count, the signal or a failure.
pub(super) fn consume(
    arguments: &ConsumeArguments,
    group: &str,
    range: Range,
    printer: &mut Printer,
    output: &mut impl Write,
) -> Result<(), Stop> {
    let division = Division::of(arguments.group_protocol, arguments.assignor)?;
    let interrupt = Interrupt::install()?;
    let topic = arguments.topic.get().to_string();
    let mut cluster = arguments.bootstrap.connect()?;
    // A topic that is not there is a mistake, and no reason to join.
    cluster.leaders(&topic, false)?;
    cluster.heed(interrupt.clone());
    let member = member(arguments, division, (group, &topic), &interrupt)?;
    let reader = arguments.bootstrap.connect()?;
    let now = Instant::now();
    let mut session = Session {
        cluster,
        member,
        consumer: Consumer::idle(reader, topic.clone(), range.isolation),
        interrupt,
        topic,
        range,
        commits: !arguments.no_commit,
        done: BTreeMap::new(),
        ends: BTreeMap::new(),
        settled: BTreeMap::new(),
        committed: BTreeMap::new(),
        committed_at: now,
        counted_at: now,
        idle_since: now,
    };
    let outcome = match session.run(printer, output) {
        // It was broken off, and tries in the end what it was at.
        Err(Stop::Failed(_)) if session.interrupt.has_come() => Ok(()),
        outcome => outcome,
    };
    let left = session.end(output);
    outcome.and(left)
}

/// The member, which has not joined yet.
fn member(
    arguments: &ConsumeArguments,
    division: Division,
    (group, topic): (&str, &str),
    interrupt: &Interrupt,
) -> Result<Box<dyn Membership>, CliError> {
    let (cluster, interrupt) = (arguments.bootstrap.connect()?, interrupt.clone());
    let (group, topic) = (group.to_owned(), topic.to_owned());
    let instance = arguments.instance.clone();
    Ok(match division {
        Division::ByMembers(assignor) => {
            let options = MemberOptions {
                group,
                topic,
                instance,
                assignor,
            };
            Box::new(Member::new(options, cluster, interrupt))
        }
        Division::ByBroker(assignor) => {
            let options = ConsumerMemberOptions {
                group,
                topic,
                instance,
                assignor: assignor.map(str::to_owned),
                id: random_id().map_err(CliError::new)?.to_string(),
            };
            Box::new(ConsumerMember::new(options, cluster, interrupt))
        }
    })
}

struct Session {
    cluster: Cluster,
    member: Box<dyn Membership>,
    consumer: Consumer,
    interrupt: Interrupt,
    topic: String,
    range: Range,
    commits: bool,
    /// Where each partition that is ours goes on.
    done: BTreeMap<i32, i64>,
    /// Where each ends, as it was when it became ours.
    ends: BTreeMap<i32, i64>,
    /// `done` when the output was flushed last.
    settled: BTreeMap<i32, i64>,
    /// What was committed of it.
    committed: BTreeMap<i32, i64>,
    committed_at: Instant,
    counted_at: Instant,
    idle_since: Instant,
}

impl Session {
    fn run(&mut self, printer: &mut Printer, output: &mut impl Write) -> Result<(), Stop> {
        if !self.rebalance(None, output)? {
            return Ok(());
        }
        while printer.left > 0 && !self.interrupt.has_come() {
            if let Some(verdict) = self.what_now(output)?
                && !self.rebalance(Some(verdict), output)?
            {
                return Ok(());
            }
            match self.consumer.wait(GLANCE) {
                Ok(Waited::Chunk(chunk)) => {
                    let next = printer.print_chunk(&chunk, output)?;
                    self.done.insert(chunk.partition, next);
                }
                Ok(Waited::Nothing) => self.settle(output)?,
                Ok(Waited::End) if self.is_over() => return Ok(()),
                Ok(Waited::End) => {
                    self.settle(output)?;
                    std::thread::sleep(GLANCE);
                }
                Err(error) if is_out_of_range(&error) => self.place_anew()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Why the member must join again, if it must. Commits when it is time to.
    fn what_now(&mut self, output: &mut impl Write) -> Result<Option<Verdict>, Stop> {
        if let Some(verdict) = self.member.verdict() {
            return Ok(Some(verdict));
        }
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.settle(output)?;
            let verdict = self.commit(RETRY_FOR)?;
            if verdict.is_some() {
                return Ok(verdict);
            }
        }
        if self.counted_at.elapsed() >= COUNT_EVERY {
            self.counted_at = Instant::now();
            if self.member.has_more_to_divide(&mut self.cluster) {
                return Ok(Some(Verdict::Rejoin));
            }
        }
        Ok(None)
    }

    /// Whether there is nothing left that was asked for.
    fn is_over(&self) -> bool {
        let is_idle = self.done.is_empty();
        let may_end = self.range.until != Until::Never;
        may_end && (!is_idle || self.idle_since.elapsed() >= self.member.idle_patience())
    }

    /// What was printed is with whoever reads it.
    fn settle(&mut self, output: &mut impl Write) -> Result<(), Stop> {
        output.flush()?;
        self.settled.clone_from(&self.done);
        Ok(())
    }

    /// Commits what is settled and was not committed.
    fn commit(&mut self, patience: Duration) -> Result<Option<Verdict>, ClientError> {
        self.committed_at = Instant::now();
        let is_new = |(partition, next): &(&i32, &i64)| self.committed.get(partition) != Some(next);
        let news = self.settled.iter().filter(is_new);
        let offsets: BTreeMap<Place, i64> = news
            .map(|(partition, next)| ((self.topic.clone(), *partition), *next))
            .collect();
        if offsets.is_empty() || !self.commits {
            return Ok(None);
        }
        let verdict = self.member.commit(&mut self.cluster, &offsets, patience)?;
        if verdict.is_none() {
            self.committed.clone_from(&self.settled);
        }
        Ok(verdict)
    }

    /// Joins and takes what is ours from now on; false if the signal came.
    fn rebalance(&mut self, why: Option<Verdict>, output: &mut impl Write) -> Result<bool, Stop> {
        let mut is_lost = why == Some(Verdict::Lost);
        if why == Some(Verdict::Fenced) {
            let sentence = "another process has joined the group under the name of --instance; \
                            give each process a name of its own";
            return Err(CliError::new(sentence).into());
        }
        if !is_lost {
            self.settle(output)?;
            is_lost = self.commit(RETRY_FOR)? == Some(Verdict::Lost);
        }
        if is_lost {
            eprintln!(
                "furlong: the group went on without this member, which joins again; what it \
                 printed since its last commit will be read again"
            );
            self.member.was_lost();
        }
        if is_lost || !self.member.is_cooperative() {
            self.give_up(|_| false);
            self.consumer.read(BTreeMap::new());
        }
        loop {
            match self.member.join(&mut self.cluster) {
                Ok(()) => {}
                Err(JoinError::Interrupted) => return Ok(false),
                Err(JoinError::Failed(error)) => return Err(error.into()),
            }
            let ours = self.ours();
            let had = self.done.len();
            self.give_up(|partition| ours.contains(partition));
            if self.done.len() == had {
                break;
            }
            // What was given up goes to others in a further round (KIP-429).
            self.read_on();
        }
        self.take_over()?;
        self.idle_since = Instant::now();
        Ok(true)
    }

    /// The partitions that the member has.
    fn ours(&self) -> BTreeSet<i32> {
        let owned = self.member.owned().iter();
        let ours = owned.filter(|(topic, _)| *topic == self.topic);
        ours.map(|(_, partition)| *partition).collect()
    }

    /// Forgets all partitions but some.
    fn give_up(&mut self, keeps: impl Fn(&i32) -> bool) {
        let maps = [
            &mut self.done,
            &mut self.ends,
            &mut self.settled,
            &mut self.committed,
        ];
        for map in maps {
            map.retain(|partition, _| keeps(partition));
        }
    }

    /// Finds out where the partitions go on that are new.
    fn take_over(&mut self) -> Result<(), ClientError> {
        let ours = self.ours();
        let mut news = ours.iter().filter(|one| !self.done.contains_key(one));
        let news: Vec<i32> = news.by_ref().copied().collect();
        if news.is_empty() {
            return Ok(());
        }
        let places: Vec<Place> = news.iter().map(|one| (self.topic.clone(), *one)).collect();
        let Some(found) = self.member.committed(&mut self.cluster, &places)? else {
            // The next verdict says so, too.
            return Ok(());
        };
        let committed: BTreeMap<i32, i64> = found
            .into_iter()
            .map(|((_, partition), offset)| (partition, offset))
            .collect();
        self.place(&news, &committed)?;
        self.committed.extend(committed);
        self.read_on();
        Ok(())
    }

    fn place(
        &mut self,
        partitions: &[i32],
        wanted: &BTreeMap<i32, i64>,
    ) -> Result<(), ClientError> {
        let placed = place(
            &mut self.cluster,
            &self.topic,
            partitions,
            &self.range,
            wanted,
        )?;
        for (partition, position) in placed {
            if let Some(offset) = wanted.get(&partition)
                && *offset != position.next
            {
                eprintln!(
                    "furlong: offset {offset}, to which the group had come in partition \
                     {partition} of topic {}, is not in the log any more; going on at {}",
                    self.topic, position.next
                );
            }
            self.done.insert(partition, position.next);
            self.ends.insert(partition, position.end);
        }
        Ok(())
    }

    /// Retention has taken what was to be read next.
    fn place_anew(&mut self) -> Result<(), ClientError> {
        let wanted = self.done.clone();
        let partitions: Vec<i32> = wanted.keys().copied().collect();
        self.place(&partitions, &wanted)?;
        self.read_on();
        Ok(())
    }

    fn read_on(&mut self) {
        let position = |(partition, next): (&i32, &i64)| {
            let end = self.ends.get(partition).copied().unwrap_or(i64::MAX);
            (*partition, Position { next: *next, end })
        };
        let positions = self.done.iter().map(position).collect();
        self.consumer.read(positions);
    }

    /// Commits what was printed, and leaves.
    fn end(&mut self, output: &mut impl Write) -> Result<(), Stop> {
        // The end has a patience of its own.
        self.cluster.heed(Interrupt::default());
        let settled = self.settle(output);
        let began = Instant::now();
        let committed = self.commit(LEAVE_PATIENCE);
        let left = LEAVE_PATIENCE.saturating_sub(began.elapsed());
        let left = self.member.leave(&mut self.cluster, left);
        settled?;
        committed?;
        Ok(left?)
    }
}

fn is_out_of_range(error: &ClientError) -> bool {
    let out = ErrorCode::OffsetOutOfRange.code();
    matches!(error, ClientError::Refused { code, .. } if *code == out)
}
