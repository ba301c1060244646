//! Turns a parsed text into nodes that can be evaluated: every name is known, every function has a signature for its arguments, and
//! every literal can be read. What Kubernetes reads differently is refused here.

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};

use crate::domain::cel::error::Fault;
use crate::domain::cel::evaluate::{Access, Fold, Kind, Node};
use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::literals::check_literal;
use crate::domain::cel::functions::overload::Overload;
use crate::domain::cel::functions::{ABSENT, FUNCTIONS};
use crate::domain::cel::types::{Bound, Type};
use crate::domain::cel::value::Value;
use crate::domain::cel::work::Work;

/// The depth of the parsed tree. The parser limits brackets only: `1+1+1…` and `a.b.c…` get as deep as they are long.
pub(crate) const MAX_DEPTH: usize = 96;
/// How many known fields a message lists when one is misspelt.
const NAMED: usize = 24;
/// What comes before the dot in names of functions such as `sets.contains`, ours and those of Kubernetes.
const FUNCTION_NAMESPACES: [&str; 10] = [
    "base64",
    "cidr",
    "format",
    "ip",
    "jsonpatch",
    "lists",
    "math",
    "optional",
    "sets",
    "strings",
];
const TYPES: [&str; 10] = [
    "bool",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "bytes",
];

/// Reserved words of CEL: a variable cannot have such a name.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// A node and its type.
type Typed = (Node, Type);

/// Walks a parsed text and builds nodes from it.
pub(crate) struct Checker {
    /// The variables in scope at this point of the text, in the order that they have during evaluation.
    scope: Vec<(String, Type)>,
    /// How many of them come from outside.
    given: usize,
    /// Whether one of those is read.
    pub looks: bool,
    work: Work,
}

impl Checker {
    /// With the variables that come from outside, in the order of their values.
    pub(crate) fn new(variables: Vec<(String, Type)>) -> Self {
        Self {
            given: variables.len(),
            scope: variables,
            looks: false,
            work: Work::to_compile(),
        }
    }

