//! A built-in SMTP server: the mailbox provider of the simulated world, and the other side of the senders' tests.
//!
//! It speaks ESMTP with PIPELINING, 8BITMIME, SMTPUTF8 and SIZE, takes every mail it is not told to refuse, and hands it
//! over before it answers the final dot: a mail that was answered with 250 is in the channel, and when the reader of the
//! channel is slow, so is the server. In tests it also misbehaves as told ([`Fault`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::sink_mix::{Mix, Trouble, Troubles};

/// RFC 5321 allows command lines of 512 bytes and text lines of 1,000; what is longer is no mail.
const LINE_BYTES_MAX: u64 = 4_096;
/// One read takes a whole small mail.
const READ_BYTES: usize = 64 * 1024;

/// One mail as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address in MAIL FROM.
    pub from: String,
    /// The addresses in RCPT TO that were accepted.
    pub to: Vec<String>,
    /// Headers and body, without the dots that SMTP adds.
    pub raw: Vec<u8>,
}

/// One way to misbehave. Where a fault names a text, it concerns mails to addresses that contain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// RCPT is refused with 550.
    RefuseRecipient(String),
    /// DATA is answered with 354 even if every recipient was refused, as some servers do.
    TakeDataWithoutRecipients,
    /// DATA is refused with 451.
    RefuseData(String),
    /// The mail is read and then refused with 554.
    RefuseContent(String),
    /// The mail is read and then answered with 421, and the connection is closed.
    CloseInsteadOfContent(String),
    /// MAIL is answered with 421 after so many mails on one connection, and the connection is closed.
    CloseAfter(u64),
    /// The connection is closed as soon as DATA was answered with 354.
    DropAtData(String),
    /// The mail is kept, but the connection is closed without a reply.
    DropAfterDot(String),
    /// The mail is read and never answered.
    SilentAfterDot(String),
}

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// Connections above this number are turned away with 421.
    pub sessions_max: usize,
    /// How many mails may wait for their reader.
    pub queue_mails_max: usize,
    /// Mails above this size are refused with 552.
    pub mail_bytes_max: usize,
    /// Whether PIPELINING is announced.
    pub is_pipelining: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Where it listens; a free port of 127.0.0.1 where the port is 0.
    pub listen: SocketAddr,
    /// How long each reply takes.
    pub latency: Duration,
    /// How often it says no.
    pub mix: Mix,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            sessions_max: 256,
            queue_mails_max: 1_024,
            mail_bytes_max: 10 * 1024 * 1024,
            is_pipelining: true,
            faults: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            latency: Duration::ZERO,
            mix: Mix::NONE,
        }
    }
}

/// What the server has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Connections that were taken.
    pub sessions: u64,
    /// Connections that were turned away.
    pub turned_away: u64,
    /// Mails that were handed over to the channel.
    pub mails: u64,
    /// Recipients, mails and DATA commands that were refused.
    pub refusals: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sessions: AtomicU64,
    turned_away: AtomicU64,
    mails: AtomicU64,
    refusals: AtomicU64,
    open: AtomicUsize,
}

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    counters: Arc<Counters>,
    listener: AbortHandle,
}

impl Sink {
    /// Starts a server; its mails come out of the channel.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start(config: SinkConfig) -> io::Result<(Self, mpsc::Receiver<Mail>)> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let (mails, received) = mpsc::channel(config.queue_mails_max.max(1));
        let counters = Arc::new(Counters::default());
        let troubles = Arc::new(Troubles::new(config.mix));
        let task = tokio::spawn(listen(listener, Arc::new(config), troubles, mails, counters.clone()));
        Ok((Self { address, counters, listener: task.abort_handle() }, received))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SinkCounts {
            sessions: read(&self.counters.sessions),
            turned_away: read(&self.counters.turned_away),
            mails: read(&self.counters.mails),
            refusals: read(&self.counters.refusals),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // The sessions belong to the listener's task and end with it.
        self.listener.abort();
    }
}

async fn listen(
    listener: TcpListener,
    config: Arc<SinkConfig>,
    troubles: Arc<Troubles>,
    mails: mpsc::Sender<Mail>,
    counters: Arc<Counters>,
) {
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map(|(stream, _)| stream),
            Some(_) = sessions.join_next() => continue,
        };
        // A connection that was gone before it was taken is no reason to stop.
        let Ok(stream) = stream else { continue };
        let is_full = counters.open.load(Ordering::Relaxed) >= config.sessions_max;
        if is_full {
            counters.turned_away.fetch_add(1, Ordering::Relaxed);
            sessions.spawn(turn_away(stream));
            continue;
        }
        counters.sessions.fetch_add(1, Ordering::Relaxed);
        counters.open.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(stream, config.clone(), troubles.clone(), mails.clone(), counters.clone());
        sessions.spawn(session.run());
    }
}

