// SPDX-License-Identifier: Apache-2.0
//! The flush modes on the real program, each on a file system of its own whose device counts its
//! flushes: what is answered before a flush, when the flush comes, and that a changed setting takes
//! effect at once.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::durability::{skip, values};
use crate::process::Broker;
use crate::volume::{EXT4, Volume};

const VOLUME_BYTES: u64 = 512 << 20;

/// Appends that are watched.
const APPENDS: u64 = 40;

/// How long nothing may be flushed before the disk counts as quiet.
const QUIET: Duration = Duration::from_millis(700);

/// A broker on a file system of its own.
struct Field {
    broker: Broker,
    client: Client,
    volume: Volume,
}

impl Field {
    /// None, loudly, where this machine cannot.
    fn new(arguments: &[&str], settings: &[(&str, &str)]) -> Option<Field> {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let volume = match Volume::make(parent, EXT4, VOLUME_BYTES) {
            Ok(volume) => volume,
            Err(sentence) => {
                skip(&sentence);
                return None;
            }
        };
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        let broker = Broker::try_start(&volume.path(), &arguments).expect("it starts");
        let mut client = Client::connect(&broker.address);
        client.create_topic_with("furrow", 1, settings);
        let mut field = Field {
            broker,
            client,
            volume,
        };
        field.warm();
        Some(field)
    }

    /// The first appends may find a file that is not ready yet; what the log and the file system
    /// do about that is over when no flush has come for a while.
    fn warm(&mut self) {
        for _ in 0..5 {
            self.append();
        }
        let mut count = self.volume.flushes();
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(20));
            let now = self.volume.flushes();
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
    }

    fn append(&mut self) {
        self.client.produce_values("furrow", 0, &values(1, 50));
    }

    /// Appends one by one; how many were answered without a flush since the one before.
    fn answered_without_flush(&mut self) -> u64 {
        let mut without = 0;
        for _ in 0..APPENDS {
            let before = self.volume.flushes();
            self.append();
            without += u64::from(self.volume.flushes() == before);
        }
        without
    }

    /// The time until the next flush.
    fn next_flush(&self, before: u64) -> Duration {
        let began = Instant::now();
        while self.volume.flushes() == before {
            assert!(began.elapsed() < Duration::from_secs(10), "no flush comes");
            thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    }

    fn stop(self) {
        assert_eq!(self.broker.stop().code(), Some(0));
    }
}

#[test]
fn always_answers_nothing_before_its_flush() {
    let Some(mut field) = Field::new(&[], &[("flush.mode", "always")]) else {
        return;
    };
    assert_eq!(field.answered_without_flush(), 0);
    field.stop();
}

#[test]
fn an_interval_in_milliseconds_answers_first_and_flushes_in_time() {
    let Some(mut field) = Field::new(&[], &[("flush.ms", "300")]) else {
        return;
    };
    let mut slowest = Duration::ZERO;
    // The file system flushes for its journal now and then, and the log for zeros ahead of itself.
    let mut others = 0;
    for _ in 0..10 {
        let before = field.volume.flushes();
        let began = Instant::now();
        field.append();
        let is_answered_first = field.volume.flushes() == before;
        thread::sleep(Duration::from_millis(280).saturating_sub(began.elapsed()));
        let early = field.volume.flushes();
        others += u32::from(!is_answered_first || early != before);
        field.next_flush(early);
        slowest = slowest.max(began.elapsed());
        // The interval begins with the next record, and until then nothing is flushed.
        let after = field.volume.flushes();
        thread::sleep(Duration::from_millis(400));
        others += u32::from(field.volume.flushes() != after);
    }
    assert!(
        others <= 6,
        "{others} of 20 times something was flushed at the wrong moment"
    );
    println!("the slowest flush of an interval of 300 ms came after {slowest:?}");
    assert!(slowest < Duration::from_millis(800), "{slowest:?} is late");
    field.stop();
}

