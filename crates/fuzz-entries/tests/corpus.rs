//! Every input that fuzzing has kept goes through its entry again.

use std::fs;
use std::path::Path;

/// The corpus whose entry is in the program itself, and tested there.
const OF_THE_COMMAND: &str = "config";

#[test]
fn every_entry_stands_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, entry) in fuzz_entries::ENTRIES {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("the corpus {name}: {error}"))
            .map(|file| file.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "the corpus {name} is empty");
        for input in inputs {
            let data = fs::read(&input).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| entry(&data)) {
                eprintln!("with {}", input.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn every_corpus_has_an_entry() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for folder in fs::read_dir(corpus).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        let has_entry = fuzz_entries::ENTRIES.iter().any(|(entry, _)| *entry == name);
        assert!(
            has_entry || name == OF_THE_COMMAND,
            "nothing reads the corpus {name}"
        );
    }
}
