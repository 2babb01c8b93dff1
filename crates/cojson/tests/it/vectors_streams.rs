//! Vectors of streams, files and texts.

use cojson::content::graphemes;
use cojson::ids::CoId;
use serde_json::{Value, json};

use crate::support::{Receiver, account_id, assert_transactions, hex, items, text, vector};

#[test]
fn streams() {
    let vector = vector("costream");
    let mut receiver = Receiver::acting_for(&vector, "alice");
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let expected = &vector["expected"];
    let id: CoId = text(&vector, "streamID").parse().unwrap();
    assert_transactions(&mut receiver, &id, items(expected, "transactions"));
    let stream = receiver.node.stream(&id).unwrap();
    let sessions: Value = stream
        .sessions()
        .map(|(session, items)| {
            (
                session.to_string(),
                items.iter().map(|item| item.value.clone()).collect::<Value>(),
            )
        })
        .collect();
    assert_eq!(sessions, expected["perSession"]);
    for name in ["alice", "bob"] {
        let expected = &expected["lastItemBy"][name];
        let (item, edit) = stream.last_by(&account_id(&vector, name).into()).unwrap();
        assert_eq!(item.value, expected["value"]);
        assert_eq!(edit.at.to_iso(), text(expected, "at"));
        assert_eq!(edit.by.as_str(), text(expected, "by"));
        assert_eq!(json!(item.tx_index), expected["tx"]["txIndex"]);
    }
    let alice = account_id(&vector, "alice");
    let by_alice: Vec<Value> = stream
        .items()
        .into_iter()
        .filter(|(session, _)| session.author().account() == Some(&alice))
        .map(|(session, item)| {
            json!({
                "in": session,
                "by": alice,
                "tx": {"sessionID": session, "txIndex": item.tx_index},
                "at": item.at.to_iso(),
                "value": item.value,
            })
        })
        .collect();
    assert_eq!(by_alice, *items(expected, "itemsByAlice"));
}

#[test]
fn files() {
    let vector = vector("binary");
    let mut receiver = Receiver::acting_for(&vector, "alice");
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let expected = &vector["expected"];
    let id: CoId = text(&vector, "binaryID").parse().unwrap();
    assert_transactions(&mut receiver, &id, items(expected, "transactions"));
    let file = receiver.node.file(&id).unwrap();
    let info = file.info().unwrap().clone();
    assert_eq!(info.mime_type, text(expected, "mimeType"));
    assert_eq!(info.file_name.as_deref(), Some(text(expected, "fileName")));
    assert_eq!(json!(info.total_size), expected["totalSizeBytes"]);
    assert_eq!(json!(file.len()), expected["totalSizeBytes"]);
    assert_eq!(json!(file.is_complete()), expected["finished"]);
    let chunks = items(expected, "chunksHex");
    assert_eq!(file.chunk_count(), chunks.len());
    for (index, chunk) in chunks.iter().enumerate() {
        let bytes = receiver.node.file_chunk(&id, index).unwrap().unwrap();
        assert_eq!(hex(&bytes), *chunk);
    }
    assert_eq!(receiver.node.file_chunk(&id, chunks.len()), Ok(None));
}

#[test]
fn a_file_that_comes_in_pieces() {
    let vector = vector("binary");
    let chunked = &vector["chunked"];
    let mut receiver = Receiver::acting_for(&vector, "alice");
    receiver.deliver(&vector["content"]);
    let id: CoId = text(chunked, "id").parse().unwrap();
    let messages = items(chunked, "messages");
    let checkpoints = items(chunked, "checkpointsAfterTxIndex");
    for (piece, message) in messages.iter().enumerate() {
        assert_eq!(receiver.deliver(message), [""; 0]);
        let is_last = piece + 1 == messages.len();
        let file = receiver.node.file(&id).unwrap();
        assert_eq!(file.is_complete(), is_last);
        let (chunks, bytes) = (file.chunk_count(), file.len());
        // All but the first and the last transaction hold a chunk.
        let transactions = match checkpoints.get(piece) {
            Some(last) => last.as_u64().unwrap() as usize + 1,
            None => items(chunked, "sizes").len() - 1,
        };
        assert_eq!(chunks, transactions - 1);
        let mut read = 0;
        for index in 0..chunks {
            read += receiver.node.file_chunk(&id, index).unwrap().unwrap().len() as u64;
        }
        assert_eq!(read, bytes);
    }
    let log = receiver.node.log(&id).unwrap();
    let (_, session) = log.sessions().first().unwrap();
    let sizes: Vec<Value> = session.transactions().iter().map(|tx| tx.size().into()).collect();
    assert_eq!(sizes, *items(chunked, "sizes"));
    let since = &chunked["messagesSinceTx4"];
    let pieces = since.as_array().unwrap().iter();
    let pieces: u64 = pieces
        .map(|message| {
            let sessions = message["new"].as_object().unwrap();
            sessions.values().next().unwrap()["count"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(pieces as usize + 4, session.len());
}

#[test]
fn texts() {
    let vector = vector("plaintext");
    let mut receiver = Receiver::acting_for(&vector, "bob");
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let expected = &vector["expected"];
    let id: CoId = text(&vector, "textID").parse().unwrap();
    assert_transactions(&mut receiver, &id, items(expected, "transactions"));
    let view = receiver.node.list(&id).unwrap();
    assert_eq!(view.to_text(), text(expected, "text"));
    let entries: Vec<Value> = view.values().cloned().collect();
    assert_eq!(entries, *items(expected, "entries"));
    // Alice's own edits, one by one.
    let times = items(expected, "transactions").iter();
    let mut times: Vec<u64> = times.map(|tx| tx["madeAt"].as_u64().unwrap()).collect();
    times.sort_unstable();
    for (step, at) in items(&vector, "trace").iter().zip(times) {
        let then = cojson::transaction::Timestamp(at);
        assert_eq!(receiver.node.list_at(&id, then).unwrap().to_text(), *step);
    }
}

#[test]
fn empty_texts() {
    let vector = vector("plaintext");
    let mut receiver = Receiver::acting_for(&vector, "alice");
    receiver.deliver(&vector["content"]);
    let empty = &vector["emptyText"];
    assert_eq!(receiver.deliver(&empty["content"]), [""; 0]);
    let view = receiver.node.list(&text(empty, "id").parse().unwrap()).unwrap();
    assert_eq!(view.to_text(), "");
}

#[test]
fn texts_are_cut_into_graphemes() {
    for case in items(&vector("plaintext"), "graphemes") {
        let parts: Vec<Value> = graphemes(text(case, "text")).map(Value::from).collect();
        assert_eq!(parts, *items(case, "graphemes"));
    }
}
