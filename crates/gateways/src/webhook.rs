//! Webhooks: news told to an address of the customer's, signed by Standard Webhooks (<https://www.standardwebhooks.com>, version 1), and
//! the guard against addresses that lead into the own network.
//!
//! The guard stands where a connection is made: a name is looked up once, every address it has must be public, and the connection goes to
//! one of those. Redirects are not followed and proxies of the environment not used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, header};
use url::{Host, Url};

use crate::error::{GatewayError, explained};

/// What secrets begin with.
const SECRET_PREFIX: &str = "whsec_";
/// The shortest and the longest secret in bytes, as Standard Webhooks says.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The longest address.
const URL_BYTES_MAX: usize = 2_048;
/// How long a connection and an answer may take together: who has more to do does it after the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A secret that signs.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// Reads a secret as Standard Webhooks writes it: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn read(text: &str) -> Result<Self, String> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or_else(|| format!("does not begin with {SECRET_PREFIX}"))?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| format!("is no base64 after {SECRET_PREFIX}"))?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(format!("has {} bytes; give {} to {}", bytes.len(), SECRET_BYTES.start(), SECRET_BYTES.end()));
        }
        Ok(Self(bytes))
    }

    /// The text of random bytes as a secret.
    #[must_use]
    pub fn text_of(random: &[u8; 32]) -> String {
        format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(random))
    }

    /// The value of `webhook-signature`.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{id}.{}.{body}", at.as_second()).as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag.as_ref()))
    }
}

/// Checks an address before it is kept: `https`, and a host that does not lead into the own network as far as its text tells. Where
/// `loopback_allowed`, this machine may be meant, and by `http`.
///
/// # Errors
/// What is wrong with it.
pub fn check_webhook_url(text: &str, loopback_allowed: bool) -> Result<Url, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("has {} bytes; the limit is {URL_BYTES_MAX}", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("cannot be read: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or a password; the signature proves who calls".into());
    }
    let ip = match url.host() {
        None => return Err("has no host".into()),
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => None,
    };
    let is_this_machine = ip.is_some_and(|ip| ip.is_loopback()) || url.host_str() == Some("localhost");
    if let Some(ip) = ip.filter(|ip| !may_be_called(*ip, loopback_allowed)) {
        return Err(format!("leads to {ip}, which is not public"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback_allowed && is_this_machine => Ok(url),
        _ => Err("is not https".into()),
    }
}

/// Whether a connection may be made to an address.
fn may_be_called(ip: IpAddr, loopback_allowed: bool) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4) || (loopback_allowed && v4.is_loopback()),
        IpAddr::V6(v6) => match inner_v4(v6) {
            Some(v4) => may_be_called(IpAddr::V4(v4), loopback_allowed),
            None => is_public_v6(v6) || (loopback_allowed && v6.is_loopback()),
        },
    }
}

/// What is left of IPv4 without the special-purpose blocks of RFC 6890 and its registry.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 224;
    !is_special
}

