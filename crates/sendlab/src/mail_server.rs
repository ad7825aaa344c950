//! Which mail servers and gateways messages are handed to, as it is typed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use gateways::{SmsConfig, SmtpConfig, WarmUps};
use vocabulary::MessageClass;

use crate::client::variable;

#[derive(Debug, Clone, Args)]
pub(crate) struct SmtpArgs {
    /// The mail server messages are handed to. Without it no mail is sent.
    #[arg(long, env = "SENDLAB_SMTP", value_name = "HOST:PORT")]
    pub(crate) smtp: Option<String>,
    /// How to secure the connection to it.
    #[arg(long, env = "SENDLAB_SMTP_SECURITY", default_value = "none")]
    pub(crate) smtp_security: Security,
    /// User name, where the mail server asks for one.
    #[arg(long, env = "SENDLAB_SMTP_USER", requires = "smtp_password")]
    pub(crate) smtp_user: Option<String>,
    /// Password, better given as the environment variable.
    #[arg(long, env = "SENDLAB_SMTP_PASSWORD", hide_env_values = true)]
    pub(crate) smtp_password: Option<String>,
    /// Another mail server for verification messages, such as codes, with its own login: smtp://, smtp+starttls:// or smtps://,
    /// then USER:PASSWORD@ where it asks for one, HOST and :PORT. Better given as the environment variable.
    #[arg(long, env = "SENDLAB_SMTP_VERIFICATION", hide_env_values = true, value_name = "URL")]
    pub(crate) smtp_verification: Option<String>,
    /// The same for transactional messages, such as receipts.
    #[arg(long, env = "SENDLAB_SMTP_TRANSACTIONAL", hide_env_values = true, value_name = "URL")]
    pub(crate) smtp_transactional: Option<String>,
    /// The gateways for text messages, as TOML: which of them takes which class to which country, with its own credentials, sender
    /// and prices. Secrets stand in it as ${NAME} and are taken from the environment. Sample: data/samples/sms.toml
    #[arg(long, env = "SENDLAB_SMS", value_name = "FILE")]
    pub(crate) sms: Option<PathBuf>,
    /// A private key that signs mail from a domain and those below it (DKIM); several sign side by side. `sendlab dkim new` makes one.
    #[arg(long, env = "SENDLAB_DKIM", value_name = "DOMAIN:SELECTOR:FILE", value_delimiter = ',')]
    pub(crate) dkim: Vec<String>,
    /// Warm-ups of new sending domains, as TOML: how many messages leave on the first day and how much more each day. What a day has no
    /// room for waits until the next; days are those of UTC. Give each process of a data folder the same. Sample:
    /// data/samples/warm_up.toml; `sendlab warm-ups` says where they stand
    #[arg(long, env = "SENDLAB_WARM_UP", value_name = "FILE")]
    pub(crate) warm_up: Option<PathBuf>,
    /// Connections at the same time for campaigns; verification and transactional messages have two each beside them.
    #[arg(long, env = "SENDLAB_SMTP_LANES", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) smtp_lanes: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Security {
    /// In the clear: for a relay on the same machine.
    None,
    /// STARTTLS.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

impl From<Security> for gateways::Security {
    fn from(security: Security) -> Self {
        match security {
            Security::None => Self::None,
            Security::Starttls => Self::StartTls,
            Security::Tls => Self::Tls,
        }
    }
}

/// The mail server of campaigns, and of everything that has none of its own.
pub(crate) fn smtp(args: &SmtpArgs) -> anyhow::Result<Option<SmtpConfig>> {
    let Some(address) = &args.smtp else { return Ok(None) };
    let (host, port) =
        address.rsplit_once(':').with_context(|| format!("--smtp `{address}` must be HOST:PORT, such as 127.0.0.1:25"))?;
    let port: u16 = port.parse().with_context(|| format!("--smtp `{address}`: `{port}` is no port number"))?;
    let credentials = args.smtp_user.clone().zip(args.smtp_password.clone());
    Ok(Some(SmtpConfig { security: args.smtp_security.into(), credentials, ..SmtpConfig::new(host, port) }))
}

/// The mail servers of classes that have one of their own.
pub(crate) fn smtp_of(args: &SmtpArgs) -> anyhow::Result<BTreeMap<MessageClass, SmtpConfig>> {
    let given = [
        (MessageClass::Verification, "--smtp-verification", &args.smtp_verification),
        (MessageClass::Transactional, "--smtp-transactional", &args.smtp_transactional),
    ];
    let given = given.into_iter().filter_map(|(class, option, url)| Some((class, option, url.as_deref()?)));
    given.map(|(class, option, url)| Ok((class, mail_server(url).with_context(|| option.to_owned())?))).collect()
}

/// Reads `smtps://user:password@host:port`. What it says of a mistake holds nothing of the address: it may hold a password.
fn mail_server(url: &str) -> anyhow::Result<SmtpConfig> {
    let form = "must be smtp://HOST:PORT, smtp+starttls://USER:PASSWORD@HOST:PORT or smtps://USER:PASSWORD@HOST:PORT";
    let Ok(url) = url::Url::parse(url) else { bail!("{form}") };
    let (security, port) = match url.scheme() {
        "smtp" => (Security::None, 25),
        "smtp+starttls" => (Security::Starttls, 587),
        "smtps" => (Security::Tls, 465),
        _ => bail!("{form}"),
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { bail!("{form}") };
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8().ok().with_context(|| form.to_owned())?;
        anyhow::Ok(text.into_owned())
    };
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) if !user.is_empty() => Some((decoded(user)?, decoded(password)?)),
        _ => bail!("names a user without a password, or the reverse; {form}"),
    };
    Ok(SmtpConfig { security: security.into(), credentials, ..SmtpConfig::new(host, url.port().unwrap_or(port)) })
}

/// The gateways for text messages that a file names.
pub(crate) fn sms(file: Option<&Path>) -> anyhow::Result<SmsConfig> {
    let Some(file) = file else { return Ok(SmsConfig::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    SmsConfig::read(&text, &variable).with_context(|| format!("cannot use {}", file.display()))
}

/// The warm-ups that a file names.
pub(crate) fn warm_ups(file: Option<&Path>) -> anyhow::Result<WarmUps> {
    let Some(file) = file else { return Ok(WarmUps::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    WarmUps::read(&text).with_context(|| format!("cannot use {}", file.display()))
}

/// The mail server of a process on this machine, in the clear.
pub(crate) fn local_smtp(address: SocketAddr) -> SmtpConfig {
    SmtpConfig::new(&address.ip().to_string(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_security_and_login() {
        let server = mail_server("smtps://code%40shop.example:p%3Aa+s=s&@mail.example").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("mail.example", 465));
        assert_eq!(server.security, gateways::Security::Tls);
        assert_eq!(server.credentials, Some(("code@shop.example".to_owned(), "p:a+s=s&".to_owned())));
        let server = mail_server("smtp://127.0.0.1:2525").unwrap();
        assert_eq!((server.host.as_str(), server.port, server.security), ("127.0.0.1", 2525, gateways::Security::None));
        assert_eq!(server.credentials, None);
        for wrong in ["127.0.0.1:25", "http://mail.example", "smtps://user@mail.example", "smtp://"] {
            let error = mail_server(wrong).err().unwrap().to_string();
            assert!(error.contains("smtps://USER:PASSWORD@HOST:PORT"), "{wrong}: {error}");
            assert!(!error.contains("mail.example"), "{error}");
        }
    }
}
