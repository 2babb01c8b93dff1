#[derive(jazz::CoMap)]
struct UnknownOfField {
    #[co(skip)]
    text: String,
}

#[derive(jazz::CoMap)]
#[co(rename_all = "lower")]
struct UnknownCase {
    text: String,
}

#[derive(jazz::CoMap)]
struct Twice {
    text: String,
    #[co(rename = "text")]
    other: String,
}

#[derive(jazz::CoMap)]
struct DefaultOption {
    #[co(default)]
    text: Option<String>,
}

fn main() {}