async fn turn_away(mut stream: TcpStream) {
    // The client may be gone already; then nobody needs to be told.
    let _ = stream.write_all(b"421 4.7.0 sink.example too many connections\r\n").await;
}

/// Whether the conversation goes on.
enum Next {
    Continue,
    Close,
}

struct Session {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    /// Replies that are written together once nothing more has come in.
    replies: Vec<u8>,
    line: Vec<u8>,
    config: Arc<SinkConfig>,
    troubles: Arc<Troubles>,
    mails: mpsc::Sender<Mail>,
    counters: Arc<Counters>,
    from: Option<String>,
    to: Vec<String>,
    /// Every recipient that was named, for the faults of DATA and later.
    named: Vec<String>,
    mail_count: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    fn new(
        stream: TcpStream,
        config: Arc<SinkConfig>,
        troubles: Arc<Troubles>,
        mails: mpsc::Sender<Mail>,
        counters: Arc<Counters>,
    ) -> Self {
        // Without it replies may wait for the client's next packet; the conversation works all the same.
        let _ = stream.set_nodelay(true);
        let (input, output) = stream.into_split();
        let input = BufReader::with_capacity(READ_BYTES, input);
        let (replies, line) = (Vec::new(), Vec::new());
        let (from, to, named, mail_count) = (None, Vec::new(), Vec::new(), 0);
        Self { input, output, replies, line, config, troubles, mails, counters, from, to, named, mail_count }
    }

