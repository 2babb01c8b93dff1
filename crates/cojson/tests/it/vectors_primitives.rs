//! Vectors of encodings, hashes, cryptography, ids and session logs.

use cojson::crypto::{self, Nonce};
use cojson::header::Header;
use cojson::ids::{AgentId, Author, CoId, KeyId, SessionId, Signature, SignerId};
use cojson::json::stable_stringify;
use cojson::limits::CHECKPOINT_BYTES;
use cojson::log::CoValueLog;
use cojson::secrets::{AgentSecret, KeySecret, SealerSecret, SecretSeed, SignerSecret};
use cojson::transaction::Transaction;
use serde_json::{Value, json};

use crate::support::{hex, items, text, unhex, vector};

#[test]
fn stringify() {
    for case in items(&vector("stringify"), "cases") {
        let expected = text(case, "output");
        if expected == "\"\\ud800\"" {
            // Lone surrogates don't exist in Rust strings; text that holds one doesn't parse.
            assert!(serde_json::from_str::<Value>(expected).is_err());
            continue;
        }
        assert_eq!(stable_stringify(&case["input"]), expected);
    }
    assert_eq!(stable_stringify(&json!(-0.0)), "0");
    assert_eq!(stable_stringify(&json!("encrypted_U\"x")), "\"encrypted_U\"x\"");
    assert_eq!(stable_stringify(&json!("binary_U\\n")), "\"binary_U\\n\"");
    assert_eq!(
        stable_stringify(&json!(9_007_199_254_740_993_u64)),
        "9007199254740992"
    );
}

#[test]
fn hashes_and_nonces() {
    let vector = vector("hash");
    for case in items(&vector, "values") {
        assert_eq!(stable_stringify(&case["value"]), text(case, "stable"));
        assert_eq!(
            crypto::secure_hash(&case["value"]).as_str(),
            text(case, "secureHash")
        );
        assert_eq!(
            crypto::short_hash(&case["value"]).as_str(),
            text(case, "shortHash")
        );
    }
    for case in items(&vector, "reconcile") {
        assert_eq!(
            crypto::short_hash(&case["sessions"]).as_str(),
            text(case, "reconcileHash")
        );
    }
    for case in items(&vector, "nonces") {
        assert_eq!(hex(Nonce::of(&case["material"]).bytes()), text(case, "nonce24"));
    }
    let key: KeySecret = "keySecret_z11111111111111111111111111111111".parse().unwrap();
    let sealer = items(&vector, "withContext")[2]["blake3_of_context_then_data"]
        .as_str()
        .unwrap()
        .to_owned();
    let secret: [u8; 32] = unhex(&sealer).try_into().unwrap();
    let expected = format!("sealerSecret_z{}", bs58::encode(secret).into_string());
    assert_eq!(key.group_sealer().expose(), expected);
}

#[test]
fn signatures() {
    let vector = vector("crypto");
    for case in items(&vector, "sign") {
        let secret: SignerSecret = text(case, "signerSecret").parse().unwrap();
        assert_eq!(secret.id().as_str(), text(case, "signerID"));
        assert_eq!(
            crypto::sign(&secret, &case["message"]).as_str(),
            text(case, "signature")
        );
    }
    for case in items(&vector, "verify") {
        let signer: SignerId = text(case, "signerID").parse().unwrap();
        match (text(case, "signature").parse::<Signature>(), &case["result"]) {
            (Ok(signature), &Value::Bool(expected)) => {
                assert_eq!(crypto::verify(&signature, &case["message"], &signer), expected);
            }
            (Err(_), result) => assert_eq!(result, "error"),
            (Ok(_), result) => panic!("{result}"),
        }
    }
}

#[test]
fn sealing() {
    let vector = vector("crypto");
    for case in items(&vector, "seal") {
        let from: SealerSecret = text(case, "fromSecret").parse().unwrap();
        let to: SealerSecret = text(case, "toSecret").parse().unwrap();
        assert_eq!(hex(&*from.shared(to.id())), text(case, "sharedSecretX25519Hex"));
        let nonce = Nonce::of(&case["nOnceMaterial"]);
        let sealed = crypto::seal(text(case, "plaintext"), &from, to.id(), &nonce);
        assert_eq!(sealed, text(case, "sealed"));
        assert_eq!(
            crypto::unseal(&sealed, &to, from.id(), &nonce).unwrap(),
            text(case, "plaintext")
        );
        assert_eq!(crypto::unseal(&sealed, &to, to.id(), &nonce), None);
        assert_eq!(
            crypto::unseal(&sealed, &to, from.id(), &Nonce::of(&json!({}))),
            None
        );
    }
    let case = &vector["sealForGroup"];
    let key: KeySecret = text(case, "readKeySecret").parse().unwrap();
    let sealer = key.group_sealer();
    assert_eq!(sealer.expose(), text(case, "groupSealerSecret"));
    assert_eq!(sealer.id().as_str(), text(case, "groupSealerID"));
    let nonce = Nonce::of(&case["nOnceMaterial"]);
    let opened = crypto::unseal_key_for_group(text(case, "sealed"), &sealer, &nonce).unwrap();
    assert_eq!(opened.expose(), text(case, "message"));
}

