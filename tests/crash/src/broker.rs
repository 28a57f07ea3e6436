// SPDX-License-Identifier: Apache-2.0
//! A broker process: started, watched, killed by its own process id.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a broker that are kept to be shown.
const LINES_KEPT: usize = 40;

/// A running broker.
pub struct Broker {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Where it serves.
    pub address: String,
    /// How long it took to say so.
    pub start_took: Duration,
}

impl Broker {
    /// Starts one and waits until it serves.
    pub fn start(program: &Path, data: &Path) -> Result<Broker, String> {
        let begun = Instant::now();
        let mut broker = Broker::spawn(program, data)?;
        broker.wait_for_ready(begun)?;
        broker.start_took = begun.elapsed();
        Ok(broker)
    }

    /// Starts one and kills it soon, in the middle of its start as likely as not.
    pub fn start_and_kill(program: &Path, data: &Path, after: Duration) -> Result<(), String> {
        let broker = Broker::spawn(program, data)?;
        thread::sleep(after);
        broker.kill();
        Ok(())
    }

    fn spawn(program: &Path, data: &Path) -> Result<Broker, String> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data);
        // Looks for segments to remove more often than anybody would ask for.
        command.args(["--set", "log.retention.check.interval.ms=500"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take().expect("piped"), sender.clone());
        read_lines(child.stderr.take().expect("piped"), sender);
        Ok(Broker {
            child,
            lines,
            said: Vec::new(),
            address: String::new(),
            start_took: Duration::ZERO,
        })
    }

    fn wait_for_ready(&mut self, begun: Instant) -> Result<(), String> {
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    let (patience, said) = (PATIENCE.as_secs(), self.said());
                    return Err(format!(
                        "the broker did not serve within {patience} s: {said}"
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!(
                        "the broker ended before it served: {}",
                        self.said()
                    ));
                }
            };
            let address = line
                .split_once("serving on ")
                .map(|(_, rest)| rest.split([' ', ',']).next().unwrap_or_default().to_owned());
            self.said.push(line);
            if let Some(address) = address {
                self.address = address;
                return Ok(());
            }
        }
    }

    /// The last that it said.
    pub fn said(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        let first = self.said.len().saturating_sub(LINES_KEPT);
        self.said[first..].join(" / ")
    }

    /// An error if it has ended by itself.
    pub fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(format!(
                "the broker ended by itself: {ended:?}: {}",
                self.said()
            )),
        }
    }

    /// Ends it at once: SIGKILL to this one process.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        crate::device::volume::run(Command::new("kill").args(["-TERM", &pid]))?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("the broker stopped with {status}: {}", self.said()));
                }
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("the broker does not stop: {}", self.said()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
}
