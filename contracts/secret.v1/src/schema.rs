//! Values against schemas. What is wrong is said without the value: it is a secret.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// Longest schema, as JSON.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Longest value, as JSON.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Most problems that are named.
const PROBLEMS_MAX: usize = 8;
/// What stands for the parts of a value in messages.
const MASK: &str = "the value";

/// Checks that a schema is one, and small enough; the error says what is wrong.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > SCHEMA_BYTES_MAX {
        return Err(format!("the schema is longer than {SCHEMA_BYTES_MAX} bytes"));
    }
    validator(schema).map(drop)
}

/// Checks a value against a schema; the error says what is wrong and where, without saying anything of the value.
pub fn check_value(schema: &Value, value: &Value) -> Result<(), String> {
    if value.to_string().len() > VALUE_BYTES_MAX {
        return Err(format!("the value is longer than {VALUE_BYTES_MAX} bytes"));
    }
    let validator = validator(schema)?;
    let problems: Vec<String> = validator
        .iter_errors(value)
        .take(PROBLEMS_MAX)
        .map(|error| {
            // The place in the schema says as much as the one in the value, and never tells a name that is in the value alone.
            let problem = match error.kind() {
                ValidationErrorKind::AdditionalProperties { .. }
                | ValidationErrorKind::UnevaluatedProperties { .. }
                | ValidationErrorKind::PropertyNames { .. } => {
                    "a field has a name that doesn't fit".to_owned()
                }
                _ => error.masked_with(MASK).to_string(),
            };
            format!("{problem} (`#{}`)", error.schema_path())
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

/// Patterns run in linear time, and references lead nowhere outside of the schema: both may come from strangers.
fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .map_err(|error| format!("the schema is broken: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        let schema = json!({
            "type": "object", "required": ["token"], "additionalProperties": false,
            "properties": {"token": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9}, "port": {"type": "integer"}},
        });
        assert_eq!(check_value(&schema, &json!({"token": "abc", "port": 1})), Ok(()));
        for (value, says) in [
            (json!({"token": "HUNTER2"}), "/token/"),
            (json!({"token": "hunterhunter"}), "/token/"),
            (json!({"token": "a", "port": "HUNTER2"}), "/port/"),
            (json!({"token": "a", "hunter": 1}), "name"),
            (json!({"port": 1}), "required"),
            (json!("HUNTER2"), "object"),
        ] {
            let problem = check_value(&schema, &value).expect_err("it doesn't fit");
            assert!(problem.contains(says), "{problem}");
            assert!(!problem.to_lowercase().contains("hunter"), "{problem}");
        }
    }

    #[test]
    fn schemas_and_values_are_bounded_and_reach_nothing_outside() {
        let big = "a".repeat(VALUE_BYTES_MAX);
        assert!(check_value(&json!(true), &json!(big)).is_err());
        assert!(check_schema(&json!({"description": big})).is_err());
        for schema in [
            json!({"type": "nothing"}),
            json!(3),
            json!({"pattern": "("}),
            json!({"$ref": "https://example.org/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            // It would need backtracking.
            json!({"pattern": "(a+)\\1"}),
        ] {
            assert!(check_schema(&schema).is_err(), "{schema}");
        }
        assert!(check_schema(&json!({"pattern": "^(a+)+$"})).is_ok());
    }
}
