//! `reside jazz get`

use clap::{Args, value_parser};
use jazz::{AnyValue, CoId, Role};
use serde::Serialize;
use serde_json::Value;

use super::history;
use super::session::{Session, SessionArgs};
use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// Nobody looks deeper, and somebody else may have nested values without end.
const DEPTH_MAX: i64 = 100;

/// Show a value
///
/// With `--output json` it is what `toJSON()` of jazz-tools gives for it.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Value
    id: CoId,

    /// Show the values it refers to as well: 1 for these, 2 also for those that these refer to, and so on
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = value_parser!(u8).range(..=DEPTH_MAX))]
    depth: u8,

    /// Show instead what was done to it, by whom and when, oldest first
    #[arg(long, conflicts_with = "depth")]
    history: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown<'a> {
    content: Value,
    #[serde(skip)]
    value: &'a AnyValue,
}

impl View for Shown<'_> {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("id", self.value.id().as_str());
        fields.field("kind", self.value.kind());
        fields.field("group", self.value.owner().id().as_str());
        fields.field("your role", self.value.my_role().map_or("none", Role::as_str));
        match &self.content {
            // All there is to show of a group or an account is its id.
            _ if matches!(self.value, AnyValue::Group(_) | AnyValue::Account(_)) => {}
            Value::Object(members) => {
                let mut table = Table::new(["KEY", "VALUE"], "It is empty");
                for (key, value) in members.iter().filter(|(key, _)| *key != "$jazz") {
                    table.row([key.clone(), value.to_string()]);
                }
                fields.table("Content", table);
            }
            Value::Array(items) => {
                let mut table = Table::new(["POSITION", "ITEM"], "It is empty");
                for (position, item) in items.iter().enumerate() {
                    table.row([position.to_string(), item.to_string()]);
                }
                fields.table("Content", table);
            }
            text => fields.field("text", text.to_string()),
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: GetArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let value = session.load(&args.id).await?;
        if args.history {
            return history::show(app, &session, &value);
        }
        let content = session.node().to_json(&args.id, usize::from(args.depth)).await;
        let content = content.map_err(|error| session.cannot_load(error))?;
        app.ui.show(&Shown {
            content,
            value: &value,
        })
    })
}
