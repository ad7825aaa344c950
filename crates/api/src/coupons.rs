//! Coupons: pools of codes that a shop made, uploaded, counted, and looked after before a campaign draws from them. No answer and no
//! error tells a code.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use content::Library;
use control::CouponPoolRow;
use planning::Brief;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vocabulary::coupon::{self, CODES_MAX, CodeLine};
use vocabulary::{Campaign, Channel, CouponCode, CouponPool, MessageId, VariantName};

use crate::Parts;
use crate::problem::Problem;
use crate::request::{Ask, Id, Payload, media_type};
use crate::views::ErrorBody;

/// Room for [`CODES_MAX`] of the longest codes.
const CODES_BYTES_MAX: usize = 4 << 20;
/// What stands in an event in the place of a code.
const HIDDEN: &str = "COUPON";
/// Where to look for pools.
const LISTED: &str = "GET /v1/coupon-pools lists them";

pub(crate) fn reading() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

pub(crate) fn managing() -> OpenApiRouter<Arc<Parts>> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(free))
}

/// A pool of coupon codes in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponPoolView {
    /// Its name.
    pool: String,
    /// Codes that were uploaded.
    total: u64,
    /// Codes that belong to a message. They are never given to another.
    drawn: u64,
    /// Codes that are not drawn because they may have been given out between a backup and its return.
    set_aside: u64,
    /// Codes that can be drawn.
    left: u64,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When codes were uploaded last, RFC 3339.
    changed_at: String,
}

impl From<CouponPoolRow> for CouponPoolView {
    fn from(row: CouponPoolRow) -> Self {
        Self {
            left: row.left(),
            pool: row.pool.to_string(),
            total: row.total,
            drawn: row.drawn,
            set_aside: row.aside,
            created_at: row.created_at.to_string(),
            changed_at: row.changed_at.to_string(),
        }
    }
}

/// What became of uploaded codes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponsUploaded {
    /// They are in the pool now.
    new: u64,
    /// They were in it before, or stood there twice.
    known: u64,
    /// The pool as it is now.
    pool: CouponPoolView,
}

/// Where in a table the codes are.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadAsk {
    /// The column of a CSV file that holds the codes; a file of one column needs no name.
    column: Option<String>,
}

/// Upload coupon codes.
///
/// Text with one code a line, or CSV whose first line names the columns. The pool is made where it is new. Codes it knows are counted and
/// stay as they are, so that a file can be sent again. A code has 1 to 64 letters, digits and signs of ASCII; it counts as written, capitals and
/// small letters apart. At most 50,000 codes and 4 MiB at once.
#[utoipa::path(
    post,
    path = "/v1/coupon-pools/{pool}/codes",
    tag = "campaigns",
    operation_id = "upload_coupons",
    params(("pool" = String, Path, description = "The pool's name."), UploadAsk),
    request_body(content((String = "text/plain"), (String = "text/csv")), description = "The codes."),
    responses(
        (status = 200, description = "They are in the pool.", body = CouponsUploaded),
        (status = 413, description = "The body is too large.", body = ErrorBody),
        (status = 422, description = "A line is no code, or a code is in another pool; the message names the line. None was stored.", body = ErrorBody),
    )
)]
async fn upload(
    State(parts): State<Arc<Parts>>,
    Id(pool): Id<CouponPool>,
    Ask(asked): Ask<UploadAsk>,
    headers: HeaderMap,
    Payload(body): Payload<CODES_BYTES_MAX>,
) -> Result<Json<CouponsUploaded>, Problem> {
    let hint = "send one code a line, or CSV with its column named in `column`";
    let bad = |message: String| Problem::unprocessable("bad_coupons", message, hint);
    let text = std::str::from_utf8(&body).map_err(|error| bad(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let is_table = asked.column.is_some() || media_type(&headers) == "text/csv";
    let read = if is_table { coupon::read_csv(text, asked.column.as_deref()) } else { coupon::read_lines(text) };
    let lines: Vec<CodeLine> = read.map_err(|error| bad(error.to_string()))?;
    if lines.is_empty() || lines.len() > CODES_MAX {
        let message = format!("there are {} codes", lines.len());
        return Err(Problem::unprocessable("bad_coupons", message, format!("send 1 to {CODES_MAX} at once")));
    }
    let (lines, codes): (Vec<u64>, Vec<CouponCode>) = lines.into_iter().unzip();
    if let Some((place, other)) = parts.control.coupon_elsewhere(&pool, &codes).await? {
        let message = format!("line {}: this code is in the pool `{other}` already", lines[place]);
        let hint = "a code belongs to one pool, or two messages could get it: leave it out";
        return Err(Problem::unprocessable("coupon_elsewhere", message, hint));
    }
    let added = parts.control.add_coupons(&pool, &codes).await?;
    Ok(Json(CouponsUploaded { new: added.new, known: added.known, pool: known(&parts, &pool).await?.into() }))
}

async fn known(parts: &Parts, pool: &CouponPool) -> Result<CouponPoolRow, Problem> {
    let found = parts.control.coupon_pool(pool).await?;
    found.ok_or_else(|| Problem::not_found("coupon pool", pool.as_str(), LISTED))
}

/// All pools of coupon codes, with how many are left.
#[utoipa::path(
    get,
    path = "/v1/coupon-pools",
    tag = "campaigns",
    operation_id = "list_coupon_pools",
    responses((status = 200, description = "The pools, by name.", body = Vec<CouponPoolView>))
)]
async fn list(State(parts): State<Arc<Parts>>) -> Result<Json<Vec<CouponPoolView>>, Problem> {
    Ok(Json(parts.control.coupon_pools().await?.into_iter().map(CouponPoolView::from).collect()))
}

