//! One connection to a server: opening it, and the conversation that hands messages over.
//!
//! Where the server announces PIPELINING, everything that can be said without waiting is one write: the content of a
//! message, its final dot, and MAIL, RCPT and DATA of the next (RFC 2920, section 3.1). So a message costs one round
//! trip, and its content is still chosen only when the server has said 354. Otherwise each command waits for its reply.
//!
//! What makes pipelining safe:
//! - RCPT refused but DATA answered by 354: a lone dot ends the message that nobody gets.
//! - DATA refused: nothing of the content is written; RSET clears the transaction.
//! - 354 but the message was taken back: only closing the connection ends DATA without a message.
//! - 421, an unreadable reply, silence or a closed connection: the connection is given up. Messages whose envelope was
//!   on its way are tried again on another; for the one whose content was on its way, the count of written bytes tells
//!   whether the server can have the final dot.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::batch::Batch;
use crate::error::explained;
use crate::mime::address;
use crate::wire::{TlsWire, Wire};
use crate::{Envelope, GatewayError, HandOver, Patience, Security, SmtpConfig};

/// Receivers and their proxies drop old connections; a fresh one also notices moved servers.
pub const CONNECTION_SECONDS_MAX: u64 = 600;
/// A connection that was idle for longer may be dead without a sign of it, so it is not used again.
pub const IDLE_SECONDS_MAX: u64 = 60;
/// The longest goodbye.
const QUIT_SECONDS_MAX: u64 = 5;

const CLOSING: u16 = 421;
const GO_AHEAD: u16 = 354;

/// A connection that has greeted and can take messages.
pub(crate) struct Session {
    connection: AsyncSmtpConnection,
    written: Arc<AtomicU64>,
    patience: Patience,
    is_pipelining: bool,
    takes_utf8: bool,
    messages_left: u32,
    opened: Instant,
    used: Instant,
    /// A transaction was begun and not ended, so that RSET has to come before the next.
    is_open_transaction: bool,
}

/// What the server said.
#[derive(Debug)]
struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    fn is_good(&self) -> bool {
        (200..300).contains(&self.code)
    }

    fn refusal(self) -> HandOver {
        HandOver::Refused { permanent: self.code >= 500, reply: self.text }
    }
}

impl From<&Response> for Reply {
    fn from(response: &Response) -> Self {
        let code = u16::from(response.code());
        let lines: Vec<&str> = response.message().collect();
        Self { code, text: format!("{code} {}", lines.join(" ")) }
    }
}

/// The connection cannot be used any more.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Why, for people.
    pub(crate) why: String,
}

/// What has to be written before the next envelope.
enum Head {
    Nothing,
    /// The end of a message that lost its recipient after DATA was accepted.
    LoneDot,
    /// A message, ready to be written with its final dot.
    Content {
        index: usize,
        text: String,
    },
}

/// The replies to an envelope, up to the first one that settles it.
struct Answers {
    mail: Reply,
    rcpt: Option<Reply>,
    data: Option<Reply>,
}

impl Session {
    /// Connects, encrypts, logs in and learns what the server can do.
    pub(crate) async fn open(config: &SmtpConfig) -> Result<Self, GatewayError> {
        let patience = config.patience;
        let server = format!("{}:{}", config.host, config.port);
        let is_here = config.host == "localhost" || config.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if config.credentials.is_some() && config.security == Security::None && !is_here {
            return Err(GatewayError::Exposed(server));
        }
        let connected = timeout(patience.connect, TcpStream::connect((config.host.as_str(), config.port))).await;
        let stream = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let written = Arc::new(AtomicU64::new(0));
        let wire = stream.and_then(|stream| Wire::new(stream, written.clone()));
        let wire = wire.map_err(|source| GatewayError::Connect { server: server.clone(), source })?;
        let greeted = timeout(patience.greeting, greet(config, wire, &server)).await;
        let slow = |_| GatewayError::Slow { server: server.clone(), seconds: patience.greeting.as_secs() };
        let (connection, abilities) = greeted.map_err(slow)??;
        let can =
            |word: &str| abilities.message().any(|line| line.split(' ').next().is_some_and(|w| w.eq_ignore_ascii_case(word)));
        Ok(Self {
            written,
            patience,
            is_pipelining: can("PIPELINING"),
            takes_utf8: can("SMTPUTF8") && can("8BITMIME"),
            messages_left: config.messages_per_connection_max.max(1),
            opened: Instant::now(),
            used: Instant::now(),
            is_open_transaction: false,
            connection,
        })
    }

