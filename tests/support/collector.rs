//! A stand-in for a server's collector that answers as a test wants: later, never, or as the real one does.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the stand-in does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Every event is accepted.
    Accept,
    /// This status, with `Retry-After: 0`.
    Later(u16),
    /// No answer, ever.
    Silence,
}

/// The requests so far, each as its events.
pub(crate) type Heard = Arc<Mutex<Vec<Vec<Value>>>>;

/// Listens; `reply` is asked what to do with the request of this number, counted from 0.
pub(crate) async fn collector(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let heard = Heard::default();
    let (reply, requests) = (Arc::new(reply), Arc::clone(&heard));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&reply), Arc::clone(&requests)));
        }
    });
    (url, heard)
}

async fn serve(mut stream: TcpStream, reply: Arc<impl Fn(usize) -> Reply>, heard: Heard) {
    while let Some(body) = request(&mut stream).await {
        let events: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("lines are JSON")).collect();
        let count = events.len();
        let number = {
            let mut heard = heard.lock().unwrap();
            heard.push(events);
            heard.len() - 1
        };
        let (status, answer) = match reply(number) {
            Reply::Accept => (200, json!({ "accepted": count, "duplicate": 0, "rejected": 0, "errors": [], "duplicates": [] })),
            Reply::Later(status) => (status, json!({ "error": { "kind": "busy", "message": "the disk is busy", "hint": "" } })),
            Reply::Silence => std::future::pending().await,
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nretry-after: 0\r\n\r\n", answer.len());
        if stream.write_all((head + &answer).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The body of the next request, which says how long it is; nothing when the caller hangs up.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |text| text.trim().parse().unwrap());
            while bytes.len() < end + 4 + length {
                stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
            }
            return Some(String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).expect("bodies are UTF-8"));
        }
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    }
}