#[test]
fn encryption() {
    let vector = vector("crypto");
    for case in items(&vector, "encrypt") {
        let key: KeySecret = text(case, "keySecret").parse().unwrap();
        let nonce = Nonce::of(&case["nOnceMaterial"]);
        let encrypted = crypto::encrypt(text(case, "plaintext"), &key, &nonce);
        assert_eq!(encrypted, text(case, "encrypted"));
        assert_eq!(
            crypto::decrypt(&encrypted, &key, &nonce).unwrap(),
            text(case, "plaintext")
        );
    }
    let case = &vector["encryptKeySecret"];
    let id = |part: &str| -> KeyId { text(&case[part], "id").parse().unwrap() };
    let secret = |part: &str| -> KeySecret { text(&case[part], "secret").parse().unwrap() };
    let (new, by) = (id("toEncrypt"), id("encrypting"));
    let encrypted = crypto::encrypt_key_secret(&new, &secret("toEncrypt"), &by, &secret("encrypting"));
    assert_eq!(encrypted, text(&case["result"], "encrypted"));
    let opened = crypto::decrypt_key_secret(&encrypted, &new, &by, &secret("encrypting")).unwrap();
    assert_eq!(opened, secret("toEncrypt"));
    for case in items(&vector, "base64url") {
        assert_eq!(crypto::to_base64(&unhex(text(case, "hex"))), text(case, "text"));
        assert_eq!(
            crypto::from_base64(text(case, "text").trim_end_matches('=')).unwrap(),
            unhex(text(case, "hex"))
        );
    }
    for case in items(&vector, "privateTransactions") {
        let key: KeySecret = text(case, "keySecret").parse().unwrap();
        let (id, session) = (
            text(case, "coValueID").parse().unwrap(),
            text(case, "sessionID").parse().unwrap(),
        );
        let nonce = Nonce::of_transaction(&id, &session, case["txIndex"].as_u64().unwrap() as usize);
        assert_eq!(hex(nonce.bytes()), text(case, "nonceHex"));
        let made = &case["result"]["transaction"];
        assert_eq!(
            crypto::encrypt(text(case, "changes"), &key, &nonce),
            text(made, "encryptedChanges")
        );
        if let Some(meta) = case["meta"].as_str() {
            assert_eq!(crypto::encrypt(meta, &key, &nonce), text(made, "meta"));
        }
    }
}

#[test]
fn accounts_and_headers() {
    let vector = vector("ids");
    for case in items(&vector, "accounts") {
        let seed = SecretSeed::from_bytes(unhex(text(case, "secretSeedHex")).try_into().unwrap());
        assert_eq!(*seed.expose(), text(case, "inviteSecretWithThisSeed"));
        let secret = AgentSecret::from_seed(&seed);
        assert_eq!(secret.expose(), text(case, "agentSecret"));
        assert_eq!(secret, text(case, "agentSecret").parse().unwrap());
        assert_eq!(secret.id().as_str(), text(case, "agentID"));
        let header = Header::account(secret.id());
        assert_eq!(stable_stringify(&header.to_json()), text(case, "stableHeader"));
        assert_eq!(header.id().as_str(), text(case, "accountID"));
        assert_eq!(header.agent(), Some(secret.id()));
    }
    for case in items(&vector, "headers") {
        let header = Header::from_json(case["header"].clone()).unwrap();
        assert_eq!(stable_stringify(&header.to_json()), text(case, "stable"));
        assert_eq!(header.id().as_str(), text(case, "id"));
    }
    for case in items(&vector, "headerValidation") {
        let header = Header::from_json(case["header"].clone());
        let accepted = header.is_ok_and(|header| header.id().as_str() == text(case, "id"));
        assert_eq!(accepted, case["accepted"] == true, "{}", case["name"]);
    }
}