/// Global unicast, less what is for documents and tunnels.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    (first & 0xe000) == 0x2000 && !(first == 0x2001 && (second == 0xdb8 || second < 0x200))
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, 6to4, or by NAT64.
fn inner_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = ip.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Looks names up and gives public addresses only.
struct Guard {
    loopback_allowed: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback_allowed = self.loopback_allowed;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(other) = found.iter().find(|found| !may_be_called(found.ip(), loopback_allowed)) {
                return Err(format!("{} leads to {}, which is not public", name.as_str(), other.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Calls addresses of customers.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: Client,
    loopback_allowed: bool,
}

/// One call.
#[derive(Debug)]
pub struct WebhookCall<'a> {
    /// The address.
    pub url: &'a str,
    /// Its secret.
    pub secret: &'a WebhookSecret,
    /// The same for each try of the same news.
    pub id: &'a str,
    /// The time of this try.
    pub at: Timestamp,
    /// What is told, as JSON.
    pub body: &'a str,
}

impl Webhooks {
    /// A client. Where `loopback_allowed`, this machine may be called: for tests, and for receivers beside the server.
    ///
    /// # Errors
    /// [`GatewayError::Client`] where TLS cannot be set up.
    pub fn new(loopback_allowed: bool) -> Result<Self, GatewayError> {
        let client = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent("Sendlab")
            .timeout(TIMEOUT)
            .dns_resolver(Arc::new(Guard { loopback_allowed }))
            .build()
            .map_err(|source| GatewayError::Client { source })?;
        Ok(Self { client, loopback_allowed })
    }

    /// Calls once. Any status from 200 to 299 means that it was heard.
    ///
    /// # Errors
    /// Why it was not, in a sentence without the address.
    pub async fn call(&self, call: &WebhookCall<'_>) -> Result<(), String> {
        // What was public when it was kept may be refused since: the setting may have changed.
        let url = check_webhook_url(call.url, self.loopback_allowed).map_err(|why| format!("the address {why}"))?;
        let request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", call.id)
            .header("webhook-timestamp", call.at.as_second().to_string())
            .header("webhook-signature", call.secret.sign(call.id, call.at, call.body))
            .body(call.body.to_owned());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) => Err(explained(&error.without_url())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification, computed again with Python's hmac.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = WebhookSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_checked_and_made() {
        let check = |text: &str, expect: &str| assert_eq!(WebhookSecret::read(text).unwrap_err(), expect);
        check("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "does not begin with whsec_");
        check("whsec_!", "is no base64 after whsec_");
        check("whsec_AAAA", "has 3 bytes; give 24 to 64");
        assert!(WebhookSecret::read(&WebhookSecret::text_of(&[7; 32])).is_ok());
    }

    #[test]
    fn addresses_lead_outside() {
        let check = |url: &str, loopback: bool, expect: Result<(), &str>| {
            let checked = check_webhook_url(url, loopback).map(|_| ());
            assert_eq!(checked, expect.map_err(str::to_owned), "{url}");
        };
        check("https://shop.example/hook", false, Ok(()));
        check("https://8.8.8.8/hook", false, Ok(()));
        check("https://[2a00:1450::1]/hook", false, Ok(()));
        check("http://shop.example/hook", false, Err("is not https"));
        check("http://shop.example/hook", true, Err("is not https"));
        check("ftp://shop.example/hook", false, Err("is not https"));
        check("https://kim:secret@shop.example/", false, Err("holds a user name or a password; the signature proves who calls"));
        check("http://127.0.0.1:9/hook", true, Ok(()));
        check("http://[::1]:9/hook", true, Ok(()));
        check("http://localhost:9/hook", true, Ok(()));
        check("http://localhost:9/hook", false, Err("is not https"));
        for ip in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
        ] {
            check(&format!("https://{ip}/"), false, Err(&format!("leads to {ip}, which is not public")));
        }
        for ip in
            ["::1", "::", "fc00::1", "fe80::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"]
        {
            assert!(check_webhook_url(&format!("https://[{ip}]/"), false).unwrap_err().ends_with("which is not public"), "{ip}");
        }
        // Other ways of writing an address are read by the parser of addresses.
        check("https://2130706433/", false, Err("leads to 127.0.0.1, which is not public"));
        check("https://0x7f.1/", false, Err("leads to 127.0.0.1, which is not public"));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let webhooks = Webhooks::new(false).unwrap();
        let secret = WebhookSecret::read(&WebhookSecret::text_of(&[7; 32])).unwrap();
        let call = WebhookCall { url: "https://localhost:9/", secret: &secret, id: "r1", at: Timestamp::UNIX_EPOCH, body: "{}" };
        let why = webhooks.call(&call).await.unwrap_err();
        assert!(why.contains("which is not public"), "{why}");
    }
}
