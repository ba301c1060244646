//! Jobs of gates and verifications: a Release cannot change their template, a Job counts only if the operator created it, and a template
//! that differs from that of the previous environment is reported.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::{CheckState, State};
use signalbox::decide::plan;

use crate::acting::{LONG, check, promotion, verification};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, as_person, job_gate, user_name, wait_until};

const PASSES: &str = "registry.example.com/smoke:1";
const FAILS: &str = "registry.example.com/smoke:fail";

#[tokio::test]
async fn a_release_does_not_touch_the_template_of_its_judge() {
    let stage = Stage::new("own-judge")
        .with("sit", |spec| spec.gates = vec![job_gate("smoke", "smoke", "1m")])
        .await;
    stage.template("sit", "smoke", FAILS).await;
    let softened = json!({
        "name": "tests",
        "target": { "apiVersion": "batch/v1", "kind": "CronJob", "name": "smoke" },
        "images": [{ "container": "probe", "image": PASSES }],
    });
    let release = stage
        .release("1.0")
        .into(&["sit"])
        .component(softened)
        .image("ledger", IMAGE);
    let name = stage.submit(release).await;
    let refused = stage
        .until_check(&name, "sit", "TargetsAllowed", "TemplateTargeted")
        .await;
    assert_eq!(refused.state, CheckState::Failed);
    let environment = stage.environment("sit");
    assert_eq!(
        refused.message,
        format!(
            "Component tests targets CronJob smoke, the template of the Job of gate smoke in {environment}. A Release cannot change \
             what judges Releases in {}. Remove the component, or ask the environment's owner for a template of another name.",
            stage.target("sit")
        )
    );
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    stage.finish().await;
}

/// A Job that succeeds and looks like that of the operator, created by an admin of the target namespace.
async fn forge(stage: &Stage, release: &str, name: &str) {
    let labels = json!({
        "signalbox.dev/release": release, "signalbox.dev/environment": stage.environment("sit"),
        "signalbox.dev/attempt": "1", "signalbox.dev/component": "smoke",
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "labels": labels },
        "spec": { "backoffLimit": 0, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 86400, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "probe", "image": PASSES }],
        } } },
    });
    let job: Job = serde_json::from_value(job).unwrap();
    let jobs: Api<Job> = Api::namespaced(as_person("mallory").await, &stage.target("sit"));
    let created = async {
        loop {
            match jobs.create(&PostParams::default(), &job).await {
                // The authorizer follows the binding a moment later.
                Err(kube::Error::Api(status)) if status.code == 403 => tokio::task::yield_now().await,
                other => break other.expect("an admin of the namespace is allowed to"),
            }
        }
    };
    tokio::time::timeout(LONG, created).await.expect("in time");
    wait_until(&stage.in_target::<Job>("sit"), name, LONG, |job| {
        job.status.as_ref().is_some_and(|s| s.succeeded == Some(1))
    })
    .await;
}

async fn make_admin(stage: &Stage, person: &str) {
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": format!("{person}-is-admin") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user_name(person) }],
    }))
    .unwrap();
    let bindings: Api<RoleBinding> = stage.in_target("sit");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test]
async fn a_forged_job_does_not_count_is_named_and_stops_no_real_one() {
    let stage = Stage::new("forged-job")
        .with("sit", |spec| spec.gates = vec![job_gate("smoke", "smoke", "1m")])
        .await;
    make_admin(&stage, "mallory").await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    // Without a template the operator has chosen a name and cannot create the Job. This is the longest time for a forgery.
    stage.until_check(&name, "sit", "smoke", "JobTrouble").await;
    let release = stage.api::<Release>().get(&name).await.unwrap();
    let waiting = promotion(&stage, &release, "sit");
    let chosen = waiting.jobs[0].name.clone();
    let hash = waiting.plan_hash.clone();
    let foreseen = plan::job_name_before(
        &release.uid().unwrap(),
        &stage.environment("sit"),
        1,
        "smoke",
        &hash,
    );
    assert_ne!(chosen, foreseen);
    forge(&stage, &name, &foreseen).await;
    forge(&stage, &name, &chosen).await;
    stage.template("sit", "smoke", FAILS).await;

    let failed = stage.until_check(&name, "sit", "smoke", "JobFailed").await;
    let release = stage.api::<Release>().get(&name).await.unwrap();
    let held = promotion(&stage, &release, "sit");
    assert_eq!(held.state, State::Waiting);
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    let run = &held.jobs[0];
    assert_eq!(held.jobs.len(), 1);
    assert_eq!(
        run.forged,
        [format!("{chosen}: its spec differs from its template")]
    );
    assert!(![&chosen, &foreseen].contains(&&run.name), "{run:?}");
    assert!(
        failed
            .message
            .starts_with(&format!("Job {}/{} failed: ", stage.target("sit"), run.name))
            && failed.message.contains(&format!(
                "A Job that Signalbox did not create does not count: {chosen}"
            )),
        "{}",
        failed.message
    );
    let jobs = stage
        .in_target::<Job>("sit")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let real: Vec<_> = jobs.iter().filter(|job| job.uid() == run.uid).collect();
    assert_eq!(
        (jobs.len(), real.len()),
        (3, 1),
        "the real one was made once: {jobs:#?}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn another_template_than_upstream_is_told_and_holds_nothing() {
    let smoke = || {
        vec![verification(
            json!({ "name": "smoke", "job": { "template": "smoke", "timeout": "1m" } }),
        )]
    };
    let stage = Stage::new("other-judge")
        .only(&["sit", "uat"])
        .with("sit", move |spec| spec.verification = smoke())
        .with("uat", move |spec| spec.verification = smoke())
        .await;
    stage.template("sit", "smoke", PASSES).await;
    stage
        .template("uat", "smoke", "registry.example.com/smoke:2")
        .await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit", "uat"]).image("ledger", IMAGE))
        .await;
    let release = stage.reaches(&name, "uat", State::Succeeded).await;
    let of = |short: &str| {
        let promotion = promotion(&stage, &release, short);
        let [run] = promotion.jobs.as_slice() else {
            panic!("{:?}", promotion.jobs)
        };
        let said: Value = json!(promotion.verification[0].message);
        (
            run.template_digest.clone().unwrap(),
            said.as_str().unwrap().to_owned(),
        )
    };
    let ((sit, silent), (uat, told)) = (of("sit"), of("uat"));
    assert_ne!(sit, uat);
    assert!(silent.ends_with(" succeeded."), "{silent}");
    let expected = format!(
        " succeeded. Template smoke differs from the one that ran in {} (digest {} there, {} here).",
        stage.environment("sit"),
        &sit[..19],
        &uat[..19]
    );
    assert!(told.ends_with(&expected), "{told}");
    assert!(check(promotion(&stage, &release, "uat"), "SameArtifact").is_some());
    stage.finish().await;
}
