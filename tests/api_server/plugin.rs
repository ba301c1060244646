//! `kubectl signalbox` against the real API server, as people with the chart's roles: who may act, and what happens if something changes
//! between display and yes.

mod meanwhile;
mod reading;
mod roles;
mod waiting;

use std::io::Read;

use clap::Parser as _;
use jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use signalbox::api::EnvironmentSpec;
use signalbox::cli::{Arguments, Exit, Terminal, run_on};

use crate::kit::{IMAGE, Stage, StageBuilder, User, approval_gate, kubeconfig, user_name};

/// `sit` needs `minimum` approvals by the board.
fn board(name: &str, minimum: i64) -> StageBuilder {
    Stage::new(name)
        .only(&["sit"])
        .with("sit", move |spec: &mut EnvironmentSpec| {
            spec.gates = vec![approval_gate("board", "board", minimum)];
        })
}

/// A Release of this product into `sit`, with its plan in status.
async fn submitted(stage: &Stage, product: &str) -> String {
    let release = stage.release("1").product(product).into(&["sit"]);
    let name = stage.submit(release.image("ledger", IMAGE)).await;
    stage.plan_hash(&name, "sit").await;
    name
}

/// The people of a stage, with the chart's roles. They are not in the group to which a stage grants everything.
struct Cast<'a> {
    stage: &'a Stage,
    /// Who may read everything, in the whole cluster.
    viewers: String,
    binding: String,
}

impl<'a> Cast<'a> {
    /// alice requests, bob approves as `board`, carol reviews, dave is the release manager, erin only reads, and mallory may create
    /// Decisions and reviews, but holds none of the verbs with which they act.
    async fn of(stage: &'a Stage) -> Self {
        let viewers = format!("{}-viewers", stage.namespace());
        let any = User::of(&viewers, &user_name("erin"));
        let binding = stage.bind_everywhere("signalbox-view", &any, "list", "environments", "");
        let alice = User::named(&user_name("alice"));
        let alice = stage.bind("signalbox-delivery", &alice, "patch", "releases");
        let dave = User::named(&user_name("dave"));
        let dave = stage.bind("signalbox-release-manager", &dave, "retry", "environments");
        let (binding, ..) = tokio::join!(binding, alice, dave);
        for (person, verb, resource) in [
            ("bob", "create", "decisions"),
            ("bob", "approve", "environments/board"),
            ("mallory", "create", "decisions"),
            ("mallory", "patch", "decisions"),
        ] {
            stage.grant(person, verb, resource, "").await;
        }
        for (person, verbs) in [
            ("carol", &["create", "patch"][..]),
            ("mallory", &["get", "update"]),
        ] {
            for verb in verbs {
                stage.grant(person, verb, "releasereviews", "").await;
            }
        }
        stage.grant("carol", "review", "releases", "").await;
        Self {
            stage,
            viewers,
            binding,
        }
    }

    /// Runs a command as `person`, where no one answers.
    async fn run(&self, person: &str, words: &[&str]) -> Ran {
        let mut printed = Vec::new();
        let ran = self
            .with(person, words, false, &mut std::io::empty(), &mut printed)
            .await;
        ran.printed(&printed)
    }

    /// Runs a command as `person`, who reads what is shown, during which `meanwhile` happens, and then says yes.
    async fn agrees(&self, person: &str, words: &[&str], meanwhile: impl FnOnce() + Send) -> Ran {
        self.answers(person, words, "y\n", meanwhile).await
    }

    async fn answers(
        &self,
        person: &str,
        words: &[&str],
        answer: &str,
        meanwhile: impl FnOnce() + Send,
    ) -> Ran {
        let mut input = Reader {
            text: answer.as_bytes(),
            first: Some(meanwhile),
        };
        let mut printed = Vec::new();
        let ran = self.with(person, words, true, &mut input, &mut printed).await;
        assert!(ran.exit.is_err() || input.first.is_none(), "no one was asked");
        ran.printed(&printed)
    }

    async fn with(
        &self,
        person: &str,
        words: &[&str],
        asks: bool,
        input: &mut (dyn Read + Send),
        output: &mut (dyn std::io::Write + Send),
    ) -> Ran {
        let arguments =
            Arguments::try_parse_from(self.words(person, words)).unwrap_or_else(|e| panic!("{e}"));
        let mut errors = Vec::new();
        let mut terminal = Terminal::piped(input, output, &mut errors, Timestamp::now());
        terminal.asks = asks;
        let exit = run_on(&mut terminal, arguments).await;
        Ran {
            exit,
            output: String::new(),
            errors: String::from_utf8(errors).unwrap(),
        }
    }

    /// The command line, with the flags that name the cluster, the user and the namespace.
    fn words(&self, person: &str, words: &[&str]) -> Vec<String> {
        let mut all = vec!["signalbox".to_owned()];
        all.extend(words.iter().map(|&word| word.to_owned()));
        let path = kubeconfig().display().to_string();
        let user = user_name(person);
        all.extend(["--kubeconfig", &path, "--as", &user].map(str::to_owned));
        for group in ["system:authenticated", &self.viewers] {
            all.extend(["--as-group", group].map(str::to_owned));
        }
        if !words.contains(&"-A") {
            all.extend(["-n", self.stage.namespace()].map(str::to_owned));
        }
        all
    }

    /// How many Decisions there are.
    async fn decisions(&self) -> usize {
        let decisions = self.stage.decisions().list(&ListParams::default()).await;
        decisions.unwrap().items.len()
    }

    async fn end(self) {
        let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(self.stage.client());
        bindings
            .delete(&self.binding, &DeleteParams::default())
            .await
            .unwrap();
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    exit: Result<Exit, String>,
    output: String,
    errors: String,
}

impl Ran {
    fn printed(mut self, output: &[u8]) -> Self {
        self.output = String::from_utf8(output.to_vec()).unwrap();
        self
    }

    /// It succeeded: what it printed.
    fn done(self) -> String {
        assert_eq!(self.exit, Ok(0), "{}", self.errors);
        self.output
    }

    /// It failed with this in its sentence, which is one line without internal text.
    fn refused(self, wanted: &str) -> String {
        let said = match self.exit {
            Err(said) => said,
            Ok(exit) => panic!("not refused with {wanted:?}: exit {exit}, {}", self.output),
        };
        assert!(said.contains(wanted), "not {wanted:?} but {said:?}");
        assert!(said.ends_with('.') && !said.contains('\n'), "{said:?}");
        for noise in ["ValidatingAdmissionPolicy", "ApiError", "Status {", "<nil>"] {
            assert!(!said.contains(noise), "{noise} in {said:?}");
        }
        said
    }
}

/// A person's answer. Something happens before it is read.
struct Reader<'a, F> {
    text: &'a [u8],
    first: Option<F>,
}

impl<F: FnOnce()> Read for Reader<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(meanwhile) = self.first.take() {
            meanwhile();
        }
        self.text.read(buffer)
    }
}

/// Does something in the cluster while a command waits for its answer, which blocks its thread: the clients of the stage do not answer
/// then, so `work` needs its own.
fn elsewhere<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    std::thread::scope(|threads| {
        let thread = threads.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work());
        });
        thread.join().unwrap();
    });
}
