//! Ways out for text messages: what a message is, what a provider's gateway is asked to do, and what it answers.
//!
//! A gateway submits one message with one request and says what became of it in the four words of every way out
//! ([`HandOver`]), with the provider's own id, by which its receipts speak of the message later. Channels that are
//! submitted the same way fit the same trait.
//!
//! *Invariant:* no reply that comes out of here holds a secret of the configuration or the recipient's number: replies go
//! into the log of events.

use std::fmt;

use async_trait::async_trait;
use phonenumber::Mode;
use vocabulary::{Currency, MessageClass, MessageId};

use crate::error::GatewayError;
use crate::smtp::HandOver;

/// How many decimals a price is kept with: providers write `0.0079`, none more than six.
const PRICE_DIGITS: u32 = 6;
/// Digits at most in a number with its country's code: ITU-T E.164.
const E164_DIGITS_MAX: usize = 15;

/// One text message.
#[derive(Debug, Clone, Copy)]
pub struct SmsMessage<'a> {
    /// Its id: the same at each attempt, so that providers that know repeats by a key take it once.
    pub message_id: &'a MessageId,
    /// The recipient's number in the form of E.164: `+` and digits.
    pub to: &'a str,
    /// What it says.
    pub text: &'a str,
    /// The lane it goes by.
    pub class: MessageClass,
}

/// What became of a text message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsHandOver {
    /// The word on it.
    pub hand_over: HandOver,
    /// The provider's own id for it, where it told one; receipts name it.
    pub provider_id: Option<String>,
    /// What the provider said it costs, where it did.
    pub price: Option<SmsPrice>,
    /// How many segments the provider made of it, where it said.
    pub segments: Option<u32>,
}

impl SmsHandOver {
    pub(crate) fn new(hand_over: HandOver) -> Self {
        Self { hand_over, provider_id: None, price: None, segments: None }
    }

    /// The same with every text of the provider led through `clean`.
    pub(crate) fn cleaned(self, clean: impl Fn(&str) -> String) -> Self {
        let hand_over = match self.hand_over {
            HandOver::Accepted { reply } => HandOver::Accepted { reply: clean(&reply) },
            HandOver::Refused { reply, permanent } => HandOver::Refused { reply: clean(&reply), permanent },
            HandOver::Late => HandOver::Late,
            HandOver::NotSent { why } => HandOver::NotSent { why: clean(&why) },
            HandOver::InDoubt { why } => HandOver::InDoubt { why: clean(&why) },
        };
        Self { hand_over, ..self }
    }

    /// The word on a message that no server was asked about, because it cannot be sent.
    pub(crate) fn impossible(why: impl fmt::Display) -> Self {
        Self::new(HandOver::Refused { reply: format!("not sent: {why}"), permanent: true })
    }
}

/// A provider's way out for text messages.
#[async_trait]
pub trait SmsGateway: Send + Sync {
    /// Hands one message over and says what became of it.
    ///
    /// If the future is dropped before it completes, it is not known whether the provider has the message.
    async fn submit(&self, message: &SmsMessage<'_>) -> SmsHandOver;
}

/// A number that can be called: E.164, as its country has given it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    e164: String,
    country: Option<String>,
}

impl PhoneNumber {
    /// Reads a number in the form of E.164, such as `+33612345678`.
    ///
    /// # Errors
    /// [`GatewayError::Phone`] when it is in another form, or no country has given it out. The number is not repeated.
    pub fn read(text: &str) -> Result<Self, GatewayError> {
        let digits = text.strip_prefix('+').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if digits.is_none_or(|digits| digits.is_empty() || digits.len() > E164_DIGITS_MAX) {
            return Err(GatewayError::Phone("is not in the form of E.164; write + and at most 15 digits, without spaces"));
        }
        let number = phonenumber::parse(None, text).ok().filter(phonenumber::is_valid);
        let number = number.ok_or(GatewayError::Phone("is no number that its country has given out; check it"))?;
        let e164 = number.format().mode(Mode::E164).to_string();
        if e164 != text {
            return Err(GatewayError::Phone("holds a digit too much, such as a zero after the country's code; take it out"));
        }
        Ok(Self { e164, country: number.country().id().map(|id| id.as_ref().to_owned()) })
    }