    async fn run(mut self) {
        // A client that goes away in the middle of a sentence is its own affair.
        let _ = self.converse().await;
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.say("220 sink.example ESMTP");
        loop {
            self.flush_if_idle().await?;
            if !self.read_line().await? {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
            if let Next::Close = self.obey(&line).await? {
                return self.flush().await;
            }
        }
    }

    /// Reads one line with its end into `self.line`; `false` at the end of the connection.
    async fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let count = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line).await?;
        Ok(count > 0)
    }

    async fn obey(&mut self, line: &str) -> io::Result<Next> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "MAIL" => return Ok(self.begin(rest)),
            "RCPT" => return Ok(self.recipient(rest)),
            "DATA" => return self.data().await,
            "EHLO" => self.announce(),
            "HELO" => self.say("250 sink.example"),
            "RSET" => {
                self.forget();
                self.say("250 2.0.0 Ok");
            }
            "NOOP" => self.say("250 2.0.0 Ok"),
            "QUIT" => {
                self.say("221 2.0.0 Bye");
                return Ok(Next::Close);
            }
            _ => self.say("500 5.5.2 Unknown command"),
        }
        Ok(Next::Continue)
    }

    fn announce(&mut self) {
        self.forget();
        let size = self.config.mail_bytes_max;
        let pipelining = if self.config.is_pipelining { "250-PIPELINING\r\n" } else { "" };
        self.say(&format!("250-sink.example\r\n{pipelining}250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {size}"));
    }

    fn begin(&mut self, rest: &str) -> Next {
        if self.config.faults.iter().any(|fault| matches!(fault, Fault::CloseAfter(count) if self.mail_count >= *count)) {
            self.say("421 4.3.2 sink.example closes this connection");
            return Next::Close;
        }
        match address_in(rest, "FROM:") {
            Some(_) if self.from.is_some() => self.say("503 5.5.1 MAIL was given already"),
            Some(from) => {
                self.from = Some(from.to_owned());
                self.say("250 2.1.0 Ok");
            }
            None => self.say("501 5.5.4 Write MAIL FROM:<address>"),
        }
        Next::Continue
    }

    fn recipient(&mut self, rest: &str) -> Next {
        let Some(to) = address_in(rest, "TO:").filter(|to| !to.is_empty()) else {
            self.say("501 5.5.4 Write RCPT TO:<address>");
            return Next::Continue;
        };
        if self.from.is_none() {
            self.say("503 5.5.1 MAIL comes first");
            return Next::Continue;
        }
        self.named.push(to.to_owned());
        let is_refused = |fault: &Fault| matches!(fault, Fault::RefuseRecipient(text) if to.contains(text.as_str()));
        let is_refused = self.config.faults.iter().any(is_refused).then_some(Trouble::Unknown);
        match is_refused.or_else(|| self.troubles.of_recipient(to)) {
            Some(Trouble::Full) => self.refuse("452 4.2.2 The mailbox is full"),
            Some(Trouble::Busy) => self.refuse("451 4.7.1 Try again later"),
            Some(Trouble::Closing) => {
                self.refuse("421 4.7.0 Too many mails at once, try again later");
                return Next::Close;
            }
            Some(_) => self.refuse("550 5.1.1 No such mailbox"),
            None => {
                self.to.push(to.to_owned());
                self.say("250 2.1.5 Ok");
            }
        }
        Next::Continue
    }

    async fn data(&mut self) -> io::Result<Next> {
        if self.from.is_none() {
            self.say("503 5.5.1 MAIL comes first");
            return Ok(Next::Continue);
        }
        if self.to.is_empty() && !self.config.faults.contains(&Fault::TakeDataWithoutRecipients) {
            self.refuse("554 5.5.1 No valid recipients");
            return Ok(Next::Continue);
        }
        if self.has_fault(|fault| if let Fault::RefuseData(text) = fault { Some(text) } else { None }) {
            self.refuse("451 4.3.0 Not now");
            return Ok(Next::Continue);
        }
        self.say("354 End data with <CR><LF>.<CR><LF>");
        self.flush().await?;
        if self.has_fault(|fault| if let Fault::DropAtData(text) = fault { Some(text) } else { None }) {
            return Ok(Next::Close);
        }
        match self.read_content().await? {
            Some(raw) => self.take(raw).await,
            None => Ok(Next::Close),
        }
    }

    /// Reads up to the final dot. A dot counts only between CR LF and CR LF, so that no mail can hide another one.
    async fn read_content(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut raw = Vec::new();
        let mut is_line_start = true;
        loop {
            if !self.read_line().await? {
                return Ok(None);
            }
            if is_line_start && self.line == b".\r\n" {
                return Ok(Some(raw));
            }
            let stuffed = usize::from(is_line_start && self.line.starts_with(b"."));
            is_line_start = self.line.ends_with(b"\r\n");
            // One byte above the limit is enough to refuse it.
            if raw.len() <= self.config.mail_bytes_max {
                raw.extend_from_slice(&self.line[stuffed..]);
            }
        }
    }

    /// Answers a mail that was read.
    async fn take(&mut self, raw: Vec<u8>) -> io::Result<Next> {
        if self.has_fault(|fault| if let Fault::CloseInsteadOfContent(text) = fault { Some(text) } else { None }) {
            self.refuse("421 4.3.2 sink.example closes this connection");
            return Ok(Next::Close);
        }
        if self.has_fault(|fault| if let Fault::SilentAfterDot(text) = fault { Some(text) } else { None }) {
            std::future::pending::<()>().await;
        }
        let is_unwanted = self.has_fault(|fault| if let Fault::RefuseContent(text) = fault { Some(text) } else { None });
        let is_dropped = self.has_fault(|fault| if let Fault::DropAfterDot(text) = fault { Some(text) } else { None });
        let (from, to) = (self.from.take().unwrap_or_default(), std::mem::take(&mut self.to));
        let trouble = to.first().and_then(|to| self.troubles.of_mail(to));
        let (is_unwanted, is_dropped) =
            (is_unwanted || trouble == Some(Trouble::Unwanted), is_dropped || trouble == Some(Trouble::Lost));
        self.forget();
        if to.is_empty() {
            self.refuse("554 5.5.1 No valid recipients");
        } else if is_unwanted {
            self.refuse("554 5.7.1 Not wanted");
        } else if raw.len() > self.config.mail_bytes_max {
            self.refuse("552 5.3.4 Too large");
        } else if self.hand_over(Mail { from, to, raw }).await? {
            self.mail_count += 1;
            let number = self.counters.mails.fetch_add(1, Ordering::Relaxed) + 1;
            if is_dropped {
                // What was not flushed is never said.
                self.replies.clear();
                return Ok(Next::Close);
            }
            self.say(&format!("250 2.0.0 Ok: queued as {number:X}"));
        } else {
            self.refuse("451 4.3.0 Nobody reads these mails any more");
        }
        Ok(Next::Continue)
    }

    /// Puts the mail into the channel, waiting for room if need be; `false` when its reader is gone.
    async fn hand_over(&mut self, mail: Mail) -> io::Result<bool> {
        match self.mails.try_send(mail) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Full(mail)) => {
                self.flush().await?;
                Ok(self.mails.send(mail).await.is_ok())
            }
        }
    }

    /// Whether a fault of the wanted kind concerns one of the recipients.
    fn has_fault(&self, text_of: impl Fn(&Fault) -> Option<&String>) -> bool {
        let concerns = |text: &String| self.named.iter().any(|to| to.contains(text.as_str()));
        self.config.faults.iter().filter_map(text_of).any(concerns)
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
        self.named.clear();
    }

    fn say(&mut self, reply: &str) {
        self.replies.extend_from_slice(reply.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    fn refuse(&mut self, reply: &str) {
        self.counters.refusals.fetch_add(1, Ordering::Relaxed);
        self.say(reply);
    }

    /// Replies to pipelined commands leave together, as RFC 2920 asks.
    async fn flush_if_idle(&mut self) -> io::Result<()> {
        if self.input.buffer().is_empty() { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            if !self.config.latency.is_zero() {
                tokio::time::sleep(self.config.latency).await;
            }
            self.output.write_all(&self.replies).await?;
            self.replies.clear();
        }
        Ok(())
    }
}

/// The address in `FROM:<a@b.example> SIZE=10`; it may be empty.
fn address_in<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let (found, after) = rest.split_at_checked(keyword.len())?;
    let inner = after.trim_start().strip_prefix('<')?;
    found.eq_ignore_ascii_case(keyword).then(|| inner.split_once('>').map(|(address, _)| address))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `input` in one write, without waiting for replies, and gives back all that was answered.
    async fn answered(config: SinkConfig, input: &str) -> (String, Vec<Mail>) {
        let (sink, mut received) = Sink::start(config).await.unwrap();
        let mut stream = TcpStream::connect(sink.address()).await.unwrap();
        stream.write_all(input.as_bytes()).await.unwrap();
        let mut output = String::new();
        stream.read_to_string(&mut output).await.unwrap();
        drop(sink);
        let mut mails = Vec::new();
        while let Some(mail) = received.recv().await {
            mails.push(mail);
        }
        (output, mails)
    }

    fn codes(output: &str) -> Vec<&str> {
        output.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
    }

    #[tokio::test]
    async fn mails_are_taken_as_they_were_sent() {
        let input = "EHLO me\r\nMAIL FROM:<a@x.example> SIZE=3\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\nDATA\r\n\
                     Subject: x\r\n\r\n..dot\r\nbare\n.\nno end\r\n.\r\nQUIT\r\n";
        let (output, mails) = answered(SinkConfig::default(), input).await;
        assert_eq!(codes(&output), ["220", "250", "250", "250", "250", "354", "250", "221"]);
        assert!(output.contains("250-PIPELINING\r\n"), "{output}");
        let raw = b"Subject: x\r\n\r\n.dot\r\nbare\n.\nno end\r\n".to_vec();
        assert_eq!(mails, [Mail { from: "a@x.example".into(), to: vec!["b@y.example".into(), "c@y.example".into()], raw }]);
    }

    #[tokio::test]
    async fn commands_out_of_order_are_refused() {
        let check = async |input: &str, expect: &[&str]| {
            let (output, mails) = answered(SinkConfig::default(), &format!("{input}QUIT\r\n")).await;
            assert_eq!(codes(&output)[1..codes(&output).len() - 1], *expect, "{input}");
            assert_eq!(mails, []);
        };
        check("RCPT TO:<a@x.example>\r\n", &["503"]).await;
        check("DATA\r\n", &["503"]).await;
        check("MAIL FROM:<a@x.example>\r\nMAIL FROM:<a@x.example>\r\n", &["250", "503"]).await;
        check("MAIL FROM:<a@x.example>\r\nDATA\r\n", &["250", "554"]).await;
        check("MAIL FROM:a@x.example\r\nRCPT TO:<>\r\nFOO\r\n", &["501", "501", "500"]).await;
        check("MAIL FROM:<>\r\nRSET\r\nNOOP\r\nMAIL FROM:<>\r\n", &["250", "250", "250", "250"]).await;
    }

    #[tokio::test]
    async fn large_mails_and_crowds_are_turned_away() {
        let config = SinkConfig { mail_bytes_max: 10, ..SinkConfig::default() };
        let input = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n12345678901234567890\r\n.\r\nQUIT\r\n";
        let (output, mails) = answered(config, input).await;
        assert_eq!((codes(&output), mails), (vec!["220", "250", "250", "354", "552", "221"], vec![]));
        let (output, _) = answered(SinkConfig { sessions_max: 0, ..SinkConfig::default() }, "").await;
        assert_eq!(codes(&output), ["421"]);
    }

    #[tokio::test]
    async fn nothing_is_accepted_that_nobody_reads() {
        let (sink, received) = Sink::start(SinkConfig::default()).await.unwrap();
        drop(received);
        let mut stream = TcpStream::connect(sink.address()).await.unwrap();
        let input = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
        stream.write_all(input).await.unwrap();
        let mut output = String::new();
        stream.read_to_string(&mut output).await.unwrap();
        assert_eq!(codes(&output), ["220", "250", "250", "354", "451", "221"]);
        assert_eq!(sink.counts(), SinkCounts { sessions: 1, refusals: 1, ..SinkCounts::default() });
    }
}
