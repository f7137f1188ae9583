//! `densight inspect`: what a model is and what it costs.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::log::{self, Level};
use super::network::Network;
use super::verify::verify;
use crate::error::{Error, ErrorKind};
use crate::model::{DenseNetConfig, count};
use crate::runtime::{Classifier, Device, Execution, Left, Session, SessionOptions};
use crate::text;

/// Describe a model: architecture, parameters, multiply-adds, memory
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["model", "preset", "config"]))]
pub(super) struct Args {
    /// ONNX model
    model: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// List the nodes as they are executed: data type, kernel and multiply-adds of each
    #[arg(long, conflicts_with_all = ["preset", "config"])]
    executed: bool,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu)
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with_all = ["preset", "config"])]
    device: Device,
    #[command(flatten)]
    output: super::model::OutputArgs,
    #[command(flatten)]
    scores: super::model::ScoreArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Run one picture in Densight's kernels and in tract alone; exit with 3 if the scores are apart by more than 0.001 of
    /// their size, in int8 0.25
    #[arg(long, conflicts_with_all = ["preset", "config", "device"])]
    verify: bool,
    /// Draw how much each layer of a dense block uses of each earlier one, as SVG (the paper's figure 5)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "config"])]
    reuse: Option<PathBuf>,
    /// Exit with 3 if a smaller share of the multiply-adds runs in int8
    #[arg(long, value_name = "PERCENT", conflicts_with_all = ["preset", "config"], value_parser = percent)]
    require_int8: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Exit code for a model that runs less in int8 than required, or other than in tract.
const CHECK_FAILED: u8 = 3;

/// Runs the command.
///
/// # Errors
/// A model or definition that cannot be read, or is none.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut execution, mut verified, mut blocks) = (None, None, None);
    let mut described = match &args.model {
        Some(path) => {
            let options = SessionOptions {
                device: args.device,
                limits: args.limits.limits()?,
                input_size: args.network.model_size()?,
                output: args.output.output_name.clone(),
                scores: args.scores.scores,
                ..Default::default()
            };
            let mut session = super::model::open(Some(path), &options)?;
            if args.verify {
                verified = Some(verify(path, &options, &mut session)?);
            }
            if args.executed || args.require_int8.is_some() {
                execution = Some(session.execution()?);
            }
            if let Some(drawing) = &args.reuse {
                let found = super::reuse::blocks(path, &options)?;
                super::reuse::draw(&found, drawing, path)?;
                blocks = Some(found);
            }
            of_model(&session)?
        }
        None => {
            let missing = || Error::new(ErrorKind::Usage, "inspect needs a model, or --preset or --config");
            let (name, config) = args.network.config()?.ok_or_else(missing)?;
            let mut described = json!({ "name": name });
            add_costs(&mut described, &config)?;
            described
        }
    };
    if let Some(execution) = execution.as_ref().filter(|_| args.executed && args.json) {
        described["executed"] = serde_json::to_value(execution)?;
    }
    if let Some(verified) = verified.as_ref().filter(|_| args.json) {
        described["verified"] = serde_json::to_value(verified)?;
    }
    if let Some(blocks) = blocks.as_ref().filter(|_| args.json) {
        described["reuse"] = serde_json::to_value(blocks)?;
    }
    let mut text = if args.json { text::json(&described)? + "\n" } else { table(&described) };
    if let Some(execution) = execution.as_ref().filter(|_| args.executed && !args.json) {
        text.push_str(&executed(execution));
    }
    if let Some(verified) = verified.as_ref().filter(|_| !args.json) {
        text.push_str(&format!("\n{verified}\n"));
    }
    super::print(&text)?;
    if let Some(verified) = verified.filter(|verified| !verified.same()) {
        log::tell(Level::Error, None, &verified.to_string());
        return Ok(ExitCode::from(CHECK_FAILED));
    }
    match (args.require_int8, execution) {
        (Some(required), Some(execution)) if 100.0 * execution.int8_share < required => {
            let (share, why) = (share(&execution), reasons(&execution.left));
            log::tell(Level::Error, None, &format!("{share}, {required} % are required{why}"));
            Ok(ExitCode::from(CHECK_FAILED))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err("a share is 0 to 100 percent".into()) }
}

