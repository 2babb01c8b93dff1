#[derive(jazz::CoMap)]
enum NoTag {
    One,
}

#[derive(jazz::CoMap)]
#[co(tag = "type")]
enum NoNames {
    One(u8),
}

#[derive(jazz::CoMap)]
#[co(tag = "type")]
enum TagIsField {
    One { r#type: String },
}

#[derive(jazz::CoMap)]
#[co(tag = "type")]
enum Twice {
    One,
    #[co(rename = "one")]
    Other,
}

#[derive(jazz::CoMap)]
struct Pair(u8, u8);

fn main() {}
