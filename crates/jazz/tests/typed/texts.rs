//! Texts.

use jazz::{CoPlainText, Ref, Role, WriteError};
use proptest::prelude::*;

use crate::support::{offline, shared};

#[tokio::test]
async fn positions_count_graphemes() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let text = node.create_text(&group, "👨‍👩‍👧e\u{301}a").unwrap();
    assert_eq!(text.len().unwrap(), 3);
    text.insert(1, "-").unwrap();
    text.insert(0, "start ").unwrap();
    text.push_str("!").unwrap();
    assert_eq!(text.get().unwrap(), "start 👨‍👩‍👧-e\u{301}a!");
    text.remove(0..6).unwrap();
    text.replace(2..3, "e").unwrap();
    assert_eq!(text.get().unwrap(), "👨‍👩‍👧-ea!");
    text.replace(0..5, "").unwrap();
    assert!(text.is_empty().unwrap());
    text.insert(0, "again").unwrap();
    assert_eq!(text.get().unwrap(), "again");
    assert_eq!(text.edit(0).unwrap().account(), Some(node.account_id()));
    assert_eq!(text.edit(5), None);
}

#[tokio::test]
async fn positions_beyond_the_end_are_refused_and_nothing_is_written() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let text = node.create_rich_text(&group, "<b>x</b>").unwrap();
    for result in [text.insert(9, "x"), text.remove(3..9), text.replace(7..9, "y")] {
        assert!(
            matches!(result, Err(WriteError::OutOfBounds { index: 9, len: 8 })),
            "{result:?}"
        );
    }
    assert_eq!(text.get().unwrap(), "<b>x</b>");
}

#[tokio::test]
async fn long_texts_are_written_in_pieces_of_512() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let long: String = (0..1500).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let text = node.create_text(&group, &long).unwrap();
    assert_eq!(text.get().unwrap(), long);
    let sizes = |text: &jazz::Co<CoPlainText>| {
        node.driver().with(|core, _| {
            let log = core.log(text.id()).unwrap();
            log.sessions()
                .values()
                .map(|session| session.len())
                .sum::<usize>()
        })
    };
    assert_eq!(sizes(&text), 3);
    text.insert(0, &long).unwrap();
    assert_eq!(text.get().unwrap(), format!("{long}{long}"));
    // One grapheme before everything, then the rest.
    assert_eq!(sizes(&text), 3 + 1 + 3);
    text.remove(0..1500).unwrap();
    assert_eq!(text.get().unwrap(), long);
    assert_eq!(sizes(&text), 7 + 3);
}

#[tokio::test]
async fn edits_at_different_places_all_stay() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let text = alice.create_text(&group, "The quick fox jumps").unwrap();
    let same = bob
        .load(&Ref::<CoPlainText>::new(text.id().clone()))
        .await
        .unwrap();
    text.apply_diff("The quick brown fox jumps").unwrap();
    same.apply_diff("The quick fox jumps over the dog").unwrap();
    let both = "The quick brown fox jumps over the dog";
    for text in [&text, &same] {
        let mut changes = text.subscribe();
        let seen = changes.wait_for(|text| text == both).await.unwrap();
        assert_eq!(seen.unwrap(), both);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_leads_to_the_text(
        before in "[ab\u{301}🇫👨\u{200d}\r\n]{0,40}",
        after in "[ab\u{301}🇫👨\u{200d}\r\n]{0,40}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = offline().await;
            let group = node.create_group().unwrap();
            let text = node.create_text(&group, &before).unwrap();
            text.apply_diff(&after).unwrap();
            assert_eq!(text.get().unwrap(), after);
        });
    }
}
