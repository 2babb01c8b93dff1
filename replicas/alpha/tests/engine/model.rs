//! Permissions against a model: random grants, revocations, requests, versions, rollbacks, ends, restarts and crashes.
//! After every step what the granting replica answers to calls, and what a node with nothing but its account can decrypt,
//! is what the model says.
//!
//! `PERMISSIONS_SEED=N` repeats a run, `PERMISSIONS_RUNS` and `PERMISSIONS_STEPS` search longer.

use std::collections::BTreeMap;

use alpha_v1::{
    ApproveLoadRequest, ApprovePermissionRequest, ChangePermission, CreateLoadRequest, RequestPermission,
};
use greeter_v1::{GreetRequest, GreeterContract, Greeting, ReadGreetings};
use reside::manifest::PermissionRequest;
use reside::prelude::*;
use reside::rpc::Code;
use reside::{CallError, Contract};
use serde_json::json;

use crate::greeter_process::{Greeter, Somebody};
use crate::images::*;
use crate::support::*;

const RUNS: u64 = 3;
const STEPS: usize = 30;
/// How often something that takes its time is looked for.
const PATIENCE: usize = 300;

/// The accounts: two people, and a replica.
const PEOPLE: [&str; 3] = ["ada", "bob", "visitor"];
const VISITOR_INDEX: usize = 2;

/// The permissions of the greeter that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    GreetInEnglish,
    GreetInFrench,
    Read,
}

const RIGHTS: [Right; 3] = [Right::GreetInEnglish, Right::GreetInFrench, Right::Read];

impl Right {
    fn request(self) -> PermissionRequest {
        let language = match self {
            Self::Read => return permission("greeting:read:all", json!({})),
            Self::GreetInEnglish => "en",
            Self::GreetInFrench => "fr",
        };
        PermissionRequest {
            instance_id: Some(language.to_owned()),
            ..permission("greeting:create", json!({ "language": language }))
        }
    }
}

/// An end, if there is one.
type End = Option<Timestamp>;

fn is_open(end: End, now: Timestamp) -> bool {
    end.is_none_or(|end| now < end)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Pending,
    Approved(End),
    Refused,
}

/// Who may do what, as simple as it can be said.
#[derive(Default)]
struct Model {
    by_hand: BTreeMap<(usize, Right), End>,
    /// What each version of the visitor asks for, and when that ends.
    versions: Vec<(Vec<Right>, End)>,
    current: usize,
    requests: BTreeMap<Right, Asked>,
}

impl Model {
    fn allows(&self, who: usize, right: Right, now: Timestamp) -> bool {
        let by_hand = self
            .by_hand
            .get(&(who, right))
            .is_some_and(|end| is_open(*end, now));
        let (rights, end) = &self.versions[self.current];
        let by_version = rights.contains(&right) && is_open(*end, now);
        let by_request =
            matches!(self.requests.get(&right), Some(Asked::Approved(end)) if is_open(*end, now));
        by_hand || (who == VISITOR_INDEX && (by_version || by_request))
    }

    fn table(&self, now: Timestamp) -> Vec<(usize, Right, bool)> {
        let all = (0..PEOPLE.len()).flat_map(|who| RIGHTS.map(|right| (who, right)));
        all.map(|(who, right)| (who, right, self.allows(who, right, now)))
            .collect()
    }
}

/// Random numbers that a seed repeats (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

