//! Products as messages show them, and the slots of a campaign that are filled with them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use content::Slots;
use lake::{Group, Picked};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::{Campaign, ContactKey, Offer, Product};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Ask, PathText, Text};
use crate::views::ErrorBody;
use crate::views::documents::ProductDocument;

/// Products in one document.
const PRODUCTS_MAX: usize = 10_000;
/// Products of one answer.
const PAGE: u32 = 1_000;

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(put)).routes(routes!(delete))
}

/// What became of products.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductsStored {
    /// How many were stored.
    stored: u64,
}

/// A product and its newest price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferView {
    /// The product as it was stored.
    #[schema(value_type = ProductDocument)]
    product: Product,
    /// Its newest price, such as `49.90 EUR`; `null` where none was told.
    price: Option<String>,
}

impl From<Offer> for OfferView {
    fn from(Offer { product, price }: Offer) -> Self {
        Self { product, price: price.map(|price| price.to_string()) }
    }
}

/// Where a list of products begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageParams {
    /// The last product of the page before.
    after: String,
}

/// Tell products.
///
/// YAML or JSON, one or a list; all are stored or none, and those that are not named stay as they are. Campaigns show them in
/// `slots`, beside the newest price of `PUT /v1/prices`.
#[utoipa::path(
    put,
    path = "/v1/products",
    tag = "products",
    operation_id = "put_products",
    request_body(content((Vec<ProductDocument> = "application/json"), (String = "application/yaml")), description = "A product, or a list of at most 10,000."),
    responses(
        (status = 200, description = "They are as given.", body = ProductsStored),
        (status = 422, description = "Something is wrong with one; the message names the place and the fix. None was stored.", body = ErrorBody),
    )
)]
async fn put(State(parts): State<Arc<Parts>>, Text(text): Text) -> Result<Json<ProductsStored>, Problem> {
    let products = experiment::parse_products(&text)?;
    if products.is_empty() || products.len() > PRODUCTS_MAX {
        let message = format!("there are {} products", products.len());
        return Err(Problem::unprocessable("bad_product", message, format!("send 1 to {PRODUCTS_MAX}")));
    }
    for product in &products {
        if let Some(tag) = product.locales.keys().find(|tag| !content::is_language(tag)) {
            let message = format!("product `{}`: locales: `{tag}` is no BCP 47 language tag", product.product);
            return Err(Problem::unprocessable("bad_product", message, "write one such as de, pt-BR or zh-Hant"));
        }
    }
    parts.control.put_products(&products).await?;
    Ok(Json(ProductsStored { stored: products.len() as u64 }))
}

/// The products that are known, by id: a thousand at a time.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "products",
    operation_id = "list_products",
    params(PageParams),
    responses((status = 200, description = "Products behind `after`; none at the end.", body = Vec<OfferView>))
)]
async fn list(State(parts): State<Arc<Parts>>, Ask(page): Ask<PageParams>) -> Result<Json<Vec<OfferView>>, Problem> {
    Ok(Json(parts.control.products(&page.after, PAGE).await?.into_iter().map(OfferView::from).collect()))
}

/// Take a product out. No message shows it from now on, not even of a campaign that is being sent.
#[utoipa::path(
    delete,
    path = "/v1/products/{id}",
    tag = "products",
    operation_id = "delete_product",
    params(("id" = String, Path, description = "Your own id of the product.")),
    responses((status = 204, description = "It is gone."), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn delete(State(parts): State<Arc<Parts>>, PathText(id): PathText) -> Result<StatusCode, Problem> {
    if parts.control.delete_product(&id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("product", &id, "GET /v1/products lists them"))
}

/// Whether the slots of a campaign can be filled: queries are planned, and products of the fallback must be known.
pub(crate) async fn check_slots(parts: &Parts, campaign: &Campaign) -> Result<(), Problem> {
    let wrong = |message: String, hint: &str| Problem::unprocessable("bad_slot", message, hint);
    for (name, slot) in &campaign.slots {
        parts.lake.check_slot(slot, parts.clock.now()).await.map_err(|error| {
            let hint =
                "give a SELECT of contact_key, product and position, or one of last_viewed, last_carted, abandoned, last_ordered";
            if error.is_callers() { wrong(format!("slots.{name}.query: {error}"), hint) } else { error.into() }
        })?;
        let known = parts.control.offers(slot.fallback.iter().map(String::as_str)).await?;
        if let Some(unknown) = slot.fallback.iter().find(|product| !known.contains_key(*product)) {
            let hint = "tell it first with PUT /v1/products or `sendlab product apply`";
            return Err(wrong(format!("slots.{name}.fallback: there is no product `{unknown}`"), hint));
        }
    }
    Ok(())
}

/// The slots of some contacts as they would be now.
pub(crate) struct Filled<'c> {
    campaign: &'c Campaign,
    picked: Picked,
    offers: HashMap<String, Arc<Offer>>,
}

impl<'c> Filled<'c> {
    /// Asks for the products of these contacts, who are ordered by key; nothing where the campaign has no slots.
    pub(crate) async fn of(parts: &Parts, campaign: &'c Campaign, contacts: &[ContactKey]) -> Result<Self, Problem> {
        if campaign.slots.is_empty() {
            return Ok(Self { campaign, picked: Picked::default(), offers: HashMap::new() });
        }
        let picked = parts.lake.picks(&campaign.slots, contacts, Group::Analysts, parts.clock.now()).await?;
        let picks: Vec<lake::Picks> = contacts.iter().map(|contact| picked.of(*contact)).collect();
        let products: BTreeSet<&str> = Slots::products(&campaign.slots, picks.iter());
        let offers = parts.control.offers(products.into_iter()).await?;
        Ok(Self { campaign, picked, offers })
    }

    /// Those of one of them.
    pub(crate) fn slots(&self, contact: ContactKey) -> Slots {
        Slots::fill(&self.campaign.slots, &self.picked.of(contact), &self.offers)
    }
}