#[test]
fn session_ids() {
    for case in items(&vector("ids"), "sessions") {
        let session: SessionId = text(case, "sessionID").parse().unwrap();
        assert_eq!(session.author().as_str(), text(case, "author"));
        assert_eq!(session.is_delete(), case["isDeleteSession"] == true);
    }
    for bad in [
        "",
        "co_z1",
        "co_z1_session_",
        "co_z1_session_x1",
        "x_session_z1",
        "co_z1_session_d1",
        "co_z1_session_z0",
    ] {
        assert!(bad.parse::<SessionId>().is_err(), "{bad}");
    }
    assert!("co_zO".parse::<CoId>().is_err());
    assert!("sealer_z1/signer_z1".parse::<AgentId>().is_err());
    assert!("nobody".parse::<Author>().is_err());
}

#[test]
fn session_logs() {
    let vector = vector("session-log");
    let signer: SignerId = text(&vector, "signerID").parse().unwrap();
    let secret: SignerSecret = text(&vector, "signerSecret").parse().unwrap();
    let session: SessionId = text(&vector, "sessionID").parse().unwrap();
    let header = || Header::from_json(vector["header"].clone()).unwrap();
    assert_eq!(header().id().as_str(), text(&vector, "coValueID"));
    let (mut log, mut own) = (CoValueLog::new(header()), CoValueLog::new(header()));
    for (index, step) in items(&vector, "steps").iter().enumerate() {
        let tx: Transaction = serde_json::from_value(step["transaction"].clone()).unwrap();
        assert_eq!(tx.canonical(), text(step, "canonicalBytes"));
        assert_eq!(own.append_own(&session, tx.clone()), index);
        assert_eq!(own.sessions()[0].signed_len(), index);
        own.sign_own(&session, &secret);
        assert_eq!(
            own.sessions()[0].signature().unwrap().as_str(),
            text(step, "signature")
        );
        let signature: Signature = text(step, "signature").parse().unwrap();
        let appended = log
            .append(&session, index as u64, vec![tx], signature, &signer)
            .unwrap();
        assert_eq!((appended.new_from, appended.new_len), (index, index + 1));
    }
    assert_eq!(log.known_state(), own.known_state());
    for variant in items(&vector, "variants") {
        let parsed: Result<Vec<Transaction>, _> = serde_json::from_value(variant["transactions"].clone());
        let signature = text(variant, "signature").parse().unwrap();
        let mut log = CoValueLog::new(header());
        let added = parsed.is_ok_and(|txs| {
            log.append(&session, 0, txs, signature, &signer)
                .is_ok_and(|appended| !appended.is_empty())
        });
        // The reference accepts more than the strict shapes; its vector notes that one shouldn't.
        let name = text(variant, "name");
        let strict = [
            "unknown extra member",
            "trusting transaction labelled private",
            "private transaction labelled trusting with forged changes",
        ];
        let expected = variant["referenceCoreAccepts"] == true && !strict.contains(&name);
        assert_eq!(added, expected, "{name}");
    }
}

#[test]
fn checkpoints_fall_where_the_size_is_exceeded() {
    let vector = vector("session-log");
    let secret: SignerSecret = text(&vector, "signerSecret").parse().unwrap();
    let session: SessionId = text(&vector, "sessionID").parse().unwrap();
    let header = Header::from_json(vector["header"].clone()).unwrap();
    let tx = |size: usize| -> Transaction {
        serde_json::from_value(json!({"privacy": "trusting", "madeAt": 1, "changes": "x".repeat(size)}))
            .unwrap()
    };
    let mut own = CoValueLog::new(header.clone());
    for size in [CHECKPOINT_BYTES, 1, CHECKPOINT_BYTES + 1, 5] {
        own.append_own(&session, tx(size));
    }
    own.sign_own(&session, &secret);
    let log = &own.sessions()[0];
    assert_eq!(log.checkpoints().keys().copied().collect::<Vec<_>>(), [1, 2]);
    // Each checkpoint is a signature over exactly its prefix.
    let mut copy = CoValueLog::new(header);
    for (&index, signature) in log.checkpoints() {
        let from = copy.session_len(&session);
        let part = log.transactions()[from..=index].to_vec();
        copy.append(&session, from as u64, part, signature.clone(), secret.id())
            .unwrap();
    }
    assert_eq!(copy.sessions()[0].checkpoints(), log.checkpoints());
}
