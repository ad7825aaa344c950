//! As little HTTP/1.1 as an answer needs: a status, a length or chunks, a body.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer of this size or more is not one of ours.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<f64>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The whole number that follows `name` in a JSON object; zero where there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let Some(at) = find(&self.body, name.as_bytes()) else { return 0 };
        let after = self.body[at + name.len()..].iter().skip_while(|byte| b"\": ".contains(byte));
        after.take_while(|byte| byte.is_ascii_digit()).fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let lines = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let header = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let status = lines.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(|| broken("no status"))?;
        let retry_after = header("retry-after").and_then(|text| text.parse().ok());
        let length = header("content-length").and_then(|text| text.parse::<usize>().ok());
        let body = match length {
            Some(length) => self.known_length(head, length).await?,
            None => self.chunks(head).await?,
        };
        Ok(Answer { status, retry_after, body })
    }

    async fn known_length(&mut self, head: usize, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(self.buffer[head..head + length].to_vec())
    }

    async fn chunks(&mut self, mut at: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer[at..], b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let text = std::str::from_utf8(&self.buffer[at..at + line]).map_err(|_| broken("a chunk without a length"))?;
            let length = usize::from_str_radix(text.trim(), 16).map_err(|_| broken("a chunk without a length"))?;
            at += line + 2;
            while self.buffer.len() < at + length + 2 {
                self.more().await?;
            }
            body.extend_from_slice(&self.buffer[at..at + length]);
            at += length + 2;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.buffer.len() > ANSWER_BYTES_MAX {
            return Err(broken("an answer without an end"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(broken("the server closed the connection")),
            _ => Ok(()),
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
