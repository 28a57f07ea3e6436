// SPDX-License-Identifier: Apache-2.0
//! One broker process: started on port 0, watched, killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: the machine may be busy with other
/// tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running broker.
pub struct Broker {
    child: Child,
    lines: Receiver<String>,
    /// Everything it has said so far.
    pub said: Vec<String>,
    /// Where it serves, `127.0.0.1:PORT`.
    pub address: String,
}

/// A broker that ended before it served.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub said: String,
}

impl Broker {
    /// Starts a broker on a free port and waits until it serves.
    pub fn start(data: &Path) -> Broker {
        Broker::try_start(data, &["--listen", "127.0.0.1:0"]).expect("the broker starts")
    }

    /// Starts a broker with these arguments, waits until it serves or has ended.
    pub fn try_start(data: &Path, arguments: &[&str]) -> Result<Broker, Ended> {
        let mut broker = Broker::begin(data, arguments);
        if broker.wait_for_ready() {
            return Ok(broker);
        }
        let status = broker.child.wait().expect("it has ended");
        Err(Ended {
            status,
            said: broker.said.join("\n"),
        })
    }

    /// Starts a broker with these arguments and waits for nothing.
    pub fn begin(data: &Path, arguments: &[&str]) -> Broker {
        let command = Command::new(env!("CARGO_BIN_EXE_furlong"));
        Broker::begin_as(command, data, arguments)
    }

    /// Starts a broker that may have so many descriptors, and waits until it serves.
    pub fn start_with_descriptors(data: &Path, arguments: &[&str], count: u32) -> Broker {
        let mut command = Command::new("sh");
        let count = count.to_string();
        let script = r#"ulimit -n "$0" && exec "$@""#;
        command.args(["-c", script, &count, env!("CARGO_BIN_EXE_furlong")]);
        let mut broker = Broker::begin_as(command, data, arguments);
        assert!(broker.wait_for_ready(), "{:?}", broker.said);
        broker
    }

    fn begin_as(mut command: Command, data: &Path, arguments: &[&str]) -> Broker {
        command
            .args(["serve", "--data"])
            .arg(data)
            .args(arguments)
            .current_dir(data);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let (sender, lines) = channel();
        read_lines(child.stdout.take().expect("piped"), sender.clone());
        read_lines(child.stderr.take().expect("piped"), sender);
        Broker {
            child,
            lines,
            said: Vec::new(),
            address: String::new(),
        }
    }

    /// False if it ended first.
    pub fn wait_for_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let address = line.split_once("serving on ").map(|(_, rest)| {
                        rest.split([' ', ',']).next().unwrap_or_default().to_owned()
                    });
                    self.said.push(line);
                    if let Some(address) = address {
                        self.address = address;
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("not ready: {:?}", self.said),
            }
        }
    }

    /// True if it has said that it serves.
    pub fn is_ready(&mut self) -> bool {
        self.said.extend(self.lines.try_iter());
        self.said.iter().any(|line| line.contains("serving on "))
    }

    /// Waits for a line with these words; the line.
    pub fn hear(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.said.extend(self.lines.try_iter());
            if let Some(line) = self.said.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no {words}: {:?}", self.said);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without any notice, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill is there");
        assert!(status.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Panics with its last words if it is no longer there.
    pub fn assert_alive(&mut self) {
        self.said.extend(self.lines.try_iter());
        let ended = self.child.try_wait().expect("it is ours");
        assert!(
            ended.is_none(),
            "the broker ended with {ended:?}: {:?}",
            self.said
        );
    }

    /// The most memory it has had at once, in bytes.
    pub fn memory_peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .expect("Linux says it");
        let kib = line
            .split_whitespace()
            .nth(1)
            .expect("a number")
            .parse::<u64>();
        kib.expect("a number") * 1024
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
