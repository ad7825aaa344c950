//! The sign of money: an order is paid, a refund or cancellation is paid back and names the order it takes back.
//!
//! A refund is an `order` event of its own, with its own `order_id` and time, so that several may take back parts of one
//! order. Whether the order it names is known is not asked: it may come later, or be older than the lake.

use vocabulary::Money;

use crate::line::{Fault, clip};

/// Checks that an order's amount has the sign its `refund_of` asks for; `written` is the amount as the caller wrote it.
///
/// # Errors
/// [`Fault`] of `amount` or `refund_of`.
pub(crate) fn check(order_id: &str, refund_of: Option<&str>, written: &str, amount: Money) -> Result<(), Fault> {
    let written = clip(written);
    match refund_of {
        Some(refund_of) if refund_of == order_id => {
            let reason = format!(
                "is `{}`, as is `order_id`; name the order that was paid back here, and give the refund an `order_id` of its own",
                clip(refund_of)
            );
            Err(Fault::new("refund_of", reason))
        }
        Some(_) if amount.minor > 0 => {
            let reason = format!(
                "{written} is more than zero, but with `refund_of` it says what was paid back; write -{written}, or leave \
                 `refund_of` out of an order that was paid"
            );
            Err(Fault::new("amount", reason))
        }
        None if amount.minor < 0 => {
            let reason = format!(
                "{written} is negative; if an order was paid back or cancelled, name it in `refund_of`; else write zero or more"
            );
            Err(Fault::new("amount", reason))
        }
        _ => Ok(()),
    }
}

/// Checks that an amount that cannot be paid back is zero or more.
///
/// # Errors
/// [`Fault`] of `field`.
pub(crate) fn not_negative(field: &str, written: &str, amount: Money) -> Result<Money, Fault> {
    if amount.minor < 0 {
        return Err(Fault::new(field, format!("{} is negative; it must be zero or more", clip(written))));
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use vocabulary::Currency;

    use super::*;

    fn fault(order_id: &str, refund_of: Option<&str>, written: &str) -> Option<(String, String)> {
        let amount = Money::parse(written, Currency::new("EUR").unwrap()).unwrap();
        let fault = check(order_id, refund_of, written, amount).err()?;
        Some((fault.field.unwrap(), fault.reason))
    }

    #[test]
    fn a_refund_is_negative_and_names_another_order() {
        let good = |refund_of, written| assert_eq!(fault("r1", refund_of, written), None, "{refund_of:?} {written}");
        good(None, "12.50");
        good(None, "0");
        good(Some("o1"), "-12.50");
        // The cancellation of an order that cost nothing.
        good(Some("o1"), "0");
        good(Some("o1"), "-0.00");
    }

    #[test]
    fn faults_say_what_to_write() {
        let check = |refund_of, written, field: &str, reason: &str| {
            let (found, text) = fault("r1", refund_of, written).expect("a fault");
            assert!(found == field && text.contains(reason), "{found}: {text}");
        };
        check(None, "-0.01", "amount", "-0.01 is negative; if an order was paid back or cancelled, name it in `refund_of`");
        check(Some("o1"), "12.50", "amount", "write -12.50, or leave `refund_of` out");
        check(Some("r1"), "-12.50", "refund_of", "give the refund an `order_id` of its own");
    }

    #[test]
    fn costs_are_never_negative() {
        let cost = |written| not_negative("cost", written, Money::parse(written, Currency::new("EUR").unwrap()).unwrap());
        assert!(cost("0").is_ok());
        assert_eq!(cost("-0.01").unwrap_err(), Fault::new("cost", "-0.01 is negative; it must be zero or more"));
    }
}
