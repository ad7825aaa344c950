//! What the demo sends: a copy x hour experiment, its campaigns, and the words of each language.
//!
//! The same table of words makes the templates and lets a shopper understand a mail, so that a mail in the wrong words
//! moves nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocabulary::{
    Campaign, CampaignId, Channel, Copy, Experiment, ExperimentId, Factor, Guardrail, Measure, MessageClass, Metric, Mode,
    Outcome, SendHour, Timestamp, Variant, VariantName,
};

/// The experiment's id.
pub const EXPERIMENT: &str = "demo-copy-hour";
/// The campaign that tests.
pub const TEST_CAMPAIGN: &str = "demo-test";
/// The campaign that sends the winner to the rest.
pub const REST_CAMPAIGN: &str = "demo-rest";
/// The campaign to those who unsubscribed, which must reach nobody.
pub const REFUSED_CAMPAIGN: &str = "demo-unsubscribed";

/// The hours of a test, in the recipient's own time zone.
pub const HOURS: [u8; 2] = [9, 20];

/// Outcomes count so many hours from the planned hour of sending. A shopper's reaction to a mail ends within 38.
pub const WINDOW_HOURS: u32 = 72;

/// What a mail appeals to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Appeal {
    /// Says what is new.
    Plain,
    /// Offers free shipping.
    Benefit,
}

impl Appeal {
    /// Every appeal.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Benefit];

    /// The name of the copy that has it.
    #[must_use]
    pub fn copy_name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Benefit => "benefit",
        }
    }

    /// The name of the variant with this appeal at that local hour.
    #[must_use]
    pub fn variant_name(self, hour: u8) -> String {
        format!("{}_{hour}", self.copy_name())
    }
}

/// The variants: every appeal at every hour, control (plain in the morning) first.
pub fn arms() -> impl Iterator<Item = (Appeal, u8)> {
    Appeal::ALL.into_iter().flat_map(|appeal| HOURS.into_iter().map(move |hour| (appeal, hour)))
}