fn share(execution: &Execution) -> String {
    let share = 100.0 * execution.int8_share;
    let (int8, float) = (execution.int8_convolutions, execution.float_convolutions);
    format!("{share:.1} % of the multiply-adds are in int8 ({int8} convolutions and products; {float} are not)")
}

/// What runs, a line for each node, and what it comes to.
fn executed(execution: &Execution) -> String {
    let rows: Vec<[String; 5]> = execution
        .nodes
        .iter()
        .map(|n| {
            let [op, node] = [&n.op.to_string(), &n.node].map(|text| text::name(text));
            [n.r#type.to_string(), op, grouped(&n.macs.to_string()), n.kernel.to_string(), node]
        })
        .collect();
    let head = ["type", "computes", "multiply-adds", "kernel", "node"].map(String::from);
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let mut text = String::from("\n");
    for [kind, op, macs, kernel, node] in [&head].into_iter().chain(&rows) {
        text.push_str(&format!("{kind:a$}  {op:b$}  {macs:>c$}  {kernel:d$}  {node}\n"));
    }
    text.push_str(&format!("\n{}\n", share(execution)));
    for left in &execution.left {
        text.push_str(&format!("left to tract: {}\n", reason(left)));
    }
    text
}

/// A node that was left to tract, and why.
fn reason(left: &Left) -> String {
    format!("{} ({}): {}", text::name(&left.node), text::name(&left.op), text::line(&left.reason))
}

/// The first of the nodes that were left to tract, to go on with in an error's line.
fn reasons(left: &[Left]) -> String {
    const NAMED: usize = 3;
    let mut reasons: Vec<String> = left.iter().take(NAMED).map(reason).collect();
    if left.len() > NAMED {
        reasons.push(format!("and {} more, see --executed", left.len() - NAMED));
    }
    if reasons.is_empty() { String::new() } else { format!("; left to tract: {}", reasons.join("; ")) }
}

fn of_model(session: &Session) -> crate::error::Result<Value> {
    let input = [&[1], &session.input_shape()[..]].concat();
    // By way of text, so that numbers stay as short as they are in the model.
    let preprocessing = serde_json::to_string(session.preprocessing()).and_then(|text| serde_json::from_str(&text));
    let preprocessing: Value = preprocessing.unwrap_or_default();
    let mut described = json!({
        "name": &*session.name(),
        "hash": &*session.hash(),
        "input": input,
        "output": session.output_shape(),
        "scores": session.scores().to_string(),
        "labels": session.labels().map(|labels| labels.iter().map(|l| l.to_string()).collect::<Vec<_>>()),
        "preprocessing": preprocessing,
    });
    described["initializer_values"] = session.initializer_values().into();
    if let Some(unknown) = session.unknown() {
        let [classes, directions] = [unknown.means.len() / unknown.bias.len(), unknown.bias.len()];
        described["unknown"] = json!({ "threshold": unknown.threshold, "features": unknown.features(), "directions": directions, "classes": classes });
    }
    if let Some(config) = session.config() {
        add_costs(&mut described, config)?;
    }
    Ok(described)
}

/// Adds the keys `parameters`, `flops_thop`, `macs`, `activation_bytes` and `config`.
fn add_costs(described: &mut Value, config: &DenseNetConfig) -> crate::error::Result<()> {
    let costs = count(config)?;
    described["parameters"] = costs.parameters.into();
    described["flops_thop"] = costs.flops_thop.into();
    described["macs"] = costs.macs.into();
    described["activation_bytes"] =
        json!({ "separate": costs.activation_bytes.separate, "shared": costs.activation_bytes.shared });
    described["config"] = json!(config);
    Ok(())
}

/// One line for each key.
fn table(described: &Value) -> String {
    let mut rows = Vec::new();
    for (key, value) in described.as_object().into_iter().flatten() {
        match value {
            Value::Object(members) => {
                rows.extend(members.iter().map(|(name, value)| (format!("{key}.{name}"), show(value))));
            }
            value => rows.push((key.clone(), show(value))),
        }
    }
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    rows.into_iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect()
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text::name(text),
        Value::Number(number) if number.is_u64() => grouped(&number.to_string()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| plain(item), text::name))
            .collect::<Vec<_>>()
            .join(", "),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    text::line(&value.to_string())
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (digits, expected) in [("1", "1"), ("123", "123"), ("1234", "1,234"), ("7978856", "7,978,856")] {
            assert_eq!(grouped(digits), expected);
        }
    }
}