/// One pool of coupon codes.
#[utoipa::path(
    get,
    path = "/v1/coupon-pools/{pool}",
    tag = "campaigns",
    operation_id = "coupon_pool",
    params(("pool" = String, Path, description = "The pool's name.")),
    responses((status = 200, description = "Its numbers.", body = CouponPoolView), (status = 404, description = "There is none.", body = ErrorBody))
)]
async fn one(State(parts): State<Arc<Parts>>, Id(pool): Id<CouponPool>) -> Result<Json<CouponPoolView>, Problem> {
    Ok(Json(known(&parts, &pool).await?.into()))
}

/// Make codes free again that were set aside after a backup was brought back.
///
/// Say so only if no message left between the backup and its return: else two messages may get one code.
#[utoipa::path(
    post,
    path = "/v1/coupon-pools/{pool}/free",
    tag = "campaigns",
    operation_id = "free_coupons",
    params(("pool" = String, Path, description = "The pool's name.")),
    responses((status = 200, description = "None is set aside any more.", body = CouponPoolView), (status = 404, description = "There is no such pool.", body = ErrorBody))
)]
async fn free(State(parts): State<Arc<Parts>>, Id(pool): Id<CouponPool>) -> Result<Json<CouponPoolView>, Problem> {
    parts.control.free_coupons(&pool).await?;
    Ok(Json(known(&parts, &pool).await?.into()))
}

/// Checks that a campaign names a pool for each copy that asks for a coupon, and that each pool it names is there.
pub(crate) async fn check(parts: &Parts, campaign: &Campaign, libraries: &BTreeMap<Channel, Library>) -> Result<(), Problem> {
    if let Some(copy) = campaign.coupon_pools.keys().find(|copy| !campaign.content.contains_key(*copy)) {
        let names = campaign.content.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("coupon_pools: content has no copy `{copy}`");
        return Err(Problem::unprocessable("unknown_copy", message, format!("name one of {names}")));
    }
    let without = |copy: &&String| content::use_coupon(libraries, copy) && campaign.pool_of(copy).is_none();
    if let Some(copy) = campaign.content.keys().find(without) {
        let message = format!("content: copy `{copy}` asks for `coupon`, and no pool is named that it is drawn from");
        return Err(Problem::unprocessable("missing_coupon_pool", message, "name the pool as `coupon_pool`"));
    }
    let whole = campaign.coupon_pool.as_ref().map(|pool| ("coupon_pool", pool));
    for (field, pool) in whole.into_iter().chain(campaign.coupon_pools.values().map(|pool| ("coupon_pools", pool))) {
        if parts.control.coupon_pool(pool).await?.is_none() {
            let message = format!("{field}: there is no coupon pool `{pool}`");
            let hint = "upload its codes first with POST /v1/coupon-pools/{pool}/codes, or `sendlab coupons upload`";
            return Err(Problem::unprocessable("unknown_coupon_pool", message, hint));
        }
    }
    Ok(())
}

