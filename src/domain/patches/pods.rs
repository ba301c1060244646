//! Where a kind has its pod template, and what is in it: containers, images, a ServiceAccount.

use serde_json::Value;

use crate::domain::paths::get;

/// In the order in which a container is searched. Names are unique across all three.
pub(crate) const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Where a kind has its pod template; `None` for kinds without one.
pub fn pod_template_pointer(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Whether pods of this object would run as that ServiceAccount. For unknown kinds, the most common place of the template is assumed.
pub fn runs_as(kind: &str, object: &Value, account: &str) -> bool {
    let template = match kind {
        "Pod" => "",
        kind => pod_template_pointer(kind).unwrap_or("/spec/template"),
    };
    let pod = object.pointer(template).and_then(|template| template.get("spec"));
    // The second is the older name of the first. The API server keeps both in sync for built-in kinds only.
    let names = ["serviceAccountName", "serviceAccount"];
    pod.is_some_and(|pod| {
        let mut named = names.iter().filter_map(|name| pod.get(name)?.as_str());
        named.any(|named| named == account)
    })
}

/// Every image of a pod, a pod template or a CronJob's pod template, with its name: of every container (also init and ephemeral), and
/// of every image volume as `volumes/name`, so that it cannot be confused with a container. Without an image the text is empty, which
/// no control accepts as pinned.
pub fn images(object: &Value) -> Vec<(String, String)> {
    let pods = [
        "/spec",
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
    ];
    let pods = pods.iter().filter_map(|pod| get(object, pod));
    pods.flat_map(|pod| {
        let containers = CONTAINER_LISTS.iter().flat_map(|list| elements(pod, list));
        let containers = containers.map(|c| (text(c, "name"), text(c, "image")));
        let volumes = elements(pod, "volumes").filter_map(|volume| {
            let image = volume.get("image")?;
            Some((
                format!("volumes/{}", text(volume, "name")),
                text(image, "reference"),
            ))
        });
        containers.chain(volumes)
    })
    .collect()
}

/// The names of the containers in the list `list` of the pod at `pod`.
pub(crate) fn names(object: &Value, pod: &str, list: &str) -> Vec<String> {
    get(object, pod)
        .map(|pod| elements(pod, list).map(|element| text(element, "name")).collect())
        .unwrap_or_default()
}

/// The elements of the list `list` of a pod or container; empty if there is none.
pub(crate) fn elements<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    pod.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// A text field; empty if there is none.
pub(crate) fn text(element: &Value, key: &str) -> String {
    element
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