    /// Whether it may take another message.
    pub(crate) fn may_begin(&self) -> bool {
        self.messages_left > 0 && self.opened.elapsed().as_secs() < CONNECTION_SECONDS_MAX
    }

    /// Whether it was used lately enough to be used again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.may_begin() && self.used.elapsed().as_secs() < IDLE_SECONDS_MAX
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        // The messages are settled; a server that does not answer a goodbye changes nothing.
        let _ = timeout(Duration::from_secs(QUIT_SECONDS_MAX), self.connection.quit()).await;
    }

    /// Hands over messages until all are settled or this connection has had its share.
    pub(crate) async fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Lost> {
        let mut head = Head::Nothing;
        loop {
            let in_flight = if let Head::Content { index, .. } = &head { Some(*index) } else { None };
            let next = if self.may_begin() && !batch.is_late() { self.next_sendable(batch, in_flight) } else { None };
            if next.is_none() && matches!(head, Head::Nothing) {
                self.used = Instant::now();
                return Ok(());
            }
            head = self.exchange(head, next, batch).await?;
        }
    }

    /// The first unsettled message but `in_flight` that this server can take.
    fn next_sendable(&self, batch: &mut Batch<'_>, in_flight: Option<usize>) -> Option<usize> {
        while let Some(index) = batch.first_unsettled_but(in_flight) {
            match self.envelope_problem(batch.envelope(index)) {
                None => return Some(index),
                Some(reply) => batch.settle(index, HandOver::Refused { reply, permanent: true }),
            }
        }
        None
    }

    fn envelope_problem(&self, envelope: &Envelope) -> Option<String> {
        let checked = address("from", &envelope.from).and(address("to", &envelope.to));
        let is_utf8 = !(envelope.from.is_ascii() && envelope.to.is_ascii());
        match checked {
            Err(error) => Some(format!("not sent: {error}")),
            Ok(_) if is_utf8 && !self.takes_utf8 => {
                Some("not sent: the server takes no addresses beyond ASCII (SMTPUTF8)".into())
            }
            Ok(_) => None,
        }
    }

    /// One turn: ends what `head` began, and begins the message `next`. Gives what the following turn has to end.
    async fn exchange(&mut self, head: Head, next: Option<usize>, batch: &mut Batch<'_>) -> Result<Head, Lost> {
        let commands = next.map(|index| self.commands(batch.envelope(index)));
        let mut group = String::new();
        let ahead = if self.is_pipelining { commands.as_ref().map(|parts| parts.concat()) } else { None };
        let ahead = ahead.unwrap_or_default();
        match head {
            Head::Nothing => group = ahead,
            Head::LoneDot => {
                group = format!(".\r\n{ahead}");
                // Whatever the server makes of a message without recipients, nobody gets it.
                let reply = self.reply(&mut group, self.patience.dot).await?;
                still_open(&reply)?;
            }
            Head::Content { index, text } => self.finish(index, text, &ahead, batch).await?,
        }
        let (Some(index), Some(commands)) = (next, commands) else { return Ok(Head::Nothing) };
        self.messages_left -= 1;
        let answers = match self.answers(&mut group, &commands).await {
            Ok(answers) => answers,
            Err(lost) => {
                if lost.why.starts_with("421") {
                    batch.turn_away(index);
                }
                return Err(lost);
            }
        };
        match self.decided(answers)? {
            Ok(()) => self.content(index, batch),
            Err((refusal, head)) => {
                batch.settle(index, refusal.refusal());
                Ok(head)
            }
        }
    }

    /// RSET where it is needed, MAIL, RCPT and DATA.
    fn commands(&self, envelope: &Envelope) -> Vec<String> {
        // Both were checked when the envelope was chosen.
        let parsed = |text: &str| address("envelope", text).expect("addresses are checked first");
        let (from, to) = (parsed(&envelope.from), parsed(&envelope.to));
        let is_utf8 = !(envelope.from.is_ascii() && envelope.to.is_ascii());
        let eight_bit = MailParameter::Body(MailBodyParameter::EightBitMime);
        let parameters = if is_utf8 { vec![MailParameter::SmtpUtfEight, eight_bit] } else { Vec::new() };
        let reset = self.is_open_transaction.then(|| Rset.to_string());
        let envelope = [Mail::new(Some(from), parameters).to_string(), Rcpt::new(to, Vec::new()).to_string(), Data.to_string()];
        reset.into_iter().chain(envelope).collect()
    }

    /// Writes a message and, in the same write, what comes `ahead` of the next reply; reads what became of it.
    async fn finish(&mut self, index: usize, mut text: String, ahead: &str, batch: &mut Batch<'_>) -> Result<(), Lost> {
        let before = self.written.load(Ordering::Relaxed);
        let dot_at = text.len() - FINAL_DOT.len();
        text.push_str(ahead);
        match self.reply(&mut text, self.patience.dot).await {
            Ok(reply) if reply.is_good() => batch.settle(index, HandOver::Accepted { reply: reply.text }),
            Ok(reply) if reply.code >= 400 => {
                let is_open = still_open(&reply);
                batch.settle(index, reply.refusal());
                return is_open;
            }
            Ok(reply) => {
                batch.settle(index, HandOver::InDoubt { why: format!("the final dot was answered by {}", reply.text) });
                return Err(Lost { why: reply.text });
            }
            Err(lost) => {
                let written = self.written.load(Ordering::Relaxed) - before;
                let why = lost.why.clone();
                let is_ended = written > dot_at as u64;
                batch.settle(index, if is_ended { HandOver::InDoubt { why } } else { HandOver::NotSent { why } });
                return Err(lost);
            }
        }
        Ok(())
    }

    /// The replies to an envelope. `group` is what pipelining has still to write, or empty when that was done; without
    /// pipelining each command waits for its reply and the first refusal ends it.
    async fn answers(&mut self, group: &mut String, commands: &[String]) -> Result<Answers, Lost> {
        let (envelope, reset) = commands.split_last_chunk::<3>().map_or((commands, &[][..]), |(reset, last)| (last, reset));
        let mut replies = [None, None, None];
        for command in reset {
            self.add_unless_pipelining(group, command);
            still_open(&self.reply(group, self.patience.envelope).await?)?;
        }
        let limits = [self.patience.envelope, self.patience.envelope, self.patience.data];
        for (step, (command, limit)) in envelope.iter().zip(limits).enumerate() {
            self.add_unless_pipelining(group, command);
            let reply = self.reply(group, limit).await?;
            still_open(&reply)?;
            let is_over = !self.is_pipelining && !reply.is_good();
            replies[step] = Some(reply);
            if is_over {
                break;
            }
        }
        let [mail, rcpt, data] = replies;
        let mail = mail.ok_or_else(|| Lost { why: "no reply to MAIL".into() })?;
        Ok(Answers { mail, rcpt, data })
    }

    fn add_unless_pipelining(&self, group: &mut String, command: &str) {
        if !self.is_pipelining {
            group.push_str(command);
        }
    }

    /// Whether the content may follow; else the reply that refused the message, and how its transaction is ended.
    fn decided(&mut self, answers: Answers) -> Result<Result<(), (Reply, Head)>, Lost> {
        let Answers { mail, rcpt, data } = answers;
        let is_mail_good = mail.is_good();
        let is_rcpt_good = rcpt.as_ref().is_some_and(Reply::is_good);
        let is_data_open = data.as_ref().is_some_and(|reply| reply.code == GO_AHEAD);
        self.is_open_transaction = !is_data_open;
        if is_data_open && is_rcpt_good && !is_mail_good {
            return Err(Lost { why: format!("the server accepts a recipient after {}", mail.text) });
        }
        if is_data_open && is_rcpt_good {
            return Ok(Ok(()));
        }
        let refusal = [Some(mail), rcpt, data].into_iter().flatten().find(|reply| reply.code >= 400);
        let head = if is_data_open { Head::LoneDot } else { Head::Nothing };
        let refusal = refusal.ok_or_else(|| Lost { why: "the server answers MAIL, RCPT and DATA in an unknown way".into() })?;
        Ok(Err((refusal, head)))
    }

    /// The server waits for the content: only now is it chosen.
    fn content(&mut self, index: usize, batch: &mut Batch<'_>) -> Result<Head, Lost> {
        let is_utf8 = !(batch.envelope(index).from.is_ascii() && batch.envelope(index).to.is_ascii());
        let why = match batch.content(index) {
            None => "taken back by the sender",
            Some(bytes) => match String::from_utf8(bytes) {
                Ok(content) if is_utf8 || content.is_ascii() => return Ok(Head::Content { index, text: data_of(&content) }),
                _ => "the mail is not 7-bit, as `mime` makes it",
            },
        };
        batch.settle(index, HandOver::NotSent { why: why.into() });
        // After 354 everything is content, and even a lone dot would be an empty mail to a real recipient.
        Err(Lost { why: why.into() })
    }

    /// Writes `group` if there is anything in it, and reads one reply.
    async fn reply(&mut self, group: &mut String, limit: Duration) -> Result<Reply, Lost> {
        let read = if group.is_empty() {
            timeout(limit, self.connection.read_response()).await
        } else {
            timeout(limit, self.connection.command(std::mem::take(group))).await
        };
        match read {
            Ok(Ok(response)) => Ok(Reply::from(&response)),
            Ok(Err(error)) => match error.status() {
                Some(code) => Ok(refused(u16::from(code), &error)),
                None => Err(Lost { why: explained(&error) }),
            },
            Err(_) => Err(Lost { why: format!("no reply within {} s", limit.as_secs_f64()) }),
        }
    }
}

