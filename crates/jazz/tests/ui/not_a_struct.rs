#[derive(jazz::CoMap)]
enum Choice {
    One,
}

#[derive(jazz::CoMap)]
struct Pair(u8, u8);

fn main() {}