struct Run {
    world: World,
    alpha: Alpha,
    greeter: Greeter,
    people: Vec<Somebody>,
    model: Model,
    random: Random,
    /// What was done, for whoever has to find out.
    trace: Vec<String>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let (world, alpha) = cluster().await;
        world.images.publish(&GreeterContract::manifest());
        alpha
            .load(&world.images.publish(&greeter::definition().manifest().unwrap()))
            .await;
        world.images.publish(&requiring(requirement(vec![])));
        alpha.load(VISITOR).await;
        let greeter = Greeter::start(&world, &alpha).await;
        let mut people = Vec::new();
        for name in ["ada", "bob"] {
            people.push(Somebody::new(&world, &greeter, name).await);
        }
        people.push(Somebody::replica(&world, &greeter, &alpha, 4).await);
        Self {
            world,
            alpha,
            greeter,
            people,
            model: Model {
                versions: vec![(Vec::new(), None)],
                ..Model::default()
            },
            random: Random(seed),
            trace: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// No end, or one within a minute and a half.
    fn end(&mut self) -> End {
        let seconds = 1 + self.random.below(90) as u64;
        (self.random.below(2) == 0).then(|| Timestamp(self.now().0 + seconds * 1000))
    }

    fn change(&self, who: usize, right: Right) -> ChangePermission {
        let asked = right.request();
        ChangePermission {
            account_id: self.people[who].account().to_string(),
            contract: CONTRACT.to_owned(),
            permission: asked.name,
            params: Some(asked.params.into()),
            replica_ids: None,
        }
    }

    async fn step(&mut self) {
        let (who, right) = (self.random.below(PEOPLE.len()), self.random.one_of(&RIGHTS));
        let done = match self.random.below(12) {
            0..=2 => self.grant(who, right).await,
            3 | 4 => self.revoke(who, right).await,
            5 => self.update().await,
            6 => self.roll_back().await,
            7 => self.ask(right).await,
            8 => self.decide().await,
            9 => self.let_time_pass().await,
            10 => self.restart_greeter().await,
            _ => self.restart_alpha().await,
        };
        self.trace.push(done);
        // What was answered is stored, as it is before an answer leaves; the rest may be lost.
        self.alpha.node().wait_for_sync(SOON).await.unwrap();
        if self.random.below(6) == 0 {
            let crash = self.restart_alpha().await;
            self.trace.push(crash);
        }
        self.alpha.settle().await;
        self.check_all().await;
    }

    async fn grant(&mut self, who: usize, right: Right) -> String {
        let (change, end) = (self.change(who, right), self.end());
        self.alpha
            .engine
            .grant(&self.alpha.me(), change, end)
            .await
            .unwrap();
        self.model.by_hand.insert((who, right), end);
        format!("grant {right:?} to {} until {end:?}", PEOPLE[who])
    }

    async fn revoke(&mut self, who: usize, right: Right) -> String {
        let change = self.change(who, right);
        let revoked = self.alpha.engine.revoke(&self.alpha.me(), change).await.unwrap();
        self.model.by_hand.remove(&(who, right));
        if let Some(asked @ Asked::Approved(_)) = self.model.requests.get_mut(&right)
            && who == VISITOR_INDEX
        {
            *asked = Asked::Refused;
        }
        assert!(revoked.applied, "the greeter runs");
        // Nobody waits for anything here: what is revoked doesn't count any more.
        if !self.model.allows(who, right, self.now()) {
            assert!(
                !self.is_allowed(who, right).await,
                "{right:?} was revoked: {:#?}",
                self.trace
            );
        }
        format!("revoke {right:?} from {}", PEOPLE[who])
    }

    async fn update(&mut self) -> String {
        let mut rights = RIGHTS.to_vec();
        rights.retain(|_| self.random.below(2) == 0);
        let end = self.end();
        let asked = rights.iter().map(|right| right.request()).collect();
        self.world.images.publish(&requiring(requirement(asked)));
        let update = CreateLoadRequest {
            replica_id: Some(4),
            ..asking(VISITOR)
        };
        let request = self.alpha.ask(update).await;
        // Until it is approved, everything is as it was.
        self.check_all().await;
        let approval = ApproveLoadRequest {
            expires_at: end,
            ..approval(request.id)
        };
        self.alpha.approve(approval).await;
        let done = format!("update to {rights:?} until {end:?}");
        self.model.versions.push((rights, end));
        self.model.current = self.model.versions.len() - 1;
        done
    }

    async fn roll_back(&mut self) -> String {
        let version = self.random.below(self.model.versions.len());
        let number = u32::try_from(version + 1).unwrap();
        self.alpha.engine.rollback(4, Some(number)).await.unwrap();
        self.model.current = version;
        format!("roll back to version {number}")
    }

    async fn ask(&mut self, right: Right) -> String {
        let PermissionRequest { name, params, .. } = right.request();
        let asked = RequestPermission {
            requirement: "greeter".to_owned(),
            permission: name,
            params,
            reason: "the model says so".to_owned(),
        };
        let now = self.now();
        let visitor = self.people[VISITOR_INDEX].account().clone();
        self.alpha
            .engine
            .request_permission(&visitor, asked)
            .await
            .unwrap();
        let known = self.model.requests.entry(right).or_insert(Asked::Pending);
        if matches!(known, Asked::Approved(end) if !is_open(*end, now)) {
            *known = Asked::Pending;
        }
        format!("ask for {right:?}")
    }

    async fn decide(&mut self) -> String {
        let requests = self.alpha.engine.state().all_permission_requests().await.unwrap();
        if requests.is_empty() {
            return "nothing to decide".to_owned();
        }
        let (_, request) = requests[self.random.below(requests.len())].clone();
        let asked_for = |right: &&Right| {
            let asked = right.request();
            (&asked.name, &asked.params) == (&request.permission, &request.params)
        };
        let right = *RIGHTS.iter().find(asked_for).unwrap();
        let (me, end) = (self.alpha.me(), self.end());
        if self.model.requests[&right] == Asked::Pending && self.random.below(2) == 0 {
            self.alpha
                .engine
                .reject_permission_request(&me, request.id, None)
                .await
                .unwrap();
            self.model.requests.insert(right, Asked::Refused);
            return format!("refuse {right:?}");
        }
        let approval = ApprovePermissionRequest {
            request_id: request.id,
            expires_at: end,
        };
        self.alpha
            .engine
            .approve_permission_request(&me, approval)
            .await
            .unwrap();
        self.model.requests.insert(right, Asked::Approved(end));
        format!("approve {right:?} until {end:?}")
    }

    async fn let_time_pass(&mut self) -> String {
        let seconds = 1 + self.random.below(60) as u64;
        tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
        // Nobody has had the time to do anything: what has ended doesn't count any more.
        for (who, right, allowed) in self.model.table(self.now()) {
            assert!(
                allowed || !self.is_allowed(who, right).await,
                "{right:?} has ended: {:#?}",
                self.trace
            );
        }
        format!("{seconds} s pass")
    }

    async fn restart_greeter(&mut self) -> String {
        let is_crash = self.random.below(2) == 0;
        self.greeter.stop(is_crash).await;
        self.greeter = Greeter::start(&self.world, &self.alpha).await;
        for somebody in &mut self.people {
            somebody.meet(&self.greeter);
        }
        format!("the greeter restarts, crash: {is_crash}")
    }

    async fn restart_alpha(&mut self) -> String {
        self.alpha.crash().await;
        self.alpha = self.world.alpha().await;
        "Alpha crashes and restarts".to_owned()
    }

    /// Whether the greeter lets somebody do something now.
    async fn is_allowed(&self, who: usize, right: Right) -> bool {
        let language = match right {
            Right::Read => {
                let account = self.people[who].account();
                return self.greeter.contract().check(account, &ReadGreetings {});
            }
            Right::GreetInEnglish => "en",
            Right::GreetInFrench => "fr",
        };
        let request = GreetRequest {
            name: PEOPLE[who].to_owned(),
            language: language.to_owned(),
        };
        match self.people[who].client().greet(request).await {
            Ok(_) => true,
            Err(CallError::Refused(error)) if error.code() == Code::NoPermission => false,
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
    }

    /// Waits until everything is as the model says; fails if it never is.
    async fn check_all(&mut self) {
        for _ in 0..PATIENCE {
            // An end may pass meanwhile.
            let wanted = self.model.table(self.now());
            let mut found = Vec::new();
            for (who, right, _) in &wanted {
                found.push((*who, *right, self.is_allowed(*who, *right).await));
            }
            if found == wanted && self.model.table(self.now()) == wanted && self.readers_are(&wanted).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!(
            "not as the model says after\n{:#?}\n{:?}",
            self.trace,
            self.model.table(self.now())
        );
    }

    /// Writes something, and looks who can decrypt it with nothing but their account.
    async fn readers_are(&self, wanted: &[(usize, Right, bool)]) -> bool {
        let text = format!("secret {}", self.random.0 ^ self.now().0);
        let greeting = Greeting {
            text: text.clone(),
            language: "en".to_owned(),
            by: self.people[0].account().clone(),
            at: self.now(),
        };
        self.greeter.greetings().await.push(&greeting).unwrap();
        self.greeter.node().wait_for_sync(SOON).await.unwrap();
        for (who, right, allowed) in wanted {
            if *right == Right::Read && self.people[*who].can_read(&self.greeter, &text).await != *allowed {
                return false;
            }
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn permissions_are_what_the_model_says() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let runs = setting("PERMISSIONS_RUNS").unwrap_or(RUNS);
    let steps = setting("PERMISSIONS_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let seeds = match setting("PERMISSIONS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..runs,
    };
    for seed in seeds {
        // Told only if something fails.
        println!("PERMISSIONS_SEED={seed}");
        let mut run = Run::new(seed).await;
        for _ in 0..steps {
            run.step().await;
        }
        run.greeter.stop(true).await;
        run.alpha.kill().await;
    }
}
