//! Values as JSON, in the shape that `toJSON()` of jazz-tools gives, for people and for scripts.

use std::collections::HashSet;

use cojson::content::FileInfo;
use cojson::header::Kind;
use cojson::ids::CoId;
use futures::future::join_all;
use serde_json::{Map, Value, json};

use crate::error::LoadError;
use crate::node::Node;
use crate::value::{Co, check_known};
use crate::vector::{self, numbers};

/// More values than this aren't printed within one: what refers to a value many times over grows beyond all bounds.
const PRINTED_MAX: usize = 100_000;

/// No value is printed deeper than this within others: each level takes its part of the stack, here and where the JSON is read.
const DEPTH_MAX: usize = 100;

impl Node {
    /// A value as JSON, whatever it is, with what it refers to down to a depth. What isn't here yet is loaded.
    ///
    /// | value | JSON |
    /// |---|---|
    /// | map, record | its fields, and `"$jazz": {"id": …}` |
    /// | list | an array |
    /// | feed | `{"$jazz": {"id": …}, "in": {session: its last item}}` |
    /// | text | its text |
    /// | file | `$jazz`, and once it is complete its `mimeType`, `fileName`, `totalSizeBytes` and `finished`; no bytes |
    /// | vector | its numbers |
    /// | group, account | `{"$jazz": {"id": …}}` |
    ///
    /// The id of a CoValue, where one stands alone, is taken for a reference. One that leads back to a value around it
    /// gives `{"_circular": id}`; what is too deep (beyond 100 in any case) or can't be loaded stays an id.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// use serde_json::json;
    ///
    /// let node = jazz::Node::builder().create_account("Ada").connect().await?;
    /// let group = node.create_group()?;
    /// let text = node.create_text(&group, "Hello")?;
    /// let record = node.create_record(&group, [("greeting", text.reference())])?;
    /// assert_eq!(
    ///     record.to_json(1).await?,
    ///     json!({"$jazz": {"id": record.id()}, "greeting": "Hello"}),
    /// );
    /// assert_eq!(record.to_json(0).await?["greeting"], json!(text.id()));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn to_json(&self, id: &CoId, depth: usize) -> Result<Value, LoadError> {
        let depth = depth.min(DEPTH_MAX);
        self.make_available(id).await?;
        let mut asked_for = HashSet::new();
        loop {
            let (printed, mut missing) = self.core(|core, _| {
                let mut printer = Printer::new(core);
                let printed = printer.value(id, depth)?;
                Ok::<_, LoadError>((printed, printer.missing))
            })?;
            missing.retain(|id| asked_for.insert(id.clone()));
            if missing.is_empty() {
                return Ok(printed);
            }
            // One level more is here each time; what can't be loaded shows in the next round.
            let loads = missing.iter().map(|id| self.make_available(id));
            join_all(loads).await;
        }
    }
}

impl<T> Co<T> {
    /// The value as JSON, with what it refers to down to a depth; see [`Node::to_json`].
    pub async fn to_json(&self, depth: usize) -> Result<Value, LoadError> {
        self.node().to_json(self.id(), depth).await
    }
}

struct Printer<'a> {
    core: &'a mut cojson::Node,
    /// What isn't here.
    missing: HashSet<CoId>,
    /// The values around the one that is printed.
    above: Vec<CoId>,
    printed: usize,
}

impl<'a> Printer<'a> {
    fn new(core: &'a mut cojson::Node) -> Self {
        Self {
            core,
            missing: HashSet::new(),
            above: Vec::new(),
            printed: 0,
        }
    }

    fn value(&mut self, id: &CoId, depth: usize) -> Result<Value, LoadError> {
        let kind = check_known(self.core, id)?;
        self.printed += 1;
        Ok(match kind {
            Kind::Map => {
                let view = self.core.map(id)?.iter();
                let fields: Vec<(String, Value)> =
                    view.map(|(key, value)| (key.to_owned(), value.clone())).collect();
                let fields = self.within(id, |printer| {
                    let item = |(key, value)| (key, printer.item(value, depth));
                    fields.into_iter().map(item).collect::<Vec<_>>()
                });
                marked(id, fields)
            }
            Kind::List => {
                let items: Vec<Value> = self.core.list(id)?.values().cloned().collect();
                self.within(id, |printer| {
                    items.into_iter().map(|item| printer.item(item, depth)).collect()
                })
            }
            Kind::Stream => {
                let sessions = self.core.stream(id)?.sessions();
                let last: Map<String, Value> = sessions
                    .filter_map(|(session, items)| Some((session.to_string(), items.last()?.value.clone())))
                    .collect();
                marked(id, [("in".to_owned(), Value::Object(last))])
            }
            Kind::PlainText => self.core.list(id)?.to_text().into(),
            Kind::Binary => self.file(id)?,
            Kind::Group | Kind::Account | Kind::Other => marked(id, []),
        })
    }

    fn file(&mut self, id: &CoId) -> Result<Value, LoadError> {
        let view = self.core.file(id)?;
        let Some(info) = view.info().filter(|_| view.is_complete()).cloned() else {
            return Ok(marked(id, []));
        };
        let FileInfo {
            mime_type,
            file_name,
            total_size,
        } = info;
        if mime_type == vector::MIME_TYPE
            && let Some(bytes) = crate::value::all_bytes(self.core, id)?
            && let Some(numbers) = numbers(&bytes)
        {
            return Ok(numbers.map(number).collect());
        }
        let mut fields = vec![("mimeType".to_owned(), mime_type.into())];
        fields.extend(file_name.map(|name| ("fileName".to_owned(), name.into())));
        fields.extend(total_size.map(|size| ("totalSizeBytes".to_owned(), size.into())));
        fields.push(("finished".to_owned(), true.into()));
        Ok(marked(id, fields))
    }

    /// A field or item: itself, or the value it refers to.
    fn item(&mut self, item: Value, depth: usize) -> Value {
        let Some(id) = item.as_str().and_then(|text| text.parse::<CoId>().ok()) else {
            return item;
        };
        if self.above.contains(&id) {
            return json!({"_circular": id});
        }
        if depth == 0 || self.printed >= PRINTED_MAX {
            return item;
        }
        match self.value(&id, depth - 1) {
            Ok(value) => value,
            Err(error) => {
                if let LoadError::Unavailable(missing) = error {
                    self.missing.insert(missing);
                }
                item
            }
        }
    }

    fn within<R>(&mut self, id: &CoId, print: impl FnOnce(&mut Self) -> R) -> R {
        self.above.push(id.clone());
        let result = print(self);
        self.above.pop();
        result
    }
}

fn marked(id: &CoId, fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut object = Map::from_iter([("$jazz".to_owned(), json!({"id": id}))]);
    object.extend(fields);
    Value::Object(object)
}

/// A number as JavaScript prints it.
fn number(number: f32) -> Value {
    const EXACT: f32 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        json!(number as i64)
    } else {
        json!(f64::from(number))
    }
}