    /// # Errors
    ///
    /// A clause that continues the sentence "the expression …".
    pub(crate) fn node(&mut self, expr: &IdedExpr, level: usize) -> Result<Typed, Fault> {
        if level > MAX_DEPTH {
            return Err(Fault::TooDeep { most: MAX_DEPTH });
        }
        let level = level + 1;
        match &expr.expr {
            Expr::Ident(name) => self.identifier(name),
            Expr::Literal(literal) => constant(literal),
            Expr::Select(select) => self.select(select, level),
            Expr::Call(call) => self.call(call, level),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, level),
            Expr::List(list) => {
                let mut nodes = vec![];
                let mut element = None;
                for (index, part) in list.elements.iter().enumerate() {
                    let (node, of) = self.node(part, level)?;
                    let optional = list.optional_indices.contains(&index);
                    element = Some(same(element, unwrapped(of, optional)?, "a list")?);
                    nodes.push((node, optional));
                }
                Ok((Node::List(nodes), Type::list(element.unwrap_or(Type::Dyn))))
            }
            Expr::Map(map) => {
                let (mut nodes, mut key_type, mut value_type) = (vec![], None, None);
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(Fault::Message);
                    };
                    let (key, of_key) = self.node(&entry.key, level)?;
                    let (value, of_value) = self.node(&entry.value, level)?;
                    if !matches!(
                        of_key,
                        Type::Dyn | Type::Bool | Type::Int | Type::Uint | Type::Text
                    ) {
                        return Err(Fault::Key(of_key.to_string()));
                    }
                    key_type = Some(same(key_type, of_key, "the keys of a map")?);
                    value_type = Some(same(value_type, unwrapped(of_value, entry.optional)?, "a map")?);
                    nodes.push((key, value, entry.optional));
                }
                let types = (key_type.unwrap_or(Type::Dyn), value_type.unwrap_or(Type::Dyn));
                Ok((Node::Map(nodes), Type::map(types.0, types.1)))
            }
            Expr::Struct(message) => Err(Fault::MessageOf(message.type_name.clone())),
            Expr::Unspecified => Err(Fault::Empty),
        }
    }

    fn identifier(&mut self, name: &str) -> Result<Typed, Fault> {
        if let Some(slot) = self.scope.iter().rposition(|(known, _)| known == name) {
            self.looks |= slot < self.given;
            return Ok((Node::Variable(slot), self.scope[slot].1.clone()));
        }
        match TYPES.iter().find(|known| **known == name) {
            Some(name) => Ok((Node::Constant(Value::Type(name)), Type::Named(name))),
            None => Err(Fault::UnknownName(name.to_owned())),
        }
    }

    fn select(&mut self, select: &SelectExpr, level: usize) -> Result<Typed, Fault> {
        let (of, ty) = self.node(&select.operand, level)?;
        let (access, field) = match (select.test, &ty) {
            (true, Type::Optional(_)) => {
                return Err(Fault::HasOfOptional);
            }
            (true, _) => (Access::Has, self::field(&ty, &select.field)?),
            (false, _) => (Access::Select, self::field(&ty, &select.field)?),
        };
        let result = if select.test { Type::Bool } else { field };
        Ok((
            Node::Field(Box::new(of), select.field.as_str().into(), access),
            result,
        ))
    }

    fn call(&mut self, call: &CallExpr, level: usize) -> Result<Typed, Fault> {
        if let Some(target) = &call.target {
            return self.method(target, &call.func_name, &call.args, level);
        }
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => {
                let what = if name == operators::LOGICAL_AND {
                    "&&"
                } else {
                    "||"
                };
                let (a, b) = (self.boolean(a, what, level)?, self.boolean(b, what, level)?);
                let node = match name {
                    operators::LOGICAL_AND => Node::And(Box::new(a), Box::new(b)),
                    _ => Node::Or(Box::new(a), Box::new(b)),
                };
                Ok((node, Type::Bool))
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let condition = self.boolean(condition, "? :", level)?;
                let ((yes, a), (no, b)) = (self.node(yes, level)?, self.node(no, level)?);
                if !a.agrees(&b) {
                    return Err(Fault::Either {
                        yes: a.to_string(),
                        no: b.to_string(),
                    });
                }
                let node = Node::If(Box::new(condition), Box::new(yes), Box::new(no));
                Ok((node, a.or(b)))
            }
            (
                operators::OPT_SELECT,
                [
                    of,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(name)),
                        ..
                    },
                ],
            ) => {
                let (of, ty) = self.node(of, level)?;
                let field = match field(&ty, name.inner())? {
                    already @ Type::Optional(_) if matches!(ty, Type::Optional(_)) => already,
                    plain => Type::optional(plain),
                };
                Ok((
                    Node::Field(Box::new(of), name.inner().into(), Access::Optional),
                    field,
                ))
            }
            _ => {
                let given = self.nodes(&call.args, level)?;
                let of_anything = matches!(given.first(), Some((_, Type::Dyn)));
                match name {
                    operators::INDEX if of_anything => self.function("@index", false, given),
                    operators::OPT_INDEX if of_anything => self.function("@opt_index", false, given),
                    _ => self.function(name, false, given),
                }
            }
        }
    }

    fn method(
        &mut self,
        target: &IdedExpr,
        name: &str,
        arguments: &[IdedExpr],
        level: usize,
    ) -> Result<Typed, Fault> {
        if let Expr::Ident(namespace) = &target.expr
            && FUNCTION_NAMESPACES.contains(&namespace.as_str())
            && !self.scope.iter().any(|(known, _)| known == namespace)
        {
            let given = self.nodes(arguments, level)?;
            return self.function(&format!("{namespace}.{name}"), false, given);
        }
        // Checked first, before variables of an unknown loop are taken for ours.
        if ABSENT.iter().any(|(absent, _)| *absent == name) {
            return self.function(name, true, vec![]);
        }
        if name == "optMap"
            && let [variable, body] = arguments
        {
            return self.opt_map(target, variable, body, level);
        }
        let kind = match name {
            "all" => Some(Kind::All),
            "exists" => Some(Kind::Exists),
            "existsOne" | "exists_one" => Some(Kind::One),
            "transformList" => Some(Kind::List),
            "transformMap" => Some(Kind::Map),
            _ => None,
        };
        match (kind, arguments) {
            (Some(kind), [first, second, item]) => {
                let variables = vec![variable(first)?, variable(second)?];
                self.fold(kind, target, variables, None, item, level)
            }
            (Some(kind @ (Kind::List | Kind::Map)), [first, second, filter, item]) => {
                let variables = vec![variable(first)?, variable(second)?];
                self.fold(kind, target, variables, Some(filter), item, level)
            }
            _ => {
                let mut given = vec![self.node(target, level)?];
                if !FUNCTIONS.contains_key(name) {
                    return self.function(name, true, given);
                }
                given.extend(self.nodes(arguments, level)?);
                self.function(name, true, given)
            }
        }
    }

    fn opt_map(
        &mut self,
        target: &IdedExpr,
        name: &IdedExpr,
        body: &IdedExpr,
        level: usize,
    ) -> Result<Typed, Fault> {
        let (of, ty) = self.node(target, level)?;
        let inner = match ty {
            Type::Optional(inner) => Type::clone(&inner),
            Type::Dyn => Type::Dyn,
            other => return Err(Fault::OptMap(other.to_string())),
        };
        self.scope.push((variable(name)?, inner));
        let body = self.node(body, level);
        self.scope.pop();
        let (body, result) = body?;
        Ok((Node::OptMap(Box::new(of), Box::new(body)), Type::optional(result)))
    }

    /// What the parser expands `all`, `exists`, `exists_one`, `map` and `filter` to.
    fn comprehension(&mut self, of: &ComprehensionExpr, level: usize) -> Result<Typed, Fault> {
        let Expr::Call(step) = &of.loop_step.expr else {
            return Err(Fault::UnknownLoop);
        };
        let name = step.func_name.as_str();
        let (kind, filter, item) = match (&of.accu_init.expr, name, step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, item]) => {
                (Kind::All, None, item)
            }
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, item]) => {
                (Kind::Exists, None, item)
            }
            (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [item, ..]) => {
                (Kind::One, None, item)
            }
            (Expr::List(_), operators::ADD, [_, added]) => {
                (Kind::List, None, only(added).ok_or(Fault::UnknownLoop)?)
            }
            (Expr::List(_), operators::CONDITIONAL, [filter, added, _]) => match &added.expr {
                Expr::Call(CallExpr { args, .. }) => {
                    let item = args.get(1).and_then(only).ok_or(Fault::UnknownLoop)?;
                    (Kind::List, Some(filter), item)
                }
                _ => return Err(Fault::UnknownLoop),
            },
            _ => return Err(Fault::UnknownLoop),
        };
        self.fold(
            kind,
            &of.iter_range,
            vec![name_of_variable(&of.iter_var)?],
            filter,
            item,
            level,
        )
    }

    fn fold(
        &mut self,
        kind: Kind,
        range: &IdedExpr,
        variables: Vec<String>,
        filter: Option<&IdedExpr>,
        item: &IdedExpr,
        level: usize,
    ) -> Result<Typed, Fault> {
        let (range, over) = self.node(range, level)?;
        let (first, second) = match &over {
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::List(element) if variables.len() == 1 => (Type::clone(element), Type::Dyn),
            Type::List(element) => (Type::Int, Type::clone(element)),
            Type::Map(key, value) => (Type::clone(key), Type::clone(value)),
            other => return Err(Fault::NoLoopOver(other.to_string())),
        };
        if variables.len() == 2 && variables[0] == variables[1] {
            return Err(Fault::TwoVariables(variables[0].clone()));
        }
        let (outer, pairs) = (self.scope.len(), variables.len() == 2);
        self.scope
            .extend(variables.into_iter().zip([first.clone(), second]));
        let parts = filter
            .map(|filter| self.boolean(filter, "the condition of a loop", level))
            .transpose()
            .and_then(|filter| Ok((filter, self.node(item, level)?)));
        self.scope.truncate(outer);
        let (filter, (item, of)) = parts?;
        let result = match kind {
            Kind::All | Kind::Exists | Kind::One => {
                if !matches!(of, Type::Bool | Type::Dyn) {
                    return Err(Fault::NoBooleanOfEach(of.to_string()));
                }
                Type::Bool
            }
            Kind::List => Type::list(of),
            Kind::Map if matches!(over, Type::List(_)) => Type::map(Type::Int, of),
            Kind::Map => Type::map(first, of),
        };
        let fold = Fold {
            kind,
            range,
            pairs,
            filter,
            item,
        };
        Ok((Node::Fold(Box::new(fold)), result))
    }

    fn nodes(&mut self, exprs: &[IdedExpr], level: usize) -> Result<Vec<Typed>, Fault> {
        exprs.iter().map(|expr| self.node(expr, level)).collect()
    }

    fn boolean(&mut self, expr: &IdedExpr, what: &'static str, level: usize) -> Result<Node, Fault> {
        match self.node(expr, level)? {
            (node, Type::Bool | Type::Dyn) => Ok(node),
            (_, other) => Err(Fault::NoBoolean {
                given: other.to_string(),
                taker: what,
            }),
        }
    }

    fn function(&mut self, name: &str, method: bool, given: Vec<Typed>) -> Result<Typed, Fault> {
        let name = if name == operators::IN { "_in_" } else { name };
        let written = spelled(name);
        let overloads: Vec<&'static Overload> = FUNCTIONS
            .get(name)
            .into_iter()
            .flatten()
            .filter(|overload| overload.method == method)
            .collect();
        if overloads.is_empty() {
            return Err(not_there(name, written));
        }
        let (nodes, types): (Vec<Node>, Vec<Type>) = given.into_iter().unzip();
        let (fitting, result) = fitting(&overloads, &types);
        let Some(result) = result else {
            return Err(not_taken(name, written, &overloads, &types));
        };
        if let Err(Failure::Told(why)) = check_literal(name, &nodes) {
            return Err(Fault::Never(why));
        }
        let constants: Option<Vec<Value>> = nodes
            .iter()
            .map(|node| match node {
                Node::Constant(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        if let (Some(values), false) = (constants, nodes.is_empty()) {
            match Node::apply(&fitting, &values, &mut self.work) {
                Ok(value) if value.is_small() => return Ok((Node::Constant(value), result)),
                // It would stay in memory as long as the expression.
                Ok(_) | Err(Failure::Spent) => {}
                Err(Failure::Told(why)) => return Err(Fault::Never(why)),
            }
        }
        let node = match <[Node; 2]>::try_from(nodes) {
            Ok([first, other]) if method && matches!(name, "or" | "orValue") => {
                Node::OrElse(fitting, Box::new(first), Box::new(other))
            }
            Ok(nodes) => Node::Call(fitting, nodes.into()),
            Err(nodes) => Node::Call(fitting, nodes),
        };
        Ok((node, result))
    }
}

/// Why no function of this name can be called in this form.
fn not_there(name: &str, written: String) -> Fault {
    let is_absent = |(absent, _): &&(&str, &str)| {
        *absent == name || absent.starts_with("format.") && name.starts_with("format.")
    };
    if let Some((_, instead)) = ABSENT.iter().find(is_absent) {
        return Fault::Absent {
            name: written,
            instead,
        };
    }
    match FUNCTIONS.get(name).and_then(|all| all.first()) {
        Some(other) => Fault::OtherCall {
            name: written,
            known: other.text,
        },
        None => Fault::UnknownFunction(written),
    }
}

/// Why none of `overloads` takes arguments of these types.
fn not_taken(name: &str, written: String, overloads: &[&Overload], types: &[Type]) -> Fault {
    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
    let types = types.join(", ");
    if name.starts_with(['_', '@']) || name.ends_with('_') {
        return Fault::NotTogether {
            operator: written,
            types,
        };
    }
    let known: Vec<&str> = overloads.iter().map(|overload| overload.text).collect();
    Fault::Arguments {
        name: written,
        types,
        known: known.join(" or "),
    }
}

/// The signatures that take arguments of these types, and their result type; `None` if there is none.
fn fitting(overloads: &[&'static Overload], types: &[Type]) -> (Vec<&'static Overload>, Option<Type>) {
    let mut result: Option<Type> = None;
    let mut fitting = vec![];
    for overload in overloads {
        let mut bound = Bound::new();
        let fits = overload.arguments.len() == types.len()
            && (types.iter().zip(&overload.arguments)).all(|(given, wanted)| given.fits(wanted, &mut bound));
        if fits {
            let of = overload.result.with(&bound);
            result = Some(result.map_or_else(|| of.clone(), |other| other.or(of.clone())));
            fitting.push(*overload);
        }
    }
    (fitting, result)
}

fn constant(literal: &LiteralValue) -> Result<Typed, Fault> {
    let (value, ty) = match literal {
        LiteralValue::Boolean(b) => (Value::Bool(*b.inner()), Type::Bool),
        LiteralValue::Int(i) => (Value::Int(*i.inner()), Type::Int),
        LiteralValue::UInt(u) => (Value::Uint(*u.inner()), Type::Uint),
        LiteralValue::Double(d) => (Value::Double(*d.inner()), Type::Double),
        LiteralValue::String(text) => (Value::text(text.inner()), Type::Text),
        LiteralValue::Null => (Value::Null, Type::Null),
        LiteralValue::Bytes(_) => return Err(Fault::Bytes),
    };
    Ok((Node::Constant(value), ty))
}

/// The type of `.name` of a value of type `of`.
fn field(of: &Type, name: &str) -> Result<Type, Fault> {
    match of {
        Type::Dyn => Ok(Type::Dyn),
        Type::Map(key, value) if matches!(**key, Type::Text | Type::Dyn) => Ok(Type::clone(value)),
        Type::Optional(inner) => field(inner, name).map(Type::optional),
        Type::Object(object) => object.fields.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = object.fields.keys().take(NAMED).map(String::as_str).collect();
            Fault::UnknownField {
                of: object.name.clone(),
                name: name.to_owned(),
                known: known.join(", "),
            }
        }),
        other => Err(Fault::NoFields {
            of: other.to_string(),
            name: name.to_owned(),
        }),
    }
}

/// The common type of the elements of `what`. As in Kubernetes, dyn goes together with dyn only.
fn same(so_far: Option<Type>, next: Type, what: &'static str) -> Result<Type, Fault> {
    match so_far {
        None => Ok(next),
        Some(so_far) if so_far == next => Ok(next),
        Some(so_far) => Err(Fault::Mixed {
            one: so_far.to_string(),
            other: next.to_string(),
            within: what,
        }),
    }
}

/// The type of an element, without the optional that `?` before it needs.
fn unwrapped(of: Type, optional: bool) -> Result<Type, Fault> {
    match (optional, of) {
        (false, of) => Ok(of),
        (true, Type::Optional(inner)) => Ok(Type::clone(&inner)),
        (true, Type::Dyn) => Ok(Type::Dyn),
        (true, other) => Err(Fault::NeverAbsent(other.to_string())),
    }
}

fn variable(expr: &IdedExpr) -> Result<String, Fault> {
    match &expr.expr {
        Expr::Ident(name) => name_of_variable(name),
        _ => Err(Fault::LoopVariable),
    }
}

fn name_of_variable(name: &str) -> Result<String, Fault> {
    match RESERVED.contains(&name) {
        true => Err(Fault::Reserved(name.to_owned())),
        false => Ok(name.to_owned()),
    }
}

fn only(list: &IdedExpr) -> Option<&IdedExpr> {
    match &list.expr {
        Expr::List(list) => match list.elements.as_slice() {
            [element] => Some(element),
            _ => None,
        },
        _ => None,
    }
}

/// An operator as it is written.
fn spelled(name: &str) -> String {
    let symbol = name.trim_matches('_');
    match symbol.is_empty() || symbol == name {
        true => name.to_owned(),
        false => symbol.to_owned(),
    }
}
