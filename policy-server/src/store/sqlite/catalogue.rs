//! Models and the history of their prices.

use rusqlite::{Row, params};
use wire::v1::Price;
use wire::{CatalogueVersion, ModelName, PicoUsdPerToken};

use super::Rows;
use super::encoding::{Columns, integer, json};
use crate::store::{CatalogueModel, ModelRows, StoreResult};

impl ModelRows for Rows<'_> {
    fn models(&mut self) -> StoreResult<Vec<CatalogueModel>> {
        self.all("SELECT * FROM models ORDER BY name", [], catalogue_model)
    }

    fn models_after(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> StoreResult<Vec<CatalogueModel>> {
        self.all(
            "SELECT * FROM models WHERE name > ? ORDER BY name LIMIT ?",
            params![after.unwrap_or(""), limit],
            catalogue_model,
        )
    }

    fn model(&mut self, name: &ModelName) -> StoreResult<Option<CatalogueModel>> {
        self.one("SELECT * FROM models WHERE name = ?", [name.as_str()], catalogue_model)
    }

    fn save_model(&mut self, model: &CatalogueModel, version: CatalogueVersion) -> StoreResult<()> {
        let name = model.model.name.as_str();
        self.execute(
            "INSERT INTO models (name, model, updated_ms) VALUES (?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET model = excluded.model,
                 updated_ms = excluded.updated_ms",
            params![name, json(&model.model)?, integer(model.updated_unix_ms)],
        )?;
        let price = model.model.price.as_ref().map(json).transpose()?;
        self.execute(
            "INSERT OR REPLACE INTO model_prices (model, version, price) VALUES (?, ?, ?)",
            params![name, integer(version.0), price],
        )
    }

    fn price_at(
        &mut self,
        model: &ModelName,
        version: CatalogueVersion,
    ) -> StoreResult<Option<Option<Price>>> {
        self.one(
            "SELECT price, input, output, cached_input FROM model_prices
             WHERE model = ? AND version <= ? ORDER BY version DESC LIMIT 1",
            params![model.as_str(), integer(version.0)],
            price,
        )
    }
}

/// The price of a row. Rows from before schema 4 have the prices of text in columns of their own.
fn price(row: &Row<'_>) -> rusqlite::Result<Option<Price>> {
    let columns = Columns(row);
    if let Some(whole) = columns.optional_json("price")? {
        return Ok(Some(whole));
    }
    let rate = |name| -> rusqlite::Result<Option<PicoUsdPerToken>> {
        Ok(columns.optional_number(name)?.map(PicoUsdPerToken))
    };
    let cached_input = rate("cached_input")?;
    let text = rate("input")?.zip(rate("output")?);
    Ok(text.map(|(input, output)| Price::text(input, output, cached_input)))
}

fn catalogue_model(row: &Row<'_>) -> rusqlite::Result<CatalogueModel> {
    let columns = Columns(row);
    Ok(CatalogueModel {
        model: columns.json("model")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}
