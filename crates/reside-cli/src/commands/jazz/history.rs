//! What was done to a value.

use cojson::content::{ListStep, MapStep};
use jazz::{AnyValue, Author, CoId, Edit, FeedItem, ListAction, LoadError, Node, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::session::{Session, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<Change>);

#[derive(Serialize)]
struct Change {
    at: Timestamp,
    by: Author,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Change {
    fn new(edit: Edit, action: &'static str, key: Option<String>, value: Option<Value>) -> Self {
        Self {
            at: edit.at,
            by: edit.by,
            action,
            key,
            value,
        }
    }

    fn of_map(step: MapStep) -> Self {
        let action = if step.value.is_some() { "set" } else { "remove" };
        Self::new(step.edit.into(), action, Some(step.key), step.value)
    }

    fn of_list(step: ListStep) -> Self {
        let action = match step.action {
            ListAction::Insert => "insert",
            ListAction::Remove => "remove",
        };
        Self::new(step.edit.into(), action, None, Some(step.value))
    }

    fn of_feed(item: FeedItem<Value>) -> Self {
        Self::new(item.edit, "append", None, Some(item.value))
    }
}

impl View for History {
    fn draw(&self) -> Drawing {
        let header = ["AT", "BY", "ACTION", "KEY", "VALUE"];
        let mut table = Table::new(header, "Nothing was done to it");
        for change in &self.0 {
            table.row([
                change.at.to_string(),
                change.by.to_string(),
                change.action.to_owned(),
                change.key.clone().unwrap_or_default(),
                change.value.as_ref().map(Value::to_string).unwrap_or_default(),
            ]);
        }
        Drawing::Table(table)
    }
}

/// Shows the history of a value.
pub fn show(app: &App, session: &Session, value: &AnyValue) -> Result<(), CommandError> {
    let (node, id) = (session.node(), value.id());
    let changes = match value {
        AnyValue::Map(_) => of_map(node, id),
        AnyValue::List(_) | AnyValue::Text(_) => of_list(node, id),
        AnyValue::Feed(feed) => feed
            .items()
            .map(|items| items.into_iter().map(Change::of_feed).collect()),
        AnyValue::File(_) | AnyValue::Group(_) | AnyValue::Account(_) => {
            return Err(wrong_kind(
                value,
                "map, list, feed or text, whose history is kept",
            ));
        }
    };
    let changes = changes.map_err(|error| session.cannot_load(error))?;
    app.ui.show(&History(changes))
}

fn of_map(node: &Node, id: &CoId) -> Result<Vec<Change>, LoadError> {
    let steps = node.driver().with(|core, _| core.map_history(id))?;
    Ok(steps.into_iter().map(Change::of_map).collect())
}

fn of_list(node: &Node, id: &CoId) -> Result<Vec<Change>, LoadError> {
    let steps = node.driver().with(|core, _| core.list_history(id))?;
    Ok(steps.into_iter().map(Change::of_list).collect())
}
