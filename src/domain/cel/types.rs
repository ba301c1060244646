//! The types of expressions: of our two variables, from the definitions' schemas, and of functions, from their signatures.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::domain::cel::value::Value;

/// The type of a value before evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Known only during evaluation: the content of a patch.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Object(Arc<Object>),
    Duration,
    Timestamp,
    Optional(Arc<Type>),
    Quantity,
    Version,
    /// The type of a type: this name, or a name that is known only during evaluation.
    Named(&'static str),
    /// In signatures: the same letter means the same type.
    Parameter(char),
}

/// An object whose fields are all known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its path, such as `release.spec.change`.
    pub name: String,
    /// Every field and its type, by name.
    pub fields: BTreeMap<String, Type>,
}

/// The types that parameters of a signature have so far.
pub(crate) type Bound = BTreeMap<char, Type>;

impl Type {
    /// A list of elements of this type.
    pub(crate) fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map of keys and values of these types.
    pub(crate) fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// An optional of `inner`.
    pub(crate) fn optional(inner: Self) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// The type that `schema` describes; `name` is its path.
    pub(crate) fn of(schema: &JSONSchemaProps, name: &str) -> Self {
        if schema.x_kubernetes_int_or_string == Some(true) {
            return Self::Dyn;
        }
        match schema.type_.as_deref() {
            Some("boolean") => Self::Bool,
            Some("integer") => Self::Int,
            Some("number") => Self::Double,
            Some("string") => Self::Text,
            Some("array") => match &schema.items {
                Some(JSONSchemaPropsOrArray::Schema(item)) => {
                    Self::list(Self::of(item, &format!("{name}[]")))
                }
                _ => Self::list(Self::Dyn),
            },
            Some("object") if schema.x_kubernetes_preserve_unknown_fields == Some(true) => Self::Dyn,
            Some("object") => match (&schema.properties, &schema.additional_properties) {
                (Some(properties), _) => Self::object(
                    name,
                    properties
                        .iter()
                        .map(|(field, inner)| (field.clone(), Self::of(inner, &format!("{name}.{field}")))),
                ),
                (None, Some(JSONSchemaPropsOrBool::Schema(value))) => {
                    Self::map(Self::Text, Self::of(value, &format!("{name}.*")))
                }
                _ => Self::Dyn,
            },
            _ => Self::Dyn,
        }
    }

    /// An object with these fields; `name` is its path.
    pub(crate) fn object(name: &str, fields: impl IntoIterator<Item = (String, Self)>) -> Self {
        Self::Object(Arc::new(Object {
            name: name.to_owned(),
            fields: fields.into_iter().collect(),
        }))
    }

    /// Whether a value of this type fits `wanted`; binds the parameters of `wanted`.
    pub(crate) fn fits(&self, wanted: &Self, bound: &mut Bound) -> bool {
        match (self, wanted) {
            (given, Self::Parameter(letter)) => {
                let Some(so_far) = bound.get(letter).cloned() else {
                    let may = given.may_be(*letter);
                    bound.insert(*letter, given.clone());
                    return may;
                };
                let fits = given.agrees(&so_far) && given.may_be(*letter);
                if fits && *given == Self::Dyn {
                    bound.insert(*letter, Self::Dyn);
                }
                fits
            }
            (Self::List(given), Self::List(wanted)) | (Self::Optional(given), Self::Optional(wanted)) => {
                given.fits(wanted, bound)
            }
            (Self::Map(key, value), Self::Map(wanted_key, wanted_value)) => {
                key.fits(wanted_key, bound) && value.fits(wanted_value, bound)
            }
            (Self::Dyn, wanted) => {
                wanted.unbound(bound);
                true
            }
            (given, wanted) => given.agrees(wanted),
        }
    }

    /// If anything is allowed, a parameter matches anything.
    fn unbound(&self, bound: &mut Bound) {
        match self {
            Self::Parameter(letter) => {
                bound.insert(*letter, Self::Dyn);
            }
            Self::List(inner) | Self::Optional(inner) => inner.unbound(bound),
            Self::Map(key, value) => {
                key.unbound(bound);
                value.unbound(bound);
            }
            _ => {}
        }
    }

