//! Whether a reply that puts a message off is about the destination's load or the sender's rate, or about this message alone.
//!
//! Source: RFC 5321, section 4.2.3 (reply codes); RFC 3463, section 3, and the register that RFC 5248 keeps of it (enhanced codes); the
//! codes above 500 in X.7 are those of Exchange Online.

/// Words of greylisting (RFC 6647), which puts off each pair of sender and recipient once, however slowly mail comes. Many servers give
/// it the code of a policy, 4.7.1, or of a mailbox.
const GREYLISTING: [&str; 4] = ["greylist", "graylist", "grey-list", "gray-list"];

/// Whether a reply asks for less mail. What says nothing clear, such as 451 4.7.1, counts: the share of such replies tells then.
#[must_use]
pub fn is_about_load(reply: &str) -> bool {
    let mut words = reply.split_ascii_whitespace();
    let code = words.next().unwrap_or_default();
    let told = reply.to_ascii_lowercase();
    if GREYLISTING.iter().any(|word| told.contains(word)) {
        return false;
    }
    match (code, words.next().and_then(enhanced)) {
        // The server closes the connection: whatever its reason, it is not one mailbox.
        ("421", _) => true,
        ("450" | "451" | "452" | "454", Some((subject, detail))) if subject > 0 => is_load(subject, detail),
        // 450 alone is a mailbox that is busy; the others are the server's own processing, storage or encryption.
        ("451" | "452" | "454", _) => true,
        _ => false,
    }
}

/// Subject and detail of an enhanced code that is temporary: `(7, 1)` of `4.7.1`.
fn enhanced(word: &str) -> Option<(u16, u16)> {
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let read = |part: &str| part.parse().ok().filter(|_| part.len() <= 3);
    if class != "4" || parts.next().is_some() { None } else { Some((read(subject)?, read(detail)?)) }
}

fn is_load(subject: u16, detail: u16) -> bool {
    match subject {
        // The mail system: undefined, full, not accepting, wrongly set up; not its abilities and not the size of one message.
        3 => matches!(detail, 0 | 1 | 2 | 5),
        // Network and routing: no answer, bad connection, directory, route, congestion; not a loop or one message that is too old.
        4 => detail <= 5,
        // Protocol: undefined, too many recipients; not the syntax of one command.
        5 => matches!(detail, 0 | 3),
        // Policy: undefined, not authorised (which is how most servers say "not so many"), a flood; not signatures and passwords.
        7 => matches!(detail, 0 | 1 | 28 | 500..),
        // Addresses, mailboxes, contents.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_told_from_mailboxes_and_contents() {
        let check = |reply: &str, expect: bool| assert_eq!(is_about_load(reply), expect, "{reply}");
        check("421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume or user complaints", true);
        check("421 closing", true);
        check("450 4.2.1 The user is receiving mail at a rate that prevents additional messages", false);
        check("452 4.2.2 The mailbox is full", false);
        check("452 4.1.1 no such mailbox just now", false);
        check("452 4.3.1 Insufficient system storage", true);
        check("452 4.3.4 Message too big for now", false);
        check("452 4.5.3 Too many recipients", true);
        check("451 4.5.2 Syntax", false);
        check("451 4.4.5 congested", true);
        check("451 4.4.7 too old", false);
        check("451 4.3.2 not accepting messages", true);
        check("451 4.6.0 contents", false);
        check("451 4.7.1 Try again later", true);
        check("450 4.7.28 Gmail has detected an unusual rate of mail", true);
        check("451 4.7.500 Server busy. Please try again later", true);
        check("451 4.7.24 The SPF record cannot be read now", false);
        check("451 4.7.1 Greylisted, try again in 300 seconds", false);
        check("450 4.2.0 <a@b.example>: Recipient address rejected: Greylisting in action", false);
        check("450 mailbox busy", false);
        check("451 local error in processing", true);
        check("451 4.0.0 something", true);
        check("451 4.7 not a code", true);
        check("452", true);
        check("550 5.7.1 no", false);
        check("250 2.0.0 Ok", false);
        check("not sent: 421", false);
        check("", false);
    }
}
