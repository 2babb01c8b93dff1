//! S1: calls of a method between two replicas, each a process, over HTTP; the same calls in the Jazz form; and to a plain
//! HTTP server, which seals, authenticates and checks nothing.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;

use axum::Json;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reside::Contract as _;
use reside::client::ContractClient;
use reside::rpc::{Callee, JazzCaller};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::calls::{Calls, Phase};
use crate::echo::{self, EchoContract, Service, Text};
use crate::process::{Child, CpuClock, Steps, tell};
use crate::replica::{self, Pair, REST};
use crate::server::{AccountArgs, SyncServer};
use crate::stats::round;

/// Runs the scenario once.
pub fn run(calls: Calls, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    let pair = Pair::prepare(&server, directory)?;
    let callee = pair.callee.start("s1_callee", &(), &server, directory)?;
    let endpoint: String = callee.read()?;
    let mut caller = pair.caller.start("s1_caller", &calls, &server, directory)?;
    caller.line()?;
    sleep(REST);
    let memory = json!({"server": server.memory()?, "a": caller.memory()?, "b": callee.memory()?});
    let mut figures = json!({"rss_warm": memory});
    for (phase, count) in [("seq", calls.seq), ("conc", calls.conc)] {
        let stored = server.stored()?;
        let before = [server.child().cpu()?, caller.cpu()?, callee.cpu()?];
        caller.go()?;
        let result: Phase = caller.read()?;
        let [server_cpu, a, b] = [server.child().cpu()?, caller.cpu()?, callee.cpu()?];
        let per_call = |after: f64, before: f64| round((after - before) * 1000.0 / count as f64, 4);
        result.add_to(&mut figures, phase);
        sleep(REST);
        figures[format!("db_per_call_{phase}")] = server.stored()?.since(&stored, count);
        figures[format!("cpu_ms_per_call_{phase}")] = json!({
            "server": per_call(server_cpu, before[0]), "a": per_call(a, before[1]), "b": per_call(b, before[2]),
        });
    }
    figures["mem"] = json!({"server": server.memory()?, "a": caller.memory()?, "b": callee.memory()?});
    caller.stop()?;
    figures["jazz_form"] = jazz_form(calls, &pair, endpoint, &server, directory)?;
    callee.stop()?;
    server.stop()?;
    figures["plain_axum"] = plain(calls, directory)?;
    Ok(figures)
}

/// Calls in the Jazz form: fewer, as each costs several values.
fn jazz_form(
    calls: Calls,
    pair: &Pair,
    endpoint: String,
    server: &SyncServer,
    directory: &Path,
) -> Result<Value, Error> {
    let calls = Calls {
        seq: calls.seq.div_ceil(JAZZ_FORM_SHARE),
        conc: calls.conc.div_ceil(JAZZ_FORM_SHARE),
        ..calls
    };
    let args = JazzCallerArgs {
        url: server.url.clone(),
        account: pair.caller.account().clone(),
        callee: pair.callee.account().clone(),
        endpoint,
        calls,
    };
    let mut caller = Child::start("s1_jazz_caller", &args, directory)?;
    caller.line()?;
    let mut figures = json!({});
    for phase in ["seq", "conc"] {
        caller.go()?;
        caller.read::<Phase>()?.add_to(&mut figures, phase);
    }
    caller.stop()?;
    Ok(figures)
}

/// One in so many calls is made in the Jazz form too.
const JAZZ_FORM_SHARE: usize = 10;

impl Phase {
    fn add_to(&self, figures: &mut Value, phase: &str) {
        figures[format!("{phase}_p50")] = json!(self.latencies.p50);
        figures[format!("{phase}_p90")] = json!(self.latencies.p90);
        figures[format!("{phase}_p99")] = json!(self.latencies.p99);
        figures[format!("{phase}_per_s")] = json!(self.per_s);
    }
}

