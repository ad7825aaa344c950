//! What the rules answer: one answer a rule, one decision of all, and the reasons as sentences.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Weekday;
use vocabulary::MessageClass;

use crate::facts::{Basis, SuppressionReason};

/// May this person get this message now?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes; every rule permits it. The set of rules is named by [`crate::Rules::version`].
    Permit,
    /// Not now, but at `until` every rule permits it as far as is known now. Ask again then.
    Defer {
        /// The first moment that is permitted.
        until: Timestamp,
        /// The rule that decides that moment.
        why: Why,
    },
    /// No, and waiting does not help.
    Refuse {
        /// The first rule that says so.
        why: Why,
    },
}

/// A rule and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The name of the rule.
    pub rule: Arc<str>,
    /// Its version.
    pub version: u32,
    /// What it said.
    pub because: Reason,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rule {}, version {})", self.because, self.rule, self.version)
    }
}

/// What one rule answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing against it.
    Permit {
        /// Why not.
        because: Reason,
    },
    /// Not before `until`.
    Defer {
        /// The first moment at which this rule permits it.
        until: Timestamp,
        /// Why.
        because: Reason,
    },
    /// Never.
    Refuse {
        /// Why.
        because: Reason,
    },
}

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule.
    pub rule: Arc<str>,
    /// Its version.
    pub version: u32,
    /// What it looked at, in words.
    pub input: String,
    /// What it answered.
    pub answer: Answer,
}

/// All answers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The moment.
    pub at: Timestamp,
    /// In the order of the rules.
    pub findings: Vec<Finding>,
}

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The version of the whole set of rules.
    pub rules: Arc<str>,
    /// The answers now, then at each moment that a deferral led to.
    pub rounds: Vec<Round>,
}

/// Why a rule answers as it does. [`fmt::Display`] makes a sentence of it, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The rule is not about this class.
    ClassExempt(MessageClass),
    /// There is no entry on the suppression list that stops this message.
    NotSuppressed,
    /// There is one.
    Suppressed(SuppressionReason),
    /// There was one, and the contact has since asked to be written to again.
    SuppressionLifted(Basis),
    /// Consent is there.
    Consented(Basis),
    /// None is needed here.
    ConsentNotNeeded,
    /// There is none.
    NoConsent,
    /// It was withdrawn.
    ConsentWithdrawn(Timestamp),
    /// It is older than it may be.
    ConsentExpired(Timestamp),
    /// It came about in a way that does not do here.
    BasisNotEnough(Basis),
    /// A separate consent that is needed here is missing.
    SeparateConsentMissing(crate::facts::Purpose),
    /// The country is known.
    CountryKnown,
    /// The country is not known, and this channel's rules depend on it.
    CountryUnknown,
    /// The contact is in the group that gets no marketing.
    HeldOut,
    /// The contact is not.
    NotHeldOut,
    /// It is due.
    Due,
    /// It is not too late.
    InTime,
    /// It is not due yet.
    NotDue,
    /// It should have left so long ago that it must not any more.
    TooOld,
    /// Its end has come.
    Ended,
    /// The hours are fine.
    WithinHours,
    /// It is outside the hours.
    OutsideHours,
    /// On this weekday nothing may be sent.
    ClosedWeekday(Weekday),
    /// On this holiday nothing may be sent.
    ClosedHoliday(Arc<str>),
    /// The hours never come.
    NeverOpen,
    /// The contact agreed to messages outside the hours.
    NightConsent,
    /// Fewer than the cap.
    UnderCap {
        /// How many there were.
        count: u32,
        /// How many there may be, this one included.
        limit: u32,
    },
    /// As many as the cap allows.
    CapReached {
        /// How many there were.
        count: u32,
        /// How many there may be.
        limit: u32,
    },
    /// The sender's id is right.
    SenderRegistered,
    /// The message has no sender id.
    SenderMissing,
    /// The sender's id is not registered in this country.
    SenderNotRegistered,
    /// The sender's id has not the form that is asked for.
    SenderForm,
    /// The registered sender behind the id is not named.
    EntityMissing,
    /// The template is right.
    TemplateApproved,
    /// The message names no template.
    TemplateMissing,
    /// The template is not approved in this country.
    TemplateNotApproved,
    /// The template is approved for another class.
    TemplateClass(MessageClass),
    /// The text is not what the template says.
    TemplateDiffers,
    /// Nothing against the wording.
    WordingClean,
    /// There is no text yet to look at.
    NoTextYet,
    /// A word that must not stand there.
    ForbiddenWord(Arc<str>),
    /// A word for which the sender needs a permit.
    RegulatedWord(Arc<str>),
    /// Words that must stand there do not, or not where they must.
    WordingMissing(Arc<str>),
    /// A link where none may be.
    LinkForbidden,
    /// Each permitted moment of one rule is forbidden by another.
    NoPermittedTime,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClassExempt(class) => write!(f, "{class} messages are exempt"),
            Self::Suppressed(reason) => write!(f, "the contact is suppressed: {}", spaced(reason.as_str())),
            Self::SuppressionLifted(basis) => write!(f, "the contact asked again since: {}", spaced(basis.as_str())),
            Self::Consented(basis) => write!(f, "consent is there: {}", spaced(basis.as_str())),
            Self::ConsentWithdrawn(at) => write!(f, "consent was withdrawn at {at}"),
            Self::ConsentExpired(at) => write!(f, "consent of {at} is too old"),
            Self::BasisNotEnough(basis) => write!(f, "consent of the kind {} is not enough here", spaced(basis.as_str())),
            Self::SeparateConsentMissing(purpose) => {
                write!(f, "the separate consent is missing: {}", spaced(purpose.as_str()))
            }
            Self::ClosedWeekday(day) => write!(f, "nothing may be sent on a {day:?}"),
            Self::ClosedHoliday(name) => write!(f, "nothing may be sent on a holiday: {name}"),
            Self::UnderCap { count, limit } => write!(f, "{count} of {limit} were sent"),
            Self::CapReached { count, limit } => write!(f, "{count} were sent and {limit} is the most"),
            Self::TemplateClass(class) => write!(f, "the template is approved for {class} messages"),
            Self::ForbiddenWord(word) => write!(f, "`{word}` is forbidden"),
            Self::RegulatedWord(word) => write!(f, "`{word}` needs a permit"),
            Self::WordingMissing(words) => write!(f, "{words} is missing or not at its place"),
            other => f.write_str(other.fixed()),
        }
    }
}

