//! Figures: latencies of many calls, medians of several runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Latencies of calls, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latencies {
    /// Half of the calls took at most this.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
}

impl Latencies {
    /// Sums up calls.
    pub fn of(mut calls: Vec<Duration>) -> Self {
        calls.sort_unstable();
        let at = |share: f64| {
            let index = (share * calls.len() as f64).ceil() as usize;
            let call = calls
                .get(index.saturating_sub(1))
                .copied()
                .unwrap_or(Duration::ZERO);
            millis(call)
        };
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
        }
    }
}

/// Milliseconds with three digits.
pub fn millis(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1000.0, 3)
}

/// A number with so many digits.
pub fn round(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

/// The number in the middle.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

/// Makes of several runs one: each number that varies becomes `{med, min, max}`.
pub fn merge(runs: &[Value]) -> Value {
    match runs.first() {
        Some(Value::Number(_)) => {
            let numbers: Vec<f64> = runs.iter().filter_map(Value::as_f64).collect();
            let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if min == max {
                runs[0].clone()
            } else {
                json!({"med": round(median(numbers), 3), "min": min, "max": max})
            }
        }
        Some(Value::Object(first)) => {
            let merged = |key: &String| {
                let values: Vec<Value> = runs.iter().filter_map(|run| run.get(key)).cloned().collect();
                (key.clone(), merge(&values))
            };
            Value::Object(first.keys().map(merged).collect::<Map<_, _>>())
        }
        Some(first) => first.clone(),
        None => Value::Null,
    }
}

/// The figure at a path like `s3.total_ms`, or its median.
pub fn figure(run: &Value, path: &str) -> Option<f64> {
    let found = path.split('.').try_fold(run, |value, key| value.get(key))?;
    found.as_f64().or_else(|| found.get("med")?.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{figure, merge};

    #[test]
    fn runs_become_medians() {
        let runs = [5.0, 1.0, 3.0].map(|ms| json!({"s3": {"total_ms": ms}, "maps": 7}));
        let merged = merge(&runs);
        assert_eq!(
            merged,
            json!({"s3": {"total_ms": {"med": 3.0, "min": 1.0, "max": 5.0}}, "maps": 7})
        );
        assert_eq!(figure(&merged, "s3.total_ms"), Some(3.0));
        assert_eq!(figure(&merged, "maps"), Some(7.0));
        assert_eq!(figure(&merged, "s4.load_ms"), None);
    }
}