/// lettre gives negative replies as errors, with the text as their source.
fn refused(code: u16, error: &lettre::transport::smtp::Error) -> Reply {
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Reply { code, text: format!("{code} {text}").trim_end().to_owned() }
}

fn still_open(reply: &Reply) -> Result<(), Lost> {
    if reply.code == CLOSING { Err(Lost { why: reply.text.clone() }) } else { Ok(()) }
}

async fn greet(config: &SmtpConfig, wire: Wire, server: &str) -> Result<(AsyncSmtpConnection, Response), GatewayError> {
    let failed = |step| move |source| GatewayError::Greet { step, server: server.to_owned(), source };
    let hello = ClientId::Domain(config.hello.clone());
    let tls = || TlsParameters::new(config.host.clone()).map_err(failed("prepare TLS"));
    let transport: Box<dyn AsyncTokioStream> = match config.security {
        Security::Tls => Box::new(TlsWire::connect(wire, tls()?).await.map_err(failed("encrypt the connection"))?),
        Security::None | Security::StartTls => Box::new(wire),
    };
    let greeted = AsyncSmtpConnection::connect_with_transport(transport, &hello).await;
    let mut connection = greeted.map_err(failed("exchange greetings"))?;
    if config.security == Security::StartTls {
        connection.starttls(tls()?, &hello).await.map_err(failed("encrypt the connection"))?;
    }
    if let Some((user, password)) = &config.credentials {
        let credentials = Credentials::new(user.clone(), password.clone());
        let known = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&known, &credentials).await.map_err(failed("log in"))?;
    }
    // lettre forgets the extensions it does not use, PIPELINING among them, so they are asked for once more.
    let abilities = connection.command(Ehlo::new(hello)).await.map_err(failed("exchange greetings"))?;
    Ok((connection, abilities))
}

