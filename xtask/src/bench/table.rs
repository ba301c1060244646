//! The printed table, and its JSON for programs.

use anyhow::Result;
use serde::Serialize;

#[derive(Clone, Copy, Serialize)]
pub enum Unit {
    #[serde(rename = "")]
    Count,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
        }
    }
}

#[derive(Serialize)]
struct Row {
    section: String,
    name: String,
    measured: f64,
    unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<f64>,
    /// The measured value divided by the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
}

/// Rows in sections.
#[derive(Default)]
pub struct Table {
    section: String,
    rows: Vec<Row>,
}

impl Table {
    pub fn section(&mut self, title: &str) {
        title.clone_into(&mut self.section);
    }

    pub fn row(&mut self, name: &str, measured: f64, unit: Unit, budget: Option<f64>) {
        self.rows.push(Row {
            section: self.section.clone(),
            name: name.to_owned(),
            measured,
            unit,
            budget,
            ratio: budget.filter(|b| *b > 0.0).map(|b| measured / b),
            ok: budget.map(|b| measured <= b),
        });
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.rows)?)
    }

    pub fn print(&self) {
        let head = ["measured", "budget", "ratio"];
        println!("{:<52}{:>12}{:>12}{:>8}", "", head[0], head[1], head[2]);
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = &row.section;
                println!("{section}");
            }
            let number = |n: f64| format!("{} {:<3}", short(n), row.unit.name());
            let budget = row.budget.map(number).unwrap_or_default();
            let ratio = row.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
            let verdict = match row.ok {
                Some(true) => "ok",
                Some(false) => "OVER",
                None => "",
            };
            let line = format!(
                "  {:<50}{:>12}{budget:>12}{ratio:>8}  {verdict}",
                row.name,
                number(row.measured)
            );
            println!("{}", line.trim_end());
        }
    }
}

/// The significant digits.
fn short(number: f64) -> String {
    if number.fract() == 0.0 || number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}
