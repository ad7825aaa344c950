//! `sendlab stats`: JSON lines in, JSON lines out, without a server; and what each method is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use methods::{Method, answer_line, families, find};

use crate::cli::StatsArgs;
use crate::print::say;

/// How many bytes of input are read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Runs the command.
pub(crate) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    if args.list {
        list();
        return Ok(());
    }
    if let Some(name) = &args.explain {
        explain(find(name)?);
        return Ok(());
    }
    let stdout = io::stdout().lock();
    let tally = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
            answer(BufReader::with_capacity(BUFFER_BYTES, file), stdout)?
        }
        _ => {
            if io::stdin().is_terminal() {
                bail!("no lines came in: give a file, or pipe JSON lines in; `sendlab stats --list` shows the methods");
            }
            answer(BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()), stdout)?
        }
    };
    if tally.bad > 0 {
        bail!("{} of {} lines were not computed; their answers say why under `error`", tally.bad, tally.lines);
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    lines: u64,
    bad: u64,
}

/// Answers each line as it comes. Answers wait in a buffer only while more input is at hand, so that a program that asks
/// one question at a time hears its answer at once.
fn answer(mut input: BufReader<impl io::Read>, output: impl Write) -> anyhow::Result<Tally> {
    let mut output = BufWriter::new(output);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = methods::line::LINE_BYTES_MAX as u64 + 2;
        let read = io::Read::take(&mut input, limit).read_until(b'\n', &mut line).context("the input broke off")?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        tally.lines += 1;
        let answered = answer_line(text.trim_end_matches(['\n', '\r']));
        tally.bad += u64::from(!answered.good);
        serde_json::to_writer(&mut output, &answered.answer).context("the answer cannot be written")?;
        output.write_all(b"\n")?;
        if input.buffer().is_empty() {
            output.flush()?;
        }
        if read as u64 == limit {
            bail!("line {} is longer than {} bytes; what follows was not read", tally.lines, methods::line::LINE_BYTES_MAX);
        }
    }
    output.flush()?;
    Ok(tally)
}

fn list() {
    let width = methods::methods().map(|method| method.name.len()).max().unwrap_or_default();
    for (family, methods) in families() {
        say(&format!("\n{family}"));
        for Method { name, summary, .. } in methods {
            say(&format!("  {name:width$}  {summary}"));
        }
    }
    say("\n`sendlab stats --explain METHOD` gives formula, source, inputs and an example.");
}

fn explain(method: &Method) {
    say(&format!("{}: {}\n", method.name, method.summary));
    say(&format!("Formula\n  {}\n\nReference\n  {}\n", method.formula, method.reference));
    for (title, fields) in [("Inputs", method.inputs), ("Outputs", method.outputs)] {
        say(title);
        let width = fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
        fields.iter().for_each(|field| say(&format!("  {:width$}  {}", field.name, field.about)));
        say("");
    }
    say(&format!("Refuses\n  {}\n\nExample", method.refuses));
    let line = format!(r#"{{"id": 1, "method": "{}", "input": {}}}"#, method.name, method.example);
    say(&format!("  {line}\n  {}", answer_line(&line).answer));
}
