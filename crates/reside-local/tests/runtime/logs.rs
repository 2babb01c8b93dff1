//! What processes print.

use reside_local::Kind;

use crate::support::{eventually, job, line, log, start};

/// The longest file, and the line that may be the last one in it.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 + 2048;

#[tokio::test]
async fn a_long_log_is_kept_in_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "i=0; pad=$(printf '%01000d' 0); \
        while [ $i -lt 9000 ]; do echo \"line $i $pad\"; i=$((i + 1)); done; echo last";
    client.apply(Kind::Job, "a", &job(script, 0)).await.unwrap();
    line(&client, "a", |line| line == "last").await;
    let size = |name: &str| {
        std::fs::metadata(folder.path().join("logs").join(name))
            .unwrap()
            .len()
    };
    assert!(size("a.log") < FILE_BYTES_MAX && size("a.log.old") < FILE_BYTES_MAX);
    let lines = log(&client, "a").await;
    let numbers = lines.iter().filter_map(|line| line.strip_prefix("line "));
    let numbers: Vec<usize> = numbers
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..9000).collect::<Vec<_>>(), "both files are shown");
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "printf '%0100000d' 0; echo; printf 'no end'";
    client.apply(Kind::Job, "a", &job(script, 0)).await.unwrap();
    eventually(&client, Kind::Job, "a", |status| status["succeeded"] == 1).await;
    line(&client, "a", |line| line == "no end").await;
    assert_eq!(log(&client, "a").await[0].len(), 16 * 1024);
    runtime.shutdown().await;
}
