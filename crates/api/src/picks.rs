//! What each of some contacts gets: by their own market and language where a recommendation looks at those, and of several variants
//! always the same one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use experiment::Guidance;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Asker, ContactKey, ExperimentId, Timestamp};

use crate::Parts;
use crate::problem::Problem;
use crate::recommendations::guidance;
use crate::request::{Id, Params};
use crate::views::{ContactsParams, ErrorBody, PickView, Picks};

/// Contacts of one request: as many as a sender hands over in a second or so.
pub const PICKS_MAX: usize = 1_000;

pub(crate) fn sending() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(pick))
}

/// What contacts get.
///
/// For each contact the variant and how likely it was. Where a recommendation has several weights, a contact gets the same variant for
/// as long as the weights are the same. Market and language are what is known of the contact, unless the request names them.
#[utoipa::path(
    post,
    path = "/v1/recommendations/{experiment}/contacts",
    tag = "recommendations",
    operation_id = "recommendation_picks",
    params(("experiment" = String, Path, description = "The experiment's id.")),
    request_body(content = ContactsParams, description = "Whom something is to be sent."),
    responses(
        (status = 200, description = "A variant for each.", body = Picks),
        (status = 404, description = "There is no such experiment.", body = ErrorBody),
        (status = 422, description = "No contact, too many, or an id that cannot be one.", body = ErrorBody),
    )
)]
async fn pick(
    State(parts): State<Arc<Parts>>,
    Id(id): Id<ExperimentId>,
    Params(params): Params<ContactsParams>,
) -> Result<Json<Picks>, Problem> {
    let ContactsParams { contacts, market, locale, segment } = params;
    if contacts.is_empty() || contacts.len() > PICKS_MAX {
        let message = format!("there are {} contacts; give 1 to {PICKS_MAX}", contacts.len());
        return Err(Problem::unprocessable("bad_contacts", message, "cut them into several requests"));
    }
    let guidance = guidance(&parts, &id).await?;
    let asker = Asker { market: market.as_deref(), locale: locale.as_deref(), segment: segment.as_deref() };
    let people = People::of(&parts, contacts, asker, guidance.depends_on_profile()).await?;
    let now = parts.clock.now();
    let picks = people.iter().map(|person| person.pick(&guidance, asker, now)).collect();
    Ok(Json(Picks { experiment_id: id.into(), picks }))
}

/// Contacts as far as a pick depends on them.
pub(crate) struct People(Vec<Person>);

/// One of them.
pub(crate) struct Person {
    own_id: String,
    key: ContactKey,
    market: Option<String>,
    locale: Option<String>,
}

impl People {
    /// Looks contacts up by their own ids; what `asker` leaves open of market and language only where `with_profile`. Who is unknown
    /// is not stored: a hash of their own id stands for them.
    pub(crate) async fn of(parts: &Parts, own_ids: Vec<String>, asker: Asker<'_>, with_profile: bool) -> Result<Self, Problem> {
        let keys = keys(parts, &own_ids).await?;
        let is_open = asker.market.is_none() || asker.locale.is_none();
        let mut profiles = HashMap::new();
        if with_profile && is_open {
            let known: Vec<ContactKey> = keys.iter().copied().flatten().collect();
            profiles
                .extend(parts.control.recipients(&known).await?.into_iter().map(|row| (row.contact.key, row.contact.profile)));
        }
        let secret = parts.control.derived_key("who stands for unknown contacts in picks, 1");
        let person = |(own_id, key): (String, Option<ContactKey>)| {
            let profile = key.and_then(|key| profiles.get(&key));
            let market = profile.and_then(|profile| profile.market()).map(str::to_owned);
            let locale = profile.and_then(|profile| profile.language.clone());
            Person { key: key.unwrap_or_else(|| stand_in(&secret, &own_id)), own_id, market, locale }
        };
        Ok(Self(own_ids.into_iter().zip(keys).map(person).collect()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.0.iter()
    }
}

impl Person {
    /// Who asks for this contact: what the request names, and what is known of the contact for the rest.
    pub(crate) fn asker<'a>(&'a self, named: Asker<'a>) -> Asker<'a> {
        Asker { market: named.market.or(self.market.as_deref()), locale: named.locale.or(self.locale.as_deref()), ..named }
    }

    pub(crate) fn key(&self) -> ContactKey {
        self.key
    }

    fn pick(&self, guidance: &Guidance, named: Asker<'_>, now: Timestamp) -> PickView {
        let advice = guidance.advice(self.asker(named), now);
        let picked = advice.pick(self.key);
        PickView {
            contact: self.own_id.clone(),
            variant: picked.variant.to_string(),
            propensity: picked.propensity,
            recommendation_id: advice.followed().map(|made| made.id.to_string()),
            fallback: advice.fallback().is_some(),
        }
    }
}

/// The surrogate keys of own ids: from memory as far as it goes, then from the file.
async fn keys(parts: &Parts, own_ids: &[String]) -> Result<Vec<Option<ContactKey>>, Problem> {
    let mut keys: Vec<Option<ContactKey>> = {
        let known = parts.control.known_keys();
        own_ids.iter().map(|own_id| known.get(own_id)).collect()
    };
    let missing: Vec<usize> = (0..keys.len()).filter(|place| keys[*place].is_none()).collect();
    if !missing.is_empty() {
        let ids: Vec<String> = missing.iter().map(|place| own_ids[*place].clone()).collect();
        for (place, key) in missing.into_iter().zip(parts.control.look_up(&ids).await?) {
            keys[place] = key;
        }
    }
    Ok(keys)
}

/// A key for somebody of whom nothing is stored: always the same one, and it says nothing about the id.
fn stand_in(secret: &[u8; 32], own_id: &str) -> ContactKey {
    let hash = blake3::keyed_hash(secret, own_id.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    ContactKey::from_random(u64::from_be_bytes(*first))
}
