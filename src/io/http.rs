// SPDX-License-Identifier: Apache-2.0
//! A small HTTP server for a person or a collector of figures: one question, one answer, the
//! connection is closed.
//!
//! Owns: its socket and its thread. Invariants: it answers GET, and POST with a header that no web
//! page can have a browser send to it without asking first; what it waits for is bounded in bytes
//! and in time, and it can hold up nobody but those who ask it.
//! Runs on: a thread of its own. Bounded by: `ADMIN_REQUEST_BYTES_MAX`, `ADMIN_WAIT_MS_MAX`, one
//! connection at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::limits::{ADMIN_REQUEST_BYTES_MAX, ADMIN_WAIT_MS_MAX};

/// Header fields that are read of a request.
const HEADERS_MAX: usize = 64;

/// What a question gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code, and the word for it.
    pub status: (u16, &'static str),
    /// Type of the contents.
    pub content_type: &'static str,
    /// The contents.
    pub body: String,
}

impl Answer {
    /// A line of text.
    #[must_use]
    pub fn text(status: (u16, &'static str), line: &str) -> Answer {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{line}\n"),
        }
    }
}

/// The header that a POST must have, whatever its value.
pub const CHANGE_HEADER: &str = "X-Furlong-Admin";

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// It was a POST.
    pub is_change: bool,
    /// The path.
    pub path: String,
    /// What stands behind the question mark.
    pub query: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// GET, or POST with the header.
    Question(Question),
    /// POST without the header.
    Unmarked,
    /// Something that is not answered.
    Other,
    /// No HTTP.
    Malformed,
}

/// A socket that is bound and not yet served.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
}

impl HttpListener {
    /// Binds the socket.
    ///
    /// # Errors
    /// As the system says.
    pub fn bind(host: &str, port: u16) -> io::Result<HttpListener> {
        let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
        let listener = TcpListener::bind(&addresses[..])?;
        Ok(HttpListener { listener })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn serve(self, answer: impl Fn(&Question) -> Answer + Send + 'static) -> io::Result<()> {
        let body = move || {
            loop {
                match self.listener.accept() {
                    // Who asks and does not listen harms himself.
                    Ok((stream, _)) => drop(converse(stream, &answer)),
                    // No descriptor left, for example: it may pass.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        thread::Builder::new()
            .name("furlong-admin".into())
            .spawn(body)
            .map(|_| ())
    }
}

fn converse(mut stream: TcpStream, answer: &impl Fn(&Question) -> Answer) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_millis(ADMIN_WAIT_MS_MAX);
    let answer = match read_request(&mut stream, deadline)? {
        Asked::Question(question) => answer(&question),
        Asked::Unmarked => {
            let line = format!("a POST needs the header {CHANGE_HEADER}: 1");
            Answer::text((403, "Forbidden"), &line)
        }
        Asked::Other => {
            let line = "only GET and POST are answered here";
            Answer::text((405, "Method Not Allowed"), line)
        }
        Asked::Malformed => Answer::text((400, "Bad Request"), "this is not HTTP"),
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status.0,
        answer.status.1,
        answer.content_type,
        answer.body.len()
    );
    stream.set_write_timeout(Some(Duration::from_millis(ADMIN_WAIT_MS_MAX)))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.body.as_bytes())
}

fn read_request(stream: &mut TcpStream, deadline: Instant) -> io::Result<Asked> {
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        match parse(&bytes) {
            Some(asked) => return Ok(asked),
            None if count == 0 || bytes.len() > ADMIN_REQUEST_BYTES_MAX => {
                return Ok(Asked::Malformed);
            }
            None => {}
        }
    }
}

/// The request, once it is whole.
fn parse(bytes: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Err(_) => Some(Asked::Malformed),
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let mut names = request.headers.iter().map(|header| header.name);
            let is_marked = names.any(|name| name.eq_ignore_ascii_case(CHANGE_HEADER));
            let question = |is_change| {
                Asked::Question(Question {
                    is_change,
                    path: path.to_owned(),
                    query: query.to_owned(),
                })
            };
            Some(match request.method {
                Some("GET") => question(false),
                Some("POST") if is_marked => question(true),
                Some("POST") => Asked::Unmarked,
                _ => Asked::Other,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let asked = |is_change, path: &str, query: &str| {
            Some(Asked::Question(Question {
                is_change,
                path: path.to_owned(),
                query: query.to_owned(),
            }))
        };
        assert_eq!(
            parse(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
            asked(false, "/metrics", "")
        );
        assert_eq!(
            parse(b"GET /readyz?verbose=1 HTTP/1.0\r\n\r\n"),
            asked(false, "/readyz", "verbose=1")
        );
        assert_eq!(parse(b"GET /metrics HTTP/1.1\r\nHo"), None);
        assert_eq!(parse(b"POST / HTTP/1.1\r\n\r\n"), Some(Asked::Unmarked));
        assert_eq!(
            parse(b"POST /a?b=c HTTP/1.1\r\nx-furlong-admin: 1\r\n\r\n"),
            asked(true, "/a", "b=c")
        );
        assert_eq!(parse(b"PUT / HTTP/1.1\r\n\r\n"), Some(Asked::Other));
        assert_eq!(parse(b"\x00\x00\x00\x12\x00\x03"), Some(Asked::Malformed));
    }

    fn ask(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(bytes).expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        said
    }

    #[test]
    fn it_answers_and_survives_those_who_do_not_speak_http() {
        let listener = HttpListener::bind("127.0.0.1", 0).expect("a free port");
        let address = listener.address().expect("it is bound");
        let answer = |question: &Question| {
            Answer::text((200, "OK"), &format!("you asked for {}", question.path))
        };
        listener.serve(answer).expect("a thread");
        let endless = vec![b'a'; ADMIN_REQUEST_BYTES_MAX + 2048];
        let mut stream = TcpStream::connect(address).expect("it listens");
        // It may hang up before it has read everything.
        let _ = stream.write_all(&endless);
        drop(stream);
        assert!(ask(address, b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask(address, b"PUT /x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        let said = ask(address, b"GET /x HTTP/1.1\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nyou asked for /x\n"), "{said}");
    }
}