impl Reason {
    /// The sentence of a reason that has no parts.
    fn fixed(&self) -> &'static str {
        match self {
            Self::NotSuppressed => "not on the suppression list for this",
            Self::ConsentNotNeeded => "no consent is needed as long as the contact does not object",
            Self::NoConsent => "there is no consent",
            Self::CountryKnown => "the country is known",
            Self::CountryUnknown => "the country is unknown",
            Self::HeldOut => "the contact is in the holdout",
            Self::NotHeldOut => "the contact is not in the holdout",
            Self::Due => "it is due",
            Self::InTime => "in time",
            Self::NotDue => "it is not due yet",
            Self::TooOld => "its time has passed by more than the most",
            Self::Ended => "its end has come",
            Self::WithinHours => "within the hours",
            Self::OutsideHours => "outside the hours",
            Self::NeverOpen => "the hours never come",
            Self::NightConsent => "the contact agreed to messages at night",
            Self::SenderRegistered => "the sender id is in order",
            Self::SenderMissing => "the message has no sender id",
            Self::SenderNotRegistered => "the sender id is not registered here",
            Self::SenderForm => "the sender id has not the form asked for",
            Self::EntityMissing => "the registered entity is not named",
            Self::TemplateApproved => "the template is in order",
            Self::TemplateMissing => "the message names no template",
            Self::TemplateNotApproved => "the template is not approved here",
            Self::TemplateDiffers => "the text differs from the template",
            Self::WordingClean => "nothing against the wording",
            Self::NoTextYet => "there is no text yet",
            Self::LinkForbidden => "links are forbidden",
            Self::NoPermittedTime => "no moment satisfies every rule",
            _ => "",
        }
    }
}

/// A word of a fixed list as people write it.
fn spaced(word: &str) -> String {
    word.replace('_', " ")
}