/// What stands in previews in the place of a coupon, by copy: marked as none, and as long as the longest of the pool. Nothing is drawn.
pub(crate) async fn samples(parts: &Parts, campaign: &Campaign) -> Result<BTreeMap<String, String>, Problem> {
    let mut samples = BTreeMap::new();
    for copy in campaign.content.keys() {
        let Some(pool) = campaign.pool_of(copy) else { continue };
        let longest = parts.control.coupon_pool(pool).await?.map_or(0, |row| row.longest);
        samples.insert(copy.clone(), coupon::sample(longest));
    }
    Ok(samples)
}

/// How many codes of a pool a plan asks for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponNeed {
    /// The pool.
    pool: String,
    /// Messages of the plan that draw from it.
    needed: u64,
    /// Codes it has left, for this and every other campaign that draws from it.
    left: u64,
    /// How many messages will find it empty, if no other campaign draws from it. The copy's `missing` says what becomes of them.
    lacking: u64,
}

/// What a plan with so many messages of each variant asks of pools.
pub(crate) async fn needs<'v>(
    parts: &Parts,
    brief: &Brief,
    libraries: &BTreeMap<Channel, Library>,
    by_variant: impl Iterator<Item = (Option<&'v VariantName>, u64)>,
) -> Result<Vec<CouponNeed>, Problem> {
    let mut needed: BTreeMap<&CouponPool, u64> = BTreeMap::new();
    for (name, sent) in by_variant {
        let assigned = name.and_then(|name| brief.experiment.variant(name));
        let Some(variant) = assigned.or(brief.recommended.as_ref()) else { continue };
        let copy = variant.copy_name();
        if let Some(pool) = brief.campaign.pool_of(copy).filter(|_| content::use_coupon(libraries, copy)) {
            *needed.entry(pool).or_default() += sent;
        }
    }
    let mut needs = Vec::with_capacity(needed.len());
    for (pool, needed) in needed {
        let left = parts.control.coupon_pool(pool).await?.map_or(0, |row| row.left());
        needs.push(CouponNeed { pool: pool.to_string(), needed, left, lacking: needed.saturating_sub(left) });
    }
    Ok(needs)
}

/// The target of a link of a message as an event may hold it: without the message's codes. `None` where they cannot be read.
pub(crate) async fn hidden(parts: &Parts, message: &MessageId, target: &str) -> Option<String> {
    match parts.control.coupons_of(std::slice::from_ref(message)).await {
        Ok(drawn) => Some(drawn.iter().fold(target.to_owned(), |text, drawn| without(&text, drawn.code.as_str()))),
        Err(error) => {
            drop(Problem::internal(&error));
            None
        }
    }
}

/// A text in which a code is hidden, as it is and as addresses write it, in capitals or not.
fn without(text: &str, code: &str) -> String {
    let encoded = content::percent_encoded(code);
    let mut text = text.to_owned();
    for code in [code, &encoded] {
        let code = code.to_ascii_lowercase();
        let mut output = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.to_ascii_lowercase().find(&code) {
            output.push_str(&rest[..at]);
            output.push_str(HIDDEN);
            rest = &rest[at + code.len()..];
        }
        output.push_str(rest);
        text = output;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_hidden_however_they_are_written() {
        let check = |text: &str, expect: &str| assert_eq!(without(text, "AB/1-x"), expect);
        check("https://shop.example/?c=AB/1-x&d=ab%2f1-X#早", "https://shop.example/?c=COUPON&d=COUPON#早");
        check("https://shop.example/AB-1", "https://shop.example/AB-1");
    }
}
