//! A lane: messages leave one after the other on one connection, which it opens, renews and reopens by itself.
//!
//! The number of lanes is the number of connections a server ever sees, because a lane never has two.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::batch::Batch;
use crate::error::explained;
use crate::session::Session;

/// How many messages a connection takes at most where nothing else is known: more is resented by many receivers.
pub const MESSAGES_PER_CONNECTION_MAX: u32 = 100;

/// After so many connections in a row that were lost before anything was settled, the rest of the messages is given
/// back: the server is not well, and knocking faster does not help it. Three, because a connection that was idle may
/// have died unseen, and so may, once, the one after it.
const LOSSES_IN_A_ROW_MAX: u32 = 3;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for servers on the same machine or in tests.
    None,
    /// By STARTTLS, which must succeed.
    StartTls,
    /// By TLS from the first byte.
    Tls,
}

/// The server, and how to speak to it.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Its name or address; the name its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name to greet with: a host name of the sender.
    pub hello: String,
    /// How the connection is protected.
    pub security: Security,
    /// User and password. They are never sent unencrypted, except to this machine.
    pub credentials: Option<(String, String)>,
    /// How many messages a connection takes at most, such as [`MESSAGES_PER_CONNECTION_MAX`].
    pub messages_per_connection_max: u32,
    /// How long it may take for each reply.
    pub patience: Patience,
}

impl SmtpConfig {
    /// An unprotected server, such as a relay on this machine, without login.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            hello: "localhost".to_owned(),
            security: Security::None,
            credentials: None,
            messages_per_connection_max: MESSAGES_PER_CONNECTION_MAX,
            patience: Patience::default(),
        }
    }
}

/// How long the server may take for each reply: RFC 5321, section 4.5.3.2. Being shorter after the final dot makes
/// duplicates, because the server may be about to accept what the sender gives up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// To take the connection.
    pub connect: Duration,
    /// To greet, encrypt and log in.
    pub greeting: Duration,
    /// To answer MAIL or RCPT.
    pub envelope: Duration,
    /// To answer DATA.
    pub data: Duration,
    /// To take the content and answer the final dot.
    pub dot: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(300),
            envelope: Duration::from_secs(300),
            data: Duration::from_secs(120),
            dot: Duration::from_secs(600),
        }
    }
}

/// From whom to whom, as the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The address that bounces go to.
    pub from: String,
    /// The recipient's address.
    pub to: String,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOver {
    /// The server took responsibility.
    Accepted {
        /// Its words, such as `250 2.0.0 Ok: queued as 4B2`.
        reply: String,
    },
    /// The server will not have it.
    Refused {
        /// Its words; `not sent: ...` where no server was asked because the address is impossible.
        reply: String,
        /// Whether trying again is pointless.
        permanent: bool,
    },
    /// Its turn had not come by the time given: nothing is wrong with the server, which cannot have it.
    Late,
    /// The final dot was surely not written, so the server cannot have it: it may be tried again.
    NotSent {
        /// Why not.
        why: String,
    },
    /// The final dot was written and no reply came: the server may have it or not.
    InDoubt {
        /// What happened instead of a reply.
        why: String,
    },
}

/// One connection's worth of sending.
pub struct SmtpLane {
    config: SmtpConfig,
    parked: Option<Session>,
    turned_away: Vec<usize>,
}

impl SmtpLane {
    /// A lane to the server of `config`. It connects when there is something to send.
    #[must_use]
    pub fn new(config: SmtpConfig) -> Self {
        Self { config, parked: None, turned_away: Vec::new() }
    }

    /// Hands over messages in order and says of each what became of it.
    ///
    /// `content(i)` is called once at most, when the server waits for the bytes of message `i`, so that it can follow
    /// the newest decision. `None` takes the message back: it comes out as [`HandOver::NotSent`], at the price of a new
    /// connection.
    ///
    /// If this future is dropped before it completes, the connection is dropped with it, and what became of messages
    /// whose content was asked for is not known.
    pub async fn deliver(
        &mut self,
        envelopes: &[Envelope],
        content: &mut (dyn FnMut(usize) -> Option<Vec<u8>> + Send),
    ) -> Vec<HandOver> {
        self.deliver_until(envelopes, None, content).await
    }

    /// The same, but no message is begun after `until`: what is left then comes out as [`HandOver::Late`].
    pub async fn deliver_until(
        &mut self,
        envelopes: &[Envelope],
        until: Option<Instant>,
        content: &mut (dyn FnMut(usize) -> Option<Vec<u8>> + Send),
    ) -> Vec<HandOver> {
        let mut content = content;
        let mut batch = Batch::new(envelopes, until, &mut content);
        let mut losses_in_a_row = 0;
        while !batch.is_settled() {
            if batch.is_late() {
                batch.settle_rest(&HandOver::Late);
                break;
            }
            let mut session = match self.session().await {
                Ok(session) => session,
                Err(why) => {
                    batch.settle_rest(&HandOver::NotSent { why });
                    break;
                }
            };
            let settled_before = batch.settled();
            match session.run(&mut batch).await {
                Ok(()) if session.may_begin() => self.parked = Some(session),
                Ok(()) => session.close().await,
                Err(lost) => {
                    debug!(server = %self.config.host, why = %lost.why, "connection lost");
                    losses_in_a_row = if batch.settled() > settled_before { 0 } else { losses_in_a_row + 1 };
                    if losses_in_a_row == LOSSES_IN_A_ROW_MAX {
                        batch.settle_rest(&HandOver::NotSent { why: lost.why });
                    }
                }
            }
        }
        self.turned_away = batch.take_turned_away();
        batch.into_results()
    }

    /// The messages of the last call to whose envelopes the server said 421, which ends the connection; each as often as it did. They
    /// were tried again on another, and how that ended is in the results.
    #[must_use]
    pub fn turned_away(&self) -> &[usize] {
        &self.turned_away
    }

    /// Ends the connection, if there is one.
    pub async fn close(&mut self) {
        if let Some(session) = self.parked.take() {
            session.close().await;
        }
    }

    async fn session(&mut self) -> Result<Session, String> {
        match self.parked.take() {
            Some(session) if session.is_fresh() => return Ok(session),
            Some(session) => session.close().await,
            None => {}
        }
        Session::open(&self.config).await.map_err(|error| explained(&error))
    }
}
