//! `reside image inspect`

use clap::Args;
use reside_image::{Inspected, Reference};
use serde::Serialize;
use serde_json::Value;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;
use crate::ui::{Drawing, Fields, Table, View, size_text};

/// Show an image in the local store: what it holds and what it asks for
///
/// With `--output json` the whole manifest is shown, schemas included. Without a tag, `latest` is meant.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Image: IDENTITY, IDENTITY:TAG or IDENTITY@DIGEST
    image: Reference,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Inspected);

impl View for Shown {
    fn draw(&self) -> Drawing {
        let image = &self.0;
        let manifest = image.manifest.clone().unwrap_or_default();
        let text = &manifest["displayInfo"]["en"];
        let tags: Vec<_> = image.tags.iter().map(ToString::to_string).collect();
        let mut fields = Fields::default();
        fields.field("Identity", image.identity.to_string());
        fields.field("Tags", tags.join(", "));
        fields.field("Digest", image.digest.to_string());
        fields.field("Type", super::kind_text(image.kind));
        fields.optional("Problem", image.problem.clone());
        fields.optional("Title", text["title"].as_str());
        fields.optional(
            "Description",
            text["description"].as_str().filter(|text| !text.is_empty()),
        );
        fields.field("Size", size_text(image.size));
        if !image.layers.is_empty() {
            fields.field("Architecture", image.architecture.clone());
        }
        fields.optional("Name", manifest["info"]["name"].as_str());
        fields.optional("Class", manifest["info"]["class"].as_str());
        for (_, contract) in entries(&manifest["implementations"]) {
            fields.optional("Implements", contract["identity"].as_str());
        }
        for (title, key, header) in [
            ("Methods", "methods", "METHOD"),
            ("Permissions", "permissions", "PERMISSION"),
        ] {
            if let Some(table) = titled(&manifest[key], header) {
                fields.table(title, table);
            }
        }
        if let Some(table) = requirements(&manifest["requirements"]) {
            fields.table("Contracts it uses", table);
        }
        Drawing::Fields(fields)
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn titled(value: &Value, header: &'static str) -> Option<Table> {
    let mut table = Table::new([header, "MEANING"], "");
    for (name, one) in entries(value) {
        table.row([
            name.clone(),
            one["displayInfo"]["en"]["title"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    entries(value).next().is_some().then_some(table)
}

fn requirements(value: &Value) -> Option<Table> {
    let mut table = Table::new(["KEY", "CONTRACT", "PERMISSIONS"], "");
    for (key, one) in entries(value) {
        let permissions = one["permissions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|permission| {
                let name = permission["name"].as_str()?;
                Some(match permission["instanceId"].as_str() {
                    Some(instance) => format!("{name}:{instance}"),
                    None => name.to_owned(),
                })
            });
        let contract = one["identity"].as_str().unwrap_or_default().to_owned();
        table.row([key.clone(), contract, permissions.collect::<Vec<_>>().join(", ")]);
    }
    entries(value).next().is_some().then_some(table)
}

/// Runs the command.
pub fn run(app: &App, args: InspectArgs) -> Result<(), CommandError> {
    let inspected = images::open_store(app)?.inspect(&args.image);
    let what = format!("cannot inspect the image {}", args.image);
    let inspected = inspected.map_err(|error| images::explain(what, error))?;
    app.ui.show(&Shown(inspected))
}
