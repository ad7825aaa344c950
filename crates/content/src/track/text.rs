//! Gives the addresses in a text the fields of web analytics. They are found as phones and mail programs find them, so that a
//! full stop or a bracket behind an address stays behind it.

use super::{Tracking, is_web, with_fields};

/// What ends an address beside blanks: what is put around one, and the quotes, brackets and stops of other scripts, which have
/// no blank before them. Letters of any script are part of it.
const ENDS: &str = "<>\"“”„‟‘’‚‛«»‹›「」『』【】《》〈〉（）［］。、，！？；：…\u{200b}";
/// What belongs to the sentence where an address ends with it.
const STOPS: &str = ".,;:!?'";

/// Gives every `http` and `https` address in a text part or a text message the fields it lacks, except those that are
/// [`Links`](crate::Links) already. They stay direct, and so have no positions; the link that no person sees is never put
/// into a text.
#[must_use]
pub fn track_text(text: &str, how: &Tracking<'_>) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = rest[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len();
        let after = at + "://".len();
        let end = after + length(&rest[after..]);
        let address = &rest[start..end];
        output.push_str(&rest[..start]);
        if is_web(&rest[start..at]) && end > after && !how.links.is_own(address) {
            output.push_str(&with_fields(address, how.fields));
        } else {
            output.push_str(address);
        }
        rest = &rest[end..];
    }
    output.push_str(rest);
    output
}

/// How long the address is whose part after the scheme `text` begins with.
fn length(text: &str) -> usize {
    let is_end = |c: char| c.is_whitespace() || c.is_control() || ENDS.contains(c);
    let mut address = &text[..text.find(is_end).unwrap_or(text.len())];
    let is_unopened = |address: &str, open: char, close: char| {
        address.ends_with(close) && address.matches(close).count() > address.matches(open).count()
    };
    while address.ends_with(|c: char| STOPS.contains(c))
        || [('(', ')'), ('[', ']'), ('{', '}')].into_iter().any(|(open, close)| is_unopened(address, open, close))
    {
        address = &address[..address.len() - 1];
    }
    address.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vocabulary::MessageId;

    use super::*;
    use crate::Links;

    fn told(text: &str, fields: &[(&str, String)]) -> String {
        let links = Links::new([7; 32], "https://mail.shop.example");
        let message = MessageId::new("0123456789abcdef0123456789abcdef").unwrap();
        track_text(text, &Tracking { links: &links, message: &message, fields, has_trap: true })
    }

    fn fields() -> [(&'static str, String); 2] {
        [("utm_source", "shop".to_owned()), ("utm_content", "a b.".to_owned())]
    }

    #[test]
    fn addresses_get_the_fields_they_lack() {
        // `+` stands for all of them.
        let check = |text: &str, expect: &str| {
            assert_eq!(told(text, &fields()), expect.replace('+', "utm_source=shop&utm_content=a%20b."), "{text}");
        };
        check("https://s.example", "https://s.example?+");
        check("See https://s.example/a?b=1#c. Bye", "See https://s.example/a?b=1&+#c. Bye");
        check("Shop (https://s.example/a_(b))!\nHTTP://S.EXAMPLE", "Shop (https://s.example/a_(b)?+)!\nHTTP://S.EXAMPLE?+");
        check("<https://s.example/>, [https://s.example/x]", "<https://s.example/?+>, [https://s.example/x?+]");
        check("\"https://a.example\" 'https://b.example'", "\"https://a.example?+\" 'https://b.example?+'");
        check("请看https://s.example/猫。再见", "请看https://s.example/猫?+。再见");
        check("https://s.example/größe, https://s.example/हिन्दी", "https://s.example/größe?+, https://s.example/हिन्दी?+");
        check("https://a.example/?u=https://b.example", "https://a.example/?u=https://b.example&+");
        check("https://s.example?utm_source=x", "https://s.example?utm_source=x&utm_content=a%20b.");
        check("https://s.example/?utm_source=&utm_content=1", "https://s.example/?utm_source=&utm_content=1");
    }

    #[test]
    fn everything_else_stays() {
        let check = |text: &str| assert_eq!(told(text, &fields()), text);
        check("");
        check("mailto:a@s.example tel:+49 www.s.example ftp://s.example shttp://s.example :// http://, https://)");
        check("https://mail.shop.example/t/u/abc (https://mail.shop.example/t/p/abc).");
        assert_eq!(told("https://s.example?", &[]), "https://s.example?");
    }

    proptest! {
        #[test]
        fn doing_it_twice_changes_nothing(text in "([a-z.,()?#&=猫 ]|https?://|://|utm_source){0,30}|.{0,60}") {
            let once = told(&text, &fields());
            prop_assert_eq!(told(&once, &fields()), once.clone());
            prop_assert_eq!(told(&text, &[]), text);
        }
    }
}
