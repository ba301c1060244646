//! Who wrote a field: the owner of that very path in `managedFields`, subresources included.

use serde_json::Value;

use crate::domain::paths::keyed;
use crate::domain::paths::pointer::tokens;

/// The owner of the field at `path` other than `us`: the last writer if there are several. `managed_fields` are those of the object,
/// with `fieldsV1`. None if there is no other owner. A field that does not exist has no owner.
#[must_use]
pub fn of(managed_fields: &[Value], path: &str, us: &str) -> Option<String> {
    let text = |entry: &Value, key: &str| {
        entry
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let others = managed_fields
        .iter()
        .filter(|entry| entry.get("manager").and_then(Value::as_str) != Some(us));
    let owners = others.filter(|entry| entry.get("fieldsV1").is_some_and(|fields| owns(fields, path)));
    let last = owners.max_by_key(|entry| text(entry, "time"))?;
    let (manager, subresource) = (text(last, "manager"), text(last, "subresource"));
    Some(if subresource.is_empty() {
        manager
    } else {
        format!("{manager} ({subresource})")
    })
}

/// Whether `fields` contain the path, or something below it. An element of a list is named by its keys.
fn owns(fields: &Value, path: &str) -> bool {
    let below = tokens(path).try_fold(fields, |fields, token| match keyed::element(&token) {
        None => fields.get(format!("f:{token}")),
        Some((list, key, id)) => {
            let elements = fields.get(format!("f:{list}"))?.as_object()?;
            elements.iter().find_map(|(name, below)| {
                let keys: Value = serde_json::from_str(name.strip_prefix("k:")?).ok()?;
                (keyed::identity(&keys, key).as_deref() == Some(id)).then_some(below)
            })
        }
    });
    below.is_some()
}
