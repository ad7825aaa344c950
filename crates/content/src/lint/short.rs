//! Text messages: what they cost, and whether networks carry them.

use super::{LintInput, LintRules, Note, Notes, Severity, Version};
use crate::Part;
use crate::sms::{Encoding, GSM7_UNITS_ALONE, SEGMENTS_MAX, Segments, UCS2_UNITS_ALONE};

/// More segments than this are rarely worth their price, and some networks cut or drop them.
const SEGMENTS_WORTH: usize = 3;
const SOURCE: &str = "3GPP TS 23.038 and TS 23.040";

/// Checks one version's text.
pub(super) fn check(version: &Version<'_>, notes: &mut Notes<'_>) {
    let Some(look) = version.part(Part::Text) else { return };
    let said = look.said();
    let segments = Segments::of(said.trim());
    if let Some(culprit) = segments.culprit {
        // Where nothing would do the text is in a script that the alphabet lacks, and there is nothing to do.
        if let Some(instead) = culprit.instead {
            let at = look.visible.find(culprit.character);
            let (character, code) = (culprit.character, u32::from(culprit.character));
            let plain = if instead.is_empty() { "leave it out".to_owned() } else { format!("write `{instead}`") };
            let found = format!("`{}` (U+{code:04X}); {plain}", character.escape_debug());
            let why = "the GSM alphabet lacks it, so a segment holds 70 characters instead of 160; every character counts double";
            let note = Note { code: "sms_unicode", severity: Severity::Warning, found, why, source: Some(SOURCE) };
            notes.add(Some((Part::Text, at)), note);
        }
    }
    if segments.segments > 1 {
        let (encoding, alone) = match segments.encoding {
            Encoding::Gsm7 => ("GSM 7-bit", GSM7_UNITS_ALONE),
            Encoding::Ucs2 => ("UCS-2", UCS2_UNITS_ALONE),
        };
        let severity = match segments.segments {
            count if count > SEGMENTS_MAX => Severity::Problem,
            count if count > SEGMENTS_WORTH => Severity::Warning,
            _ => Severity::Hint,
        };
        let found = format!(
            "{} segments in {encoding}, {} units of {alone} for one, without what is filled in",
            segments.segments, segments.units
        );
        let why = "each segment is billed; shorten it, or make sure that it is worth the price";
        notes.add(Some((Part::Text, None)), Note { code: "sms_long", severity, found, why, source: Some(SOURCE) });
    }
}

/// Checks that the copy is registered in every market that asks for it.
pub(super) fn check_registration(input: &LintInput<'_>, rules: &LintRules, copy: &str, notes: &mut Notes<'_>) {
    for market in input.markets {
        let is_registered = input.registered.iter().any(|(known, country)| known == copy && country == market);
        let rule = rules.templates.iter().find(|rule| rule.holds(market, input.channel, input.class));
        if let Some(rule) = rule.filter(|_| !is_registered) {
            let note = Note {
                code: "template_unregistered",
                severity: Severity::Problem,
                found: format!("{market} ({})", rule.id),
                why: "networks or the platform drop messages whose template is not registered; register it before launch",
                source: Some(&rule.source),
            };
            notes.add(None, note);
        }
    }
}
