//! Sends the messages that ask people to confirm a subscription. They are of the class `verification`: somebody waits for them, and
//! whether one arrived is better asked again than not at all.

use std::time::Duration;

use content::{Rendered, escaped};
use control::Unsent;
use gateways::{Envelope, HandOver, MailParts, SmtpConfig, SmtpLane};
use tokio_util::sync::CancellationToken;
use vocabulary::{CONFIRM_URL, MessageId};

use crate::{Sending, WorkerError, pause_after, warm_up};

/// How often a new one is looked for.
const POLL: Duration = Duration::from_millis(250);
/// After a message that was not taken, so that a server that is away is not asked without end.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Messages of one look.
const AT_ONCE: u32 = 20;

enum Wake {
    Tick,
    Shutdown,
}

pub(crate) async fn run(parts: Sending, smtp: SmtpConfig, stop: CancellationToken) {
    let mut lane = SmtpLane::new(smtp);
    loop {
        let mut pause = POLL;
        match step(&parts, &mut lane).await {
            Ok(true) => {}
            Ok(false) => pause = RETRY_PAUSE,
            Err(error) => pause_after("asking for confirmations", &error, &stop).await,
        }
        let wake = tokio::select! {
            () = stop.cancelled() => Wake::Shutdown,
            () = tokio::time::sleep(pause) => Wake::Tick,
        };
        match wake {
            Wake::Tick => {}
            Wake::Shutdown => return lane.close().await,
        }
    }
}

/// Offers what waits; whether all of it was taken.
async fn step(parts: &Sending, lane: &mut SmtpLane) -> Result<bool, WorkerError> {
    let (mut all_taken, mut left) = (true, Vec::new());
    for unsent in parts.control.unsent_confirmations(AT_ONCE).await? {
        let taken = match mail(parts, &unsent) {
            Ok((envelope, mail)) => {
                let mut content = |_| Some(mail.clone());
                let ended = lane.deliver(std::slice::from_ref(&envelope), &mut content).await;
                match ended.first() {
                    Some(HandOver::Accepted { .. }) => {
                        left.push((envelope.from, envelope.to));
                        true
                    }
                    // It was not even offered, so that it counts for nothing.
                    Some(HandOver::NotSent { .. } | HandOver::Late) | None => {
                        warm_up::count(parts, &left).await?;
                        return Ok(false);
                    }
                    Some(HandOver::Refused { .. } | HandOver::InDoubt { .. }) => false,
                }
            }
            Err(error) => {
                tracing::error!(form = unsent.form.form, %error, "the message of a form cannot be made");
                false
            }
        };
        parts.control.confirmation_offered(&unsent.token, taken).await?;
        all_taken &= taken;
    }
    warm_up::count(parts, &left).await?;
    Ok(all_taken)
}

fn mail(parts: &Sending, unsent: &Unsent) -> Result<(Envelope, Vec<u8>), gateways::GatewayError> {
    let url = parts.links.confirm(&unsent.token);
    let text = unsent.form.mail.text.replace(CONFIRM_URL, &url);
    let html: String = text.lines().map(|line| format!("<p>{}</p>", linked(line, &url))).collect();
    let rendered = Rendered { subject: unsent.form.mail.subject.clone(), html, text, ..Rendered::default() };
    let short: String = unsent.token.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let message_id = MessageId::new(&format!("confirm-{short}")).expect("letters, digits and a hyphen are an id");
    let mail = MailParts {
        from: &unsent.form.from,
        to: &unsent.email,
        message_id: &message_id,
        date: parts.clock.now(),
        rendered: &rendered,
        list: None,
    };
    let envelope = Envelope { from: gateways::mailbox_address(&unsent.form.from)?, to: unsent.email.clone() };
    Ok((envelope, parts.dkim.sign(&unsent.form.from, gateways::mime(&mail)?)?))
}

/// A line of text as HTML, with the address as a link.
fn linked(line: &str, url: &str) -> String {
    escaped(line).replace(url, &format!("<a href=\"{url}\">{url}</a>"))
}