/// What ends a message.
const FINAL_DOT: &str = ".\r\n";

/// A message as DATA wants it: every line ended by CR LF, lines that begin with a dot given another, the final dot at
/// the end. Bare CR and LF become line ends too, because servers disagree on them and a disagreement about where a mail
/// ends lets one mail smuggle in another.
fn data_of(content: &str) -> String {
    // Room for the next envelope, so that the one write needs no second allocation.
    let mut output = String::with_capacity(content.len() + content.len() / 32 + 512);
    let body = content.strip_suffix('\n').unwrap_or(content);
    for line in body.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        for piece in line.split('\r') {
            if piece.starts_with('.') {
                output.push('.');
            }
            output.push_str(piece);
            output.push_str("\r\n");
        }
    }
    output.push_str(FINAL_DOT);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_lines_ended() {
        let check = |content: &str, expect: &str| assert_eq!(data_of(content), expect, "{content:?}");
        check("", "\r\n.\r\n");
        check("a", "a\r\n.\r\n");
        check("a\r\n", "a\r\n.\r\n");
        check("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n");
        check(".a\r\n..b", "..a\r\n...b\r\n.\r\n");
        check("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n");
        check("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n");
        check("a\r\n\r\n", "a\r\n\r\n.\r\n");
        check("a\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n");
    }
}
