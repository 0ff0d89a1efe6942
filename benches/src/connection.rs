//! A connection to the server that costs the measurement next to nothing: requests are made
//! beforehand, and of an answer only its length is looked at.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Failure;
use crate::node::Node;

/// A kept-alive HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The bytes of the last answer, head and body.
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not listen.
    pub fn open(node: &Node) -> Result<Self, Failure> {
        let stream = TcpStream::connect(node.address())?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// The bytes of a request with a JSON body, or without one.
    #[must_use]
    pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if !body.is_empty() {
            let len = body.len();
            head.push_str("content-type: application/json\r\ncontent-length: ");
            head.push_str(&format!("{len}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }

    /// Sends a request and returns the body of its answer.
    ///
    /// # Errors
    /// A connection that ends, an answer without a length, and one that is no success.
    pub fn send(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut body = None;
        loop {
            if body.is_none() {
                body = body_of(&self.buffer)?;
            }
            if let Some((start, end)) = body
                && self.buffer.len() >= end
            {
                return Ok(&self.buffer[start..end]);
            }
            let before = self.buffer.len();
            self.buffer.resize(before + (16 << 10), 0);
            let read = self.stream.read(&mut self.buffer[before..])?;
            self.buffer.truncate(before + read);
            if read == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }
}

/// Where the body of an answer begins and ends, as soon as its head is there.
fn body_of(answer: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("the server answered {head}").into());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
    Ok(Some((end + 4, end + 4 + length)))
}