/// The words of one language.
struct Words {
    language: &'static str,
    greeting: [&'static str; 2],
    subject: [&'static str; 2],
    line: [&'static str; 2],
    visit: &'static str,
    picks: &'static str,
    unsubscribe: &'static str,
}

/// The languages; the last one serves everybody else. `subject` and `line` are plain, then benefit.
const LANGUAGES: &[Words] = &[
    Words {
        language: "de",
        greeting: ["Hallo ", ","],
        subject: ["Neu eingetroffen diese Woche", "Versandkostenfrei bis Sonntag"],
        line: ["Frisch im Sortiment.", "Bis Sonntag übernehmen wir das Porto für jede Bestellung."],
        visit: "Im Shop ansehen",
        picks: "Unsere Auswahl für dich",
        unsubscribe: "Abmelden",
    },
    Words {
        language: "fr",
        greeting: ["Bonjour ", ","],
        subject: ["Les nouveautés de la semaine", "Livraison offerte jusqu’à dimanche"],
        line: ["Elles viennent d’arriver.", "Jusqu’à dimanche, nous payons les frais de port de chaque commande."],
        visit: "Voir dans la boutique",
        picks: "Notre sélection pour vous",
        unsubscribe: "Se désabonner",
    },
    Words {
        language: "ja",
        greeting: ["", "様"],
        subject: ["今週の新着商品", "日曜日まで送料無料"],
        line: ["入荷したばかりの商品です。", "日曜日までのご注文は、送料を当店が負担します。"],
        visit: "ショップで見る",
        picks: "あなたへのおすすめ",
        unsubscribe: "配信停止",
    },
    Words {
        language: "pl",
        greeting: ["Cześć ", ","],
        subject: ["Nowości tego tygodnia", "Darmowa dostawa do niedzieli"],
        line: ["Właśnie trafiły do sklepu.", "Do niedzieli pokrywamy koszt wysyłki każdego zamówienia."],
        visit: "Zobacz w sklepie",
        picks: "Wybrane dla Ciebie",
        unsubscribe: "Wypisz się",
    },
    Words {
        language: "pt-BR",
        greeting: ["Olá, ", "!"],
        subject: ["Novidades desta semana", "Frete grátis até domingo"],
        line: ["Acabaram de chegar.", "Até domingo, o frete de todos os pedidos é por nossa conta."],
        visit: "Ver na loja",
        picks: "Nossa seleção para você",
        unsubscribe: "Cancelar inscrição",
    },
    Words {
        language: "es",
        greeting: ["Hola, ", ":"],
        subject: ["Novedades de esta semana", "Envío gratis hasta el domingo"],
        line: ["Acaban de llegar.", "Hasta el domingo pagamos el envío de todos tus pedidos."],
        visit: "Ver en la tienda",
        picks: "Nuestra selección para ti",
        unsubscribe: "Cancelar suscripción",
    },
    Words {
        language: "en",
        greeting: ["Hello ", ","],
        subject: ["New arrivals this week", "Free shipping until Sunday"],
        line: ["They have just come in.", "Until Sunday we pay the postage of every order."],
        visit: "See it in the shop",
        picks: "Our picks for you",
        unsubscribe: "Unsubscribe",
    },
];

/// What a mail says, as far as a reader of this world understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Understood {
    /// What it appeals to.
    pub appeal: Appeal,
    /// The language it says so in.
    pub language: &'static str,
}

/// Understands a mail by its words: both the promise of the subject and the line of the body must be there.
#[must_use]
pub fn understand(subject: &str, text: &str) -> Option<Understood> {
    LANGUAGES.iter().find_map(|words| {
        let appeal = Appeal::ALL.into_iter().find(|appeal| {
            let index = *appeal as usize;
            subject.contains(words.subject[index]) && text.contains(words.line[index])
        })?;
        Some(Understood { appeal, language: words.language })
    })
}

/// The experiment: copy x hour, judged by who orders at all.
///
/// Orders decide, because they are what the shop lives on and because the difference is large against its noise: with
/// 50,000 contacts, of whom 40 % are tested, the best variant is found in more than 99 of 100 worlds. Revenue is shown
/// beside it; its noise is the basket's.
#[must_use]
pub fn experiment() -> Experiment {
    let metric = |name: &str, outcome, measure| Metric {
        lower_is_better: outcome == Outcome::Unsubscribe,
        ..Metric::new(name, outcome, measure)
    };
    let variant = |(appeal, hour): (Appeal, u8)| Variant {
        copy: Some(appeal.copy_name().to_owned()),
        send_hour: Some(SendHour::At(hour)),
        ..Variant::new(label(VariantName::new(&appeal.variant_name(hour))))
    };
    Experiment {
        question: "Does free shipping bring more orders than new arrivals, and in the morning or in the evening?".to_owned(),
        factors: vec![Factor::Copy, Factor::Timing],
        variants: arms().map(variant).collect(),
        control: Some(control()),
        metrics: vec![
            metric("ordered", Outcome::Order, Measure::Occurred),
            metric("clicked", Outcome::Click, Measure::Occurred),
            metric("revenue", Outcome::Order, Measure::Amount),
            metric("unsubscribed", Outcome::Unsubscribe, Measure::Occurred),
        ],
        guardrails: vec![Guardrail { metric: "unsubscribed".to_owned(), margin: 0.5 }],
        window_hours: WINDOW_HOURS,
        ..Experiment::new(label(ExperimentId::new(EXPERIMENT)), "ordered".to_owned())
    }
}

/// The variant the others are compared with.
#[must_use]
pub fn control() -> VariantName {
    label(VariantName::new(&Appeal::Plain.variant_name(HOURS[0])))
}

/// The campaign that gives each recipient in the tested share a variant by hash.
#[must_use]
pub fn test_campaign(share: f64) -> Campaign {
    Campaign { share, mode: Mode::Test, ..campaign(TEST_CAMPAIGN) }
}

/// The campaign that sends the recommended variant to everybody who was not tested.
#[must_use]
pub fn rest_campaign(start: Timestamp) -> Campaign {
    let audience = format!(
        "select contact_key from contacts where contact_key not in (select contact_key from assignments where experiment_id = '{EXPERIMENT}')"
    );
    Campaign { audience: Some(audience), start: Some(start), mode: Mode::Recommended, ..campaign(REST_CAMPAIGN) }
}

/// A campaign to those who unsubscribed. It must reach nobody, which is what it is for.
#[must_use]
pub fn refused_campaign() -> Campaign {
    let audience = "select distinct contact_key from feedback".to_owned();
    Campaign { audience: Some(audience), mode: Mode::Recommended, ..campaign(REFUSED_CAMPAIGN) }
}

fn campaign(id: &str) -> Campaign {
    Campaign {
        campaign: label(CampaignId::new(id)),
        experiment: label(ExperimentId::new(EXPERIMENT)),
        mode: Mode::Test,
        audience: None,
        segment: None,
        triggered: false,
        share: 1.0,
        from: "Sendlab Demo Shop <news@shop.example.test>".to_owned(),
        class: MessageClass::Marketing,
        channel: Channel::Email,
        channels: Vec::new(),
        start: None,
        send_hour: None,
        ends: None,
        window: None,
        cost: None,
        utm: None,
        trap_link: false,
        coupon_pool: None,
        coupon_pools: BTreeMap::new(),
        slots: BTreeMap::new(),
        content: content(),
    }
}

fn content() -> BTreeMap<String, Copy> {
    Appeal::ALL.into_iter().map(|appeal| (appeal.copy_name().to_owned(), copy(appeal))).collect()
}

fn copy(appeal: Appeal) -> Copy {
    let index = appeal as usize;
    let subject = by_language(|words| words.subject[index].to_owned());
    let line = by_language(|words| words.line[index].to_owned());
    let greeting =
        by_language(|words| format!("{}{{{{ contact.attributes.first_name }}}}{}", words.greeting[0], words.greeting[1]));
    let visit = by_language(|words| words.visit.to_owned());
    let picks = by_language(|words| words.picks.to_owned());
    let unsubscribe = by_language(|words| words.unsubscribe.to_owned());
    let shop = "https://shop.example.test/{{ contact.country }}";
    let name = appeal.copy_name();
    let html = format!(
        r#"<!doctype html>
<html lang="{{{{ contact.language }}}}">
<body style="font-family:sans-serif;max-width:36em;margin:auto">
<p>{greeting}</p>
<h1 style="font-size:1.4em">{subject}</h1>
<p>{line}</p>
<p><a href="{shop}?from={name}" style="background:#114488;color:#ffffff;padding:.6em 1em">{visit}</a></p>
<p><a href="{shop}/{{{{ contact.attributes.interest }}}}?from={name}">{picks}</a></p>
<hr>
<p style="font-size:.8em"><a href="{{{{ unsubscribe_url }}}}">{unsubscribe}</a></p>
</body>
</html>
"#
    );
    let text = format!("{greeting}\n\n{subject}\n{line}\n\n{visit}: {shop}\n\n{unsubscribe}: {{{{ unsubscribe_url }}}}\n");
    Copy { subject, html, text, ..Copy::default() }
}

/// A template that chooses by the contact's language.
fn by_language(word: impl Fn(&Words) -> String) -> String {
    let (last, others) = LANGUAGES.split_last().expect("there is at least one language");
    let branches: Vec<String> =
        others.iter().map(|words| format!("if contact.language == '{}' %}}{}", words.language, word(words))).collect();
    format!("{{% {}{{% else %}}{}{{% endif %}}", branches.join("{% el"), word(last))
}

fn label<T>(checked: Result<T, vocabulary::LabelError>) -> T {
    checked.expect("the demo's names are labels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_is_understood_in_every_language_and_only_as_itself() {
        for words in LANGUAGES {
            for appeal in Appeal::ALL {
                let index = appeal as usize;
                let text = format!("…\n{}\n…", words.line[index]);
                assert_eq!(understand(words.subject[index], &text), Some(Understood { appeal, language: words.language }));
                assert_eq!(
                    understand(words.subject[index], &text.replace(words.line[1 - index], "").replace(words.line[index], "")),
                    None
                );
                assert_eq!(understand(words.subject[1 - index], &text), None, "subject and body disagree");
            }
        }
        assert_eq!(understand("Your parcel is on its way", "It arrives tomorrow."), None);
    }

    #[test]
    fn the_templates_choose_by_language() {
        let subject = copy(Appeal::Benefit).subject;
        assert!(
            subject
                .starts_with("{% if contact.language == 'de' %}Versandkostenfrei bis Sonntag{% elif contact.language == 'fr' %}")
        );
        assert!(subject.ends_with("{% else %}Free shipping until Sunday{% endif %}"));
    }

    #[test]
    fn the_experiment_crosses_copy_and_hour() {
        let experiment = experiment();
        let names: Vec<&str> = experiment.variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["plain_9", "plain_20", "benefit_9", "benefit_20"]);
        assert_eq!(experiment.control().as_str(), "plain_9");
        let text = serde_json::to_string(&experiment).unwrap();
        assert_eq!(serde_json::from_str::<Experiment>(&text).unwrap(), experiment);
        for campaign in [test_campaign(0.4), rest_campaign(Timestamp::UNIX_EPOCH), refused_campaign()] {
            assert!(experiment.variants.iter().all(|variant| campaign.content.contains_key(variant.copy_name())));
        }
    }
}