    /// `+` and digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.e164
    }

    /// The digits alone, as some providers want them.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.e164.trim_start_matches('+')
    }

    /// The ISO 3166 code of the country that gave it out; none for numbers of no country, such as those of satellites.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }
}

/// What a message or a segment costs, in millionths of the currency's major unit: prices of segments have more decimals
/// than money that changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmsPrice {
    /// Millionths, not negative.
    pub millionths: i64,
    /// The currency.
    pub currency: Currency,
}

impl SmsPrice {
    /// Reads a decimal number, such as `0.0079`. A sign in front is passed over: some providers write what they take from
    /// an account.
    ///
    /// # Errors
    /// What is wrong with the number, and what to write.
    pub fn read(amount: &str, currency: Currency) -> Result<Self, String> {
        let wrong =
            || format!("`{amount}` is no price; write a decimal number of at most {PRICE_DIGITS} decimals, such as \"0.0079\"");
        let digits = amount.trim().trim_start_matches('-');
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let part = part.trim_end_matches('0');
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > PRICE_DIGITS as usize {
            return Err(wrong());
        }
        let millionths = format!("{whole}{part:0<width$}", width = PRICE_DIGITS as usize);
        Ok(Self { millionths: millionths.parse().map_err(|_| wrong())?, currency })
    }

    /// The price of so many; `None` when it is too large to be meant.
    #[must_use]
    pub fn times(self, count: usize) -> Option<Self> {
        let millionths = self.millionths.checked_mul(i64::try_from(count).ok()?)?;
        Some(Self { millionths, ..self })
    }
}

impl fmt::Display for SmsPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let major = 10_i64.pow(PRICE_DIGITS);
        let part = format!("{:0width$}", self.millionths % major, width = PRICE_DIGITS as usize);
        let digits = part.trim_end_matches('0').len().max(self.currency.digits() as usize);
        let dot = if digits == 0 { "" } else { "." };
        write!(f, "{}{dot}{} {}", self.millionths / major, &part[..digits], self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_form_of_e_164() {
        let check = |text: &str, expect: Option<&str>| {
            let number = PhoneNumber::read(text);
            assert_eq!(number.as_ref().ok().map(|number| number.country().unwrap_or("none")), expect, "{text}: {number:?}");
            if let Err(error) = number {
                assert!(!error.to_string().contains(text) || text.is_empty(), "the number is not repeated: {error}");
            }
        };
        check("+33612345678", Some("FR"));
        check("+14155552671", Some("US"));
        check("+8613812345678", Some("CN"));
        check("33612345678", None);
        check("+33 6 12 34 56 78", None);
        check("+330612345678", None);
        check("+33", None);
        check("+1234567890123456", None);
        check("", None);
    }

    #[test]
    fn prices_are_exact() {
        let usd = Currency::new("USD").expect("is a currency");
        let check = |text: &str, millionths: Option<i64>| {
            assert_eq!(SmsPrice::read(text, usd).ok().map(|price| price.millionths), millionths, "{text}");
        };
        check("0.0079", Some(7_900));
        check("-0.00750", Some(7_500));
        check("12", Some(12_000_000));
        check("0.1234560000", Some(123_456));
        check("0.1234567", None);
        check("1e3", None);
        check(".5", None);
        check("", None);
        check("99999999999999999999", None);
        let price = SmsPrice::read("0.0079", usd).expect("is a price");
        assert_eq!(price.times(3).expect("is small").to_string(), "0.0237 USD");
        assert_eq!(SmsPrice::read("700", Currency::new("JPY").expect("is one")).expect("is a price").to_string(), "700 JPY");
        assert_eq!(SmsPrice { millionths: i64::MAX, currency: usd }.times(2), None);
    }
}