#[test]
fn under_load_an_interval_flushes_once_each_time() {
    let Some(mut field) = Field::new(&[], &[("flush.ms", "200")]) else {
        return;
    };
    let before = field.volume.flushes();
    let began = Instant::now();
    let mut appends = 0;
    while began.elapsed() < Duration::from_secs(2) {
        field.append();
        appends += 1;
    }
    let flushes = field.volume.flushes() - before;
    println!("{flushes} flushes for {appends} appends in two seconds");
    // Beside the interval's own, those of zeros written ahead of the log.
    assert!(
        (7..=20).contains(&flushes),
        "{flushes} flushes in ten intervals"
    );
    assert!(appends > 3 * flushes, "{appends} appends prove nothing");
    field.stop();
}

#[test]
fn an_interval_in_records_flushes_by_their_count() {
    let settings = [("flush.messages", "10"), ("flush.ms", "60000")];
    let Some(mut field) = Field::new(&[], &settings) else {
        return;
    };
    // Five records were appended to warm it up.
    for round in 0..5 {
        let before = field.volume.flushes();
        let first = if round == 0 { 4 } else { 9 };
        for _ in 0..first {
            field.append();
        }
        assert_eq!(field.volume.flushes(), before, "round {round}");
        field.append();
        let took = field.next_flush(before);
        assert!(
            took < Duration::from_millis(500),
            "{took:?} after the tenth record"
        );
        field.warm_down();
    }
    field.stop();
}

impl Field {
    /// Waits until the flush that has begun is over, whatever it consists of.
    fn warm_down(&self) {
        let mut count = self.volume.flushes();
        loop {
            thread::sleep(Duration::from_millis(150));
            let now = self.volume.flushes();
            if now == count {
                return;
            }
            count = now;
        }
    }
}

#[test]
fn never_flushes_nothing_while_it_appends_and_all_at_the_stop() {
    let Some(mut field) = Field::new(&[], &[("flush.mode", "never")]) else {
        return;
    };
    let before = field.volume.flushes();
    assert_eq!(field.answered_without_flush(), APPENDS);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(field.volume.flushes(), before, "nor later");
    let Field {
        broker,
        client,
        volume,
    } = field;
    drop(client);
    assert_eq!(broker.stop().code(), Some(0));
    assert!(volume.flushes() > before, "a clean stop is durable");
    let broker = Broker::start(&volume.path());
    let records = Client::connect(&broker.address).read_all("furrow", 0);
    assert_eq!(records.len() as u64, 5 + APPENDS);
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn never_bounds_what_lies_unflushed() {
    let Some(mut field) = Field::new(&[], &[("flush.mode", "never")]) else {
        return;
    };
    let before = field.volume.flushes();
    let large = values(1, 900_000);
    for _ in 0..200 {
        field.client.produce_values("furrow", 0, &large);
    }
    // 180 MB: more than may lie unflushed; and far fewer flushes than appends.
    let flushes = field.volume.flushes() - before;
    println!("{flushes} flushes for 180 MB");
    assert!((1..=100).contains(&flushes), "{flushes} flushes");
    field.stop();
}

#[test]
fn the_mode_of_the_broker_is_that_of_topics_that_have_none() {
    let arguments = ["--set", "log.flush.mode=never"];
    let Some(mut field) = Field::new(&arguments, &[]) else {
        return;
    };
    assert_eq!(field.answered_without_flush(), APPENDS);
    field
        .client
        .alter_topic("furrow", "flush.mode", Some("always"));
    assert_eq!(field.answered_without_flush(), 0, "the topic's own counts");
    field.stop();
}

#[test]
fn a_changed_mode_takes_effect_at_once() {
    let Some(mut field) = Field::new(&[], &[]) else {
        return;
    };
    assert_eq!(field.answered_without_flush(), 0, "always is the default");
    field
        .client
        .alter_topic("furrow", "flush.mode", Some("never"));
    field.warm();
    assert_eq!(field.answered_without_flush(), APPENDS);
    field.client.alter_topic("furrow", "flush.mode", None);
    assert_eq!(field.answered_without_flush(), 0, "the default again");
    field
        .client
        .alter_topic("furrow", "flush.ms", Some("60000"));
    field.warm();
    assert_eq!(field.answered_without_flush(), APPENDS);
    // Five more from warming up: what waits unflushed is flushed when the interval shrinks.
    let before = field.volume.flushes();
    field.client.alter_topic("furrow", "flush.ms", Some("100"));
    let took = field.next_flush(before);
    assert!(took < Duration::from_millis(800), "{took:?}");
    field.stop();
}
