//! The ways out: how a finished message reaches the next server, and what that server said.
//!
//! *Invariant:* a gateway decides nothing. It hands over what it is given, and for every message it says one of four
//! things ([`HandOver`]); it never says "accepted" without the server's own reply, and never "not sent" when the server
//! may have the whole message.
//!
//! Reading order: [`mime`] (a rendered copy becomes the bytes of a mail), [`dkim`] (and is signed), [`smtp`] (the lane that sends them), `session`
//! (one connection), `wire` (the bytes below it), [`pace`] (how fast destinations take them), [`warm_up`] (how much a new domain sends a day). Beside it [`sms`] (what a way out for text messages does), [`sms_config`] (which
//! one is taken), `http_sms` (any provider, by templates), [`sms_receipt`] (what it tells later), `twilio`. And [`webhook`] (news for addresses of
//! customers).

mod batch;
pub mod dkim;
pub mod error;
mod http_sms;
pub mod mime;
pub mod pace;
pub mod put_off;
mod secrets;
mod session;
pub mod sms;
mod sms_answer;
pub mod sms_config;
mod sms_config_http;
mod sms_config_read;
mod sms_exchange;
pub mod sms_receipt;
mod sms_template;
pub mod smtp;
mod twilio;
pub mod warm_up;
pub mod webhook;
mod wire;

pub use dkim::{Dkim, DkimKey, DkimKind, new_dkim_key};
pub use error::GatewayError;
pub use mime::{ListHeaders, MailParts, mailbox_address, mime};
pub use pace::{Destinations, Pace};
pub use session::{CONNECTION_SECONDS_MAX, IDLE_SECONDS_MAX};
pub use sms::{PhoneNumber, SmsGateway, SmsHandOver, SmsMessage, SmsPrice};
pub use sms_config::{SmsConfig, SmsRoute};
pub use sms_receipt::{ReceiptRequest, ReceiptStatus, SmsReceipt};
pub use smtp::{Envelope, HandOver, MESSAGES_PER_CONNECTION_MAX, Patience, Security, SmtpConfig, SmtpLane};
pub use warm_up::{WarmUp, WarmUps};
pub use webhook::{WebhookCall, WebhookSecret, Webhooks, check_webhook_url};
