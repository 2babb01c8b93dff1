struct Opaque;

#[derive(jazz::CoMap)]
struct Holder {
    opaque: Opaque,
}

fn main() {}