/// The same calls to a plain HTTP server.
pub fn plain(calls: Calls, directory: &Path) -> Result<Value, Error> {
    let server = Child::start("plain_server", &(), directory)?;
    let url: String = server.read()?;
    let mut client = Child::start("plain_client", &PlainArgs { url, calls }, directory)?;
    client.line()?;
    let mut figures = json!({});
    for (phase, count) in [("seq", calls.seq), ("conc", calls.conc)] {
        let (result, [a, b]) = {
            client.go()?;
            let clock = CpuClock::start([&client, &server])?;
            (client.read::<Phase>()?, clock.elapsed()?)
        };
        result.add_to(&mut figures, phase);
        let per_call = |seconds: f64| round(seconds * 1000.0 / count as f64, 4);
        figures[format!("cpu_ms_per_call_{phase}")] = json!({"a": per_call(a), "b": per_call(b)});
    }
    client.stop()?;
    server.stop()?;
    Ok(figures)
}

/// The replica that is called.
pub async fn callee_role(_: ()) -> Result<(), Error> {
    replica::run(echo::callee(), |replica, mut steps| async move {
        replica.serve(EchoContract, Service)?;
        tell(&std::env::var(reside::config::INTERNAL_ENDPOINT)?)?;
        steps.finished().await;
        Ok(())
    })
    .await
}

/// The replica that calls.
pub async fn caller_role(calls: Calls) -> Result<(), Error> {
    replica::run(echo::caller(), move |replica, mut steps| async move {
        let client = replica.requirement::<EchoContract>("echo")?.client();
        let call = move |text: String| {
            let client = client.clone();
            async move { Ok(client.echo(Text { text }).await?.text) }
        };
        calls.run(&mut steps, call).await?;
        steps.finished().await;
        Ok(())
    })
    .await
}

/// What the caller in the Jazz form is told.
#[derive(Serialize, Deserialize)]
pub struct JazzCallerArgs {
    url: String,
    account: AccountArgs,
    callee: AccountArgs,
    endpoint: String,
    calls: Calls,
}

/// An account that calls in the Jazz form.
pub async fn jazz_caller_role(args: JazzCallerArgs) -> Result<(), Error> {
    let node = args.account.connect(&args.url).await?;
    let callee = Callee {
        account: args.callee.id.parse()?,
        name: echo::CALLEE.to_owned(),
        endpoint: args.endpoint,
    };
    let caller = Arc::new(JazzCaller::new(node, callee));
    let call = move |text: String| {
        let client = ContractClient::new(EchoContract::identity(), caller.clone());
        async move {
            let answer: Text = client.call("echo", false, &Text { text }).await?;
            Ok(answer.text)
        }
    };
    let mut steps = Steps::listen();
    args.calls.run(&mut steps, call).await?;
    steps.finished().await;
    Ok(())
}

/// The plain server.
pub async fn plain_server_role(_: ()) -> Result<(), Error> {
    let app = axum::Router::new().route("/echo", post(async |Json(text): Json<Text>| Json(text)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    tell(&format!("http://{}/echo", listener.local_addr()?))?;
    let mut steps = Steps::listen();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { steps.finished().await })
        .await?;
    Ok(())
}

/// What the plain client is told.
#[derive(Serialize, Deserialize)]
pub struct PlainArgs {
    url: String,
    calls: Calls,
}

/// The plain client: kept connections, as our own transport has them.
pub async fn plain_client_role(args: PlainArgs) -> Result<(), Error> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let call = move |text: String| {
        let (client, url) = (client.clone(), args.url.clone());
        async move {
            let body = serde_json::to_vec(&Text { text })?;
            let request = http::Request::post(url)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::from(body))?;
            let response = client.request(request).await?.into_body().collect().await?;
            let Text { text } = serde_json::from_slice(&response.to_bytes())?;
            Ok(text)
        }
    };
    let mut steps = Steps::listen();
    args.calls.run(&mut steps, call).await?;
    steps.finished().await;
    Ok(())
}