    /// Whether a parameter of this letter can have this type: `N` can be summed, `C` can be ordered, `I` is an index of a list (for dyn, a
    /// whole number of any type).
    fn may_be(&self, letter: char) -> bool {
        let adds = matches!(
            self,
            Self::Dyn | Self::Int | Self::Uint | Self::Double | Self::Duration
        );
        match letter {
            'N' => adds,
            'I' => matches!(self, Self::Dyn | Self::Int),
            'C' => adds || matches!(self, Self::Bool | Self::Text | Self::Timestamp),
            _ => true,
        }
    }

    /// Whether values of the two types can be one value, or be compared.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::Null, other) | (other, Self::Null) => !matches!(
                other,
                Self::Bool
                    | Self::Int
                    | Self::Uint
                    | Self::Double
                    | Self::Text
                    | Self::List(_)
                    | Self::Map(..)
                    | Self::Named(_)
            ),
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.agrees(b),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.agrees(other_key) && value.agrees(other_value)
            }
            (Self::Named(_), Self::Named(_)) => true,
            (a, b) => a == b,
        }
    }

    /// The type of a value that has one of the two types.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, other) | (other, Self::Null) => other,
            (Self::List(a), Self::List(b)) => Self::list(Self::clone(&a).or(Self::clone(&b))),
            _ => Self::Dyn,
        }
    }

    /// This type of a signature, with its parameters replaced by their types.
    pub(crate) fn with(&self, bound: &Bound) -> Self {
        match self {
            Self::Parameter(letter) => bound.get(letter).cloned().unwrap_or(Self::Dyn),
            Self::List(inner) => Self::list(inner.with(bound)),
            Self::Optional(inner) => Self::optional(inner.with(bound)),
            Self::Map(key, value) => Self::map(key.with(bound), value.with(bound)),
            other => other.clone(),
        }
    }

    /// Whether `value` is of this type, without checking the elements of lists and maps.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Dyn | Self::Parameter(_), _)
                | (Self::Null, Value::Null)
                | (Self::Bool, Value::Bool(_))
                | (Self::Int, Value::Int(_))
                | (Self::Uint, Value::Uint(_))
                | (Self::Double, Value::Double(_))
                | (Self::Text, Value::Text(_))
                | (Self::List(_), Value::List(_))
                | (Self::Map(..) | Self::Object(_), Value::Map(_))
                | (Self::Duration, Value::Duration(_))
                | (Self::Timestamp, Value::Timestamp(..))
                | (Self::Optional(_), Value::Optional(_))
                | (Self::Quantity, Value::Quantity(_))
                | (Self::Version, Value::Version(_))
                | (Self::Named(_), Value::Type(_))
        )
    }

    /// One type of a signature, such as `list<A>`; `None` if it is not a type.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let inside = |of: &str| {
            Some(
                text.strip_prefix(of)?
                    .strip_prefix('<')?
                    .strip_suffix('>')?
                    .to_owned(),
            )
        };
        Some(match text {
            "dyn" => Self::Dyn,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::Text,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "quantity" => Self::Quantity,
            "semver" => Self::Version,
            "type" => Self::Named(""),
            _ if text.len() == 1 => Self::Parameter(text.chars().next()?),
            _ => {
                if let Some(element) = inside("list") {
                    Self::list(Self::read(&element)?)
                } else if let Some(inner) = inside("optional") {
                    Self::optional(Self::read(&inner)?)
                } else {
                    let inner = inside("map")?;
                    let (key, value) = inner.split_once(',')?;
                    Self::map(Self::read(key)?, Self::read(value)?)
                }
            }
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Optional(inner) => write!(f, "optional<{inner}>"),
            Self::Quantity => f.write_str("quantity"),
            Self::Version => f.write_str("semver"),
            Self::Named(_) => f.write_str("type"),
            Self::Parameter(letter) => write!(f, "{letter}"),
        }
    }
}
