//! `sendlab product` and `sendlab snippet`: what many messages show, told once.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::commands::{apply, segment};
use crate::print::{count, say, table};

#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    /// Store the products of a YAML or JSON file, one or a list of at most 10,000. Those that are not named stay as they are.
    #[command(after_help = "A product is what a message shows of it:\n\n  - product: sku-1\n    title: Hiking boots\n    url: \
                            https://shop.example/p/sku-1\n    image: https://shop.example/p/sku-1.jpg\n    locales:\n      de: { title: \
                            Wanderstiefel, url: https://shop.example/de/p/sku-1 }\n\nIts price is told by PUT /v1/prices. A campaign shows \
                            products in slots:\n\n  slots:\n    viewed: { query: last_viewed, limit: 3, fallback: [sku-1, sku-2, sku-3] \
                            }\n\nand its copies as {% for item in slots.viewed %}<a href=\"{{ item.url }}\">{{ item.title }}</a>{% endfor \
                            %}.\nquery is last_viewed, last_carted, abandoned or last_ordered; or a SELECT of contact_key, product and \
                            position.\n\nSamples: data/samples/products.yaml")]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List products with their newest prices, a thousand at a time.
    List {
        /// Begin behind this one.
        #[arg(long, value_name = "PRODUCT", default_value = "")]
        after: String,
    },
    /// Take a product out: no message shows it from now on.
    Remove {
        /// Your own id of the product.
        product: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnippetCommand {
    /// Store the snippets of a YAML file, one or a list. Those that are not named stay as they are.
    #[command(
        after_help = "A snippet is a piece of template, in one language and in others where there are translations:\n\n  - snippet: \
                            footer\n    content: <p>Shop Ltd, 1 High Street. <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>\n    \
                            locales:\n      de: <p>Shop GmbH, Hauptstraße 1. <a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>\n\nCopies of \
                            campaigns and templates take it in with {% include \"snippets/footer\" %}; it speaks the language of the part \
                            that does.\nA campaign that was started keeps the snippets of that moment; a message to one person takes the \
                            newest.\n\nSamples: data/samples/snippets.yaml"
    )]
    Apply {
        /// The file; unknown keys are refused.
        file: PathBuf,
    },
    /// List all snippets.
    List,
}

pub(crate) async fn products(client: &Client, command: ProductCommand) -> anyhow::Result<()> {
    match command {
        ProductCommand::Apply { file } => {
            let stored = apply(client, "/v1/products", &file).await?;
            say(&format!("{} products are stored.", count(&stored["stored"])));
        }
        ProductCommand::List { after } => {
            let offers = client.get(&format!("/v1/products?after={}", segment(&after))).await?;
            let offers = offers.as_array().map_or(&[][..], Vec::as_slice);
            if offers.is_empty() {
                say("There are no more products. `sendlab product apply data/samples/products.yaml` stores some.");
                return Ok(());
            }
            let row = |offer: &Value| {
                let product = &offer["product"];
                vec![text(&product["product"]), text(&product["title"]), text(&offer["price"]), languages(product)]
            };
            table(&["product", "title", "price", "translations"], &offers.iter().map(row).collect::<Vec<_>>());
        }
        ProductCommand::Remove { product } => {
            let path = format!("/v1/products/{}", segment(&product));
            client.text(Method::DELETE, &path, "application/json", Vec::new()).await?;
            say(&format!("Product {product} is gone; no message shows it from now on."));
        }
    }
    Ok(())
}

pub(crate) async fn snippets(client: &Client, command: SnippetCommand) -> anyhow::Result<()> {
    let snippets = match command {
        SnippetCommand::Apply { file } => apply(client, "/v1/snippets", &file).await?,
        SnippetCommand::List => client.get("/v1/snippets").await?,
    };
    let snippets = snippets.as_array().map_or(&[][..], Vec::as_slice);
    if snippets.is_empty() {
        say("There are no snippets. `sendlab snippet apply data/samples/snippets.yaml` stores some.");
        return Ok(());
    }
    let size = |snippet: &Value| snippet["content"].as_str().map_or(0, str::len).to_string();
    let row = |snippet: &Value| vec![text(&snippet["snippet"]), size(snippet), languages(snippet)];
    table(&["snippet", "bytes", "translations"], &snippets.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// The tags of the translations.
fn languages(document: &Value) -> String {
    let tags: Vec<String> = document["locales"].as_object().into_iter().flat_map(Map::keys).cloned().collect();
    if tags.is_empty() { "-".to_owned() } else { tags.join(", ") }
}
