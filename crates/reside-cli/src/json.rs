//! JSON that a person typed as an argument.

use serde_json::{Map, Value};

use crate::error::CommandError;

/// Reads any JSON; `what` names it in the error, which shows the place.
pub fn value(what: &str, text: &str) -> Result<Value, CommandError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column().max(1));
        // What serde_json says ends in the position.
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
        CommandError::usage(format!("{what} is not valid JSON"))
            .because(format!("line {line}, column {column}: {problem}"))
            .at("argument", text, (line, column), problem)
            .help("put the JSON into single quotes, so that the shell leaves it alone: '{\"name\":\"Ada\"}'")
    })
}

/// Reads a JSON object.
pub fn object(what: &str, text: &str) -> Result<Map<String, Value>, CommandError> {
    match value(what, text)? {
        Value::Object(object) => Ok(object),
        other => {
            let kind = match other {
                Value::Array(_) => "an array",
                Value::String(_) => "a string",
                Value::Null => "null",
                _ => "a single value",
            };
            Err(CommandError::usage(format!("{what} are not a JSON object")).because(format!("it is {kind}")))
        }
    }
}
